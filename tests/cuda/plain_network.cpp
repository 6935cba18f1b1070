#include "plain_network.h"

#include <cmath>

namespace {

using transip::native::Linear;
using transip::native::Network;
using transip::native::Norm;
using transip::native::RadialPieces;

std::vector<double> linear(const std::vector<double> &from, const Linear &layer, int inner, int outer)
{
  const std::size_t count = from.size() / static_cast<std::size_t>(inner);
  std::vector<double> to(count * static_cast<std::size_t>(outer));
  for (std::size_t t = 0; t < count; t++)
    for (int o = 0; o < outer; o++) {
      double sum = layer.bias[o];
      for (int i = 0; i < inner; i++) sum += layer.weight[o * inner + i] * from[t * inner + i];
      to[t * outer + o] = sum;
    }
  return to;
}

/// (x - mean) / deviation into `normal`; what follows the norm's scale and shift is returned.
std::vector<double> norm(const std::vector<double> &from, const Norm &layer, int dim, std::vector<double> &normal,
                         std::vector<double> &inverse)
{
  std::vector<double> to(from.size());
  normal.resize(from.size());
  for (std::size_t t = 0; t < from.size() / dim; t++) {
    double mean = 0.0, variance = 0.0;
    for (int i = 0; i < dim; i++) mean += from[t * dim + i] / dim;
    for (int i = 0; i < dim; i++) variance += (from[t * dim + i] - mean) * (from[t * dim + i] - mean) / dim;
    inverse.push_back(1.0 / std::sqrt(variance + 1e-5));
    for (int i = 0; i < dim; i++) {
      normal[t * dim + i] = (from[t * dim + i] - mean) * inverse.back();
      to[t * dim + i] = normal[t * dim + i] * layer.scale[i] + layer.shift[i];
    }
  }
  return to;
}

double silu(double x)
{
  return x / (1.0 + std::exp(-x));
}

double bias_at(const RadialPieces &pieces, int column, int columns, double r)
{
  if (pieces.pieces == 0) return 0.0;
  const bool within = r < pieces.pieces * pieces.spacing;
  const int piece = within ? static_cast<int>(r / pieces.spacing) : pieces.pieces - 1;
  const double t = within ? r / pieces.spacing - piece : 1.0;
  double value = 0.0;
  for (int power = 5; power >= 0; power--)
    value = value * t + pieces.coefficients[(std::int64_t{piece} * 6 + power) * columns + column];
  return value;
}

double weight_at(double r, double cutoff)
{
  if (cutoff <= 0.0) return 1.0;
  const double x = r / cutoff;
  return x < 1.0 ? 1.0 - 28.0 * std::pow(x, 6) + 48.0 * std::pow(x, 7) - 21.0 * std::pow(x, 8) : 0.0;
}

/// One block, step by step.
class Block {
 public:
  Block(const Network &network, const RadialPieces &pieces, int number, const PlainInput &input, const PlainStep &step)
      : network_(network), pieces_(pieces), number_(number), input_(input), step_(step)
  {
  }

  PlainLayer run(std::vector<double> &tokens)
  {
    const auto &weights = network_.layer[number_];
    project(norm(tokens, weights.attention_norm, dim, made_.normal_one, made_.deviation_one), weights.query_key_value);
    attend();
    std::vector<double> mixed = made_.mixed;
    if (network_.rotary_values)
      for (std::size_t t = 0; t < mixed.size() / dim; t++) rotate(&mixed[t * dim], t, -1.0);
    add(tokens, linear(mixed, weights.attention_output, dim, dim));
    made_.gate = linear(norm(tokens, weights.feedforward_norm, dim, made_.normal_two, made_.deviation_two),
                        weights.gate_and_value, dim, 2 * inner);
    std::vector<double> active;
    for (std::size_t t = 0; t < tokens.size() / dim; t++)
      for (int i = 0; i < inner; i++)
        active.push_back(silu(made_.gate[t * 2 * inner + i]) * made_.gate[t * 2 * inner + inner + i]);
    add(tokens, linear(active, weights.feedforward_output, inner, dim));
    return made_;
  }

 private:
  static void add(std::vector<double> &to, const std::vector<double> &more)
  {
    for (std::size_t i = 0; i < to.size(); i++) to[i] += more[i];
  }

  /// Turn a row's features by its phases.
  void rotate(double *features, std::size_t row, double direction) const
  {
    for (int h = 0; h < network_.heads; h++)
      for (int p = 0; p < width / 2; p++) {
        const double c = made_.cosine[row * dim / 2 + h * width / 2 + p],
                     s = made_.sine[row * dim / 2 + h * width / 2 + p] * direction;
        double &first = features[h * width + p], &second = features[h * width + width / 2 + p];
        const double old = first;
        first = first * c - second * s;
        second = old * s + second * c;
      }
  }

