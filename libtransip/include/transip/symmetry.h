// What a user asks of the symmetry; docs/symmetry.md.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace transip {

struct Symmetry {
  enum class Mode {
    none,     ///< the model as it is
    average,  ///< over a set of rotations
    frame,    ///< in the molecule's own frame
    random,   ///< rotated anew at every step
  };
  Mode mode = Mode::none;
  int count = 1;           ///< rotations to average over, before inversion doubles them
  bool inversion = false;  ///< average over the set and its product with the inversion
  std::uint64_t seed = 0;  ///< of random rotations
  bool forced = false;     ///< random rotations even where nothing takes up the energy that they bring

  /// Read "none", "average N", "average N inversion", "frame", "random SEED" or "random SEED forced", as words from
  /// `first` on; `first` moves behind those that were read. Throws Error: it is none of them.
  static Symmetry parse(const std::vector<std::string> &words, std::size_t &first);

  /// The same of a whole text. Throws Error: it is none of them, or has more words.
  static Symmetry parse(const std::string &text);

  /// Random rotations bring energy at every step; unless they are forced, something must take it up.
  bool needs_thermostat() const { return mode == Mode::random && !forced; }

  /// "none", "average", "frame" or "random", as model files name what they offer.
  std::string name() const;

  /// What parse reads.
  std::string text() const;
};

/// A rotation drawn uniformly on SO(3), row-major, the same for the same seed and step on every machine; the twin of
/// transip_md.symmetry.numbered.numbered_rotation.
std::array<double, 9> numbered_rotation(std::uint64_t seed, std::uint64_t step);

}  // namespace transip
