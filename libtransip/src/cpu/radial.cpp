#include "radial.h"

#include "transip/error.h"

#include <cmath>
#include <string>

namespace transip::native {

namespace {

constexpr double most_pieces = 1e5;

/// Values and first two derivatives of all functions at one distance.
struct Jet {
  std::vector<double> value, first, second;
};

Jet jet(const RadialNetwork &network, double r)
{
  const std::size_t functions = network.centres.size(), hidden = network.hidden_bias.size(),
                    outputs = network.output_bias.size();
  Jet basis{std::vector<double>(functions), std::vector<double>(functions), std::vector<double>(functions)};
  const double k = network.inverse_width;
  for (std::size_t f = 0; f < functions; f++) {
    const double x = (r - network.centres[f]) * k;
    basis.value[f] = std::exp(-0.5 * x * x);
    basis.first[f] = -x * k * basis.value[f];
    basis.second[f] = (x * x - 1.0) * k * k * basis.value[f];
  }
  Jet out{network.output_bias, std::vector<double>(outputs), std::vector<double>(outputs)};
  for (std::size_t h = 0; h < hidden; h++) {
    double a = network.hidden_bias[h], da = 0.0, dda = 0.0;
    for (std::size_t f = 0; f < functions; f++) {
      const double weight = network.hidden_weight[h * functions + f];
      a += weight * basis.value[f];
      da += weight * basis.first[f];
      dda += weight * basis.second[f];
    }
    // silu(a) = a s, s' = s (1 - s)
    const double s = 1.0 / (1.0 + std::exp(-a)), ds = s * (1.0 - s), dds = ds * (1.0 - 2.0 * s);
    const double slope = s + a * ds, bend = 2.0 * ds + a * dds;
    for (std::size_t o = 0; o < outputs; o++) {
      const double weight = network.output_weight[o * hidden + h];
      out.value[o] += weight * a * s;
      out.first[o] += weight * slope * da;
      out.second[o] += weight * (bend * da * da + slope * dda);
    }
  }
  return out;
}

}  // namespace

RadialTable::RadialTable(const RadialNetwork &network, double range, bool single)
{
  const double width = 1.0 / network.inverse_width;
  // Beyond this every Gaussian is below 1e-16.
  if (range <= 0.0) range = network.centres.back() + 8.6 * width;
  const double pieces = std::ceil(range / (width / (single ? 16.0 : 64.0)));
  if (!(pieces >= 1.0 && pieces <= most_pieces))
    throw Error("The radial basis functions of the model are " + std::to_string(width) + " Angstrom wide and reach " +
                std::to_string(range) + " Angstrom, which is too much to tabulate. Use kernels torch.");
  pieces_ = static_cast<int>(pieces);
  spacing_ = range / pieces_;
  const std::size_t outputs = network.output_bias.size();
  coefficients_.resize(6 * outputs * pieces_);
  Jet left = jet(network, 0.0);
  for (int piece = 0; piece < pieces_; piece++) {
    const Jet right = jet(network, (piece + 1) * spacing_);
    double *c = coefficients_.data() + 6 * outputs * piece;
    for (std::size_t o = 0; o < outputs; o++) {
      const double h = spacing_;
      const double v0 = left.value[o], d0 = h * left.first[o], s0 = 0.5 * h * h * left.second[o];
      const double v1 = right.value[o], d1 = h * right.first[o], s1 = 0.5 * h * h * right.second[o];
      // What the first three powers leave at the right end, of the value and its derivatives.
      const double v = v1 - v0 - d0 - s0, d = d1 - d0 - 2.0 * s0, s = s1 - s0;
      c[0 * outputs + o] = v0;
      c[1 * outputs + o] = d0;
      c[2 * outputs + o] = s0;
      c[3 * outputs + o] = 10.0 * v - 4.0 * d + s;
      c[4 * outputs + o] = -15.0 * v + 7.0 * d - 2.0 * s;
      c[5 * outputs + o] = 6.0 * v - 3.0 * d + s;
    }
    left = right;
  }
}

RadialPieces RadialTable::pieces() const
{
  return {spacing_, pieces_, coefficients_.data()};
}

}  // namespace transip::native
