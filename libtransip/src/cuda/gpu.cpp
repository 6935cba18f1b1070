#include "gpu.h"

#include "compiler.h"
#include "shared_library.h"
#include "transip/error.h"

#include <cstdint>
#include <cstring>
#include <future>

namespace transip::cuda {

namespace {

/// CUDA's driver: the part of its interface that is used, with types of our own, so that no header of CUDA's is needed.
/// Results are zero where all went well. Names and arguments: CUDA Driver API, version 12.
struct Driver {
  using Address = std::uint64_t;

  Driver() : library({"libcuda.so.1", "libcuda.so"})
  {
    if (!library.is_open())
      throw Error("This machine has no CUDA driver (" + library.problem() +
                  "). Install NVIDIA's driver, or use the device cpu.");
    library.find(init, "cuInit");
    library.find(error_name, "cuGetErrorName");
    library.find(device_count, "cuDeviceGetCount");
    library.find(device_get, "cuDeviceGet");
    library.find(device_name, "cuDeviceGetName");
    library.find(device_attribute, "cuDeviceGetAttribute");
    library.find(context_retain, "cuDevicePrimaryCtxRetain");
    library.find(context_release, "cuDevicePrimaryCtxRelease_v2");
    library.find(context_set, "cuCtxSetCurrent");
    library.find(context_get, "cuCtxGetCurrent");
    library.find(context_device, "cuCtxGetDevice");
    library.find(allocate, "cuMemAlloc_v2");
    library.find(free, "cuMemFree_v2");
    library.find(allocate_host, "cuMemHostAlloc");
    library.find(free_host, "cuMemFreeHost");
    library.find(upload, "cuMemcpyHtoDAsync_v2");
    library.find(download, "cuMemcpyDtoHAsync_v2");
    library.find(copy, "cuMemcpyDtoDAsync_v2");
    library.find(stream_create, "cuStreamCreate");
    library.find(stream_destroy, "cuStreamDestroy_v2");
    library.find(stream_synchronize, "cuStreamSynchronize");
    library.find(capture_begin, "cuStreamBeginCapture_v2");
    library.find(capture_end, "cuStreamEndCapture");
    library.find(graph_instantiate, "cuGraphInstantiateWithFlags");
    library.find(graph_launch, "cuGraphLaunch");
    library.find(graph_destroy, "cuGraphDestroy");
    library.find(executable_destroy, "cuGraphExecDestroy");
    library.find(module_load, "cuModuleLoadData");
    library.find(module_unload, "cuModuleUnload");
    library.find(module_function, "cuModuleGetFunction");
    library.find(launch, "cuLaunchKernel");
    check(init(0), "the CUDA driver does not start");
  }

  /// Throw Error, with the driver's own name for what happened, unless it is zero.
  void check(int result, const std::string &what) const
  {
    if (result == 0) return;
    const char *name = nullptr;
    if (error_name(result, &name) != 0 || !name) name = "an unknown error";
    throw Error("CUDA: " + what + " (" + name + ").");
  }

