// What a model file says of itself (`transip.json`); the format is in docs/conventions.md.
#pragma once

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

struct Metadata {
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
  std::optional<double> closest_pair;       ///< Angstrom; two atoms were never closer in training; none: not said
  std::string certificate;                  ///< summary of what a validation found; empty: not validated
  std::string torch;                        ///< version of torch that wrote the file, may be empty
  std::string compiled_device = "cpu";      ///< what a compiled file is for, "cpu" or "cuda"
  std::string cpu_capability;               ///< vector instructions that a compiled file uses, torch's name, or empty
  std::string source_sha256;                ///< of the checkpoint

  bool knows(int atomic_number) const;
};

/// Read the text of a `transip.json`. Throws Error, naming `path`, for another format than 1, for unknown, missing or
/// ill-typed keys, and for units other than eV and Angstrom.
Metadata parse_metadata(std::string_view json, const std::string &path);

}  // namespace transip