  void project(const std::vector<double> &normal, const Linear &layer)
  {
    const std::size_t tokens = normal.size() / dim, rows = input_.owner.size();
    for (std::size_t row = 0; row < rows; row++)
      for (int pair = 0; pair < dim / 2; pair++) {
        const double *w = network_.frequencies + 3 * (std::int64_t{number_} * dim / 2 + pair);
        const double *x = &input_.positions[3 * row];
        const double angle = w[0] * x[0] + w[1] * x[1] + w[2] * x[2];
        made_.cosine.push_back(std::cos(angle));
        made_.sine.push_back(std::sin(angle));
      }
    const std::vector<double> three = linear(normal, layer, dim, 3 * dim);
    made_.query.resize(tokens * dim);
    made_.key.resize(rows * dim);
    made_.value.resize(rows * dim);
    for (std::size_t t = 0; t < tokens; t++) {
      for (int i = 0; i < dim; i++) made_.query[t * dim + i] = three[t * 3 * dim + i] / std::sqrt(width);
      rotate(&made_.query[t * dim], t, 1.0);
    }
    for (std::size_t row = 0; row < rows; row++) {
      const auto owner = static_cast<std::size_t>(input_.owner[row]);
      for (int i = 0; i < dim; i++) {
        made_.key[row * dim + i] = three[owner * 3 * dim + dim + i];
        made_.value[row * dim + i] = three[owner * 3 * dim + 2 * dim + i];
      }
      rotate(&made_.key[row * dim], row, 1.0);
      if (network_.rotary_values) rotate(&made_.value[row * dim], row, 1.0);
    }
  }

  void attend()
  {
    const std::size_t tokens = made_.query.size() / dim;
    made_.mixed.assign(tokens * dim, 0.0);
    for (std::size_t t = 0; t < tokens; t++)
      for (int h = 0; h < network_.heads; h++) {
        const auto logit = [&](std::size_t row) {
          double sum = 0.0;
          for (int i = 0; i < width; i++) sum += made_.query[t * dim + h * width + i] * made_.key[row * dim + h * width + i];
          return sum;
        };
        double total = 0.0;
        const auto take = [&](std::size_t row, double share) {
          total += share;
          for (int i = 0; i < width; i++) made_.mixed[t * dim + h * width + i] += share * made_.value[row * dim + h * width + i];
        };
        take(t, std::exp(logit(t)));
        for (int e = input_.first[t]; e < input_.first[t + 1]; e++) {
          const auto row = static_cast<std::size_t>(input_.row[e]);
          const double r = step_.distance[e];
          const double bias = bias_at(pieces_, number_ * network_.heads + h, network_.layers * network_.heads, r);
          take(row, std::exp(logit(row) + bias) * weight_at(r, network_.cutoff));
        }
        for (int i = 0; i < width; i++) made_.mixed[t * dim + h * width + i] /= total;
        made_.lse.push_back(std::log(total));
      }
  }

  const Network &network_;
  const RadialPieces &pieces_;
  int number_;
  const PlainInput &input_;
  const PlainStep &step_;
  const int dim = network_.dim, width = network_.dim / network_.heads, inner = network_.feedforward;
  PlainLayer made_;
};

}  // namespace

PlainStep plain_step(const Network &network, const RadialPieces &pieces, const PlainInput &input)
{
  PlainStep step;
  const int dim = network.dim;
  for (std::size_t t = 0; t + 1 < input.first.size(); t++)
    for (int e = input.first[t]; e < input.first[t + 1]; e++) {
      double square = 0.0;
      for (int x = 0; x < 3; x++) {
        const double d = input.positions[3 * input.row[e] + x] - input.positions[3 * t + x];
        square += d * d;
      }
      step.distance.push_back(std::sqrt(square));
    }
  step.tokens = input.tokens;
  for (int l = 0; l < network.layers; l++)
    step.layers.push_back(Block(network, pieces, l, input, step).run(step.tokens));
  step.hidden = linear(norm(step.tokens, network.energy_norm, dim, step.normal_last, step.deviation_last),
                       network.energy_hidden, dim, dim);
  for (std::size_t t = 0; t < step.tokens.size() / dim; t++) {
    double energy = network.energy_output.bias[0];
    for (int i = 0; i < dim; i++) energy += silu(step.hidden[t * dim + i]) * network.energy_output.weight[i];
    step.energies.push_back(energy);
  }
  return step;
}
