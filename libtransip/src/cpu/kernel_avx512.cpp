// The kernels for AVX-512; CMakeLists.txt gives the compiler's option.
#define TRANSIP_VECTOR_BYTES 64
#include "engine.h"

namespace transip::native {

Kernel *make_avx512(const Network &network, const RadialPieces &pieces, bool single)
{
  return make(network, pieces, single);
}

}  // namespace transip::native
