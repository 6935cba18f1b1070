// A CUDA device that is this CPU, under the emulator, for networks of the shapes in emulated_kernels.cpp.
#pragma once

#include "cuda/device.h"

#include <string>
#include <vector>

namespace emulated {

/// Seed of the order of threads and blocks in all launches from now on.
void set_seed(unsigned seed);

/// A device whose memory starts filled with bits that are not a number.
class Device final : public transip::cuda::Device {
 public:
  Device() { set_blocks_at_a_time(64); }
  std::string name() const override { return "emulated on the CPU"; }
  std::unique_ptr<transip::cuda::Memory> allocate(std::size_t bytes) override;
  std::unique_ptr<transip::cuda::Memory> allocate_host(std::size_t bytes) override;
  void *stream() const override { return nullptr; }
  void set_stream(void *) override {}
  void upload(std::byte *to, const std::byte *from, std::size_t bytes) override;
  void download(std::byte *to, const std::byte *from, std::size_t bytes) override;
  void copy(std::byte *to, const std::byte *from, std::size_t bytes) override;
  void wait() override {}
  /// Throws Error: the shape is none of emulated_kernels.cpp.
  std::unique_ptr<transip::cuda::Kernels> compile(const transip::cuda::NetworkShape &shape,
                                                  transip::cuda::NetworkFile file) override;
  std::unique_ptr<transip::cuda::Kernels> compile(transip::cuda::KernelFile file) override;
  std::unique_ptr<transip::cuda::Program> program(std::span<const transip::cuda::Stage> stages) override;

  /// Files of kernels that were asked for, one after another.
  std::vector<std::string> compiled;
};

}  // namespace emulated
