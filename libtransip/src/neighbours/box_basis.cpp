#include "box_basis.h"

#include "transip/error.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace transip {

namespace {

using Vector = BoxBasis::Vector;

Vector cross(const Vector &a, const Vector &b)
{
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

double dot(const Vector &a, const Vector &b)
{
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/// A unit vector that is normal to two others; zero if they are parallel.
Vector normal_to(const Vector &a, const Vector &b)
{
  Vector normal = cross(a, b);
  const double length = std::sqrt(dot(normal, normal));
  for (double &x : normal) x = length > 1e-9 ? x / length : 0.0;
  return normal;
}

std::array<Vector, 3> complete(std::span<const double, 9> vectors, std::array<bool, 3> known)
{
  std::array<Vector, 3> basis{};
  for (std::size_t a = 0; a < 3; a++)
    if (known[a]) std::copy_n(vectors.begin() + static_cast<std::ptrdiff_t>(3 * a), 3, basis[a].begin());
  for (std::size_t a = 0; a < 3; a++) {
    if (known[a]) continue;
    const std::size_t b = (a + 1) % 3, c = (a + 2) % 3;
    if (known[b] && known[c]) {
      basis[a] = normal_to(basis[b], basis[c]);
    } else if (known[b] || known[c]) {
      // Some direction that is not along the known one.
      const Vector &one = basis[known[b] ? b : c];
      const bool along_x = std::abs(one[0]) > std::abs(one[1]) && std::abs(one[0]) > std::abs(one[2]);
      basis[a] = normal_to(one, along_x ? Vector{0.0, 1.0, 0.0} : Vector{1.0, 0.0, 0.0});
    } else {
      basis[a][a] = 1.0;
    }
    known[a] = true;
  }
  return basis;
}

}  // namespace

BoxBasis basis_of(std::span<const double, 9> vectors, const std::array<bool, 3> &periodic)
{
  BoxBasis made;
  made.vectors = complete(vectors, periodic);
  const double volume = dot(made.vectors[0], cross(made.vectors[1], made.vectors[2]));
  if (!(std::abs(volume) > 1e-9)) throw Error("The box has no volume.");
  for (std::size_t a = 0; a < 3; a++) {
    const Vector normal = cross(made.vectors[(a + 1) % 3], made.vectors[(a + 2) % 3]);
    made.height[a] = std::abs(volume) / std::sqrt(dot(normal, normal));
    for (std::size_t x = 0; x < 3; x++) made.dual[a][x] = normal[x] / volume;
  }
  return made;
}

}  // namespace transip
