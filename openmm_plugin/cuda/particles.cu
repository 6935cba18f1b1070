// The kernels by name, for NVRTC inside OpenMM; CMake puts particles.h and particles.cuh before this, and OpenMM
// the type real4 before all.

extern "C" __global__ void transip_take_positions(const real4 *posq, const float4 *correction, const int *atom_of_slot,
                                                  const int *row_of_atom, int slots, double scale, double *positions)
{
  transip::openmm::take_positions(posq, correction, atom_of_slot, row_of_atom, slots, scale, positions);
}

extern "C" __global__ void transip_add_forces(const double *forces, const int *atom_of_slot, const int *row_of_atom,
                                              int slots, int padded, double scale, unsigned long long *buffer)
{
  transip::openmm::add_forces(forces, atom_of_slot, row_of_atom, slots, padded, scale, buffer);
}

extern "C" __global__ void transip_find_cut(const double *positions, int rows, transip::openmm::Box box, double bonded,
                                            int *cut)
{
  transip::openmm::find_cut(positions, rows, box, bonded, cut);
}
