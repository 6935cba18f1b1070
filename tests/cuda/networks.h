// Networks with random weights, of any shape.
#pragma once

#include "modelfile/weights.h"
#include "transip/metadata.h"

struct TestNetwork {
  transip::Weights weights;
  transip::Metadata metadata;
};

/// The shape of a network of two layers, without a repulsion.
transip::Architecture architecture(int dim, int heads, int feedforward, bool radial, bool rotary_values);

/// A network of hydrogen and oxygen, charges -1 to 1, multiplicities 1 to 3, whose weights are float32 numbers, whatever
/// the dtype. cutoff: Angstrom; 0: none.
TestNetwork random_network(transip::Architecture architecture, double cutoff, const std::string &dtype);

/// The network of an exported model. Throws Error: it is none.
TestNetwork read_network(const std::string &path);
