/* The kernels' table for AVX2 and FMA. */
#if defined(__x86_64__)
#include <math.h>

#include "nn_dropout.h"
#include "nn_isa.h"
#include "nn_poly.h"
#include "nn_v16_avx2.h"
#include "nn_vector.h"

#include "nn_kernels_v16.h"
/* After what it uses. */
#include "nn_backward_v16.h"

const nn_ops nn__ops_avx2 = {
    .gemm = nn__gemm_avx2,
    .pack_transposed = nn__pack_transposed_avx2,
    .exp = exp_all,
    .tanh = tanh_all,
    .gelu_erf = gelu_erf_all,
    .gelu_tanh = gelu_tanh_all,
    .relu = relu_all,
    .add = add_all,
    .softmax = softmax_all,
    .layernorm = layernorm_all,
    .column_sums = column_sums_all,
    .gelu_erf_backward = gelu_erf_back_all,
    .gelu_tanh_backward = gelu_tanh_back_all,
    .relu_backward = relu_back_all,
    .tanh_backward = tanh_back_all,
    .layernorm_backward = layernorm_back_all,
    .softmax_backward = softmax_back_all,
    .dropout = dropout_all,
};
#endif
