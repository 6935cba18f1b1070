#include "emulated_device.h"

#include "emulated_kernels.h"
#include "emulator.h"
#include "transip/error.h"

#include <cstring>
#include <new>

namespace emulated {

namespace {

using namespace transip::cuda;

unsigned seed = 1;

/// Exactly as long as asked, so that AddressSanitizer sees what reads beyond, and aligned as the driver aligns.
class HostMemory final : public Memory {
 public:
  explicit HostMemory(std::size_t bytes)
      : bytes_(bytes), data_(static_cast<std::byte *>(::operator new(bytes ? bytes : 1, alignment)))
  {
    std::memset(data_, 0xff, bytes);
  }
  ~HostMemory() override { ::operator delete(data_, alignment); }
  std::byte *data() override { return data_; }
  std::size_t bytes() const override { return bytes_; }

 private:
  static constexpr std::align_val_t alignment{256};
  std::size_t bytes_;
  std::byte *data_;
};

class EmulatedKernels final : public Kernels {
 public:
  explicit EmulatedKernels(Thread thread) : thread_(thread) {}
  Thread thread() const { return thread_; }

 private:
  Thread thread_;
};

class EmulatedProgram final : public Program {
 public:
  explicit EmulatedProgram(std::span<const Stage> stages)
  {
    for (const Stage &stage : stages) {
      const auto *const first = static_cast<const std::byte *>(stage.argument);
      parts_.push_back({static_cast<const EmulatedKernels *>(stage.kernels)->thread(), stage.launches,
                        {first, first + stage.bytes}});
    }
  }
  void run() override
  {
    for (const Part &part : parts_)
      for (const Launch &launch : part.launches)
        emulator::run({launch.grid_x, launch.grid_y, 1}, launch.threads, seed++,
                      [&] { part.thread(launch.kernel, part.argument.data(), launch.part); });
  }

 private:
  struct Part {
    Thread thread;
    std::vector<Launch> launches;
    std::vector<std::byte> argument;
  };
  std::vector<Part> parts_;
};

}  // namespace

void set_seed(unsigned to)
{
  seed = to;
}

std::unique_ptr<Memory> Device::allocate(std::size_t bytes)
{
  return std::make_unique<HostMemory>(bytes);
}

std::unique_ptr<Memory> Device::allocate_host(std::size_t bytes)
{
  return std::make_unique<HostMemory>(bytes);
}

void Device::upload(std::byte *to, const std::byte *from, std::size_t bytes)
{
  std::memcpy(to, from, bytes);
}

void Device::download(std::byte *to, const std::byte *from, std::size_t bytes)
{
  std::memcpy(to, from, bytes);
}

void Device::copy(std::byte *to, const std::byte *from, std::size_t bytes)
{
  if (bytes > 0) std::memcpy(to, from, bytes);
}

std::unique_ptr<Kernels> Device::compile(const NetworkShape &shape, NetworkFile file)
{
  NetworkShape padded = shape;
  padded.feedforward = padded_feedforward(shape.feedforward);
  const Thread thread = find_kernels(padded.type(), file);
  if (!thread) throw transip::Error("The emulated device has no kernels for " + padded.type() + ".");
  compiled.push_back(file == NetworkFile::step ? "step" : "molecule");
  return std::make_unique<EmulatedKernels>(thread);
}

std::unique_ptr<Kernels> Device::compile(KernelFile file)
{
  compiled.push_back(file == KernelFile::search ? "search" : "totals");
  return std::make_unique<EmulatedKernels>(find_kernels(file));
}

std::unique_ptr<Program> Device::program(std::span<const Stage> stages)
{
  return std::make_unique<EmulatedProgram>(stages);
}

}  // namespace emulated
