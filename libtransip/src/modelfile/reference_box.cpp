#include "reference_box.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace transip {

namespace {

using Vector = std::array<double, 3>;

constexpr double rounding = 1e-6;  // of coordinates, as a part of the vectors
constexpr double flat = 0.1;       // volume that shortest vectors of a lattice exceed, as a part of that of a cuboid

double dot(const Vector &a, const Vector &b)
{
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

Vector cross(const Vector &a, const Vector &b)
{
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

double length(const Vector &a)
{
  return std::sqrt(dot(a, a));
}

/// From the owner of each image to the image, the shortest first.
std::vector<Vector> shifts_of(const Reference &reference)
{
  std::vector<Vector> shifts;
  for (std::size_t row = reference.species.size(); row < reference.owner.size(); row++) {
    const auto owner = static_cast<std::size_t>(reference.owner[row]);
    Vector shift;
    for (std::size_t x = 0; x < 3; x++) shift[x] = reference.positions[3 * row + x] - reference.positions[3 * owner + x];
    shifts.push_back(shift);
  }
  std::ranges::sort(shifts, {}, length);
  return shifts;
}

bool is_independent(const std::vector<Vector> &basis, const Vector &of)
{
  if (basis.empty()) return length(of) > 0.0;
  const Vector normal = cross(basis[0], basis.size() == 1 ? of : basis[1]);
  if (basis.size() == 1) return length(normal) > flat * length(basis[0]) * length(of);
  return std::abs(dot(normal, of)) > flat * length(normal) * length(of);
}

/// Three vectors that begin with the basis; the others are normal to it.
std::vector<Vector> completed(std::vector<Vector> basis)
{
  for (const Vector &axis : {Vector{1, 0, 0}, Vector{0, 1, 0}, Vector{0, 0, 1}}) {
    if (basis.size() == 2) basis.push_back(cross(basis[0], basis[1]));
    if (basis.size() < 3 && is_independent(basis, axis)) basis.push_back(basis.empty() ? axis : cross(basis[0], axis));
  }
  return basis;
}

}  // namespace

std::optional<ReferenceBox> box_of(const Reference &reference)
{
  const std::vector<Vector> shifts = shifts_of(reference);
  std::vector<Vector> basis;
  for (const Vector &shift : shifts)
    if (basis.size() < 3 && is_independent(basis, shift)) basis.push_back(shift);
  const std::vector<Vector> all = completed(basis);
  const double volume = dot(all[0], cross(all[1], all[2]));
  for (const Vector &shift : shifts)
    for (std::size_t a = 0; a < 3; a++) {
      const double along = dot(shift, cross(all[(a + 1) % 3], all[(a + 2) % 3])) / volume;
      const double nearest = a < basis.size() ? std::round(along) : 0.0;
      if (!(std::abs(along - nearest) < rounding)) return std::nullopt;
    }
  ReferenceBox box;
  for (std::size_t a = 0; a < basis.size(); a++) {
    std::ranges::copy(basis[a], box.vectors.begin() + static_cast<std::ptrdiff_t>(3 * a));
    box.periodic[a] = true;
  }
  return box;
}

}  // namespace transip