  SharedLibrary library;
  int (*init)(unsigned) = nullptr;
  int (*error_name)(int, const char **) = nullptr;
  int (*device_count)(int *) = nullptr;
  int (*device_get)(int *, int) = nullptr;
  int (*device_name)(char *, int, int) = nullptr;
  int (*device_attribute)(int *, int, int) = nullptr;
  int (*context_retain)(void **, int) = nullptr;
  int (*context_release)(int) = nullptr;
  int (*context_set)(void *) = nullptr;
  int (*context_get)(void **) = nullptr;
  int (*context_device)(int *) = nullptr;
  int (*allocate)(Address *, std::size_t) = nullptr;
  int (*free)(Address) = nullptr;
  int (*allocate_host)(void **, std::size_t, unsigned) = nullptr;
  int (*free_host)(void *) = nullptr;
  int (*upload)(Address, const void *, std::size_t, void *) = nullptr;
  int (*download)(void *, Address, std::size_t, void *) = nullptr;
  int (*copy)(Address, Address, std::size_t, void *) = nullptr;
  int (*stream_create)(void **, unsigned) = nullptr;
  int (*stream_destroy)(void *) = nullptr;
  int (*stream_synchronize)(void *) = nullptr;
  int (*capture_begin)(void *, int) = nullptr;
  int (*capture_end)(void *, void **) = nullptr;
  int (*graph_instantiate)(void **, void *, unsigned long long) = nullptr;
  int (*graph_launch)(void *, void *) = nullptr;
  int (*graph_destroy)(void *) = nullptr;
  int (*executable_destroy)(void *) = nullptr;
  int (*module_load)(void **, const void *) = nullptr;
  int (*module_unload)(void *) = nullptr;
  int (*module_function)(void **, void *, const char *) = nullptr;
  int (*launch)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **,
                void **) = nullptr;
};

constexpr int capability_major = 75, capability_minor = 76;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_...
constexpr int multiprocessors = 16;                          // CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
constexpr unsigned without_default_stream = 1;               // CU_STREAM_NON_BLOCKING
constexpr int capture_of_this_thread = 1;                    // CU_STREAM_CAPTURE_MODE_THREAD_LOCAL

/// The driver; loaded by the first call. Throws Error each time that there is none.
const Driver &driver()
{
  static const Driver loaded;
  return loaded;
}

/// A GPU's context and a stream; what belongs to the GPU keeps it alive.
struct Gpu {
  /// GPU of this number, in the context that all users of CUDA's runtime share.
  explicit Gpu(int number)
  {
    const Driver &cuda = driver();
    int count = 0;
    cuda.check(cuda.device_count(&count), "GPUs cannot be counted");
    if (number < 0 || number >= count)
      throw Error("There is no CUDA device " + std::to_string(number) + ": this machine has " + std::to_string(count) +
                  ".");
    cuda.check(cuda.device_get(&device, number), "the GPU cannot be opened");
    cuda.check(cuda.context_retain(&context, device), "the GPU cannot be opened");
    retained = true;
    try {
      make_stream();
    } catch (...) {
      cuda.context_release(device);
      throw;
    }
    stream = own_stream;
  }
  /// The GPU of a context that a host program has made.
  Gpu(void *of, void *into) : context(of), stream(into)
  {
    const Driver &cuda = driver();
    {
      const Use use(*this);
      cuda.check(cuda.context_device(&device), "the context has no GPU");
    }
    make_stream();
  }
  ~Gpu()
  {
    {
      const Use use(*this);
      driver().stream_destroy(own_stream);
    }
    if (retained) driver().context_release(device);
  }
  Gpu(const Gpu &) = delete;
  Gpu &operator=(const Gpu &) = delete;

  /// Makes the GPU the current one of the calling thread, which gets back its own: a host program may have another.
  class Use {
   public:
    explicit Use(const Gpu &gpu)
    {
      driver().context_get(&before_);
      driver().context_set(gpu.context);
    }
    ~Use() { driver().context_set(before_); }
    Use(const Use &) = delete;
    Use &operator=(const Use &) = delete;

   private:
    void *before_ = nullptr;
  };

  void make_stream()
  {
    const Use use(*this);
    driver().check(driver().stream_create(&own_stream, without_default_stream), "no stream");
  }

  int device = 0;
  bool retained = false;
  void *context = nullptr, *stream = nullptr, *own_stream = nullptr;
};

class GpuMemory final : public Memory {
 public:
  GpuMemory(std::shared_ptr<Gpu> gpu, std::size_t bytes) : gpu_(std::move(gpu)), bytes_(bytes)
  {
    const Gpu::Use use(*gpu_);
    driver().check(driver().allocate(&address_, bytes ? bytes : 1),
                   "the GPU has no room for " + std::to_string(bytes >> 20) + " MiB");
  }
  ~GpuMemory() override
  {
    const Gpu::Use use(*gpu_);
    driver().free(address_);
  }
  std::byte *data() override { return reinterpret_cast<std::byte *>(address_); }
  std::size_t bytes() const override { return bytes_; }

