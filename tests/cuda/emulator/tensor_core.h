// Matrix instructions of a warp, as PTX describes them: what lane has what of a matrix, and what is rounded how.
#pragma once

namespace emulator {

/// cvt.rna.tf32.f32: rounded to 10 bits of fraction, to nearest, ties away from zero. Bits of a float32.
unsigned round_to_tf32(float x);

/// mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32: sum += left x right. Throws BadKernel: an operand is not of TF32.
///
/// PTX says little of how sums are rounded. Here, as was measured on several GPUs (Fasi, Higham, Mikaitis, Pranesh, PeerJ
/// Comput. Sci. 7, e330, 2021), products are exact and all terms of a sum are cut off below the last of 24 bits of the
/// largest of them: nothing is rounded, and no bit more is kept.
void multiply_tf32(float (&sum)[4], const unsigned (&left)[4], const unsigned (&right)[2]);

/// mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64: sum += left x right, by fused multiplications and additions.
void multiply_double(double (&sum)[2], double left, double right);

}  // namespace emulator
