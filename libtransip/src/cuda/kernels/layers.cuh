// The linear layers of a block and of the energy head, forward and backward: each with the norm, activation or rotation
// beside it.
#pragma once

#include "dense.cuh"

namespace transip::cuda {

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

/// Numbers as they come, [tokens, stride].
template <typename Real, int stride> struct StoreAll {
  Real *to;
  __device__ __forceinline__ void operator()(int t, int column, const Real (&four)[4]) const
  {
    store<4>(to + static_cast<long long>(t) * stride + column, four);
  }
};

/// The linear layers of a block's tokens. Each leaves its numbers in the arrays of the step; `room` is shared memory, so
/// that a block that does one after another has a barrier between them.
template <class S, class Deal = GridDeal> class LinearLayers {
 public:
  using Real = typename S::Real;
  static constexpr int dim = S::dim, feedforward = S::feedforward;
  /// Numbers of shared memory that any of them takes.
  TRANSIP_BOTH static constexpr int most_room()
  {
    const int inners[] = {dim, feedforward, 2 * feedforward, 3 * dim};
    int most = 0;
    for (const int inner : inners)
      if (room_for(inner, sizeof(Real)) > most) most = room_for(inner, sizeof(Real));
    return most;
  }

  /// tokens: the first that is nobody's.
  __device__ __forceinline__ LinearLayers(const Step<Real> &step, Real *room, int tokens, const Deal &deal)
      : step_(step), weights_(step.weights), room_(room), tokens_(tokens), deal_(deal)
  {
  }
  /// Those of the grid's block.
  __device__ __forceinline__ LinearLayers(const Step<Real> &step, Real *room)
      : LinearLayers(step, room, step.in.counts->tokens, Deal{})
  {
  }

  __device__ __forceinline__ int first_token() const { return deal_.first_token(); }
  __device__ __forceinline__ int tokens() const { return tokens_; }

  // ---- forward -----------------------------------------------------------------------------------------------------

  /// Norm, queries, keys and values, rotated by the phases of their token; those of its images by theirs besides.
  __device__ __forceinline__ void project(int layer) const
  {
    const Real *phase = of_layer(step_.phase, layer, step_.most_rows, dim);
    Real *query = of_tokens(step_.query, layer, dim);
    Real *key = of_layer(step_.key, layer, step_.most_rows, dim);
    Real *value = of_layer(step_.value, layer, step_.most_rows, dim);
    const Normalised<Real, dim> source{step_.token, of_tokens(step_.normal_one, layer, dim),
                                       of_tokens(step_.deviation_one, layer, 1)};
    const auto sink = [&](int t, int column, Real(&four)[4]) {
      const int part = column / dim, feature = column % dim;
      const long long place = static_cast<long long>(t) * dim + feature;
      const bool rotated = part < 2 || S::rotary_values;
      if (rotated) rotate(four, phase + place, Real(1));
      Real *to = part == 0 ? query : part == 1 ? key : value;
      store<4>(to + place, four);
      if (!S::local || part == 0) return;
      for (int image = step_.in.image_first[t]; image < step_.in.image_first[t + 1]; image++) {
        const long long there = static_cast<long long>(step_.in.image_row[image]) * dim + feature;
        Real turned[4];
#pragma unroll
        for (int i = 0; i < 4; i++) turned[i] = four[i];
        if (rotated) rotate(turned, phase + there, Real(1));
        store<4>(to + there, turned);
      }
    };
    product<dim, 3 * dim>(deal_, room_, tokens_, source, of_layer<dim, 3 * dim>(weights_.query_key_value, layer), sink);
  }

  /// Tokens + what attention mixed, rotated back by the receiver's phase so that values too depend on r_j - r_i only.
  __device__ __forceinline__ void attention_output(int layer) const
  {
    const Mixed<Real, dim, S::rotary_values> source{of_tokens(step_.mixed, layer, dim),
                                                    of_layer(step_.phase, layer, step_.most_rows, dim)};
    product<dim, dim>(deal_, room_, tokens_, source, of_layer<dim, dim>(weights_.attention_output, layer),
                      AddToTokens<S>{step_.token});
  }

  /// Norm, gate and value of the feed-forward, before the activation.
  __device__ __forceinline__ void gate(int layer) const
  {
    constexpr int outer = 2 * feedforward;
    const Normalised<Real, dim> source{step_.token, of_tokens(step_.normal_two, layer, dim),
                                       of_tokens(step_.deviation_two, layer, 1)};
    product<dim, outer>(deal_, room_, tokens_, source, of_layer<dim, outer>(weights_.gate_and_value, layer),
                        StoreAll<Real, outer>{of_tokens(step_.gate, layer, outer)});
  }

  /// Tokens + the feed-forward's output of silu(gate) * value.
  __device__ __forceinline__ void feedforward_output(int layer) const
  {
    const Activated<Real, feedforward> source{of_tokens(step_.gate, layer, 2 * feedforward)};
    product<feedforward, dim>(deal_, room_, tokens_, source,
                              of_layer<feedforward, dim>(weights_.feedforward_output, layer),
                              AddToTokens<S>{step_.token});
  }

  /// Last norm and first layer of the energy head, before its activation.
  __device__ __forceinline__ void energy_hidden() const
  {
    const Normalised<Real, dim> source{step_.token, step_.normal_last, step_.deviation_last};
    product<dim, dim>(deal_, room_, tokens_, source, weights_.energy_hidden, StoreAll<Real, dim>{step_.hidden});
  }

  // ---- backward ----------------------------------------------------------------------------------------------------

  /// Gradient of the energies that count by the last normal: pending.
  __device__ __forceinline__ void energy_hidden_back() const
  {
    const HeadBack<Real, dim> source{step_.hidden, weights_.energy_output, step_.in.owned};
    product<dim, dim>(deal_, room_, tokens_, source, weights_.energy_hidden_back, StoreAll<Real, dim>{step_.pending});
  }

  /// Gradient by the gate and value of the feed-forward.
  __device__ __forceinline__ void feedforward_output_back(int layer) const
  {
    const bool last = layer + 1 == step_.layers;  // what is pending is of the last norm, and there is no more than that
    const NormBack<Real, dim> source{
        last ? nullptr : step_.gradient_between, step_.pending,
        last ? step_.normal_last : of_tokens(step_.normal_one, layer + 1, dim),
        last ? step_.deviation_last : of_tokens(step_.deviation_one, layer + 1, 1), step_.gradient_inside};
    const Real *gates = of_tokens(step_.gate, layer, 2 * feedforward);
    const auto sink = [&](int t, int column, const Real(&four)[4]) {
      const long long place = 2 * (static_cast<long long>(t) * feedforward + column);
      Real both[8];
      load<8>(both, gates + place);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const Real x = both[2 * i], value = both[2 * i + 1];
        both[2 * i] = four[i] * value * silu_slope(x);
        both[2 * i + 1] = four[i] * x * sigmoid(x);
      }
      store<8>(step_.gradient_gate + place, both);
    };
    product<dim, feedforward>(deal_, room_, tokens_, source,
                              of_layer<dim, feedforward>(weights_.feedforward_output_back, layer), sink);
  }

