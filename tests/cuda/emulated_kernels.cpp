// Kernels for the shapes that the tests use.

#include "cuda_on_cpu.h"

#include "cuda/kernels/kernels.cuh"
#include "cuda/kernels/molecule.cuh"
#include "cuda/kernels/search.cuh"
#include "cuda/kernels/totals.cuh"
#include "cuda/search_plan.h"
#include "cuda/totals_plan.h"
#include "emulated_kernels.h"

#include <array>
#include <map>

namespace emulated {

namespace {

using transip::cuda::Shape;

bool a_row_is_missing = false;

/// What a kernel is given, with a fault if a test wants one.
template <typename Real> transip::cuda::Step<Real> faulty(transip::cuda::Step<Real> step)
{
  if (a_row_is_missing) step.most_rows--;
  return step;
}

template <class S> void thread_of(int kernel, const void *arrays, int layer)
{
  const auto step = faulty(*static_cast<const transip::cuda::Step<typename S::Real> *>(arrays));
  switch (static_cast<transip::cuda::StepKernel>(kernel)) {
#define TRANSIP_CASE(name, used) \
  case transip::cuda::StepKernel::name: \
    if constexpr (used) return transip::cuda::name<S>(step, layer); \
    break;
#define TRANSIP_COMMON(name, threads) TRANSIP_CASE(name, true)
#define TRANSIP_NARROW(name, threads) TRANSIP_CASE(name, S::narrow)
#define TRANSIP_WIDE(name, threads) TRANSIP_CASE(name, !S::narrow)
    TRANSIP_COMMON_KERNELS(TRANSIP_COMMON)
    TRANSIP_NARROW_KERNELS(TRANSIP_NARROW)
    TRANSIP_WIDE_KERNELS(TRANSIP_WIDE)
#undef TRANSIP_WIDE
#undef TRANSIP_NARROW
#undef TRANSIP_COMMON
#undef TRANSIP_CASE
  }
}

template <class S> void thread_of_molecule(int, const void *argument, int part)
{
  using Given = transip::cuda::MoleculeStep<typename S::Real>;
  Given given = *static_cast<const Given *>(argument);
  given.step = faulty(given.step);
  transip::cuda::molecule<S>(given, part);
}

/// Kernels of a network's files, as NetworkFile numbers them.
using Files = std::array<Thread, 2>;

template <class S> void add(std::map<std::string, Files> &kernels)
{
  const transip::cuda::NetworkShape shape{S::dim,   1,         S::heads,         S::feedforward, sizeof(typename S::Real) == 4,
                                          S::local, S::radial, S::rotary_values, S::coordinates};
  Thread molecule = nullptr;
  if constexpr (transip::cuda::has_molecule_kernel(S::dim, S::local)) molecule = thread_of_molecule<S>;
  kernels[shape.type()] = {thread_of<S>, molecule};
}

/// A thread of the kernels of a search.
void thread_of_search(int kernel, const void *argument, int part)
{
  const auto &search = *static_cast<const transip::cuda::Search *>(argument);
  switch (static_cast<transip::cuda::SearchKernel>(kernel)) {
#define TRANSIP_CASE(name) \
  case transip::cuda::SearchKernel::name: return transip::cuda::name(search, part);
    TRANSIP_SEARCH_KERNELS(TRANSIP_CASE)
#undef TRANSIP_CASE
  }
}

/// A thread of the kernels of a structure's totals.
void thread_of_totals(int kernel, const void *argument, int part)
{
  const auto &totals = *static_cast<const transip::cuda::Totals *>(argument);
  switch (static_cast<transip::cuda::TotalsKernel>(kernel)) {
#define TRANSIP_CASE(name) \
  case transip::cuda::TotalsKernel::name: return transip::cuda::name(totals, part);
    TRANSIP_TOTALS_KERNELS(TRANSIP_CASE)
#undef TRANSIP_CASE
  }
}

}  // namespace

void plant_missing_row()
{
  a_row_is_missing = true;
}

Thread find_kernels(transip::cuda::KernelFile file)
{
  return file == transip::cuda::KernelFile::search ? thread_of_search : thread_of_totals;
}

Thread find_kernels(const std::string &type, transip::cuda::NetworkFile file)
{
  static const std::map<std::string, Files> kernels = [] {
    std::map<std::string, Files> all;
    // dim, heads, feed-forward; local, radial, rotary values, coordinates
    add<Shape<float, 32, 2, 48, true, true, true, false>>(all);
    add<Shape<double, 64, 2, 112, false, false, false, true>>(all);
#ifndef FEW_SHAPES
    add<Shape<double, 32, 2, 48, true, true, true, false>>(all);
    add<Shape<double, 40, 5, 64, true, false, false, false>>(all);
    add<Shape<float, 40, 5, 64, true, false, false, false>>(all);
    add<Shape<float, 128, 2, 112, false, false, false, true>>(all);
    add<Shape<double, 64, 4, 160, false, true, true, false>>(all);  // ethanol
    add<Shape<float, 64, 4, 160, false, true, true, false>>(all);
    add<Shape<double, 64, 4, 320, true, true, true, false>>(all);  // water
    add<Shape<float, 64, 4, 320, true, true, true, false>>(all);
    add<Shape<double, 128, 2, 112, false, false, false, true>>(all);
    add<Shape<float, 64, 2, 112, false, false, false, true>>(all);
    add<Shape<double, 96, 4, 64, true, true, false, false>>(all);
    add<Shape<float, 96, 4, 64, true, true, false, false>>(all);
    add<Shape<double, 768, 12, 256, true, true, true, false>>(all);
    add<Shape<float, 768, 12, 256, true, true, true, false>>(all);
#endif
    return all;
  }();
  const auto found = kernels.find(type);
  return found == kernels.end() ? nullptr : found->second[static_cast<std::size_t>(file)];
}

}  // namespace emulated
