// The kernels of a step by name.
#pragma once

// X(name, threads of a block): each is a template `name<Shape>(step, layer)`.

/// Of all networks.
#define TRANSIP_COMMON_KERNELS(X) \
  X(begin, plain_threads) \
  X(project, dense_threads) \
  X(give_halo, plain_threads) \
  X(take_halo, plain_threads) \
  X(attend, plain_threads) \
  X(energy_sum, sum_threads) \
  X(attend_back_tokens, plain_threads) \
  X(attend_back_rows, plain_threads) \
  X(fold, plain_threads) \
  X(fold_halo, plain_threads) \
  X(fold_given, plain_threads) \
  X(project_back, dense_threads) \
  X(pull, plain_threads) \
  X(forces, plain_threads) \
  X(attend_back_virials, plain_threads) \
  X(virials, plain_threads)

/// Of narrow networks: several linear layers each.
#define TRANSIP_NARROW_KERNELS(X) \
  X(after_attention, dense_threads) \
  X(after_attention_back, dense_threads)

/// Of the others.
#define TRANSIP_WIDE_KERNELS(X) \
  X(attention_output, dense_threads) \
  X(gate, dense_threads) \
  X(feedforward_output, dense_threads) \
  X(energy_hidden, dense_threads) \
  X(energies, plain_threads) \
  X(energy_hidden_back, dense_threads) \
  X(feedforward_output_back, dense_threads) \
  X(gate_back, dense_threads) \
  X(attention_output_back, dense_threads)

#define TRANSIP_STEP_KERNELS(X) \
  TRANSIP_COMMON_KERNELS(X) \
  TRANSIP_NARROW_KERNELS(X) \
  TRANSIP_WIDE_KERNELS(X)
