/* The kernels' table for AVX-512F. */
#if defined(__x86_64__)
#include <math.h>

#include "nn_isa.h"
#include "nn_poly.h"
#include "nn_v16_avx512.h"
#include "nn_vector.h"

#include "nn_kernels_v16.h"

const nn_ops nn__ops_avx512 = {
    .gemm = nn__gemm_avx512,
    .pack_transposed = nn__pack_transposed_avx2,
    .exp = exp_all,
    .tanh = tanh_all,
    .gelu_erf = gelu_erf_all,
    .gelu_tanh = gelu_tanh_all,
    .relu = relu_all,
    .add = add_all,
    .softmax = softmax_all,
    .layernorm = layernorm_all,
};
#endif
