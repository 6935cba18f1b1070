// Energies and their gradient for one instruction set; included by a file for each, which sets how long vectors are.
//
// The forward is that of python/transip_md/model, the backward written out by hand: each header has the equations of its
// part. Work is cut into parts, some tokens each, and goes through all parts of a phase before the next: attention, which
// reads what lies far apart, apart from the linear layers, whose weights then stay near. Threads wait for each other
// between phases: where an evaluation is small, a phase of theirs goes as far as a part can on its own. What a part writes
// belongs to its tokens and their images, and every sum has an order of its own, so that results do not depend on how many
// threads share the parts, nor on where they are cut.
#pragma once

#include "attention.h"
#include "dense.h"
#include "edges.h"
#include "energy_head.h"
#include "feedforward.h"
#include "network.h"
#include "norm.h"
#include "rotary.h"
#include "state.h"
#include "engine_weights.h"

namespace transip::native {
namespace {

/// Tokens of a part at most: few enough for their features to stay in the nearest caches.
constexpr std::int64_t most_tokens = 48;
/// The same where a layer's weights are larger than these caches, and are to be read as seldom as possible.
constexpr std::int64_t most_tokens_wide = 96;
constexpr std::int64_t large_layer = 1 << 20;
/// Tokens of a part at least, for linear layers to be worth their while.
constexpr std::int64_t fewest_tokens = 12;
/// Parts for each thread, so that one whose parts take longer is helped out; smaller ones read the weights more often,
/// and larger ones do not stay in the nearest caches.
template <typename Real> constexpr std::int64_t parts_of_thread = sizeof(Real) == sizeof(float) ? 4 : 8;
/// Bytes of an evaluation that a core's own caches do not hold.
constexpr std::int64_t beyond_near_caches = std::int64_t{1} << 23;
/// Bytes of an evaluation from which on no cache holds anything of what a phase writes when the next reads it.
constexpr std::int64_t beyond_caches = std::int64_t{1} << 26;
/// Multiply-adds of an evaluation below which it takes longer to wake a thread than to do its share.
constexpr double least_work = 1.0e7;

template <typename Real> class Engine final : public Kernel {
  static constexpr int size = Lanes<Real>::size;
  using Layers = LayerWeights<Real>;

 public:
  Engine(const Network &network, const RadialPieces &pieces, int lanes)
      : weights_(network, pieces, lanes, size), norm_(weights_.shape.dim, weights_.shape.wide), edges_(weights_),
        rotary_(weights_, state_), feedforward_(weights_, state_, norm_), head_(weights_, state_, norm_)
  {
    with_lanes(lanes, [this](auto width) {
      attention_ = new AttentionOfLanes<Real, decltype(width)::value>(weights_, state_, edges_, rotary_);
    });
  }
  ~Engine() override { delete attention_; }
  Engine(const Engine &) = delete;
  Engine &operator=(const Engine &) = delete;

  Fault run(const Input &input, const Output &output) override;
  NearRows near(std::int64_t token) const override { return edges_.near(token); }

 private:
  void cut(const Input &input);
  int threads() const { return workers_ ? workers_->count() : 1; }
  void lay_out(const Input &input, bool gradient);

  /// Run work(start, count, scratch) on the tokens of each part, and before it others(part) on `more` parts.
  template <typename Others, typename Work> void each(std::int64_t more, Others others, Work work);
  template <typename Work> void each(Work work)
  {
    each(0, [](std::int64_t) {}, work);
  }
  /// Several works of which each needs of the one before what it did on the same tokens: one phase for several threads
  /// whose near caches hold the evaluation, else as many as there are works.
  template <typename... Works> void each_in_turn(Works... works);
  template <typename Work> void each_halo_atom(Work work);

  // Stages are compiled once, and not into all that call them.
  void embed(std::int64_t kind, Real *to) const;
  void begin_rows(std::int64_t owner) const;
  [[gnu::noinline]] void begin_tokens(const Input &input, const Output &output, std::int64_t start, std::int64_t count) const;
  void enter_kinds();
  void keep_rotated(int l, std::int64_t row, const Real *from, Real *to) const;
  void spread(int l, std::int64_t owner) const;
  [[gnu::noinline]] void enter(int l, std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) const;
  [[gnu::noinline]] void share_halo(int l);
  [[gnu::noinline]] void return_halo();
  [[gnu::noinline]] void attend(int l, std::int64_t start, std::int64_t count) const;
  [[gnu::noinline]] void leave(int l, std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) const;
  [[gnu::noinline]] void back_to_mixed(int l, std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) const;
  [[gnu::noinline]] void back_to_queries(int l, std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) const;
  [[gnu::noinline]] void back_to_keys(int l, std::int64_t start, std::int64_t count, bool wanted, const Scratch<Real> &scratch) const;
  [[gnu::noinline]] void back_to_input(int l, std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) const;
  [[gnu::noinline]] void give_gradient(std::int64_t row) const;
  void give_gradients(std::int64_t owner, std::int64_t count) const;

  EngineWeights<Real> weights_;
  LayerNorm<Real> norm_;
  State<Real> state_;
  Edges<Real> edges_;
  Rotary<Real> rotary_;
  FeedForward<Real> feedforward_;
  EnergyHead<Real> head_;
  Attention<Real> *attention_ = nullptr;
  Scratch<Real> one_scratch_{};        // of the first thread; those of the others follow at equal distances
  std::int64_t scratch_distance_ = 0;  // numbers

  Input input_{};
  Output output_{};
  Workers *workers_ = nullptr;
  bool past_caches_ = false;  // whether keys and queries are written past the caches
  std::int64_t tokens_of_part_ = 1, parts_ = 0, halo_atoms_ = 0;
};

template <typename Real> void Engine<Real>::cut(const Input &input)
{
  const Shape &shape = weights_.shape;
  const std::int64_t tokens = input.tokens;
  const double candidates =
      input.candidates.first ? double(input.candidates.first[tokens]) : double(tokens) * double(tokens);
  const double work = shape.layers *
      (2.0 * double(tokens) * shape.wide * (4.0 * shape.features + 3.0 * shape.feedforward) + 6.0 * candidates * shape.features);
  workers_ = nullptr;
  if (input.workers && input.workers->count() > 1 && work >= least_work && tokens > fewest_tokens)
    workers_ = input.workers;
  const bool wide = weights_.bytes_of_layer() > large_layer;
  const auto parts_of = [&](std::int64_t most) { return (tokens + most - 1) / most; };
  std::int64_t parts = parts_of(wide ? most_tokens_wide : most_tokens);
  if (workers_) {
    const std::int64_t threads = workers_->count(), wanted = threads * (wide ? 1 : parts_of_thread<Real>);
    std::int64_t possible = parts_of(fewest_tokens);
    // As many for each thread.
    if (possible > threads) possible -= possible % threads;
    const std::int64_t more = wanted < possible ? wanted : possible;
    if (parts < more) parts = more;
    if (parts > workers_->most_parts() / 2) parts = workers_->most_parts() / 2;
  }
  tokens_of_part_ = parts ? (tokens + parts - 1) / parts : 1;
  parts_ = parts_of(tokens_of_part_);
}

template <typename Real> void Engine<Real>::lay_out(const Input &input, bool gradient)
{
  const Shape &shape = weights_.shape;
  const std::int64_t given_atoms = input.exchange ? input.exchange->given_atoms() : 0;
  // Before the first layer tokens of a kind are alike.
  const std::int64_t kinds = !output_.embedding && 2 * input.kinds <= input.tokens ? input.kinds : 0;
  state_.lay_out(input.memory->state, shape, input.tokens, input.rows, halo_atoms_, given_atoms, gradient, kinds,
                 input.kind);
  const std::int64_t bytes = input.memory->state.bytes() + input.memory->edges.bytes();
  past_caches_ = bytes > beyond_caches;
  state_.from_afar = bytes > beyond_near_caches;
  const auto larger = [](std::int64_t a, std::int64_t b) { return a > b ? a : b; };
  Real *start;
  place_in(input.memory->scratch, [&](Parts &parts) {
    for (int thread = 0; thread < threads(); thread++) {
      Scratch<Real> here{};
      parts.place(here.deviation, tokens_of_part_);
      parts.place(here.one, tokens_of_part_ * larger(shape.feedforward, shape.wide));
      parts.place(here.two, tokens_of_part_ * larger(3 * shape.features, 2 * larger(shape.feedforward, shape.wide)));
      parts.place(here.work, 2 * shape.features);
      parts.place(here.feedforward.normal, tokens_of_part_ * shape.wide);
      parts.place(here.feedforward.deviation, tokens_of_part_);
      parts.place(here.feedforward.gates, tokens_of_part_ * 2 * shape.feedforward);
      if (thread == 0) one_scratch_ = here;
      if (thread == 1) start = here.deviation;
    }
  });
  if (threads() > 1) scratch_distance_ = start - one_scratch_.deviation;
}

template <typename Real>
template <typename Others, typename Work>
void Engine<Real>::each(std::int64_t more, Others others, Work work)
{
  const auto part = [&](std::int64_t number, int worker) __attribute__((noinline)) {
    if (number < more) return others(number);
    const std::int64_t start = (number - more) * tokens_of_part_, left = input_.tokens - start;
    work(start, left < tokens_of_part_ ? left : tokens_of_part_, one_scratch_.of_thread(worker, scratch_distance_));
  };
  if (workers_) {
    const auto call = [](void *context, std::int64_t number, int worker) {
      (*static_cast<decltype(&part)>(context))(number, worker);
    };
    workers_->run(more + parts_, call, const_cast<void *>(static_cast<const void *>(&part)));
  } else {
    for (std::int64_t number = 0; number < more + parts_; number++) part(number, 0);
  }
}

template <typename Real>
template <typename... Works>
void Engine<Real>::each_in_turn(Works... works)
{
  if (workers_ && !state_.from_afar)
    each([&](std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) {
      (works(start, count, scratch), ...);
    });
  else
    (each(works), ...);
}

template <typename Real>
template <typename Work>
void Engine<Real>::each_halo_atom(Work work)
{
  for (std::int64_t halo_atom = input_.tokens; halo_atom < input_.tokens + halo_atoms_; halo_atom++) work(halo_atom);
}

// ---- forward -------------------------------------------------------------------------------------------------------

/// What tokens of a kind are before the first block.
template <typename Real> void Engine<Real>::embed(std::int64_t kind, Real *to) const
{
  const int dim = weights_.shape.dim, wide = weights_.shape.wide;
  const double *from = input_.embedding + kind * dim;
  for (int i = 0; i < wide; i++) to[i] = i < dim ? Real(from[i]) : Real(0);
}

template <typename Real> void Engine<Real>::begin_rows(std::int64_t owner) const
{
  if (output_.gradient)
    edges_.for_rows(owner, [&](std::int64_t row) { std::memset(state_.place_gradient(row), 0, sizeof(Real) * 4); });
}

template <typename Real>
void Engine<Real>::begin_tokens(const Input &input, const Output &output, std::int64_t start,
                                       std::int64_t count) const
{
  for (std::int64_t t = start; t < start + count; t++) {
    embed(input.kind[t], state_.token(t));
    if (output.virials) std::memset(output.virials + 9 * t, 0, 9 * sizeof(double));
    begin_rows(t);
  }
}

/// Features rotated by a row's phases, for the next phase.
template <typename Real>
void Engine<Real>::keep_rotated(int l, std::int64_t row, const Real *from, Real *to) const
{
  if (past_caches_)
    rotary_.template rotate<false, true>(l, row, from, to);
  else
    rotary_.template rotate<false>(l, row, from, to);
}

/// Phases, keys and values of an owner's rows.
template <typename Real> void Engine<Real>::spread(int l, std::int64_t owner) const
{
  const int features = weights_.shape.features;
  const Real *from = state_.own_key(l, owner);
  edges_.for_rows(owner, [&](std::int64_t row) {
    Real *to = state_.key(l, row);
    rotary_.fill(l, row, input_.positions + 3 * row);
    keep_rotated(l, row, from, to);
    if (weights_.shape.rotary_values)
      keep_rotated(l, row, from + features, to + features);
    else
      std::memcpy(to + features, from + features, sizeof(Real) * static_cast<std::size_t>(features));
  });
}

/// Queries, keys and values of a layer from the tokens' features.
template <typename Real>
void Engine<Real>::enter(int l, std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) const
{
  const Shape &shape = weights_.shape;
  const int features = shape.features;
  const bool by_kind = l == 0 && state_.by_kind();
  const auto bytes = sizeof(Real) * 2 * static_cast<std::size_t>(features);
  if (!by_kind) {
    for (std::int64_t t = start; t < start + count; t++)
      state_.deviation_one(l, t) = norm_.forward(state_.token(t), state_.normal_one(l, t));
    apply(weights_.layer[l].query_key_value.forward, count, state_.normal_one(l, start), shape.wide, scratch.two,
          3 * features);
  }
  for (std::int64_t t = start; t < start + count; t++) {
    const Real *three = by_kind ? state_.of_kind(input_.kind[t]) : scratch.two + (t - start) * 3 * features;
    if (!by_kind) std::memcpy(state_.own_key(l, t), three + features, bytes);
    spread(l, t);
    keep_rotated(l, t, three, state_.query(l, t));
  }
  if (past_caches_) Lanes<Real>::fence();
}

/// Queries, keys and values of the first layer, of which there are as many as kinds of tokens.
template <typename Real> void Engine<Real>::enter_kinds()
{
  if (!state_.by_kind()) return;
  const Shape &shape = weights_.shape;
  Real *token = one_scratch_.one, *normal = one_scratch_.two;
  for (std::int64_t start = 0; start < input_.kinds; start += tokens_of_part_) {
    const std::int64_t left = input_.kinds - start, count = left < tokens_of_part_ ? left : tokens_of_part_;
    for (std::int64_t kind = 0; kind < count; kind++) {
      embed(start + kind, token);
      norm_.forward(token, normal + kind * shape.wide);
    }
    apply(weights_.layer[0].query_key_value.forward, count, normal, shape.wide, state_.of_kind(start),
          3 * shape.features);
  }
}

/// Keys and values of other ranks' atoms.
template <typename Real> void Engine<Real>::share_halo(int l)
{
  if (!input_.exchange) return;
  HaloExchange &exchange = *input_.exchange;
  const int features = weights_.shape.features;
  const int *given = exchange.given();
  const std::int64_t count = exchange.given_atoms();
  const auto bytes = sizeof(Real) * 2 * static_cast<std::size_t>(features);
  for (std::int64_t i = 0; i < count; i++) std::memcpy(state_.given(i), state_.own_key(l, given[i]), bytes);
  exchange.forward(state_.given(0), state_.halo(l, 0), 2 * features);
  each_halo_atom([&](std::int64_t halo_atom) { spread(l, halo_atom); });
  if (past_caches_) Lanes<Real>::fence();
}

/// Gradients by keys and values of halo atoms, to the ranks that own them.
template <typename Real> void Engine<Real>::return_halo()
{
  HaloExchange &exchange = *input_.exchange;
  const int features = weights_.shape.features;
  exchange.reverse(state_.halo_gradient(0), state_.given(0), 2 * features);
  const int *given = exchange.given();
  const std::int64_t count = exchange.given_atoms();
  for (std::int64_t i = 0; i < count; i++) {
    Real *to = state_.three(given[i]) + features;
    const Real *from = state_.given(i);
    for (int k = 0; k < 2 * features; k++) to[k] += from[k];
  }
}

template <typename Real> void Engine<Real>::attend(int l, std::int64_t start, std::int64_t count) const
{
  for (std::int64_t t = start; t < start + count; t++) attention_->forward(l, t);
}

/// The rest of a layer: attention's output and the feed-forward.
template <typename Real>
void Engine<Real>::leave(int l, std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) const
{
  add(weights_.layer[l].attention_output.forward, count, state_.mixed(l, start), weights_.shape.features,
                                                 state_.token(start), weights_.shape.wide);
  feedforward_.forward(l, start, count, scratch);
}

// ---- backward ------------------------------------------------------------------------------------------------------

/// From the gradient behind a layer to that by what attention mixed.
template <typename Real>
void Engine<Real>::back_to_mixed(int l, std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) const
{
  feedforward_.back(l, start, count, scratch);
  apply(weights_.layer[l].attention_output.back, count, state_.gradient(start), weights_.shape.wide,
                                                state_.mixed_gradient(l, start), 2 * weights_.shape.features);
}

/// Gradients by the tokens' queries, logits and distances.
template <typename Real>
void Engine<Real>::back_to_queries(int l, std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) const
{
  for (std::int64_t t = start; t < start + count; t++) {
    attention_->back_to_token(l, t, scratch.work);
    if (l == 0) edges_.stretch_all(t);
    if (output_.virials) attention_->add_virial(l, t, input_.positions, output_.virials + 9 * t);
  }
}

/// Gradients by keys and values of tokens and their images: by the owners' features if they are `wanted`.
template <typename Real>
void Engine<Real>::back_to_keys(int l, std::int64_t start, std::int64_t count, bool wanted,
                                       const Scratch<Real> &scratch) const
{
  for (std::int64_t t = start; t < start + count; t++) attention_->back_to_owner(l, t, wanted, scratch.work);
}

/// Gradient by the features that enter a layer.
template <typename Real>
void Engine<Real>::back_to_input(int l, std::int64_t start, std::int64_t count,
                                        const Scratch<Real> &scratch) const
{
  const int features = weights_.shape.features, wide = weights_.shape.wide;
  apply(weights_.layer[l].query_key_value.back, count, state_.three(start), 3 * features, scratch.one, wide);
  for (std::int64_t t = 0; t < count; t++)
    norm_.back(scratch.one + t * wide, state_.normal_one(l, start + t), state_.deviation_one(l, start + t),
               state_.gradient(start + t));
}

/// Gradient by a row's position: by way of its phases, and of the distances of edges that lead to and from it.
template <typename Real> void Engine<Real>::give_gradient(std::int64_t row) const
{
  const double *positions = input_.positions, *here = positions + 3 * row;
  double sum[3];
  for (int x = 0; x < 3; x++)
    sum[x] = double(state_.place_gradient(row)[x]);
  const auto *incoming = edges_.incoming(row);
  for (std::int64_t i = 0; i < edges_.incoming_count(row); i++) {
    const double *there = positions + 3 * std::int64_t(incoming[i].token), stretch = edges_.stretch(incoming[i].edge);
    for (int x = 0; x < 3; x++) sum[x] += stretch * (here[x] - there[x]);
  }
  if (row < input_.tokens)
    for (std::int64_t e = edges_.first(row); e < edges_.end(row); e++) {
      const double *there = positions + 3 * std::int64_t(*edges_.row(e)), stretch = edges_.stretch(e);
      for (int x = 0; x < 3; x++) sum[x] -= stretch * (there[x] - here[x]);
    }
  for (int x = 0; x < 3; x++) output_.gradient[3 * row + x] = sum[x];
}

/// Gradients by the positions of the rows of `count` owners.
template <typename Real> void Engine<Real>::give_gradients(std::int64_t owner, std::int64_t count) const
{
  for (std::int64_t i = owner; i < owner + count; i++)
    edges_.for_rows(i, [&](std::int64_t row) { give_gradient(row); });
}

// ---- one evaluation ------------------------------------------------------------------------------------------------

template <typename Real> Fault Engine<Real>::run(const Input &input, const Output &output)
{
  const Shape &shape = weights_.shape;
  const bool gradient = output.gradient != nullptr;
  const int last = shape.layers - 1;
  input_ = input;
  output_ = output;
  halo_atoms_ = input.exchange ? input.exchange->halo_atoms() : 0;
  cut(input);
  Memory &memory = *input.memory;
  const Memory::Lists lists{input.geometry, input.positions, input.candidates.first, input.candidates.row,
                            input.tokens,   input.rows,      parts_,                 shape.cutoff,
                            shape.layers,   shape.lanes,     int(sizeof(Real)),      threads(),
                            gradient};
  const bool made = memory.holds(lists);
  memory.found.geometry = 0;
  edges_.begin(input, parts_, threads(), made);

  if (input.candidates.first && !made) {
    each(1, [&](std::int64_t) { edges_.list_images(); },
         [&](std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) {
           edges_.filter(start / tokens_of_part_, start, start + count, scratch.thread);
         });
    if (const Fault fault = edges_.fault(); fault.kind != Fault::Kind::none) return fault;
  }
  if (const Fault fault = edges_.number(gradient); fault.kind != Fault::Kind::none) return fault;
  lay_out(input, gradient);
  if (gradient) std::memset(output.gradient, 0, sizeof(double) * 3 * static_cast<std::size_t>(input.rows));

  enter_kinds();
  each(gradient && !made ? 1 : 0, [&](std::int64_t) { edges_.transpose(); },
       [&](std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) {
         edges_.fill(start / tokens_of_part_, start, start + count);
         begin_tokens(input, output, start, count);
         enter(0, start, count, scratch);
       });
  if (const Fault fault = edges_.fault(); fault.kind != Fault::Kind::none) return fault;
  memory.found = lists;
  each_halo_atom([&](std::int64_t halo_atom) { begin_rows(halo_atom); });
  share_halo(0);

  const auto attend_in = [&](int l) {
    return [this, l](std::int64_t start, std::int64_t count, const Scratch<Real> &) { attend(l, start, count); };
  };
  for (int l = 0; l < last; l++) {
    each_in_turn(attend_in(l), [&](std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) {
      leave(l, start, count, scratch);
      enter(l + 1, start, count, scratch);
    });
    share_halo(l + 1);
  }
  const auto back_to_queries_in = [&](int l) {
    return [this, l](std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) {
      back_to_queries(l, start, count, scratch);
    };
  };
  const auto turn = [&](std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) {
    leave(last, start, count, scratch);
    head_.run(start, count, input.owned, output.energies, gradient, output.normalised, scratch);
    if (gradient) back_to_mixed(last, start, count, scratch);
  };
  if (!gradient) {
    each_in_turn(attend_in(last), turn);
    return {Fault::Kind::none, 0};
  }
  each_in_turn(attend_in(last), turn, back_to_queries_in(last));

  const auto back_to_halo = [&](int l, bool wanted) {
    each_halo_atom([&](std::int64_t halo_atom) { attention_->back_to_owner(l, halo_atom, wanted, one_scratch_.work); });
  };
  for (int l = last; l > 0; l--) {
    const auto to_keys = [&](std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) {
      back_to_keys(l, start, count, true, scratch);
    };
    const auto to_layer_before = [&](std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) {
      back_to_input(l, start, count, scratch);
      back_to_mixed(l - 1, start, count, scratch);
    };
    if (input.exchange) {
      each(to_keys);
      back_to_halo(l, true);
      return_halo();
      each_in_turn(to_layer_before, back_to_queries_in(l - 1));
    } else {
      each_in_turn(to_keys, to_layer_before, back_to_queries_in(l - 1));
    }
  }
  const bool wanted = output.embedding != nullptr;
  each([&](std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) {
    back_to_keys(0, start, count, wanted, scratch);
    give_gradients(start, count);
  });
  back_to_halo(0, wanted);
  each_halo_atom([&](std::int64_t halo_atom) { give_gradients(halo_atom, 1); });
  if (output.embedding)
    each([&](std::int64_t start, std::int64_t count, const Scratch<Real> &scratch) {
      back_to_input(0, start, count, scratch);
      for (std::int64_t t = start; t < start + count; t++)
        for (int i = 0; i < shape.dim; i++) output.embedding[t * shape.dim + i] = state_.gradient(t)[i];
    });
  return {Fault::Kind::none, 0};
}

/// Layers of the networks that the kernels are made for, at most.
constexpr int most_layers = 16;

template <typename Real> Kernel *make_for(const Network &network, const RadialPieces &pieces)
{
  if (network.layers > most_layers) return nullptr;
  for (int lanes = 4; lanes <= 16; lanes *= 2)
    if (Shape::fits(network, lanes, Lanes<Real>::size)) return new Engine<Real>(network, pieces, lanes);
  return nullptr;
}

inline Kernel *make(const Network &network, const RadialPieces &pieces, bool single)
{
  return single ? make_for<float>(network, pieces) : make_for<double>(network, pieces);
}

}  // namespace
}  // namespace transip::native
