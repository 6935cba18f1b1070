// Several linear layers in one kernel, for networks so narrow that a block does them all for its tokens.
#pragma once

#include "geometry.cuh"
#include "layers.cuh"

namespace transip::cuda {

/// What follows attention in a layer, for a block's tokens.
template <class S, class Deal>
__device__ __forceinline__ void finish_layer(const LinearLayers<S, Deal> &layers, int layer)
{
  layers.attention_output(layer);
  __syncthreads();
  layers.gate(layer);
  __syncthreads();
  layers.feedforward_output(layer);
}

/// Energies of a block's tokens.
template <class S, class Deal>
__device__ __forceinline__ void set_energies(const Step<typename S::Real> &step, const LinearLayers<S, Deal> &layers)
{
  layers.energy_hidden();
  __syncthreads();
  const int first = layers.first_token();
#pragma unroll 1
  for (int t = first + threadIdx.x / warp_size; t < first + tile_tokens; t += Deal::warps)
    if (t < layers.tokens()) set_energy<S>(step, t);
}

/// From the gradient by the next layer's queries, keys and values, or from the energies, to that by what attention mixed.
template <class S, class Deal>
__device__ __forceinline__ void rest_of_layer_back(const Step<typename S::Real> &step,
                                                   const LinearLayers<S, Deal> &layers, int layer)
{
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

/// The rest of a layer, and queries, keys and values of the next, or after the last layer the energies.
template <class S> __device__ __forceinline__ void after_attention(const Step<typename S::Real> &step, int layer)
{
  TRANSIP_SHARED(typename S::Real, room, LinearLayers<S>::most_room());
  const LinearLayers<S> layers(step, room);
  finish_layer(layers, layer);
  __syncthreads();
  if (layer + 1 < step.layers)
    layers.project(layer + 1);
  else
    set_energies(step, layers);
}

template <class S> __device__ __forceinline__ void after_attention_back(const Step<typename S::Real> &step, int layer)
{
  TRANSIP_SHARED(typename S::Real, room, LinearLayers<S>::most_room());
  rest_of_layer_back(step, LinearLayers<S>(step, room), layer);
}

}  // namespace transip::cuda
