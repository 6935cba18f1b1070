// What one evaluation keeps: forward values that the backward wants again, and gradients.
#pragma once

#include "lanes.h"
#include "shape.h"
#include "store.h"

namespace transip::native {
namespace {

/// Arrays over tokens and rows. Memory grows with the number of atoms times the number of layers.
template <typename Real> class State {
 public:
  static constexpr int size = Lanes<Real>::size;

  void lay_out(Store &store, const Shape &shape, std::int64_t tokens, std::int64_t rows, std::int64_t halo_atoms,
               std::int64_t given_atoms, bool gradient)
  {
    tokens_ = tokens;
    rows_ = rows;
    wide_ = shape.wide;
    features_ = shape.features;
    gates_ = 2 * shape.feedforward;
    const std::int64_t of_tokens = shape.layers * tokens, of_rows = shape.layers * rows;
    place_in(store, [&](Parts &parts) {
      parts.place(token_, tokens * wide_);
      parts.place(normal_one_, of_tokens * wide_);
      parts.place(normal_two_, of_tokens * wide_);
      parts.place(deviation_one_, of_tokens);
      parts.place(deviation_two_, of_tokens);
      parts.place(query_, of_tokens * features_);
      parts.place(mixed_, of_tokens * features_);
      parts.place(gates_of_, of_tokens * gates_);
      parts.place(key_, of_rows * 2 * features_);
      parts.place(phase_, of_rows * features_);
      parts.place(three_, tokens * 3 * features_);
      parts.place(halo_, halo_atoms * 2 * features_);
      parts.place(given_, given_atoms * 2 * features_);
      parts.place(gradient_, gradient ? tokens * wide_ : 0);
      parts.place(mixed_gradient_, gradient ? 2 * tokens * features_ : 0);
      parts.place(place_gradient_, gradient ? rows * 3 * size : 0);
    });
  }

  /// Features [wide].
  Real *token(std::int64_t t) const { return token_ + t * wide_; }
  /// Input of the linear layers of attention and feed-forward [wide]: normalised, before scale and shift.
  Real *normal_one(int l, std::int64_t t) const { return normal_one_ + (l * tokens_ + t) * wide_; }
  Real *normal_two(int l, std::int64_t t) const { return normal_two_ + (l * tokens_ + t) * wide_; }
  /// 1 / standard deviation that the norm divided by.
  Real &deviation_one(int l, std::int64_t t) const { return deviation_one_[l * tokens_ + t]; }
  Real &deviation_two(int l, std::int64_t t) const { return deviation_two_[l * tokens_ + t]; }
  /// Query rotated by the token's phases, and what attention mixed, rotated back [features].
  Real *query(int l, std::int64_t t) const { return query_ + (l * tokens_ + t) * features_; }
  Real *queries(int l) const { return query(l, 0); }
  Real *mixed(int l, std::int64_t t) const { return mixed_ + (l * tokens_ + t) * features_; }
  /// Gates and values of the feed-forward [2 feedforward].
  Real *gates(int l, std::int64_t t) const { return gates_of_ + (l * tokens_ + t) * gates_; }
  /// Key and behind it value of a row, rotated by its phases [2 features].
  Real *key(int l, std::int64_t row) const { return key_ + (l * rows_ + row) * 2 * features_; }
  Real *keys(int l) const { return key(l, 0); }
  Real *values(int l) const { return key(l, 0) + features_; }
  /// Cosines and behind them sines of a row's phases [2 half].
  Real *phase(int l, std::int64_t row) const { return phase_ + (l * rows_ + row) * features_; }
  /// Query, key and value before they are rotated, in the backward their gradients [3 features].
  Real *three(std::int64_t t) const { return three_ + t * 3 * features_; }
  /// Keys and values of halo atoms, in the backward their gradients [halo atoms, 2 features].
  Real *halo(std::int64_t halo_atom) const { return halo_ + halo_atom * 2 * features_; }
  /// The same of the tokens that other ranks ask for, packed for the way [given atoms, 2 features].
  Real *given(std::int64_t number) const { return given_ + number * 2 * features_; }
  /// Key and value of an owner: token, or tokens + halo atom.
  Real *key_of_owner(std::int64_t owner) const
  {
    return owner < tokens_ ? three(owner) + features_ : halo(owner - tokens_);
  }

  /// Gradient by token() [wide].
  Real *gradient(std::int64_t t) const { return gradient_ + t * wide_; }
  /// Gradient by mixed() [features], rotated by the token's phases.
  ///
  /// Layers take turns with two arrays: while rows collect from one, tokens fill that of the layer below.
  Real *mixed_gradient(int l, std::int64_t t) const { return mixed_gradient_ + (l % 2 * tokens_ + t) * features_; }
  /// Gradient by a row's position by way of phases, to be summed up [3, size].
  Real *place_gradient(std::int64_t row) const { return place_gradient_ + row * 3 * size; }

 private:
  std::int64_t tokens_ = 0, rows_ = 0;
  int wide_ = 0, features_ = 0, gates_ = 0;
  Real *token_, *normal_one_, *normal_two_, *deviation_one_, *deviation_two_, *query_, *mixed_, *gates_of_, *key_, *phase_,
      *three_, *halo_, *given_, *gradient_, *mixed_gradient_, *place_gradient_;
};

/// What one thread works with.
template <typename Real> struct Scratch {
  Real *logits;     ///< [largest number of edges of a token, lanes]
  Real *one, *two;  ///< [tokens of a part, the widest layer]
  Real *work;       ///< [2 features]

  Scratch moved(std::int64_t numbers) const { return {logits + numbers, one + numbers, two + numbers, work + numbers}; }
};

}  // namespace
}  // namespace transip::native
