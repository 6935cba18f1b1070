#include "dynamics.h"

#include "arrays.h"
#include "file_network.h"
#include "kernels/molecule.h"
#include "moving_structure.h"
#include "neighbours/same_place.h"
#include "totals_plan.h"
#include "transip/error.h"
#include "transip/units.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

namespace transip::cuda {

namespace {

/// Tables of the repulsion: nuclear charges, their powers, radii, one after another.
struct RepulsionTables {
  std::vector<double> values{};
  std::size_t kinds = 0;
  Repulsion repulsion{};

  RepulsionTables(const Weights &weights, const Metadata &metadata) : kinds(metadata.species.size())
  {
    if (!metadata.architecture->short_range) return;
    const auto count = static_cast<std::int64_t>(kinds);
    for (const char *name : {"nuclear_charges", "screening_powers", "covalent_radii"}) {
      const std::vector<double> &table = weights.get("model.short_range." + std::string(name), {count});
      values.insert(values.end(), table.begin(), table.end());
    }
    repulsion.coulomb = units::hartree * units::bohr;
    repulsion.cutoff = metadata.cutoff.value_or(0.0);
    repulsion.longest = 2.0 * *std::max_element(values.end() - count, values.end());
    if (repulsion.cutoff > 0.0) repulsion.longest = std::min(repulsion.longest, repulsion.cutoff);
  }
};

/// What a step gives, on the device or, staged, on the host.
struct ResultArrays {
  StepReport *report = nullptr;
  double *structure_energies = nullptr, *structure_virials = nullptr;  // where there are several structures
  double *forces = nullptr, *energies = nullptr, *virials = nullptr;
  // Bytes: report and structures; and forces; and energies; and virials.
  std::size_t until_structures = 0, until_forces = 0, until_energies = 0, all = 0;

