#include "step_runner.h"

#include "transip/error.h"

#include <algorithm>
#include <limits>
#include <string>

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
      : device_(device), shape_(weights.shape(sizeof(Real) == 4)), packed_(weights), kernels_(device.compile(shape_)),
        constant_(device.allocate(packed_.bytes().size()))
  {
    device_.upload(constant_->data(), packed_.bytes().data(), packed_.bytes().size());
    packed_.give(step_, constant_->data());
  }

  const Results &run(const Counts &counts, bool forces, const std::function<void(const Inputs &)> &fill) override
  {
    if (!inputs_ || !capacity_.holds(counts) || (forces && !with_forces_)) lay_out(counts, forces);
    *staged_.counts = counts;
    fill(staged_);
    device_.upload(inputs_->data(), host_inputs_->data(), inputs_->bytes());
    std::unique_ptr<Program> &program = programs_[forces ? 1 : 0];
    if (!program) {
      const Stage stage{kernels_.get(), plan_step(shape_, capacity_, forces), &step_, sizeof step_};
      program = device_.program({&stage, 1});
    }
    program->run();
    device_.download(host_results_->data(), results_->data(), results_->bytes());
    returned_ = found_;
    if (!forces) returned_.forces = nullptr;
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
  void lay_out(const Counts &counts, bool forces)
  {
    for (auto &program : programs_) program.reset();
    if (!capacity_.holds(counts))
      capacity_ = {std::max(capacity_.tokens, with_room(counts.tokens)), std::max(capacity_.rows, with_room(counts.rows)),
                   std::max(capacity_.edges, with_room(counts.edges))};
    with_forces_ = with_forces_ || forces;
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
  std::unique_ptr<Kernels> kernels_;
  std::unique_ptr<Memory> constant_, inputs_, work_, results_, host_inputs_, host_results_;
  Capacity capacity_;
  bool with_forces_ = false;
  Step<Real> step_{};
  Inputs staged_{};
  Results found_{}, returned_{};
  std::unique_ptr<Program> programs_[2];  // energies alone; forces too
};

}  // namespace

std::unique_ptr<StepRunner> make_runner(Device &device, const NetworkWeights &weights, bool single)
{
  if (single) return std::make_unique<Runner<float>>(device, weights);
  return std::make_unique<Runner<double>>(device, weights);
}

}  // namespace transip::cuda
