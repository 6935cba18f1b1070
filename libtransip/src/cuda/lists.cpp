#include "lists.h"

#include "neighbours/same_place.h"
#include "transip/error.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>

namespace transip::cuda {

namespace {

constexpr auto most = static_cast<std::size_t>(std::numeric_limits<int>::max());

std::span<const std::int64_t> neighbours_of(const Request &request, std::size_t token)
{
  if (request.first.empty()) return {};
  const std::int64_t begin = request.first[token], end = request.first[token + 1];
  return request.neighbours.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
}

/// Throw Error unless the places at which neighbours begin fit tokens and neighbours.
void check_first(const Request &request)
{
  const auto &first = request.first;
  const auto edges = static_cast<std::int64_t>(request.neighbours.size());
  const bool good = first.empty() ? edges == 0
                                  : first.size() == request.species.size() + 1 && first.front() == 0 &&
                                        first.back() == edges && std::is_sorted(first.begin(), first.end());
  if (!good)
    throw Error("The lists of neighbours of " + std::to_string(request.species.size()) + " tokens begin at " +
                std::to_string(first.size()) + " positions that do not fit " + std::to_string(edges) + " neighbours.");
}

}  // namespace

void Lists::make(const Request &request, std::span<const double> positions, double cutoff)
{
  const std::size_t tokens = request.species.size(), rows = positions.size() / 3;
  if (rows > most) throw Error("A structure has " + std::to_string(rows) + " position rows; 2147483647 are the most.");
  if (rows < tokens)
    throw Error("A structure has " + std::to_string(tokens) + " tokens and only " + std::to_string(rows) +
                " position rows.");
  if (cutoff <= 0.0 && (rows != tokens || !request.neighbours.empty()))
    throw Error("an all-to-all model takes an isolated molecule: no images, no neighbours");
  check_first(request);
  take_owners(request, tokens, rows);
  take_given(request, tokens);
  take_edges(request, positions, cutoff);
  turn_round(tokens, rows);
}

void Lists::make_molecules(std::span<const std::size_t> begin, std::span<const double> positions)
{
  const std::size_t tokens = positions.size() / 3;
  owner.resize(tokens);
  std::iota(owner.begin(), owner.end(), 0);
  image_first.assign(tokens + 1, 0);
  image_row.clear();
  for (auto *list : {&given, &given_first, &given_place}) list->clear();
  first.assign(1, 0);
  row.clear();
  for (std::size_t molecule = 0; molecule + 1 < begin.size(); molecule++)
    for (std::size_t token = begin[molecule]; token < begin[molecule + 1]; token++) {
      for (std::size_t other = begin[molecule]; other < begin[molecule + 1]; other++)
        if (other != token) add_edge(positions, token, other, 0.0);
      end_token();
    }
  turn_round(tokens, tokens);
}

void Lists::put(const Inputs &to) const
{
  std::ranges::copy(owner, to.owner);
  std::ranges::copy(image_first, to.image_first);
  std::ranges::copy(image_row, to.image_row);
  std::ranges::copy(first, to.first);
  std::ranges::copy(row, to.row);
  std::ranges::copy(back_first, to.back_first);
  std::ranges::copy(back_edge, to.back_edge);
  std::ranges::copy(back_token, to.back_token);
  std::ranges::copy(given, to.given);
  std::ranges::copy(given_first, to.given_first);
  std::ranges::copy(given_place, to.given_place);
}

void Lists::take_owners(const Request &request, std::size_t tokens, std::size_t rows)
{
  owner.resize(rows);
  const std::size_t halo = request.exchange ? static_cast<std::size_t>(request.exchange->halo_atoms()) : 0,
                    owners = tokens + halo;
  image_first.assign(owners + 1, 0);
  for (std::size_t i = 0; i < rows; i++) {
    const auto self = static_cast<std::int64_t>(i);
    const std::int64_t found = request.owner.empty() ? self : request.owner[i];
    if (found < 0 || static_cast<std::size_t>(found) >= owners || (i < tokens && found != self))
      throw Error("Row " + std::to_string(i) + " of a structure has owner " + std::to_string(found) + "; there are " +
                  std::to_string(tokens) + " tokens, and each owns itself" +
                  (halo > 0 ? ", and " + std::to_string(halo) + " halo atoms." : "."));
    owner[i] = static_cast<int>(found);
    if (i >= tokens) image_first[static_cast<std::size_t>(found) + 1]++;
  }
  std::partial_sum(image_first.begin(), image_first.end(), image_first.begin());
  image_row.resize(rows - tokens);
  std::vector<int> next(image_first.begin(), image_first.end() - 1);
  for (std::size_t i = tokens; i < rows; i++)
    image_row[static_cast<std::size_t>(next[static_cast<std::size_t>(owner[i])]++)] = static_cast<int>(i);
}

void Lists::take_given(const Request &request, std::size_t tokens)
{
  for (auto *list : {&given, &given_first, &given_place}) list->clear();
  if (!request.exchange) return;
  const int *const asked = request.exchange->given();
  given.assign(asked, asked + request.exchange->given_atoms());
  given_first.assign(tokens + 1, 0);
  for (const int token : given) {
    if (token < 0 || static_cast<std::size_t>(token) >= tokens)
      throw Error("Another rank asks for token " + std::to_string(token) + " of " + std::to_string(tokens) + ".");
    given_first[static_cast<std::size_t>(token) + 1]++;
  }
  std::partial_sum(given_first.begin(), given_first.end(), given_first.begin());
  given_place.resize(given.size());
  std::vector<int> next(given_first.begin(), given_first.end() - 1);
  for (std::size_t place = 0; place < given.size(); place++)
    given_place[static_cast<std::size_t>(next[static_cast<std::size_t>(given[place])]++)] = static_cast<int>(place);
}

void Lists::take_edges(const Request &request, std::span<const double> positions, double cutoff)
{
  const std::size_t tokens = request.species.size(), rows = positions.size() / 3;
  first.assign(1, 0);
  row.clear();
  for (std::size_t token = 0; token < tokens; token++) {
    if (cutoff > 0.0) {
      for (const std::int64_t other : neighbours_of(request, token)) {
        if (other < 0 || other >= static_cast<std::int64_t>(rows))
          throw Error("A neighbour is row " + std::to_string(other) + " of " + std::to_string(rows) + ".");
        add_edge(positions, token, static_cast<std::size_t>(other), cutoff);
      }
    } else {
      for (std::size_t other = 0; other < tokens; other++)
        if (other != token) add_edge(positions, token, other, cutoff);
    }
    end_token();
  }
}

void Lists::add_edge(std::span<const double> positions, std::size_t token, std::size_t other, double cutoff)
{
  const double x = positions[3 * other] - positions[3 * token], y = positions[3 * other + 1] - positions[3 * token + 1],
               z = positions[3 * other + 2] - positions[3 * token + 2], square = x * x + y * y + z * z;
  if (cutoff > 0.0 && square >= cutoff * cutoff) return;
  if (square == 0.0) throw_same_place(other);
  row.push_back(static_cast<int>(other));
}

void Lists::end_token()
{
  if (row.size() > most) throw Error("A structure has more than 2147483647 pairs of neighbours.");
  first.push_back(static_cast<int>(row.size()));
}

void Lists::turn_round(std::size_t tokens, std::size_t rows)
{
  back_first.assign(rows + 1, 0);
  for (const int to : row) back_first[static_cast<std::size_t>(to) + 1]++;
  std::partial_sum(back_first.begin(), back_first.end(), back_first.begin());
  back_edge.resize(row.size());
  back_token.resize(row.size());
  std::vector<int> next(back_first.begin(), back_first.end() - 1);
  for (std::size_t token = 0; token < tokens; token++)
    for (int e = first[token]; e < first[token + 1]; e++) {
      const auto place = static_cast<std::size_t>(next[static_cast<std::size_t>(row[static_cast<std::size_t>(e)])]++);
      back_edge[place] = e;
      back_token[place] = static_cast<int>(token);
    }
}

}  // namespace transip::cuda