  ResultArrays() = default;
  ResultArrays(int atoms, int structures, std::byte *start)
  {
    Parts parts(start);
    parts.place(report, 1);
    parts.place(structure_energies, structures > 1 ? structures : 0);
    parts.place(structure_virials, structures > 1 ? 9LL * structures : 0);
    until_structures = parts.used();
    parts.place(forces, 3LL * atoms);
    until_forces = parts.used();
    parts.place(energies, atoms);
    until_energies = parts.used();
    parts.place(virials, 9LL * atoms);
    all = parts.used();
  }
};

/// Null: no kernels for such a network.
std::unique_ptr<Dynamics> make_step(std::shared_ptr<MovingStructure> structure, bool beside, const Weights &weights,
                                    const Metadata &metadata);

template <typename Real> class WholeStep final : public Dynamics {
 public:
  /// beside: the structure is another's, which counts its memory.
  WholeStep(std::shared_ptr<MovingStructure> structure, bool beside, const Weights &weights, const Metadata &metadata,
            const NetworkWeights &network)
      : device_(structure->device()), structure_(std::move(structure)), beside_(beside),
        shape_(network.shape(sizeof(Real) == 4))
  {
    // What most structures will want is compiled while weights are packed and atoms set.
    if (device_.blocks_at_a_time() > 0 && has_molecule_kernel(shape_.dim, shape_.local))
      require_molecule_kernels();
    else
      require_step_kernels();
    const PackedWeights<Real> packed(network);
    const RepulsionTables tables(weights, metadata);
    constant_ = device_.allocate(packed.bytes().size() + tables.values.size() * sizeof(double));
    std::byte *const behind = constant_->data() + packed.bytes().size();
    device_.upload(constant_->data(), packed.bytes().data(), packed.bytes().size());
    packed.give(step_, constant_->data());
    totals_.repels = !tables.values.empty();
    totals_.repulsion = tables.repulsion;
    if (!totals_.repels) return;
    device_.upload(behind, reinterpret_cast<const std::byte *>(tables.values.data()), tables.values.size() * sizeof(double));
    const auto *const first = reinterpret_cast<const double *>(behind);
    totals_.repulsion.charge = first;
    totals_.repulsion.screening = first + tables.kinds;
    totals_.repulsion.radius = first + 2 * tables.kinds;
  }

  std::unique_ptr<Dynamics> make_beside(const Weights &weights, const Metadata &metadata) const override
  {
    return structure_->serves(metadata) ? make_step(structure_, true, weights, metadata) : nullptr;
  }

  void set_atoms(std::span<const std::int64_t> species, int charge, int multiplicity) override
  {
    structure_->set_atoms(species, charge, multiplicity);
    take_atoms();
  }

  void set_box(const Periodicity &box) override { structure_->set_box(box); }

  void set_batch(std::span<const std::int64_t> species, std::span<const BatchStructure> batch) override
  {
    structure_->set_batch(species, batch);
    take_atoms();
  }

  const Evaluation &evaluate(std::span<const double> positions, const Wanted &wanted) override
  {
    structure_->place(positions);
    run(wanted, true);
    return evaluation_;
  }

  double *device_positions() override { return structure_->positions(); }

  const Evaluation &evaluate_on_device(const Wanted &wanted) override
  {
    structure_->placed_on_device();
    run(wanted, false);
    return evaluation_;
  }

  const double *device_forces() const override { return there_.forces; }
  const double *device_energies() const override { return there_.energies; }
  const double *device_virials() const override { return there_.virials; }
  const double *device_energy() const override { return there_.report ? &there_.report->energy : nullptr; }
  const double *device_virial() const override { return there_.report ? there_.report->virial : nullptr; }
  const double *device_structure_energies() const override { return there_.structure_energies; }
  const double *device_structure_virials() const override { return there_.structure_virials; }
  std::int64_t searches() const override { return structure_->searches(); }

  std::size_t memory() const override
  {
    std::size_t bytes = beside_ ? 0 : structure_->memory();
    for (const auto *memory : {&constant_, &results_, &work_})
      if (*memory) bytes += (*memory)->bytes();
    return bytes;
  }

 private:
  /// Room for the results of so many atoms as there are.
  void take_atoms()
  {
    const int atoms = structure_->atoms(), structures = structure_->structures();
    const ResultArrays sizes(atoms, structures, nullptr);
    if (results_ && host_.all == sizes.all && host_.until_structures == sizes.until_structures) return;
    layout_ = -1;
    if (!results_ || results_->bytes() < sizes.all) {
      const ResultArrays roomy(results_ ? atoms + atoms / 8 + 32 : atoms, structures, nullptr);
      for (auto *memory : {&results_, &host_results_}) memory->reset();
      results_ = device_.allocate(roomy.all);
      host_results_ = device_.allocate_host(roomy.all);
    }
    there_ = ResultArrays(atoms, structures, results_->data());
    host_ = ResultArrays(atoms, structures, host_results_->data());
  }

  /// Memory of a step, and its arguments, for the lists as they are laid out.
  void lay_out()
  {
    take_atoms();
    if (layout_ == structure_->layout()) return;
    for (auto &program : programs_) program.reset();
    layout_ = -1;
    const Capacity &capacity = structure_->capacity();
    // What is too small goes before what is larger comes.
    work_.reset();
    step_.in = totals_.lists = structure_->lists();
    work_ = device_.allocate(place_all(capacity, nullptr));
    place_all(capacity, work_->data());
    const Search &search = structure_->search();
    totals_.rows = step_.out;
    totals_.order = search.order;
    totals_.box = search.box;
    totals_.structure_energies = there_.structure_energies;
    totals_.structure_virials = there_.structure_virials;
    totals_.needed = search.needed;
    totals_.moved = search.moved;
    totals_.moved_far = search.moved_far;
    totals_.report = there_.report;
    totals_.of_forces = there_.forces;
    totals_.of_energies = there_.energies;
    totals_.of_virials = there_.virials;
    layout_ = structure_->layout();
  }

  std::size_t place_all(const Capacity &capacity, std::byte *start)
  {
    std::size_t used = place_results(step_.out, capacity, start);
    const auto next = [&] { return start ? start + used : nullptr; };
    used += place_work(step_, shape_, capacity, true, next());
    used += place_totals(totals_, capacity, structure_->structures(), next());
    return used;
  }

  Program &step_program(const Wanted &wanted)
  {
    totals_.forces = wanted.forces;
    totals_.virial = wanted.forces && wanted.virial;
    totals_.virials = wanted.forces && wanted.virials;
    std::unique_ptr<Program> &program = programs_[(totals_.forces ? 1 : 0) + (totals_.virial ? 2 : 0) +
                                                  (wanted.nearest ? 4 : 0) + (totals_.virials ? 8 : 0)];
    if (!program) program = make_program(wanted);
    return *program;
  }

  void require_molecule_kernels()
  {
    if (!molecule_kernels_) molecule_kernels_ = device_.compile(shape_, NetworkFile::molecule);
  }

  void require_step_kernels()
  {
    if (!step_kernels_) step_kernels_ = device_.compile(shape_, NetworkFile::step);
    if (!totals_kernels_) totals_kernels_ = device_.compile(KernelFile::totals);
  }

  std::unique_ptr<Program> make_program(const Wanted &wanted)
  {
    const Capacity &capacity = structure_->capacity();
    if (!totals_.virials &&
        is_step_of_molecules(shape_, capacity, structure_->atoms(), device_.blocks_at_a_time())) {
      require_molecule_kernels();
      const MoleculeStep<Real> argument{step_, structure_->search(), totals_};
      const Stage stage{molecule_kernels_.get(), {plan_molecule(shape_, totals_.forces, wanted.nearest)}, &argument,
                        sizeof argument};
      return device_.program({&stage, 1});
    }
    require_step_kernels();
    const Stage stages[] = {
        structure_->move_stage(),
        {step_kernels_.get(), plan_step(shape_, capacity, {wanted.forces, totals_.virials}), &step_, sizeof step_},
        {totals_kernels_.get(), plan_totals(totals_, capacity, structure_->structures(), wanted.nearest), &totals_,
         sizeof totals_},
    };
    return device_.program(stages);
  }

  void run(const Wanted &wanted, bool to_host)
  {
    do {
      structure_->prepare();
      lay_out();
      step_program(wanted).run();
      const std::size_t bytes = !to_host ? host_.until_structures : totals_.virials ? host_.all
          : wanted.energies              ? host_.until_energies
          : wanted.forces                ? host_.until_forces : host_.until_structures;
      device_.download(host_results_->data(), results_->data(), bytes);
    } while (!structure_->holds(*host_.report));
    const StepReport &report = *host_.report;
    if (report.clash >= 0) throw_same_place(static_cast<std::size_t>(report.clash));
    take_results(wanted, to_host);
  }

  void take_results(const Wanted &wanted, bool to_host)
  {
    const auto count = static_cast<std::size_t>(structure_->atoms());
    evaluation_ = {};
    evaluation_.energy = host_.report->energy;
    if (totals_.virial) std::copy_n(host_.report->virial, 9, evaluation_.virial.begin());
    if (const auto structures = static_cast<std::size_t>(structure_->structures()); structures > 1) {
      evaluation_.structure_energies = {host_.structure_energies, structures};
      evaluation_.structure_virials = {host_.structure_virials, 9 * structures};
    }
    if (wanted.nearest) {
      evaluation_.nearest = host_.report->nearest;
      std::copy_n(host_.report->pair, 2, evaluation_.pair.begin());
    }
    if (to_host && wanted.forces) evaluation_.forces = {host_.forces, 3 * count};
    if (to_host && wanted.energies) evaluation_.energies = {host_.energies, count};
    if (to_host && totals_.virials) evaluation_.virials = {host_.virials, 9 * count};
  }

  Device &device_;
  std::shared_ptr<MovingStructure> structure_;
  bool beside_;
  NetworkShape shape_;
  std::unique_ptr<Kernels> step_kernels_, totals_kernels_, molecule_kernels_;  // the last when first used
  std::unique_ptr<Memory> constant_, results_, host_results_, work_;
  ResultArrays there_{}, host_{};
  Step<Real> step_{};
  Totals totals_{};
  std::unique_ptr<Program> programs_[16];  // with forces, + 2 virial, + 4 nearest pair, + 8 virials
  std::int64_t layout_ = -1;               // of the structure's memory that the programs are for
  Evaluation evaluation_{};
};

std::unique_ptr<Dynamics> make_step(std::shared_ptr<MovingStructure> structure, bool beside, const Weights &weights,
                                    const Metadata &metadata)
{
  if (!has_kernels(metadata)) return nullptr;
  const FileNetwork network(weights, metadata);
  if (network.single())
    return std::make_unique<WholeStep<float>>(std::move(structure), beside, weights, metadata, network.weights());
  return std::make_unique<WholeStep<double>>(std::move(structure), beside, weights, metadata, network.weights());
}

}  // namespace

std::unique_ptr<Dynamics> Dynamics::make(const Weights &weights, const Metadata &metadata, Device &device)
{
  if (!has_kernels(metadata)) return nullptr;
  return make_step(std::make_shared<MovingStructure>(device, metadata), false, weights, metadata);
}

}  // namespace transip::cuda
