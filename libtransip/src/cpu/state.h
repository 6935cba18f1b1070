// What one evaluation keeps: forward values that the backward wants again, and gradients.
#pragma once

#include "lanes.h"
#include "shape.h"
#include "store.h"

namespace transip::native {
namespace {

/// What the feed-forward of a layer keeps of some tokens.
template <typename Real> struct FeedForwardState {
  Real *normal;     ///< input of its linear layers, normalised, before scale and shift [tokens, wide]
  Real *deviation;  ///< 1 / standard deviation that the norm divided by [tokens]
  Real *gates;      ///< gates and values [tokens, 2 feedforward]
};

/// What one thread works with.
template <typename Real> struct Scratch {
  Real *deviation;  ///< [tokens of a part]
  Real *one, *two;  ///< [tokens of a part, the widest layer]
  Real *work;       ///< [2 features]
  FeedForwardState<Real> feedforward;
  int thread;       ///< number of the thread, from 0

  /// That of another thread; distance: from one thread's to the next's, numbers.
  Scratch of_thread(int number, std::int64_t distance) const
  {
    const std::int64_t numbers = number * distance;
    return {deviation + numbers, one + numbers, two + numbers, work + numbers,
            {feedforward.normal + numbers, feedforward.deviation + numbers, feedforward.gates + numbers}, number};
  }
};

/// Arrays over tokens and rows. Memory grows with the number of atoms times the number of layers.
template <typename Real> class State {
 public:
  static constexpr int size = Lanes<Real>::size;

  void lay_out(Store &store, const Shape &shape, std::int64_t tokens, std::int64_t rows, std::int64_t halo_atoms,
               std::int64_t given_atoms, bool gradient, std::int64_t kinds, const std::int32_t *kind)
  {
    tokens_ = tokens;
    rows_ = rows;
    halo_atoms_ = halo_atoms;
    kind_ = kinds ? kind : nullptr;
    wide_ = shape.wide;
    features_ = shape.features;
    gates_ = 2 * shape.feedforward;
    lanes_ = shape.lanes;
    const std::int64_t of_tokens = shape.layers * tokens, of_rows = shape.layers * rows;
    last_ = shape.layers - 1;
    place_in(store, [&](Parts &parts) {
      parts.place(token_, tokens * wide_);
      parts.place(normal_one_, of_tokens * wide_);
      parts.place(normal_two_, last_ * tokens * wide_);
      parts.place(deviation_one_, of_tokens);
      parts.place(deviation_two_, last_ * tokens);
      parts.place(query_, of_tokens * 2 * features_);
      parts.place(mixed_, of_tokens * features_);
      parts.place(inverse_, of_tokens * lanes_);
      parts.place(gates_of_, last_ * tokens * gates_);
      parts.place(key_, of_rows * 2 * features_);
      parts.place(phase_, of_rows * features_);
      parts.place(own_key_, of_tokens * 2 * features_);
      parts.place(of_kind_, kinds * 3 * features_);
      parts.place(halo_, shape.layers * halo_atoms * 2 * features_);
      parts.place(given_, given_atoms * 2 * features_);
      parts.place(gradient_, gradient ? tokens * wide_ : 0);
      parts.place(three_, gradient ? tokens * 3 * features_ : 0);
      parts.place(halo_gradient_, gradient ? halo_atoms * 2 * features_ : 0);
      parts.place(place_gradient_, gradient ? rows * 4 : 0);
    });
  }

  /// Whether what tokens see, and what belongs to their edges, comes from beyond the near caches, so that it pays to ask for
  /// it early.
  bool from_afar = false;

  /// Features [wide].
  Real *token(std::int64_t t) const { return token_ + t * wide_; }
  /// Input of attention's linear layers [wide]: normalised, before scale and shift.
  Real *normal_one(int l, std::int64_t t) const { return normal_one_ + (l * tokens_ + t) * wide_; }
  /// 1 / standard deviation that the norm divided by.
  Real &deviation_one(int l, std::int64_t t) const { return deviation_one_[l * tokens_ + t]; }
  /// Query rotated by the token's phases [features]; behind it lies mixed_gradient().
  Real *query(int l, std::int64_t t) const { return query_ + (l * tokens_ + t) * 2 * features_; }
  Real *queries(int l) const { return query(l, 0); }
  /// What attention mixed, rotated back [features].
  Real *mixed(int l, std::int64_t t) const { return mixed_ + (l * tokens_ + t) * features_; }
  /// 1 / the sum that attention divided by [lanes].
  Real *inverse(int l, std::int64_t t) const { return inverse_ + (l * tokens_ + t) * lanes_; }
  /// What the feed-forward keeps of tokens from `start` on. In the last layer, whose backward follows at once, it is
  /// kept in a thread's memory.
  FeedForwardState<Real> feedforward(int l, std::int64_t start, const Scratch<Real> &scratch) const
  {
    if (l == last_) return scratch.feedforward;
    const std::int64_t t = l * tokens_ + start;
    return {normal_two_ + t * wide_, deviation_two_ + t, gates_of_ + t * gates_};
  }
  /// Key and behind it value of a row, rotated by its phases [2 features].
  Real *key(int l, std::int64_t row) const { return key_ + (l * rows_ + row) * 2 * features_; }
  Real *keys(int l) const { return key(l, 0); }
  Real *values(int l) const { return key(l, 0) + features_; }
  /// Cosines and behind them sines of a row's phases [2 half].
  Real *phase(int l, std::int64_t row) const { return phase_ + (l * rows_ + row) * features_; }
  /// Key and value of an owner, not rotated: of a token, or of halo atom owner - tokens [2 features].
  Real *own_key(int l, std::int64_t owner) const
  {
    if (owner >= tokens_) return halo(l, owner - tokens_);
    if (l == 0 && kind_) return of_kind(kind_[owner]) + features_;
    return own_key_ + (l * tokens_ + owner) * 2 * features_;
  }
  /// Query, key and value that all tokens of a kind have in the first layer, not rotated [3 features].
  Real *of_kind(std::int64_t kind) const { return of_kind_ + kind * 3 * features_; }
  /// Whether these are there.
  bool by_kind() const { return kind_ != nullptr; }
  /// Keys and values of halo atoms [halo atoms, 2 features].
  Real *halo(int l, std::int64_t halo_atom) const { return halo_ + (l * halo_atoms_ + halo_atom) * 2 * features_; }
  /// Those of the tokens that other ranks ask for, packed for the way, and on the way back their gradients
  /// [given atoms, 2 features].
  Real *given(std::int64_t number) const { return given_ + number * 2 * features_; }

  /// Gradient by token() [wide].
  Real *gradient(std::int64_t t) const { return gradient_ + t * wide_; }
  /// Gradient by mixed() [features], from the backward of its token on times inverse() and rotated by the token's phases.
  Real *mixed_gradient(int l, std::int64_t t) const { return query(l, t) + features_; }
  /// Gradients by query, key and value before they are rotated [3 features].
  Real *three(std::int64_t t) const { return three_ + t * 3 * features_; }
  /// Gradients by keys and values of halo atoms [halo atoms, 2 features].
  Real *halo_gradient(std::int64_t halo_atom) const { return halo_gradient_ + halo_atom * 2 * features_; }
  /// Gradient by key and value of an owner.
  Real *own_key_gradient(std::int64_t owner) const
  {
    return owner < tokens_ ? three(owner) + features_ : halo_gradient(owner - tokens_);
  }
  /// Gradient by a row's position by way of phases, [3], and a number more.
  Real *place_gradient(std::int64_t row) const { return place_gradient_ + row * 4; }

 private:
  std::int64_t tokens_ = 0, rows_ = 0, halo_atoms_ = 0;
  int last_ = 0;
  int wide_ = 0, features_ = 0, gates_ = 0, lanes_ = 0;
  const std::int32_t *kind_ = nullptr;
  Real *token_, *normal_one_, *normal_two_, *deviation_one_, *deviation_two_, *query_, *mixed_, *inverse_, *gates_of_, *key_,
      *phase_, *own_key_, *of_kind_, *halo_, *given_, *gradient_, *three_, *halo_gradient_, *place_gradient_;
};

}  // namespace
}  // namespace transip::native
