// The one exception that leaves libtransip.
#pragma once

#include "transip/text.h"

#include <cstddef>
#include <stdexcept>
#include <string>

namespace transip {

/// What was expected, what came, what to do next, in one paragraph of UTF-8 without line breaks, whatever a damaged file
/// brought into it. Engines hand it on in the form that their users know (LAMMPS `ERROR:`, OpenMMException).
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string &message) : std::runtime_error(printable(message)) {}
};

/// A model does not give the numbers here that it gave where it was exported.
class Differs : public Error {
 public:
  using Error::Error;
};

/// An energy or force is NaN or infinite; the message has no full stop, so that an engine can name the atom.
class NotFinite : public Error {
 public:
  NotFinite(const std::string &message, std::size_t row) : Error(message), row_(row) {}
  std::size_t row() const { return row_; }  ///< row of the request's positions

 private:
  std::size_t row_;
};

}  // namespace transip
