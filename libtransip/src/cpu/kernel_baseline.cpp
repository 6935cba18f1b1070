// The kernels for what every machine has; CMakeLists.txt gives the compiler's option.
#define TRANSIP_VECTOR_BYTES 16
#include "engine.h"

namespace transip::native {

Kernel *make_baseline(const Network &network, const RadialPieces &pieces, bool single)
{
  return make(network, pieces, single);
}

}  // namespace transip::native
