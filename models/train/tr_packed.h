/** How the network reads a set of weights; internal to tr_weights and tr_net. */
#ifndef TR_PACKED_H
#define TR_PACKED_H

#include "tr_weights.h"

/** @return the tensor as it lies in the flat array; borrowed. */
const float *tr__values(const tr_weights *self, uint32_t tensor);
/** @return W packed [in, out], for x W. Asserts that the tensor is a product's matrix. */
const float *tr__forward_copy(const tr_weights *self, uint32_t tensor);
/** @return W^T packed [out, in], for dy W^T. Asserts that the tensor is a product's matrix. */
const float *tr__backward_copy(const tr_weights *self, uint32_t tensor);

#endif
