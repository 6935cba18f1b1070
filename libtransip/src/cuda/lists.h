// Edges of a request as the kernels want them: lists by token and by row. Internal to libtransip.
#pragma once

#include "plan.h"
#include "transip/model.h"

#include <span>
#include <vector>

namespace transip::cuda {

/// Edges from tokens to rows, and the same edges by the rows at their ends; images by their tokens and halo atoms.
struct Lists {
  std::vector<int> owner, image_first, image_row, first, row, back_first, back_edge, back_token;
  std::vector<int> given, given_first, given_place;  // empty without an exchange

  /// Lists of a request. cutoff: Angstrom, rows farther away are left out; 0: all rows, of an isolated molecule.
  ///
  /// positions: [I*3] Angstrom. Throws Error: rows, owners or sizes that do not fit; two atoms at one position.
  void make(const Request &request, std::span<const double> positions, double cutoff);

  /// Lists of isolated molecules one after another, of a model that attends all-to-all: an atom sees those of its own.
  ///
  /// begin: the first token of each molecule, and behind them the number of all tokens. positions: [T*3] Angstrom.
  /// Throws Error: too many pairs; two atoms of a molecule at one position (NotFinite).
  void make_molecules(std::span<const std::size_t> begin, std::span<const double> positions);

  /// Copy the lists to where a step takes them.
  void put(const Inputs &to) const;

  Counts counts(std::size_t tokens) const
  {
    return {static_cast<int>(tokens), static_cast<int>(owner.size()), static_cast<int>(row.size()),
            static_cast<int>(image_first.size() - 1 - tokens), static_cast<int>(given.size())};
  }

 private:
  void take_owners(const Request &request, std::size_t tokens, std::size_t rows);
  void take_given(const Request &request, std::size_t tokens);
  void take_edges(const Request &request, std::span<const double> positions, double cutoff);
  void add_edge(std::span<const double> positions, std::size_t token, std::size_t other, double cutoff);
  void end_token();
  void turn_round(std::size_t tokens, std::size_t rows);
};

}  // namespace transip::cuda
