// Several linear layers in one kernel, for networks so narrow that a block does them all for its tokens.
#pragma once

#include "geometry.cuh"
#include "layers.cuh"

namespace transip::cuda {

/// The rest of a block, and queries, keys and values of the next, or after the last block the energies.
template <class S> __device__ __forceinline__ void after_attention(const Step<typename S::Real> &step, int layer)
{
  TRANSIP_SHARED(typename S::Real, room, LinearLayers<S>::most_room());
  const LinearLayers<S> layers(step, room);
  layers.attention_output(layer);
  __syncthreads();
  layers.gate(layer);
  __syncthreads();
  layers.feedforward_output(layer);
  __syncthreads();
  if (layer + 1 < step.layers) {
    layers.project(layer + 1);
    return;
  }
  layers.energy_hidden();
  __syncthreads();
  const int first = blockIdx.x * tile_tokens;
  for (int t = first + threadIdx.x / warp_size; t < first + tile_tokens; t += dense_warps)
    if (t < step.in.counts->tokens) set_energy<S>(step, t);
}

/// From the gradient by the next block's queries, keys and values, or from the energies, to that by what attention mixed.
template <class S> __device__ __forceinline__ void after_attention_back(const Step<typename S::Real> &step, int layer)
{
  TRANSIP_SHARED(typename S::Real, room, LinearLayers<S>::most_room());
  const LinearLayers<S> layers(step, room);
  if (layer + 1 < step.layers)
    layers.project_back(layer + 1);
  else
    layers.energy_hidden_back();
  __syncthreads();
  layers.feedforward_output_back(layer);
  __syncthreads();
  layers.gate_back(layer);
  __syncthreads();
  layers.attention_output_back(layer);
}

}  // namespace transip::cuda
