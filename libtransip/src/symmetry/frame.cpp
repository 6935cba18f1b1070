#include "frame.h"

#include "transip/error.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <utility>

namespace transip {

namespace {

/// Smallest gap of the superposition, as a part of its size, that determines the rotation; SMALLEST_GAP in Python.
constexpr double smallest_gap = 0.01;

using Four = std::array<std::array<double, 4>, 4>;

/// Eigenvalues of a symmetric matrix, left on its diagonal, and eigenvectors in the columns (Jacobi's rotations).
void diagonalise(Four &a, Four &vectors)
{
  vectors = {};
  for (int i = 0; i < 4; i++) vectors[i][i] = 1.0;
  for (int sweep = 0; sweep < 50; sweep++) {
    double off = 0.0, on = 0.0;
    for (int p = 0; p < 4; p++) {
      on += a[p][p] * a[p][p];
      for (int q = p + 1; q < 4; q++) off += a[p][q] * a[p][q];
    }
    if (!(off > 1.0e-40 * on)) return;
    for (int p = 0; p < 4; p++)
      for (int q = p + 1; q < 4; q++) {
        if (a[p][q] == 0.0) continue;
        const double theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
        const double t = std::copysign(1.0, theta) / (std::abs(theta) + std::sqrt(theta * theta + 1.0));
        const double c = 1.0 / std::sqrt(t * t + 1.0), s = t * c;
        for (int k = 0; k < 4; k++) {
          const double kp = a[k][p], kq = a[k][q];
          a[k][p] = c * kp - s * kq;
          a[k][q] = s * kp + c * kq;
        }
        for (int k = 0; k < 4; k++) {
          const double pk = a[p][k], qk = a[q][k];
          a[p][k] = c * pk - s * qk;
          a[q][k] = s * pk + c * qk;
          const double vp = vectors[k][p], vq = vectors[k][q];
          vectors[k][p] = c * vp - s * vq;
          vectors[k][q] = s * vp + c * vq;
        }
      }
  }
}

std::array<double, 3> cross(const double *a, const double *b)
{
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

}  // namespace

Frame::Frame(std::vector<double> masses, std::vector<double> reference)
    : masses_(std::move(masses)), reference_(std::move(reference))
{
}

Frame Frame::of_reference(std::vector<double> masses, std::vector<double> reference)
{
  // Principal moments of sum m r r^T: a linear molecule has one that is not zero. The fourth row pads.
  Four spread{}, vectors;
  for (std::size_t i = 0; i < masses.size(); i++)
    for (std::size_t a = 0; a < 3; a++)
      for (std::size_t b = 0; b < 3; b++) spread[a][b] += reference[3 * i + a] * reference[3 * i + b] / masses[i];
  diagonalise(spread, vectors);
  const double total = spread[0][0] + spread[1][1] + spread[2][2];
  const double largest = std::max({spread[0][0], spread[1][1], spread[2][2]});
  if (total - largest <= smallest_gap * total)
    throw Error("symmetry frame: the reference is linear or nearly so, and has no frame of its own. Use symmetry average "
                "N.");
  return Frame(std::move(masses), std::move(reference));
}

std::vector<double> Frame::rotated(std::span<const double> positions)
{
  if (positions.size() != reference_.size())
    throw Error("symmetry frame: the reference has " + std::to_string(masses_.size()) + " atoms; got " +
                std::to_string(positions.size() / 3));
  // Overlap s[a][b] = sum x_a (m r)_b: the weighted reference sums to zero, so positions need no centre here.
  double s[3][3] = {};
  std::array<double, 3> centre{};
  for (std::size_t i = 0; i < masses_.size(); i++)
    for (int a = 0; a < 3; a++) {
      centre[a] += masses_[i] * positions[3 * i + a];
      for (int b = 0; b < 3; b++) s[a][b] += positions[3 * i + a] * reference_[3 * i + b];
    }
  // Horn, J. Opt. Soc. Am. A 4, 629 (1987): the quaternion of the best rotation has the largest eigenvalue.
  Four matrix = {{{s[0][0] + s[1][1] + s[2][2], s[1][2] - s[2][1], s[2][0] - s[0][2], s[0][1] - s[1][0]},
                  {0.0, s[0][0] - s[1][1] - s[2][2], s[0][1] + s[1][0], s[2][0] + s[0][2]},
                  {0.0, 0.0, -s[0][0] + s[1][1] - s[2][2], s[1][2] + s[2][1]},
                  {0.0, 0.0, 0.0, -s[0][0] - s[1][1] + s[2][2]}}};
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < i; j++) matrix[i][j] = matrix[j][i];
  Four vectors;
  diagonalise(matrix, vectors);
  int best = 0;
  for (int i = 1; i < 4; i++)
    if (matrix[i][i] > matrix[best][best]) best = i;
  double next = -1.0e300;
  for (int i = 0; i < 4; i++)
    if (i != best && matrix[i][i] > next) next = matrix[i][i];
  const double size = matrix[best][best], gap = 0.5 * (size - next);
  // Positions that are not finite are reported by whoever looks at the energy.
  if (gap <= smallest_gap * size) {
    std::ostringstream text;
    text << "symmetry frame: the molecule has gone so far from the reference structure that its orientation is not "
            "determined any more (gap " << gap / size << " of the superposition, allowed " << smallest_gap
         << "): it is linear, has come apart or has become its mirror image. Use symmetry average N";
    throw Error(text.str());
  }
  const double w = vectors[0][best], x = vectors[1][best], y = vectors[2][best], z = vectors[3][best];
  rotation_ = {w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y),
               2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x),
               2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z};
  image_.resize(positions.size());
  for (std::size_t i = 0; i < masses_.size(); i++)
    for (int a = 0; a < 3; a++) {
      double sum = 0.0;
      for (int b = 0; b < 3; b++) sum += rotation_[3 * a + b] * (positions[3 * i + b] - centre[b]);
      image_[3 * i + a] = sum;
    }
  return image_;
}

