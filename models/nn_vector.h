/** The entry points of the vector tables. Internal to the kernels. */
#ifndef NN_VECTOR_H
#define NN_VECTOR_H

#include "nn_isa.h"

void nn__gemm_avx2(const nn_product *block);
void nn__gemm_avx512(const nn_product *block);
/* AVX2 on either: a transposition is all loads and shuffles. */
void nn__pack_transposed_avx2(float *packed, const float *source, size_t ld, size_t k, size_t n);

#endif
