// The kernels for AVX2 and FMA; CMakeLists.txt gives the compiler's option.
#define TRANSIP_VECTOR_BYTES 32
#include "engine.h"

namespace transip::native {

Kernel *make_avx2(const Network &network, const RadialPieces &pieces, bool single)
{
  return make(network, pieces, single);
}

}  // namespace transip::native
