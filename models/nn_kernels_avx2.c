/* The kernels' table for AVX2 and FMA. */
#if defined(__x86_64__)
#include "nn_v16_avx2.h"

#include "nn_ops_v16.h"

const nn_ops nn__ops_avx2 = NN_OPS_V16(avx2);
#endif
