/** The kernels' table of an instruction set; include it after the set's vector of 16 floats, over
 * which it compiles the kernels. */
#ifndef NN_OPS_V16_H
#define NN_OPS_V16_H

#include <math.h>

#include "nn_dropout.h"
#include "nn_isa.h"
#include "nn_poly.h"
#include "nn_vector.h"

#include "nn_kernels_v16.h"
/* After what it uses. */
#include "nn_backward_v16.h"

#define NN_OPS_V16(isa)                                                                            \
    {                                                                                              \
        .gemm = nn__gemm_##isa, .pack_transposed = nn__pack_transposed_avx2, .exp = exp_all,       \
        .tanh = tanh_all, .gelu_erf = gelu_erf_all, .gelu_tanh = gelu_tanh_all, .relu = relu_all,  \
        .add = add_all, .softmax = softmax_all, .layernorm = layernorm_all,                        \
        .column_sums = column_sums_all, .gelu_erf_backward = gelu_erf_back_all,                    \
        .gelu_tanh_backward = gelu_tanh_back_all, .relu_backward = relu_back_all,                  \
        .tanh_backward = tanh_back_all, .layernorm_backward = layernorm_back_all,                  \
        .softmax_backward = softmax_back_all, .dropout = dropout_all,                              \
    }

#endif