  /// Gradient by the feed-forward's normal: pending.
  __device__ __forceinline__ void gate_back(int layer) const
  {
    constexpr int inner = 2 * feedforward;
    product<inner, dim>(deal_, room_, tokens_, Plain<Real>{step_.gradient_gate, inner},
                        of_layer<inner, dim>(weights_.gate_and_value_back, layer), StoreAll<Real, dim>{step_.pending});
  }

  /// Gradient by what attention mixed, rotated as the values are.
  __device__ __forceinline__ void attention_output_back(int layer) const
  {
    const NormBack<Real, dim> source{step_.gradient_inside, step_.pending, of_tokens(step_.normal_two, layer, dim),
                                     of_tokens(step_.deviation_two, layer, 1), step_.gradient_between};
    const Real *phase = of_layer(step_.phase, layer, step_.most_rows, dim);
    const auto sink = [&](int t, int column, Real(&four)[4]) {
      const long long place = static_cast<long long>(t) * dim + column;
      if constexpr (S::rotary_values) rotate(four, phase + place, Real(1));
      store<4>(step_.gradient_mixed + place, four);
    };
    product<dim, dim>(deal_, room_, tokens_, source, of_layer<dim, dim>(weights_.attention_output_back, layer), sink);
  }

  /// Gradient by the attention's normal: pending.
  __device__ __forceinline__ void project_back(int layer) const
  {
    product<3 * dim, dim>(deal_, room_, tokens_, Plain<Real>{step_.gradient_three, 3 * dim},
                          of_layer<3 * dim, dim>(weights_.query_key_value_back, layer),
                          StoreAll<Real, dim>{step_.pending});
  }

