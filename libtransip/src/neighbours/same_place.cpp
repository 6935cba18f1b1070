#include "same_place.h"

#include "transip/error.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace transip {

void throw_same_place(std::size_t row)
{
  throw NotFinite("Two atoms are at one position, so that a force is not finite (NaN or infinity)", row);
}

void check_apart(std::span<const double> positions)
{
  std::vector<std::size_t> order(positions.size() / 3);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto place = [&](std::size_t row) { return positions.subspan(3 * row, 3); };
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::lexicographical_compare(place(a).begin(), place(a).end(), place(b).begin(), place(b).end());
  });
  for (std::size_t i = 1; i < order.size(); i++)
    if (std::equal(place(order[i]).begin(), place(order[i]).end(), place(order[i - 1]).begin()))
      throw_same_place(std::max(order[i], order[i - 1]));
}

}  // namespace transip
