// Edges i -> j from each token to the rows that it attends to, with distances, weights and radial biases, and the lists
// that lead back from rows to tokens.
//
// Each token's first edge is to itself, without a bias; its last ones, up to a multiple of four, are there to fill the
// batch, and weigh nothing.
#pragma once

#include "heads.h"
#include "engine_weights.h"

namespace transip::native {
namespace {

template <typename Real> class Edges {
  using L = Lanes<Real>;
  using V = typename L::V;
  using D = Lanes<double>;
  static constexpr int size = L::size, batch = edge_batch;
  static constexpr std::int64_t most_edges = std::int64_t{1} << 30;

 public:
  explicit Edges(const EngineWeights<Real> &weights) : weights_(weights), lanes_(weights.shape.lanes) {}

  // ---- in this order ----

  /// Make room for the lists of an input; parts: number of parts that tokens are handled in; threads: that do so. If
  /// `made` is true the lists are there, and `filter`, `list_images` and `transpose` need not be called.
  void begin(const Input &input, std::int64_t parts, int threads, bool made);
  /// Find which candidates of tokens are within the cutoff.
  void filter(std::int64_t part, std::int64_t start, std::int64_t end, int thread);
  /// List for each owner the rows that are its images.
  void list_images();
  /// Say where each token's edges begin, and make room for what belongs to edges.
  Fault number(bool gradient);
  /// Distances, weights and biases of tokens' edges.
  void fill(std::int64_t part, std::int64_t start, std::int64_t end);
  /// List for each row the edges that lead to it.
  void transpose();

  Fault fault() const
  {
    for (std::int64_t part = 0; part < parts_; part++)
      if (faults_[part].kind != Fault::Kind::none) return faults_[part];
    return {Fault::Kind::none, 0};
  }

  /// Number of all edges, padded ones included.
  std::int64_t count() const { return first_[input_.tokens]; }

  std::int64_t first(std::int64_t token) const { return first_[token]; }
  std::int64_t end(std::int64_t token) const { return first_[token + 1]; }
  /// Number of edges of a token that are no padding.
  std::int64_t real(std::int64_t token) const { return found_[token] + 1; }
  const std::int32_t *row(std::int64_t edge) const { return row_ + edge; }
  /// Weight in the sums of the softmax, one for each edge.
  const Real *weight(std::int64_t edge) const { return weight_ + edge; }
  /// Radial bias; from the forward on the weight times the exponential of the softmax [edges, lanes].
  Real *share(int l, std::int64_t edge) const { return share_ + (l * count() + edge) * lanes_; }
  /// Derivative of ln(weight) + bias by the distance; from the backward of its token on the gradient by the logit
  /// [edges, lanes].
  Real *slope(int l, std::int64_t edge) const { return slope_ + (l * count() + edge) * lanes_; }
  /// Gradient by the distance.
  Real *radial(std::int64_t edge) const { return radial_ + edge; }

  /// Rows of edges that are shorter than `Input::near`.
  NearRows near(std::int64_t token) const { return {near_row_ + first_[token], near_count_[token]}; }

  /// Gradient by the distance over the distance, once `stretch_all` had it: by r_ij it is that times r_ij.
  double stretch(std::int64_t edge) const { return double(stretch_[edge]); }
  void stretch_all(std::int64_t token) const
  {
    for (std::int64_t edge = first_[token]; edge < first_[token + 1]; edge++) stretch_[edge] *= radial_[edge];
  }

  bool seen(std::int64_t row) const { return all_seen_ || lead_to_[row] != 0; }
  /// Call with each row of an owner that tokens see, or that is a token.
  template <typename Call> void for_rows(std::int64_t owner, Call call) const
  {
    if (owner < input_.tokens) call(owner);
    if (input_.rows == input_.tokens) return;
    for (std::int64_t i = image_first_[owner]; i < image_first_[owner + 1]; i++)
      if (seen(image_[i])) call(std::int64_t(image_[i]));
  }

  /// An edge that leads to a row.
  struct Incoming {
    std::int32_t token, edge;
  };
  /// Number of edges that `row` and `incoming` may be read beyond the last.
  static constexpr std::int64_t ahead = 64;
  const Incoming *incoming(std::int64_t row) const { return incoming_ + incoming_first_[row]; }
  std::int64_t incoming_count(std::int64_t row) const { return incoming_first_[row + 1] - incoming_first_[row]; }

 private:
  /// Call with the row and number of each edge of a token to another row, before or after `fill`.
  template <typename Call> void for_others(std::int64_t token, Call call) const
  {
    const std::int32_t count = found_[token];
    if (input_.candidates.first) {
      const std::int32_t *kept = kept_ + (input_.candidates.first[token] - input_.candidates.first[0]);
      for (std::int32_t e = 0; e < count; e++) call(kept[e], e + 1);
    } else {
      for (std::int32_t e = 0; e < count; e++) call(e < token ? e : e + 1, e + 1);
    }
  }
  template <int lanes> void fill_token(std::int64_t token, Fault &fault);
  /// Piece of the table that a distance lies in; its coefficients are null without a radial bias.
  struct Piece {
    const Real *coefficients;
    Real t, stretch;  // place in the piece, 0 to 1; its derivative by the distance
  };
  Piece find_piece(double distance) const;
  template <int lanes> void fill_biases(std::int64_t edge, const Piece &piece, Real fall);
  template <int lanes> void set_biases(std::int64_t edge, Real bias);

  const EngineWeights<Real> &weights_;
  const int lanes_;
  Input input_{};
  std::int64_t halo_atoms_ = 0, parts_ = 0, rows_apart_ = 0;
  int threads_ = 1;
  bool all_seen_ = true, made_ = false;
  Fault *faults_;
  std::int64_t *first_, *image_first_, *incoming_first_;
  std::int32_t *found_, *kept_, *image_;
  std::int32_t *lead_to_;  // number of edges to each row from other rows; before `number` those that each thread found
  std::int32_t *row_;
  Real *stretch_;  // before `stretch_all` 1 / distance
  Real *weight_, *share_, *slope_, *radial_;
  std::int32_t *near_row_, *near_count_;
  Incoming *incoming_;
};

template <typename Real> void Edges<Real>::begin(const Input &input, std::int64_t parts, int threads, bool made)
{
  input_ = input;
  made_ = made;
  threads_ = threads;
  halo_atoms_ = input.exchange ? input.exchange->halo_atoms() : 0;
  parts_ = parts;
  const bool local = input.candidates.first != nullptr;
  const std::int64_t tokens = input.tokens, rows = input.rows;
  all_seen_ = !local;
  // Whole lines, so that threads do not count in the same.
  rows_apart_ = (rows + 31) / 32 * 32;
  place_in(input.memory->lists, [&](Parts &lists) {
    lists.place(faults_, parts);
    lists.place(first_, tokens + 1);
    lists.place(found_, tokens);
    lists.place(kept_, local ? input.candidates.first[tokens] - input.candidates.first[0] : 0);
    lists.place(lead_to_, local ? threads * rows_apart_ : 0);
    lists.place(image_first_, rows > tokens ? tokens + halo_atoms_ + 1 : 0);
    lists.place(image_, rows - tokens);
    lists.place(incoming_first_, rows + 2);
  });
  for (std::int64_t part = 0; part < parts; part++) faults_[part] = {Fault::Kind::none, 0};
  if (local && !made) std::memset(lead_to_, 0, sizeof(std::int32_t) * static_cast<std::size_t>(threads * rows_apart_));
}

template <typename Real>
void Edges<Real>::filter(std::int64_t part, std::int64_t start, std::int64_t end, int thread)
{
  std::int32_t *lead_to = lead_to_ + thread * rows_apart_;
  const double *positions = input_.positions;
  const double within = weights_.shape.cutoff * weights_.shape.cutoff;
  const std::int64_t *first = input_.candidates.first;
  for (std::int64_t token = start; token < end; token++) {
    const double x = positions[3 * token], y = positions[3 * token + 1], z = positions[3 * token + 2];
    std::int32_t *kept = kept_ + (first[token] - first[0]);
    std::int32_t count = 0;
    for (std::int64_t c = first[token]; c < first[token + 1]; c++) {
      const std::int64_t row = input_.candidates.row[c];
      if (row < 0 || row >= input_.rows) {
        faults_[part] = {Fault::Kind::no_such_row, row};
        return;
      }
      const double dx = positions[3 * row] - x, dy = positions[3 * row + 1] - y, dz = positions[3 * row + 2] - z;
      kept[count] = static_cast<std::int32_t>(row);
      // Without a branch, which could not be foreseen: what is too far is written over by the next. Not a number counts.
      count += !(dx * dx + dy * dy + dz * dz >= within);
    }
    found_[token] = count;
    for (std::int32_t i = 0; i < count; i++) lead_to[kept[i]]++;
  }
}

template <typename Real> void Edges<Real>::list_images()
{
  const std::int64_t tokens = input_.tokens, owners = tokens + halo_atoms_;
  if (input_.rows == tokens) return;
  for (std::int64_t owner = 0; owner <= owners; owner++) image_first_[owner] = 0;
  for (std::int64_t row = tokens; row < input_.rows; row++) image_first_[input_.owner[row]]++;
  std::int64_t sum = 0;
  for (std::int64_t owner = 0; owner <= owners; owner++) {
    sum += image_first_[owner];
    image_first_[owner] = sum;
  }
  // From behind, so that places run down to where they begin, and rows of one owner stay in order.
  for (std::int64_t row = input_.rows - 1; row >= tokens; row--)
    image_[--image_first_[input_.owner[row]]] = static_cast<std::int32_t>(row);
}

template <typename Real> Fault Edges<Real>::number(bool gradient)
{
  const std::int64_t tokens = input_.tokens;
  const bool local = input_.candidates.first != nullptr;
  if (local && !made_)
    for (int thread = 1; thread < threads_; thread++)
      for (std::int64_t row = 0; row < input_.rows; row++) lead_to_[row] += lead_to_[thread * rows_apart_ + row];
  std::int64_t sum = 0, real = 0;
  for (std::int64_t token = 0; token < tokens; token++) {
    if (!local) found_[token] = static_cast<std::int32_t>(tokens - 1);
    first_[token] = sum;
    const std::int64_t here = (found_[token] + std::int64_t{batch}) / batch * batch;
    real += found_[token] + 1;
    sum += here;
  }
  first_[tokens] = sum;
  if (sum > most_edges) return {Fault::Kind::too_many_edges, sum};
  const std::int64_t of_layers = weights_.shape.layers * sum * lanes_;
  place_in(input_.memory->edges, [&](Parts &parts) {
    parts.place(row_, sum + ahead);
    parts.place(weight_, sum);
    parts.place(share_, of_layers);
    parts.place(stretch_, sum);
    parts.place(slope_, gradient ? of_layers : 0);
    parts.place(radial_, gradient ? sum : 0);
    parts.place(incoming_, gradient ? real + ahead : 0);
    parts.place(near_row_, input_.near > 0.0 ? sum : 0);
    parts.place(near_count_, input_.near > 0.0 ? tokens : 0);
  });
  if (!gradient) slope_ = nullptr;
  for (std::int64_t i = 0; i < ahead; i++) row_[sum + i] = 0;
  return {Fault::Kind::none, 0};
}

template <typename Real>
void Edges<Real>::fill(std::int64_t part, std::int64_t start, std::int64_t end)
{
  with_lanes(lanes_, [&](auto width) {
    for (std::int64_t token = start; token < end && faults_[part].kind == Fault::Kind::none; token++)
      fill_token<decltype(width)::value>(token, faults_[part]);
  });
}

template <typename Real> template <int lanes> void Edges<Real>::fill_token(std::int64_t token, Fault &fault)
{
  const double *positions = input_.positions;
  const std::int64_t begin = first_[token], count = found_[token];
  std::int32_t *row = row_ + begin;
  for (std::int64_t e = 0; e < first_[token + 1] - begin; e++) row[e] = static_cast<std::int32_t>(token);
  for_others(token, [&](std::int64_t other, std::int32_t e) { row[e] = static_cast<std::int32_t>(other); });
  if (slope_) std::memset(radial(begin), 0, sizeof(Real) * static_cast<std::size_t>(first_[token + 1] - begin));
  stretch_[begin] = Real(0);
  weight_[begin] = Real(1);
  set_biases<lanes>(begin, Real(0));
  for (std::int64_t e = begin + 1 + count; e < first_[token + 1]; e++) {
    stretch_[e] = Real(0);
    weight_[e] = Real(0);
    // Nothing is left of it in the softmax.
    set_biases<lanes>(e, Real(-1.0e30));
  }

  const double inverse_cutoff = weights_.shape.cutoff > 0.0 ? 1.0 / weights_.shape.cutoff : 0.0;
  const double x0 = positions[3 * token], y0 = positions[3 * token + 1], z0 = positions[3 * token + 2];
  constexpr int some = 64;
  // What is taken to be left of the cutoff at the cutoff: next to nothing for the weight, and enough to divide by.
  constexpr double least = 1.0e-16;
  const double near_square = input_.near * input_.near;
  std::int32_t near = 0;
  for (std::int64_t start = 1; start <= count; start += some) {
    const int now = static_cast<int>(count + 1 - start < some ? count + 1 - start : some);
    double square[some], distance[some], weight[some], fall[some];
    for (int i = now; i < now + D::size && i < some; i++) square[i] = 1.0;
    for (int i = 0; i < now; i++) {
      const double *there = positions + 3 * std::int64_t(row[start + i]);
      const double dx = there[0] - x0, dy = there[1] - y0, dz = there[2] - z0;
      square[i] = dx * dx + dy * dy + dz * dz;
      if (square[i] == 0.0 && fault.kind == Fault::Kind::none) fault = {Fault::Kind::same_place, row[start + i]};
    }
    if (fault.kind != Fault::Kind::none) return;
    if (input_.near > 0.0)
      // Without a branch: one that is not near is written over by the next.
      for (int i = 0; i < now; i++) {
        near_row_[begin + near] = row[start + i];
        near += square[i] < near_square;
      }
    for (int i = 0; i < now; i += D::size) {
      const typename D::V r = square_roots(D::load(square + i));
      // The polynomial of python/transip_md/model/radial.py and the derivative of its logarithm, 1 and 0 without a cutoff.
      const typename D::V x = r * inverse_cutoff, left = x < 1.0 ? 1.0 - x : D::all(least), x2 = x * x;
      const typename D::V rest = left * (1.0 + x * (3.0 + x * (6.0 + x * (10.0 + x * (15.0 + x * 21.0)))));
      const typename D::V inverse = 1.0 / (r * rest);
      D::store(distance + i, r);
      D::store(weight + i, left * left * rest);
      D::store(fall + i, -168.0 * inverse_cutoff * x2 * x2 * x * (inverse * r));
      D::store(square + i, inverse * rest);
    }
    // The pieces of all are asked for from memory before the first is used.
    Piece piece[some];
    for (int i = 0; i < now; i++)
      piece[i] = weights_.bias.pieces ? find_piece(distance[i]) : Piece{nullptr, Real(0), Real(0)};
    for (int i = 0; i < now; i++) {
      const std::int64_t e = begin + start + i;
      stretch_[e] = Real(square[i]);
      weight_[e] = Real(weight[i]);
      fill_biases<lanes>(e, piece[i], Real(fall[i]));
    }
  }
  if (input_.near > 0.0) near_count_[token] = near;
}

template <typename Real> template <int lanes> void Edges<Real>::set_biases(std::int64_t edge, Real bias)
{
  Real all[lanes], none[lanes] = {};
  for (int h = 0; h < lanes; h++) all[h] = bias;
  for (int l = 0; l < weights_.shape.layers; l++) {
    std::memcpy(share(l, edge), all, sizeof all);
    if (slope_) std::memcpy(slope(l, edge), none, sizeof none);
  }
}

template <typename Real>
auto Edges<Real>::find_piece(double distance) const -> Piece
{
  const BiasTable<Real> &table = weights_.bias;
  const std::int64_t length = 6 * std::int64_t(weights_.shape.bias_stride);
  const double place = distance * table.inverse_spacing;
  // Beyond the table its last value; not a number goes through.
  const bool within = !(place >= table.pieces);
  const int piece = within && place == place ? static_cast<int>(place) : table.pieces - 1;
  const Real *coefficients = table.coefficients + piece * length;
  for (std::int64_t i = 0; i < length; i += 64 / std::int64_t(sizeof(Real))) __builtin_prefetch(coefficients + i);
  return {coefficients, within ? Real(place - piece) : Real(1), within ? Real(table.inverse_spacing) : Real(0)};
}

template <typename Real>
template <int lanes>
void Edges<Real>::fill_biases(std::int64_t edge, const Piece &piece, Real fall)
{
  const int stride = weights_.shape.bias_stride, layers = weights_.shape.layers;
  const std::int64_t of_layer = count() * lanes;
  const auto put = [&](int place, V value, Real *to) {
    // A vector has the numbers of several layers, or some of those of one.
    constexpr int some = lanes < size ? lanes : size;
#pragma GCC unroll 4
    for (int i = 0; i < size; i += some)
      if ((place + i) / lanes < layers)
        std::memcpy(to + (place + i) / lanes * of_layer + (place + i) % lanes, reinterpret_cast<const Real *>(&value) + i,
                    some * sizeof(Real));
  };
  for (int place = 0; place < stride; place += size) {
    V value{}, derivative{};
    if (piece.coefficients) {
      const Real *c = piece.coefficients + place, t = piece.t;
      value = L::load(c + 5 * stride);
      derivative = value * Real(5);
#pragma GCC unroll 5
      for (int power = 4; power >= 0; power--) {
        const V next = L::load(c + power * stride);
        value = value * t + next;
        if (power > 0) derivative = derivative * t + next * Real(power);
      }
    }
    put(place, value, share(0, edge));
    if (slope_) put(place, derivative * piece.stretch + fall, slope(0, edge));
  }
}

template <typename Real> void Edges<Real>::transpose()
{
  // Where a row's begin stands one place behind, so that filling the lists moves it to where it belongs.
  std::int64_t *place = incoming_first_;
  const std::int64_t tokens = input_.tokens;
  place[0] = place[1] = 0;
  for (std::int64_t row = 0; row < input_.rows; row++) {
    const std::int64_t from_others = all_seen_ ? tokens - 1 : lead_to_[row];
    place[row + 2] = place[row + 1] + from_others + (row < tokens);
  }
  for (std::int64_t token = 0; token < tokens; token++) {
    const auto here = static_cast<std::int32_t>(token), first = static_cast<std::int32_t>(first_[token]);
    incoming_[place[token + 1]++] = {here, first};
    for_others(token, [&](std::int64_t row, std::int32_t e) { incoming_[place[row + 1]++] = {here, first + e}; });
  }
  for (std::int64_t i = 0; i < ahead; i++) incoming_[place[input_.rows] + i] = {0, 0};
}

}  // namespace
}  // namespace transip::native
