#include "arrays.h"

namespace transip::cuda {

std::size_t place_inputs(Inputs &inputs, const Capacity &capacity, std::byte *start)
{
  const long long tokens = capacity.tokens, rows = capacity.rows, edges = capacity.edges;
  Parts parts(start);
  parts.place(inputs.counts, 1);
  parts.place(inputs.positions, 3 * rows);
  parts.place(inputs.owner, rows);
  parts.place(inputs.image_first, tokens + capacity.halo + 1);
  parts.place(inputs.image_row, rows);
  for (int **array : {&inputs.species, &inputs.charge, &inputs.multiplicity, &inputs.begin, &inputs.end})
    parts.place(*array, tokens);
  parts.place(inputs.owned, tokens);
  parts.place(inputs.first, tokens + 1);
  parts.place(inputs.row, edges);
  parts.place(inputs.back_first, rows + 1);
  parts.place(inputs.back_edge, edges);
  parts.place(inputs.back_token, edges);
  const bool halo = capacity.halo > 0;
  parts.place(inputs.given, capacity.given);
  parts.place(inputs.given_first, halo ? tokens + 1 : 0);
  parts.place(inputs.given_place, capacity.given);
  return parts.used();
}

std::size_t place_results(Results &results, const Capacity &capacity, std::byte *start)
{
  Parts parts(start);
  parts.place(results.energy, 1);
  parts.place(results.clash, 1);
  parts.place(results.energies, capacity.tokens);
  parts.place(results.forces, 3LL * capacity.rows);
  return parts.used();
}

template <typename Real>
std::size_t place_work(Step<Real> &step, const NetworkShape &shape, const Capacity &capacity, bool forces,
                       std::byte *start)
{
  const long long tokens = capacity.tokens, rows = capacity.rows, edges = capacity.edges, all = shape.layers,
                  dim = shape.dim, heads = shape.heads, gates = 2LL * padded_feedforward(shape.feedforward);
  step.most_tokens = capacity.tokens;
  step.most_rows = capacity.rows;
  step.most_edges = capacity.edges;
  step.most_halo = capacity.halo;
  Parts parts(start);
  const long long listed = shape.local ? edges : 0;
  parts.place(step.near.end, shape.local ? tokens : 0);
  parts.place(step.near.edge, listed);
  parts.place(step.near.row, listed);
  parts.place(step.distance, edges);
  parts.place(step.clash, tokens);
  parts.place(step.phase, all * rows * dim);
  parts.place(step.token, tokens * dim);
  for (Real **array : {&step.normal_one, &step.normal_two, &step.query, &step.mixed})
    parts.place(*array, all * tokens * dim);
  for (Real **array : {&step.deviation_one, &step.deviation_two}) parts.place(*array, all * tokens);
  parts.place(step.normal_last, tokens * dim);
  parts.place(step.deviation_last, tokens);
  for (Real **array : {&step.key, &step.value}) parts.place(*array, all * rows * dim);
  parts.place(step.lse, all * tokens * heads);
  parts.place(step.gate, all * tokens * gates);
  parts.place(step.hidden, tokens * dim);
  const long long halo = capacity.halo;
  parts.place(step.given, 2LL * capacity.given * dim);
  parts.place(step.halo, 2 * halo * dim);
  if (!forces) return parts.used();
  parts.place(step.near.back_end, shape.local ? rows : 0);
  parts.place(step.near.back_edge, listed);
  parts.place(step.near.back_token, listed);
  for (Real **array : {&step.pending, &step.gradient_between, &step.gradient_inside, &step.gradient_mixed,
                       &step.gradient_query})
    parts.place(*array, tokens * dim);
  parts.place(step.gradient_gate, tokens * gates);
  parts.place(step.along, tokens * heads);
  for (Real **array : {&step.gradient_key, &step.gradient_value}) parts.place(*array, rows * dim);
  parts.place(step.gradient_three, 3 * tokens * dim);
  parts.place(step.gradient_halo, 2 * halo * dim);
  parts.place(step.slopes, shape.split().groups * edges);
  parts.place(step.phase_gradient, 3 * rows);
  parts.place(step.pull, 3 * tokens);
  parts.place(step.phase_virials, 9 * shape.split().groups * tokens);
  parts.place(step.out.virials, 9 * tokens);
  return parts.used();
}

template std::size_t place_work(Step<float> &, const NetworkShape &, const Capacity &, bool, std::byte *);
template std::size_t place_work(Step<double> &, const NetworkShape &, const Capacity &, bool, std::byte *);

}  // namespace transip::cuda