 private:
  /// A layer's part of an array [layers, tokens, stride].
  __device__ __forceinline__ Real *of_tokens(Real *array, int layer, int stride) const
  {
    return of_layer(array, layer, step_.most_tokens, stride);
  }

  const Step<Real> &step_;
  const DeviceWeights<Real> &weights_;
  Real *room_;
  int tokens_;
  Deal deal_;
};

// ---- kernels of one layer each -------------------------------------------------------------------------------------

template <class S> __device__ __forceinline__ void project(const Step<typename S::Real> &step, int layer)
{
  TRANSIP_SHARED(typename S::Real, room, room_for(S::dim, sizeof(typename S::Real)));
  LinearLayers<S>(step, room).project(layer);
}

template <class S> __device__ __forceinline__ void attention_output(const Step<typename S::Real> &step, int layer)
{
  TRANSIP_SHARED(typename S::Real, room, room_for(S::dim, sizeof(typename S::Real)));
  LinearLayers<S>(step, room).attention_output(layer);
}

template <class S> __device__ __forceinline__ void gate(const Step<typename S::Real> &step, int layer)
{
  TRANSIP_SHARED(typename S::Real, room, room_for(S::dim, sizeof(typename S::Real)));
  LinearLayers<S>(step, room).gate(layer);
}

template <class S> __device__ __forceinline__ void feedforward_output(const Step<typename S::Real> &step, int layer)
{
  TRANSIP_SHARED(typename S::Real, room, room_for(S::feedforward, sizeof(typename S::Real)));
  LinearLayers<S>(step, room).feedforward_output(layer);
}

template <class S> __device__ __forceinline__ void energy_hidden(const Step<typename S::Real> &step, int)
{
  TRANSIP_SHARED(typename S::Real, room, room_for(S::dim, sizeof(typename S::Real)));
  LinearLayers<S>(step, room).energy_hidden();
}

template <class S> __device__ __forceinline__ void energy_hidden_back(const Step<typename S::Real> &step, int)
{
  TRANSIP_SHARED(typename S::Real, room, room_for(S::dim, sizeof(typename S::Real)));
  LinearLayers<S>(step, room).energy_hidden_back();
}

template <class S> __device__ __forceinline__ void feedforward_output_back(const Step<typename S::Real> &step, int layer)
{
  TRANSIP_SHARED(typename S::Real, room, room_for(S::dim, sizeof(typename S::Real)));
  LinearLayers<S>(step, room).feedforward_output_back(layer);
}

template <class S> __device__ __forceinline__ void gate_back(const Step<typename S::Real> &step, int layer)
{
  TRANSIP_SHARED(typename S::Real, room, room_for(2 * S::feedforward, sizeof(typename S::Real)));
  LinearLayers<S>(step, room).gate_back(layer);
}

template <class S> __device__ __forceinline__ void attention_output_back(const Step<typename S::Real> &step, int layer)
{
  TRANSIP_SHARED(typename S::Real, room, room_for(S::dim, sizeof(typename S::Real)));
  LinearLayers<S>(step, room).attention_output_back(layer);
}

template <class S> __device__ __forceinline__ void project_back(const Step<typename S::Real> &step, int layer)
{
  TRANSIP_SHARED(typename S::Real, room, room_for(3 * S::dim, sizeof(typename S::Real)));
  LinearLayers<S>(step, room).project_back(layer);
}

}  // namespace transip::cuda