 private:
  std::shared_ptr<Gpu> gpu_;
  std::size_t bytes_;
  Driver::Address address_ = 0;
};

class PinnedMemory final : public Memory {
 public:
  PinnedMemory(std::shared_ptr<Gpu> gpu, std::size_t bytes) : gpu_(std::move(gpu)), bytes_(bytes)
  {
    const Gpu::Use use(*gpu_);
    driver().check(driver().allocate_host(&place_, bytes ? bytes : 1, 0),
                   "no room for " + std::to_string(bytes >> 20) + " MiB of pinned memory");
  }
  ~PinnedMemory() override
  {
    const Gpu::Use use(*gpu_);
    driver().free_host(place_);
  }
  std::byte *data() override { return static_cast<std::byte *>(place_); }
  std::size_t bytes() const override { return bytes_; }

 private:
  std::shared_ptr<Gpu> gpu_;
  std::size_t bytes_;
  void *place_ = nullptr;
};

/// A module of compiled kernels.
struct Module {
  Module(std::shared_ptr<Gpu> owner, const std::string &cubin, const std::vector<std::string> &names)
      : gpu(std::move(owner))
  {
    const Gpu::Use use(*gpu);
    driver().check(driver().module_load(&module, cubin.data()), "the GPU does not take the compiled kernels");
    for (const std::string &name : names) {
      void *function = nullptr;
      driver().check(driver().module_function(&function, module, ("transip_" + name).c_str()), "no kernel " + name);
      functions.push_back(function);
    }
  }
  ~Module()
  {
    const Gpu::Use use(*gpu);
    driver().module_unload(module);
  }
  Module(const Module &) = delete;
  Module &operator=(const Module &) = delete;

  std::shared_ptr<Gpu> gpu;
  void *module = nullptr;
  std::vector<void *> functions;  ///< as launches number them
};

/// Kernels that are being compiled; they are waited for and loaded when first wanted.
class GpuKernels final : public Kernels {
 public:
  GpuKernels(std::shared_ptr<Gpu> gpu, std::shared_future<std::string> cubin, const std::vector<std::string> &names)
      : gpu_(std::move(gpu)), cubin_(std::move(cubin)), names_(names)
  {
  }

  const std::shared_ptr<Module> &module() const
  {
    if (!module_) module_ = std::make_shared<Module>(gpu_, cubin_.get(), names_);
    return module_;
  }

 private:
  std::shared_ptr<Gpu> gpu_;
  std::shared_future<std::string> cubin_;
  const std::vector<std::string> &names_;
  mutable std::shared_ptr<Module> module_{};
};

/// A CUDA graph of all launches, with their arguments in it.
class GpuProgram final : public Program {
 public:
  GpuProgram(std::shared_ptr<Gpu> gpu, std::span<const Stage> stages) : gpu_(std::move(gpu))
  {
    const Driver &cuda = driver();
    for (const Stage &stage : stages) modules_.push_back(static_cast<const GpuKernels *>(stage.kernels)->module());
    const Gpu::Use use(*gpu_);
    // Captured in a stream of our own: in a host program's one there may be work that must not become part of the graph.
    void *const stream = gpu_->own_stream;
    cuda.check(cuda.capture_begin(stream, capture_of_this_thread), "no graph can be captured");
    int failed = 0;
    for (std::size_t i = 0; i < stages.size(); i++) {
      const Stage &stage = stages[i];
      std::vector<std::byte> argument(stage.bytes);
      std::memcpy(argument.data(), stage.argument, stage.bytes);
      for (const Launch &launch : stage.launches) {
        int part = launch.part;
        void *pointers[] = {argument.data(), &part};
        if (!failed)
          failed = cuda.launch(modules_[i]->functions[static_cast<std::size_t>(launch.kernel)], launch.grid_x,
                               launch.grid_y, 1, launch.threads, 1, 1, 0, stream, pointers, nullptr);
      }
    }
    void *graph = nullptr;
    // The capture has to be ended whatever happened.
    const int ended = cuda.capture_end(stream, &graph);
    if (!failed) failed = ended;
    if (!failed) failed = cuda.graph_instantiate(&executable_, graph, 0);
    if (graph) cuda.graph_destroy(graph);
    cuda.check(failed, "the kernels cannot be launched");
  }
  ~GpuProgram() override
  {
    const Gpu::Use use(*gpu_);
    driver().executable_destroy(executable_);
  }
  void run() override
  {
    const Gpu::Use use(*gpu_);
    driver().check(driver().graph_launch(executable_, gpu_->stream), "the kernels cannot be launched");
  }

