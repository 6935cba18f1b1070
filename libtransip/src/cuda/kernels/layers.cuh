// The linear layers of a block and of the energy head, forward and backward: each with the norm, activation or rotation
// beside it.
#pragma once

#include "dense.cuh"

namespace transip::cuda {

// ---- forward -------------------------------------------------------------------------------------------------------

/// Norm, queries, keys and values, rotated by the phases of their token. Keys and values of images: `spread`.
template <class S> __device__ __forceinline__ void project(const Step<typename S::Real> &step, int layer)
{
  using Real = typename S::Real;
  const Real *phase = of_layer(step.phase, layer, step.most_rows, S::dim);
  Real *query = of_layer(step.query, layer, step.most_tokens, S::dim);
  Real *key = of_layer(step.key, layer, step.most_rows, S::dim);
  Real *value = of_layer(step.value, layer, step.most_rows, S::dim);
  const Normalised<Real, S::dim> source{step.token, of_layer(step.normal_one, layer, step.most_tokens, S::dim),
                                        of_layer(step.deviation_one, layer, step.most_tokens, 1)};
  const auto sink = [&](int t, int column, Real(&four)[4]) {
    const int part = column / S::dim, feature = column % S::dim;
    const long long place = static_cast<long long>(t) * S::dim + feature;
    if (part < 2 || S::rotary_values) rotate(four, phase + place, Real(1));
    store<4>((part == 0 ? query : part == 1 ? key : value) + place, four);
  };
  product<S::dim, 3 * S::dim>(step.in.counts->tokens, source,
                              of_layer<S::dim, 3 * S::dim>(step.weights.query_key_value, layer), sink);
}

/// Residual: what a product gives is added to the tokens.
template <class S> struct AddToTokens {
  using Real = typename S::Real;
  Real *token;
  __device__ __forceinline__ void operator()(int t, int column, const Real (&four)[4]) const
  {
    Real *to = token + static_cast<long long>(t) * S::dim + column;
    Real sum[4];
    load<4>(sum, to);
#pragma unroll
    for (int i = 0; i < 4; i++) sum[i] += four[i];
    store<4>(to, sum);
  }
};

/// Tokens + what attention mixed, rotated back by the receiver's phase so that values too depend on r_j - r_i only.
template <class S> __device__ __forceinline__ void attention_output(const Step<typename S::Real> &step, int layer)
{
  using Real = typename S::Real;
  const Mixed<Real, S::dim, S::rotary_values> source{of_layer(step.mixed, layer, step.most_tokens, S::dim),
                     of_layer(step.phase, layer, step.most_rows, S::dim)};
  const AddToTokens<S> sink{step.token};
  product<S::dim, S::dim>(step.in.counts->tokens, source,
                          of_layer<S::dim, S::dim>(step.weights.attention_output, layer), sink);
}

/// Norm, gate and value of the feed-forward, before the activation.
template <class S> __device__ __forceinline__ void gate(const Step<typename S::Real> &step, int layer)
{
  using Real = typename S::Real;
  constexpr int outer = 2 * S::feedforward;
  Real *gates = of_layer(step.gate, layer, step.most_tokens, outer);
  const Normalised<Real, S::dim> source{step.token, of_layer(step.normal_two, layer, step.most_tokens, S::dim),
                                        of_layer(step.deviation_two, layer, step.most_tokens, 1)};
  const auto sink = [&](int t, int column, const Real(&four)[4]) {
    store<4>(gates + static_cast<long long>(t) * outer + column, four);
  };
  product<S::dim, outer>(step.in.counts->tokens, source, of_layer<S::dim, outer>(step.weights.gate_and_value, layer), sink);
}

/// Tokens + the feed-forward's output of silu(gate) * value.
template <class S> __device__ __forceinline__ void feedforward_output(const Step<typename S::Real> &step, int layer)
{
  using Real = typename S::Real;
  const Activated<Real, S::feedforward> source{of_layer(step.gate, layer, step.most_tokens, 2 * S::feedforward)};
  const AddToTokens<S> sink{step.token};
  product<S::feedforward, S::dim>(step.in.counts->tokens, source,
                                  of_layer<S::feedforward, S::dim>(step.weights.feedforward_output, layer), sink);
}

/// Last norm and first layer of the energy head, before its activation.
template <class S> __device__ __forceinline__ void energy_hidden(const Step<typename S::Real> &step, int)
{
  using Real = typename S::Real;
  const Normalised<Real, S::dim> source{step.token, step.normal_last, step.deviation_last};
  const auto sink = [&](int t, int column, const Real(&four)[4]) {
    store<4>(step.hidden + static_cast<long long>(t) * S::dim + column, four);
  };
  product<S::dim, S::dim>(step.in.counts->tokens, source, step.weights.energy_hidden, sink);
}

// ---- backward ------------------------------------------------------------------------------------------------------

/// Gradient of the energies that count by the last normal: pending.
template <class S> __device__ __forceinline__ void energy_hidden_back(const Step<typename S::Real> &step, int)
{
  using Real = typename S::Real;
  const HeadBack<Real, S::dim> source{step.hidden, step.weights.energy_output, step.in.owned};
  const auto sink = [&](int t, int column, const Real(&four)[4]) {
    store<4>(step.pending + static_cast<long long>(t) * S::dim + column, four);
  };
  product<S::dim, S::dim>(step.in.counts->tokens, source, step.weights.energy_hidden_back, sink);
}

/// What is pending between two layers: of which norm, and whether there is more than that.
template <class S>
__device__ __forceinline__ NormBack<typename S::Real, S::dim> between_layers(const Step<typename S::Real> &step,
                                                                            int layer, typename S::Real *sum)
{
  if (layer == step.layers) return {nullptr, step.pending, step.normal_last, step.deviation_last, sum};
  return {step.gradient_between, step.pending, of_layer(step.normal_one, layer, step.most_tokens, S::dim),
          of_layer(step.deviation_one, layer, step.most_tokens, 1), sum};
}

/// Gradient by the gate and value of the feed-forward.
template <class S> __device__ __forceinline__ void feedforward_output_back(const Step<typename S::Real> &step, int layer)
{
  using Real = typename S::Real;
  const NormBack<Real, S::dim> source = between_layers<S>(step, layer + 1, step.gradient_inside);
  const Real *gates = of_layer(step.gate, layer, step.most_tokens, 2 * S::feedforward);
  const auto sink = [&](int t, int column, const Real(&four)[4]) {
    const long long place = 2 * (static_cast<long long>(t) * S::feedforward + column);
    Real both[8];
    load<8>(both, gates + place);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const Real x = both[2 * i], value = both[2 * i + 1];
      both[2 * i] = four[i] * value * silu_slope(x);
      both[2 * i + 1] = four[i] * x * sigmoid(x);
    }
    store<8>(step.gradient_gate + place, both);
  };
  product<S::dim, S::feedforward>(step.in.counts->tokens, source,
                                  of_layer<S::dim, S::feedforward>(step.weights.feedforward_output_back, layer), sink);
}

