/* The kernels' table for AVX-512F. */
#if defined(__x86_64__)
#include "nn_v16_avx512.h"

#include "nn_ops_v16.h"

const nn_ops nn__ops_avx512 = NN_OPS_V16(avx512);
#endif
