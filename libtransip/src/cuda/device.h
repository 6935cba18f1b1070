// Where steps run: a GPU through its driver or, in tests, the CPU under an emulator. Internal to libtransip.
#pragma once

#include "plan.h"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace transip::cuda {

/// Memory of a device; given back when it goes.
class Memory {
 public:
  virtual ~Memory() = default;
  virtual std::byte *data() = 0;
  virtual std::size_t bytes() const = 0;
};

/// Launches that are made again and again with the same arguments.
class Program {
 public:
  virtual ~Program() = default;
  /// Have the device run the launches, in their order; does not wait. Throws Error: it cannot.
  virtual void run() = 0;
};

/// The kernels of one file for one network, compiled.
class Kernels {
 public:
  virtual ~Kernels() = default;
};

/// Launches of the kernels of one file with one argument, of `bytes` bytes.
struct Stage {
  const Kernels *kernels;
  std::vector<Launch> launches;
  const void *argument;
  std::size_t bytes;
};

/// One device; copies and programs follow one another in the order of the calls.
class Device {
 public:
  virtual ~Device() = default;
  /// What the device is, for the log.
  virtual std::string name() const = 0;
  /// Memory of at least so many bytes. Throws Error: there is not so much.
  virtual std::unique_ptr<Memory> allocate(std::size_t bytes) = 0;
  /// Memory of the host that copies to and from the device are fast with.
  virtual std::unique_ptr<Memory> allocate_host(std::size_t bytes) = 0;
  /// The stream that copies and programs go into, and another one from now on, of the device's context.
  virtual void *stream() const = 0;
  virtual void set_stream(void *stream) = 0;
  virtual void upload(std::byte *to, const std::byte *from, std::size_t bytes) = 0;
  /// Copy back, and wait until that and everything before is done. Throws Error: a kernel failed, the device is lost.
  virtual void download(std::byte *to, const std::byte *from, std::size_t bytes) = 0;
  /// Copy within the device.
  virtual void copy(std::byte *to, const std::byte *from, std::size_t bytes) = 0;
  /// Wait until everything before is done. Throws Error: a kernel failed, the device is lost.
  virtual void wait() = 0;
  /// Kernels for a network of this shape. They are compiled beside what the caller does next, as are others that it asks
  /// for; what does not compile is an Error of `program`. Throws Error: there is no compiler.
  virtual std::unique_ptr<Kernels> compile(const NetworkShape &shape, NetworkFile file) = 0;
  /// Kernels that are the same for all networks; likewise.
  virtual std::unique_ptr<Kernels> compile(KernelFile file) = 0;
  /// A program of stages, one after another; arguments are copied. The kernels belong to this device. Throws Error: they
  /// do not compile.
  virtual std::unique_ptr<Program> program(std::span<const Stage> stages) = 0;

  /// Blocks that it works on at a time, each with a multiprocessor to itself; so many may do whole small molecules (plan.h).
  int blocks_at_a_time() const { return blocks_at_a_time_; }
  /// From now on; 0: no step is done in one launch.
  void set_blocks_at_a_time(int blocks) { blocks_at_a_time_ = blocks; }

 private:
  int blocks_at_a_time_ = 0;
};

}  // namespace transip::cuda
