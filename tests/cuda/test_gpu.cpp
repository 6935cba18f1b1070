// The CUDA kernels on a GPU against the CPU's kernels.
//
// Usage: test_gpu | test_gpu compile ARCHITECTURE
// Exit codes: 0 they agree, 1 they do not, 3 there is no GPU or no driver. `compile` needs none: it compiles the kernels
// of one network, or takes them from the cache, and prints the size of the machine code.

#include "cuda/compiler.h"
#include "cuda/cuda_model.h"
#include "cuda/gpu.h"
#include "cpu/native_model.h"
#include "networks.h"
#include "structures.h"
#include "transip/error.h"

#include <algorithm>
#include <cmath>
#include <iostream>

namespace {

double difference(const std::vector<double> &got, const std::vector<double> &wanted)
{
  double most = 0.0, size = 1.0;
  for (std::size_t i = 0; i < wanted.size(); i++) {
    if (!(std::abs(got[i] - wanted[i]) <= most)) most = std::abs(got[i] - wanted[i]);
    size = std::max(size, std::abs(wanted[i]));
  }
  return most / size;
}

transip::Architecture architecture(int dim, int heads, bool radial, bool coordinates)
{
  transip::Architecture shape;
  shape.dim = dim;
  shape.layers = 2;
  shape.heads = heads;
  shape.feedforward = 100;
  shape.radial_bias = radial;
  shape.radial_functions = 12;
  shape.radial_hidden = 8;
  shape.rotary_values = radial;
  shape.coordinates = coordinates;
  return shape;
}

/// Whether energies and forces agree, the same bits come twice, and both can be done without forces.
bool agrees(transip::cuda::Device &device, const transip::Architecture &shape, double cutoff, const std::string &dtype,
            const TestStructure &structure)
{
  const TestNetwork network = random_network(shape, cutoff, dtype);
  const auto gpu = transip::CudaModel::make(network.weights, network.metadata, device);
  transip::Metadata exact = network.metadata;
  exact.dtype = "float64";
  const auto cpu = transip::NativeModel::make(network.weights, exact);
  const Neighbourhood around(structure, cutoff);
  const transip::Request request = around.request(structure);
  transip::Result got, again, alone, wanted;
  gpu->evaluate(request, around.positions, got, true);
  gpu->evaluate(request, around.positions, again, true);
  gpu->evaluate(request, around.positions, alone, false);
  cpu->evaluate(request, around.positions, wanted, true);
  const double off = std::max(difference(got.energies, wanted.energies), difference(got.forces, wanted.forces));
  const bool same = got.energies == again.energies && got.forces == again.forces && got.energies == alone.energies;
  const bool good = same && off <= (dtype == "float64" ? 1e-10 : 5e-6);
  std::cout << (good ? "PASS " : "FAIL ") << structure.name << ", " << dtype << ": difference " << off
            << (same ? "" : ", other bits in the second run") << '\n';
  return good;
}

bool test_parity(transip::cuda::Device &device)
{
  std::cout << device.name() << '\n';
  const TestStructure box = random_structure("50 atoms in a triclinic box", 50,
                                             {7.9, 0, 0, 2.1, 7.5, 0, -1.4, 1.8, 7.0}, {1, 8}, 2);
  const TestStructure molecule = random_structure("11 atoms in vacuum", 11, {}, {1, 8}, 3);
  bool good = true;
  for (const std::string dtype : {"float64", "float32"}) {
    good = agrees(device, architecture(64, 4, true, false), 4.5, dtype, box) && good;
    good = agrees(device, architecture(64, 4, true, false), 0.0, dtype, molecule) && good;
    good = agrees(device, architecture(128, 2, false, true), 0.0, dtype, molecule) && good;
  }
  return good;
}

void compile(const std::string &architecture)
{
  const transip::cuda::NetworkShape shape{64, 3, 4, 160, true, true, true, true, false};
  std::cout << transip::cuda::compiled_kernels(shape, architecture).size() << " bytes\n";
}

}  // namespace

int main(int count, char **arguments)
{
  try {
    if (count == 3 && std::string(arguments[1]) == "compile") {
      compile(arguments[2]);
      return 0;
    }
    const auto device = transip::cuda::open_gpu(0);
    return test_parity(*device) ? 0 : 1;
  } catch (const transip::Error &problem) {
    std::cerr << problem.what() << '\n';
    return 3;
  }
}
