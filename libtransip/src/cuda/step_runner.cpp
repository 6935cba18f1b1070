#include "step_runner.h"

#include "kernels/molecule.h"
#include "transip/error.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

namespace transip::cuda {

namespace {

/// A capacity that lets a structure grow a little before everything has to be laid out again.
int with_room(int count)
{
  const long long roomy = count + static_cast<long long>(count) / 8 + 32;
  return static_cast<int>(std::min<long long>(roomy, std::numeric_limits<int>::max()));
}

template <typename Real> class Runner final : public StepRunner {
 public:
  Runner(Device &device, const NetworkWeights &weights)
      : device_(device), shape_(weights.shape(sizeof(Real) == 4)), packed_(weights),
        kernels_(device.compile(shape_, NetworkFile::step)), constant_(device.allocate(packed_.bytes().size()))
  {
    device_.upload(constant_->data(), packed_.bytes().data(), packed_.bytes().size());
    packed_.give(step_, constant_->data());
    if (device_.blocks_at_a_time() > 0 && has_molecule_kernel(shape_.dim, shape_.local)) require_molecule_kernels();
  }

  const Results &run(const Counts &counts, Gradients gradients, const std::function<void(const Inputs &)> &fill,
                     HaloExchange *exchange) override
  {
    const bool other_kind = (exchange != nullptr) != with_halo_;
    if (!inputs_ || !capacity_.holds(counts) || (gradients.forces && !with_forces_) || other_kind)
      lay_out(counts, gradients.forces, exchange != nullptr);
    *staged_.counts = counts;
    fill(staged_);
    device_.upload(inputs_->data(), host_inputs_->data(), inputs_->bytes());
    if (!exchange && !gradients.virials &&
        is_step_of_molecules(shape_, capacity_, largest_molecule(), device_.blocks_at_a_time()))
      run_molecules(gradients.forces);
    else
      run_parts(counts, gradients, exchange);
    device_.download(host_results_->data(), results_->data(), results_->bytes());
    returned_ = found_;
    if (!gradients.forces) returned_.forces = nullptr;
    if (gradients.virials) returned_.virials = fetch_virials(counts);
    return returned_;
  }

  std::size_t memory() const override
  {
    std::size_t bytes = constant_->bytes();
    for (const auto *memory : {&inputs_, &work_, &results_})
      if (*memory) bytes += (*memory)->bytes();
    return bytes;
  }

  const void *step() const override { return &step_; }

 private:
  /// A part of a step as a program, and what the host does behind it.
  struct Part {
    std::unique_ptr<Program> program;
    StepPart::Then then;
  };

  /// Tokens of the largest molecule of a network that attends all to all.
  int largest_molecule() const
  {
    int largest = 0;
    for (int t = 0; !shape_.local && t < staged_.counts->tokens; t = staged_.end[t])
      largest = std::max(largest, staged_.end[t] - t);
    return largest;
  }

  void require_molecule_kernels()
  {
    if (!molecule_kernels_) molecule_kernels_ = device_.compile(shape_, NetworkFile::molecule);
  }

  void run_molecules(bool forces)
  {
    std::unique_ptr<Program> &program = molecule_programs_[forces ? 1 : 0];
    if (!program) {
      require_molecule_kernels();
      const MoleculeStep<Real> argument{step_, {}, {}};
      const Stage stages[] = {
          {molecule_kernels_.get(), {plan_molecules(shape_, capacity_, forces)}, &argument, sizeof argument},
          {kernels_.get(), {plan_energy_sum()}, &step_, sizeof step_},
      };
      program = device_.program(stages);
    }
    program->run();
  }

  double *fetch_virials(const Counts &counts)
  {
    const std::size_t bytes = 9 * static_cast<std::size_t>(counts.tokens) * sizeof(double);
    if (!host_virials_ || host_virials_->bytes() < bytes) host_virials_ = device_.allocate_host(bytes);
    device_.download(host_virials_->data(), reinterpret_cast<const std::byte *>(step_.out.virials), bytes);
    return reinterpret_cast<double *>(host_virials_->data());
  }

  void run_parts(const Counts &counts, Gradients gradients, HaloExchange *exchange)
  {
    std::vector<Part> &parts = programs_[!gradients.forces ? 0 : gradients.virials ? 2 : 1];
    if (parts.empty()) {
      const std::vector<StepPart> plan = with_halo_
          ? plan_parts(shape_, capacity_, gradients)
          : std::vector<StepPart>{{plan_step(shape_, capacity_, gradients), StepPart::Then::nothing}};
      for (const StepPart &part : plan) {
        const Stage stage{kernels_.get(), part.launches, &step_, sizeof step_};
        parts.push_back({device_.program({&stage, 1}), part.then});
      }
    }
    for (const Part &part : parts) {
      part.program->run();
      if (part.then == StepPart::Then::forward) bring_halo(counts, *exchange);
      if (part.then == StepPart::Then::reverse) return_halo(counts, *exchange);
    }
  }

  /// Numbers on the device, and room for them on the host.
  struct Exchanged {
    Real *device;
    std::size_t count;
    std::unique_ptr<Memory> *host;
  };
  Exchanged given(const Counts &counts) { return of_atoms(step_.given, counts.given, host_given_); }
  Exchanged of_atoms(Real *device, int atoms, std::unique_ptr<Memory> &host) const
  {
    return {device, 2 * static_cast<std::size_t>(shape_.dim) * static_cast<std::size_t>(atoms), &host};
  }

  /// Have other ranks take `out` and fill `in`: on the device where the exchange can, else by way of the host.
  template <typename Hand> void exchange_between(const Exchanged &out, const Exchanged &in, bool on_device, Hand hand)
  {
    if (on_device) {
      device_.wait();
      hand(out.device, in.device);
      return;
    }
    for (const Exchanged *side : {&out, &in})
      if (const std::size_t bytes = side->count * sizeof(Real); !*side->host || (*side->host)->bytes() < bytes)
        *side->host = device_.allocate_host(bytes);
    std::byte *const sent = (*out.host)->data(), *const received = (*in.host)->data();
    device_.download(sent, reinterpret_cast<const std::byte *>(out.device), out.count * sizeof(Real));
    hand(reinterpret_cast<const Real *>(sent), reinterpret_cast<Real *>(received));
    device_.upload(reinterpret_cast<std::byte *>(in.device), received, in.count * sizeof(Real));
  }

  /// Keys and values of halo atoms, from where these are tokens.
  void bring_halo(const Counts &counts, HaloExchange &exchange)
  {
    exchange_between(given(counts), of_atoms(step_.halo, counts.halo, host_halo_), exchange.takes_device_memory(),
                     [&](const Real *out, Real *in) { exchange.forward(out, in, 2 * shape_.dim); });
  }

  /// Gradients by keys and values of halo atoms, to where these are tokens.
  void return_halo(const Counts &counts, HaloExchange &exchange)
  {
    exchange_between(of_atoms(step_.gradient_halo, counts.halo, host_halo_), given(counts),
                     exchange.takes_device_memory(),
                     [&](const Real *out, Real *in) { exchange.reverse(out, in, 2 * shape_.dim); });
  }

  void lay_out(const Counts &counts, bool forces, bool halo)
  {
    for (auto &parts : programs_) parts.clear();
    for (auto &program : molecule_programs_) program.reset();
    if (!capacity_.holds(counts) || halo != with_halo_)
      capacity_ = {std::max(capacity_.tokens, with_room(counts.tokens)), std::max(capacity_.rows, with_room(counts.rows)),
                   std::max(capacity_.edges, with_room(counts.edges)),
                   halo ? std::max(capacity_.halo, with_room(counts.halo)) : 0,
                   halo ? std::max(capacity_.given, with_room(counts.given)) : 0};
    with_forces_ = with_forces_ || forces;
    with_halo_ = halo;
    // What is too small goes before what is larger comes.
    for (auto *memory : {&inputs_, &work_, &results_, &host_inputs_, &host_results_}) memory->reset();
    const std::size_t inputs = place_inputs(staged_, capacity_, nullptr),
                      results = place_results(found_, capacity_, nullptr);
    work_ = device_.allocate(place_work(step_, shape_, capacity_, with_forces_, nullptr));
    results_ = device_.allocate(results);
    host_inputs_ = device_.allocate_host(inputs);
    host_results_ = device_.allocate_host(results);
    place_work(step_, shape_, capacity_, with_forces_, work_->data());
    place_results(step_.out, capacity_, results_->data());
    place_results(found_, capacity_, host_results_->data());
    place_inputs(staged_, capacity_, host_inputs_->data());
    // Last, because it marks that all the others are there.
    inputs_ = device_.allocate(inputs);
    place_inputs(step_.in, capacity_, inputs_->data());
  }

  Device &device_;
  NetworkShape shape_;
  PackedWeights<Real> packed_;
  std::unique_ptr<Kernels> kernels_, molecule_kernels_;  // the latter when first used
  std::unique_ptr<Memory> constant_, inputs_, work_, results_, host_inputs_, host_results_, host_given_, host_halo_,
      host_virials_;
  Capacity capacity_;
  bool with_forces_ = false, with_halo_ = false;
  Step<Real> step_{};
  Inputs staged_{};
  Results found_{}, returned_{};
  std::vector<Part> programs_[3];  // energies alone; forces too; and virials of atoms
  std::unique_ptr<Program> molecule_programs_[2];  // energies alone; forces too
};

}  // namespace

std::unique_ptr<StepRunner> make_runner(Device &device, const NetworkWeights &weights, bool single)
{
  if (single) return std::make_unique<Runner<float>>(device, weights);
  return std::make_unique<Runner<double>>(device, weights);
}

}  // namespace transip::cuda