void Frame::turn_back(std::vector<double> &forces) const
{
  // The image rotates by B^-1 sum m (R dx) x r when atoms move by dx, with B = tr(M) - M and M = sum m y r^T: its torque
  // does work then, which atom i feels as m r_i x B^-T torque.
  std::array<double, 3> torque{}, net{};
  double m[3][3] = {};
  for (std::size_t i = 0; i < masses_.size(); i++) {
    const auto one = cross(&image_[3 * i], &forces[3 * i]);
    for (int a = 0; a < 3; a++) {
      torque[a] += one[a];
      net[a] += forces[3 * i + a];
      for (int b = 0; b < 3; b++) m[a][b] += reference_[3 * i + a] * image_[3 * i + b];
    }
  }
  const double trace = m[0][0] + m[1][1] + m[2][2];
  double b[3][3];
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++) b[i][j] = (i == j ? trace : 0.0) - m[i][j];
  // Cramer's rule, with the cofactors as cross products of rows.
  const auto c0 = cross(b[1], b[2]), c1 = cross(b[2], b[0]), c2 = cross(b[0], b[1]);
  const double determinant = b[0][0] * c0[0] + b[0][1] * c0[1] + b[0][2] * c0[2];
  std::array<double, 3> answer;
  for (int a = 0; a < 3; a++) answer[a] = (c0[a] * torque[0] + c1[a] * torque[1] + c2[a] * torque[2]) / determinant;
  for (std::size_t i = 0; i < masses_.size(); i++) {
    const auto along = cross(&reference_[3 * i], answer.data());
    std::array<double, 3> total;
    for (int a = 0; a < 3; a++) total[a] = forces[3 * i + a] + along[a] - masses_[i] * net[a];
    for (int a = 0; a < 3; a++)
      forces[3 * i + a] =
          total[0] * rotation_[a] + total[1] * rotation_[3 + a] + total[2] * rotation_[6 + a];
  }
}

}  // namespace transip
