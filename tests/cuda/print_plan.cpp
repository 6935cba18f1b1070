// The launches of a step, for estimates of what they cost.
//
// Usage: print_plan DIM LAYERS HEADS FEEDFORWARD LOCAL RADIAL ROTARY_VALUES COORDINATES BYTES TOKENS ROWS EDGES BLOCKS
// Flags are 0 or 1; BYTES of a number are 4 or 8; BLOCKS are those that the device works on at a time, 0: no step of a
// molecule is one launch. A line for each launch: kernel, layer or part, blocks in x and y, threads of a block.

#include "cuda/plan.h"

#include <array>
#include <iostream>
#include <string>
#include <vector>

int main(int count, char **arguments)
{
  std::array<int, 13> given{};
  if (count != 1 + static_cast<int>(given.size())) {
    std::cerr << "print_plan takes " << given.size() << " numbers; its source says which.\n";
    return 2;
  }
  for (std::size_t i = 0; i < given.size(); i++) given[i] = std::stoi(arguments[i + 1]);
  transip::cuda::NetworkShape shape;
  const std::array<int *, 4> sizes{&shape.dim, &shape.layers, &shape.heads, &shape.feedforward};
  for (std::size_t i = 0; i < sizes.size(); i++) *sizes[i] = given[i];
  const std::array<bool *, 4> flags{&shape.local, &shape.radial, &shape.rotary_values, &shape.coordinates};
  for (std::size_t i = 0; i < flags.size(); i++) *flags[i] = given[4 + i] != 0;
  shape.single = given[8] == 4;
  const transip::cuda::Capacity capacity{given[9], given[10], given[11]};
  const bool one = transip::cuda::is_step_of_molecules(shape, capacity, capacity.tokens, given[12]);
  const auto &names =
      transip::cuda::kernel_names(one ? transip::cuda::NetworkFile::molecule : transip::cuda::NetworkFile::step);
  const std::vector<transip::cuda::Launch> launches = one
      ? std::vector{transip::cuda::plan_molecule(shape, true, false)}
      : transip::cuda::plan_step(shape, capacity, {.forces = true});
  for (const auto &[kernel, layer, x, y, threads] : launches)
    std::cout << names[static_cast<std::size_t>(kernel)] << ' ' << layer << ' ' << x << ' ' << y << ' ' << threads << '\n';
  return 0;
}