 private:
  std::shared_ptr<Gpu> gpu_;
  std::vector<std::shared_ptr<Module>> modules_;
  void *executable_ = nullptr;
};

class GpuDevice final : public Device {
 public:
  explicit GpuDevice(std::shared_ptr<Gpu> gpu) : gpu_(std::move(gpu))
  {
    int count = 0;
    driver().check(driver().device_attribute(&count, multiprocessors, gpu_->device),
                   "the GPU does not report its multiprocessors");
    set_blocks_at_a_time(count);
  }

  std::string name() const override
  {
    char name[256] = {};
    driver().check(driver().device_name(name, sizeof name - 1, gpu_->device), "the GPU does not report its name");
    return name;
  }
  std::unique_ptr<Memory> allocate(std::size_t bytes) override { return std::make_unique<GpuMemory>(gpu_, bytes); }
  std::unique_ptr<Memory> allocate_host(std::size_t bytes) override
  {
    return std::make_unique<PinnedMemory>(gpu_, bytes);
  }
  void *stream() const override { return gpu_->stream; }
  void set_stream(void *stream) override { gpu_->stream = stream; }
  void upload(std::byte *to, const std::byte *from, std::size_t bytes) override
  {
    if (bytes == 0) return;
    const Gpu::Use use(*gpu_);
    driver().check(driver().upload(reinterpret_cast<Driver::Address>(to), from, bytes, gpu_->stream),
                   "a copy to the GPU failed");
  }
  void download(std::byte *to, const std::byte *from, std::size_t bytes) override
  {
    const Gpu::Use use(*gpu_);
    driver().check(driver().download(to, reinterpret_cast<Driver::Address>(from), bytes, gpu_->stream),
                   "a copy from the GPU failed");
    driver().check(driver().stream_synchronize(gpu_->stream), "a kernel failed");
  }
  void copy(std::byte *to, const std::byte *from, std::size_t bytes) override
  {
    if (bytes == 0) return;
    const Gpu::Use use(*gpu_);
    driver().check(driver().copy(reinterpret_cast<Driver::Address>(to), reinterpret_cast<Driver::Address>(from), bytes,
                                 gpu_->stream),
                   "a copy within the GPU failed: its arrays must be on the model's device");
  }
  void wait() override
  {
    const Gpu::Use use(*gpu_);
    driver().check(driver().stream_synchronize(gpu_->stream), "a kernel failed");
  }
  std::unique_ptr<Kernels> compile(const NetworkShape &shape, NetworkFile file) override
  {
    return std::make_unique<GpuKernels>(gpu_, compile_kernels(shape, file, architecture()), kernel_names(file));
  }
  std::unique_ptr<Kernels> compile(KernelFile file) override
  {
    return std::make_unique<GpuKernels>(gpu_, compile_kernels(file, architecture()), kernel_names(file));
  }
  std::unique_ptr<Program> program(std::span<const Stage> stages) override
  {
    return std::make_unique<GpuProgram>(gpu_, stages);
  }

 private:
  /// "sm_90".
  std::string architecture() const
  {
    const Driver &cuda = driver();
    int major = 0, minor = 0;
    cuda.check(cuda.device_attribute(&major, capability_major, gpu_->device), "the GPU does not report its architecture");
    cuda.check(cuda.device_attribute(&minor, capability_minor, gpu_->device), "the GPU does not report its architecture");
    return "sm_" + std::to_string(major) + std::to_string(minor);
  }

  std::shared_ptr<Gpu> gpu_;
};

}  // namespace

std::unique_ptr<Device> open_gpu(int number)
{
  return std::make_unique<GpuDevice>(std::make_shared<Gpu>(number));
}

std::unique_ptr<Device> borrow_gpu(void *context, void *stream)
{
  return std::make_unique<GpuDevice>(std::make_shared<Gpu>(context, stream));
}

}  // namespace transip::cuda
