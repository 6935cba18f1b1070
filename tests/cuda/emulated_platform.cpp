// An OpenMM platform called CUDA on a machine that has none, with the plugin's TransIPForce: for tests of what a force
// does on the arrays of a Context. `Platform.loadPluginLibrary` loads it.
//
// The platform is OpenMM's Reference platform. Positions and forces pass through arrays as the CUDA platform has them:
// in slots, in an order that changes at every evaluation, positions in the precision that the environment variable
// EMULATED_PRECISION states (single, mixed or double), forces as 64-bit fixed point; kernels run under the emulator.

#include "cuda_on_cpu.h"

struct float4 {
  float x, y, z, w;
};
struct double4 {
  double x, y, z, w;
};

#include "TransIPKernels.h"
#include "cuda/particles.cuh"
#include "transip/units.h"

#include <openmm/KernelFactory.h>
#include <openmm/Vec3.h>
#include <openmm/internal/ContextImpl.h>
#include <openmm/reference/ReferencePlatform.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr double force_unit = transip::units::kj_per_mol_per_ev * transip::units::angstrom_per_nm;
constexpr unsigned threads = 64;

class EmulatedPlatform : public OpenMM::ReferencePlatform {
 public:
  const std::string &getName() const override
  {
    static const std::string name = "CUDA";
    return name;
  }
};

class EmulatedKernel : public TransIPPlugin::CalcTransIPForceKernel {
 public:
  EmulatedKernel(const std::string &name, const OpenMM::Platform &platform, OpenMM::ContextImpl &context)
      : CalcTransIPForceKernel(name, platform),
        data_(*static_cast<OpenMM::ReferencePlatform::PlatformData *>(context.getPlatformData()))
  {
    const char *wanted = std::getenv("EMULATED_PRECISION");
    precision_ = wanted ? wanted : "mixed";
  }

  void initialize(const OpenMM::System &system, const std::vector<int> &particles, const std::vector<int> &,
                  bool) override
  {
    const auto atoms = static_cast<std::size_t>(system.getNumParticles());
    rows_ = static_cast<int>(particles.size());
    atom_of_slot_.resize(atoms);
    std::iota(atom_of_slot_.begin(), atom_of_slot_.end(), 0);
    row_of_atom_.assign(atoms, -1);
    for (int row = 0; row < rows_; row++)
      row_of_atom_[static_cast<std::size_t>(particles[static_cast<std::size_t>(row)])] = row;
  }
  int getDeviceIndex() const override { return 0; }
  void *getCudaContext() override { return nullptr; }
  void *getStream() override { return nullptr; }

  void takePositions(double *positions) override
  {
    std::shuffle(atom_of_slot_.begin(), atom_of_slot_.end(), random_);
    std::vector<float4> single, correction;
    std::vector<double4> exact;
    for (const int atom : atom_of_slot_) {
      const OpenMM::Vec3 r = (*data_.positions)[static_cast<std::size_t>(atom)];
      const float4 rounded{static_cast<float>(r[0]), static_cast<float>(r[1]), static_cast<float>(r[2]), 0.0f};
      single.push_back(rounded);
      correction.push_back({static_cast<float>(r[0] - rounded.x), static_cast<float>(r[1] - rounded.y),
                            static_cast<float>(r[2] - rounded.z), 0.0f});
      exact.push_back({r[0], r[1], r[2], 0.0});
    }
    run([&] {
      constexpr double angstrom = transip::units::angstrom_per_nm;
      const int slots = static_cast<int>(atom_of_slot_.size());
      if (precision_ == "double")
        transip::openmm::take_positions(exact.data(), static_cast<const float4 *>(nullptr), atom_of_slot_.data(),
                                        row_of_atom_.data(), slots, angstrom, positions);
      else
        transip::openmm::take_positions(single.data(), precision_ == "mixed" ? correction.data() : nullptr,
                                        atom_of_slot_.data(), row_of_atom_.data(), slots, angstrom, positions);
    });
  }

  void startLookingForCut(const double *positions, const std::array<double, 9> &box, double bonded) override
  {
    transip::openmm::Box vectors{};
    std::copy(box.begin(), box.end(), vectors.vectors);
    cut_ = 0;
    run([&] { transip::openmm::find_cut(positions, rows_, vectors, bonded, &cut_); });
  }
  bool getIsCut() const override { return cut_ != 0; }

  void addForces(const double *forces) override
  {
    const std::size_t slots = atom_of_slot_.size(), padded = (slots + 31) / 32 * 32;
    std::vector<unsigned long long> buffer(3 * padded, 0);
    run([&] {
      transip::openmm::add_forces(forces, atom_of_slot_.data(), row_of_atom_.data(), static_cast<int>(slots),
                                  static_cast<int>(padded), force_unit, buffer.data());
    });
    for (std::size_t slot = 0; slot < slots; slot++)
      for (std::size_t x = 0; x < 3; x++)
        (*data_.forces)[static_cast<std::size_t>(atom_of_slot_[slot])][static_cast<int>(x)] +=
            std::ldexp(static_cast<double>(static_cast<long long>(buffer[slot + x * padded])), -32);
  }

 private:
  void run(const std::function<void()> &body) { emulator::run({2, 1, 1}, threads, seed_++, body); }

  OpenMM::ReferencePlatform::PlatformData &data_;
  std::string precision_;
  std::mt19937 random_{1};
  unsigned seed_ = 1;
  int rows_ = 0, cut_ = 0;
  std::vector<int> atom_of_slot_, row_of_atom_;
};

class EmulatedFactory : public OpenMM::KernelFactory {
 public:
  OpenMM::KernelImpl *createKernelImpl(std::string name, const OpenMM::Platform &platform,
                                       OpenMM::ContextImpl &context) const override
  {
    return new EmulatedKernel(name, platform, context);
  }
};

}  // namespace

extern "C" __attribute__((visibility("default"))) void registerPlatforms()
{
  OpenMM::Platform::registerPlatform(new EmulatedPlatform);
}

extern "C" __attribute__((visibility("default"))) void registerKernelFactories()
{
  OpenMM::Platform::getPlatformByName("CUDA").registerKernelFactory(TransIPPlugin::CalcTransIPForceKernel::Name(),
                                                                    new EmulatedFactory);
}
