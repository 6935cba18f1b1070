// The metadata of a model file (`transip.json`); the format is in docs/conventions.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace transip {

/// Smallest and largest value that the model was trained for.
struct Range {
  int lowest = 0;
  int highest = 0;
  bool contains(int value) const { return lowest <= value && value <= highest; }
  std::string text() const;
};

/// One tensor of the weights: where it lies in the file, and what it must be.
struct WeightEntry {
  std::string name;                 ///< in the network, dotted
  std::string entry;                ///< in the archive, stored without compression, little-endian, row-major
  std::string dtype;                ///< "float32", "float64", "int64", ...
  std::vector<std::int64_t> shape;  ///< empty for a scalar
  std::string sha256;               ///< of the entry's contents
};

/// Shape of a TransIP network, as far as its weights do not show it.
struct Architecture {
  int dim = 0, layers = 0, heads = 0, feedforward = 0;
  bool rotary_values = false;
  bool radial_bias = false;
  int radial_functions = 0, radial_hidden = 0;
  std::optional<double> radial_range;  ///< Angstrom; none: the cutoff, or 8
  bool coordinates = false;
  bool short_range = false;            ///< Ziegler-Biersack-Littmark repulsion beside the network
  bool charge_energies = false;        ///< a reference energy of each total charge, which the atoms share
};

struct Metadata {
  int format = 0;                           ///< 1 or 2; from 2 on the file has an index of its weights
  std::vector<int> species;                 ///< atomic numbers, in the model's order
  std::optional<double> cutoff;             ///< Angstrom; none for all-to-all attention
  std::optional<double> interaction_range;  ///< Angstrom; layers x cutoff
  std::string dtype;                        ///< "float32" or "float64", of the weights
  bool conservative = false;                ///< forces are -dE/dr
  Range charge;                             ///< total charge, e
  Range multiplicity;                       ///< spin multiplicity
  std::vector<std::string> symmetry;        ///< exact symmetries that the file offers, by name; may be none
  std::string training_data;                ///< the model card's first line, may be empty
  std::string level_of_theory;              ///< may be empty
  std::optional<double> closest_pair;       ///< Angstrom; two atoms were never closer in training; none: not given
  std::string certificate;                  ///< summary of what a validation found; empty: not validated
  std::string torch;                        ///< version of torch that wrote the file, may be empty
  std::string compiled_device = "cpu";      ///< what a compiled file is for, "cpu" or "cuda"
  std::string cpu_capability;               ///< vector instructions that a compiled file uses, torch's name, or empty
  std::string source_sha256;                ///< of the checkpoint
  std::vector<WeightEntry> weights;         ///< format 2; none in compiled files and analytic models
  std::optional<Architecture> architecture;  ///< of a TransIP network, the only one that native kernels know

  bool knows(int atomic_number) const;

  /// Whether the file brings a sample of its training set, from which distances are measured.
  bool has_sample() const;
};

/// Read the text of a `transip.json`. Throws Error, naming `path`, for another format than 1 and 2, for unknown, missing
/// or ill-typed keys, values out of their range, and for units other than eV and Angstrom.
Metadata parse_metadata(std::string_view json, const std::string &path);

}  // namespace transip
