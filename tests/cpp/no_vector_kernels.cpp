// No kernels for vector instructions, where only those that run anywhere are to be built: under the sanitizers, which
// take long to compile them. TRANSIP_INSTRUCTIONS=baseline keeps libtransip from asking for the others.
#include "cpu/network.h"

namespace transip::native {

Kernel *make_avx2(const Network &, const RadialPieces &, bool)
{
  return nullptr;
}

Kernel *make_avx512(const Network &, const RadialPieces &, bool)
{
  return nullptr;
}

}  // namespace transip::native
