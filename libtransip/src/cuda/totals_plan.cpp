#include "totals_plan.h"

#include "arrays.h"

namespace transip::cuda {

std::size_t place_totals(Totals &totals, const Capacity &capacity, int structures, std::byte *start)
{
  Parts parts(start);
  parts.place(totals.repelled, totals.repels ? 13LL * capacity.tokens : 0);
  parts.place(totals.nearest, capacity.tokens);
  parts.place(totals.nearest_row, capacity.tokens);
  const long long chunks = blocks_for(capacity.rows, sum_threads);
  parts.place(totals.sums, 10 * (structures > 1 ? chunks + structures : chunks));
  return parts.used();
}

std::vector<Launch> plan_totals(const Totals &totals, const Capacity &capacity, int structures, bool nearest)
{
  const auto launch = [](TotalsKernel kernel, unsigned blocks, int threads) {
    return Launch{static_cast<int>(kernel), 0, blocks, 1, static_cast<unsigned>(threads)};
  };
  const unsigned warps = blocks_for(static_cast<long long>(capacity.tokens) * warp_size, plain_threads);
  std::vector<Launch> launches;
  if (totals.repels) launches.push_back(launch(TotalsKernel::repel, warps, plain_threads));
  launches.push_back(launch(TotalsKernel::fold_atoms, blocks_for(capacity.tokens, plain_threads), plain_threads));
  launches.push_back(launch(TotalsKernel::sum_chunks, blocks_for(capacity.rows, sum_threads), sum_threads));
  launches.push_back(launch(TotalsKernel::sum_all, 1, sum_threads));
  if (structures > 1)
    launches.push_back(launch(TotalsKernel::sum_structures, static_cast<unsigned>(structures), sum_threads));
  if (totals.virials)
    launches.push_back(launch(TotalsKernel::fold_virials, blocks_for(capacity.tokens, plain_threads), plain_threads));
  if (nearest) {
    launches.push_back(launch(TotalsKernel::find_nearest, warps, plain_threads));
    launches.push_back(launch(TotalsKernel::take_nearest, 1, sum_threads));
  }
  return launches;
}

}  // namespace transip::cuda
