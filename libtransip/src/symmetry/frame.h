// A molecule's own frame: the twin of into_frame and out_of_frame in python/transip_md/symmetry/module.py.
#pragma once

#include <array>
#include <span>
#include <vector>

namespace transip {

class Frame {
 public:
  /// masses [N], summing to one, and m r [N*3], with r the reference's places around its centre of mass.
  Frame(std::vector<double> masses, std::vector<double> reference);

  /// The same, of a reference that must have a frame. Throws Error: it is linear or nearly so.
  static Frame of_reference(std::vector<double> masses, std::vector<double> reference);

  /// Positions [N*3], rotated onto the reference. Throws Error: the rotation is not determined.
  std::vector<double> rotated(std::span<const double> positions);

  /// Forces [N*3] on what `rotated` gave, into forces on the molecule.
  void turn_back(std::vector<double> &forces) const;

 private:
  std::vector<double> masses_, reference_, image_;
  std::array<double, 9> rotation_{};
};

}  // namespace transip
