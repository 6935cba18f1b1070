// Weights of a network by name, in float64, however the file holds them. Internal to libtransip.
#pragma once

#include "archive.h"
#include "transip/metadata.h"

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <vector>

namespace transip {

class Weights {
 public:
  Weights() = default;

  /// Read a file's weights by the index in its metadata (format 2), which `check_weights` has let pass.
  ///
  /// Throws Error: an entry is missing, or not of the size that its shape and dtype ask for.
  Weights(const Archive &archive, const Metadata &metadata);

  void add(const std::string &name, std::vector<std::int64_t> shape, std::vector<double> values);

  /// Size of a tensor along one of its axes, 0 if there is no such tensor or axis.
  std::int64_t extent(const std::string &name, std::size_t axis) const;

  bool has(const std::string &name) const { return values_.contains(name); }

  /// Values of a tensor, row-major. Throws Error unless it is there, has this shape and is finite.
  const std::vector<double> &get(const std::string &name, std::initializer_list<std::int64_t> shape) const;

 private:
  struct Tensor {
    std::vector<std::int64_t> shape;
    std::vector<double> values;
  };
  std::map<std::string, Tensor> values_;
};

/// Throw Error unless every tensor of the index is in the archive as it was exported.
void check_weights(const Archive &archive, const Metadata &metadata);

}  // namespace transip