/// Gradient by the feed-forward's normal: pending.
template <class S> __device__ __forceinline__ void gate_back(const Step<typename S::Real> &step, int layer)
{
  using Real = typename S::Real;
  constexpr int inner = 2 * S::feedforward;
  const auto sink = [&](int t, int column, const Real(&four)[4]) {
    store<4>(step.pending + static_cast<long long>(t) * S::dim + column, four);
  };
  product<inner, S::dim>(step.in.counts->tokens, Plain<Real>{step.gradient_gate, inner},
                         of_layer<inner, S::dim>(step.weights.gate_and_value_back, layer), sink);
}

/// Gradient by what attention mixed, rotated as the values are.
template <class S> __device__ __forceinline__ void attention_output_back(const Step<typename S::Real> &step, int layer)
{
  using Real = typename S::Real;
  const NormBack<Real, S::dim> source{step.gradient_inside, step.pending,
                                      of_layer(step.normal_two, layer, step.most_tokens, S::dim),
                                      of_layer(step.deviation_two, layer, step.most_tokens, 1), step.gradient_between};
  const Real *phase = of_layer(step.phase, layer, step.most_rows, S::dim);
  const auto sink = [&](int t, int column, Real(&four)[4]) {
    const long long place = static_cast<long long>(t) * S::dim + column;
    if constexpr (S::rotary_values) rotate(four, phase + place, Real(1));
    store<4>(step.gradient_mixed + place, four);
  };
  product<S::dim, S::dim>(step.in.counts->tokens, source,
                          of_layer<S::dim, S::dim>(step.weights.attention_output_back, layer), sink);
}

/// Gradient by the attention's normal: pending.
template <class S> __device__ __forceinline__ void project_back(const Step<typename S::Real> &step, int layer)
{
  using Real = typename S::Real;
  const auto sink = [&](int t, int column, const Real(&four)[4]) {
    store<4>(step.pending + static_cast<long long>(t) * S::dim + column, four);
  };
  product<3 * S::dim, S::dim>(step.in.counts->tokens, Plain<Real>{step.gradient_three, 3 * S::dim},
                              of_layer<3 * S::dim, S::dim>(step.weights.query_key_value_back, layer), sink);
}

}  // namespace transip::cuda
