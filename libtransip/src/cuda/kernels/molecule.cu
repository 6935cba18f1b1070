// The kernel of small molecules for one network, for NVRTC and nvcc; the shape comes as in step.cu.

#include "molecule.cuh"

using Network = TRANSIP_SHAPE;

extern "C" __global__ void __launch_bounds__(transip::cuda::molecule_threads(sizeof(Network::Real)), 1)
    transip_molecule(const transip::cuda::MoleculeStep<Network::Real> step, const int part)
{
  transip::cuda::molecule<Network>(step, part);
}
