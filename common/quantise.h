/** int8 storage: symmetric quantisation with one fp32 scale for each channel of a tensor.
 *
 * A channel is what one output of a product, or one row of a table, reads: a row of an embedding or
 * of a torch Linear [out, in], a column of a GPT-2 layer's Conv1D [in, out]; a vector is one
 * channel. Its scale is the largest magnitude over 127, or 1 where that would be 0; a word is the
 * value over its scale, rounded to nearest even, -127 to 127, in two's complement. What is read is
 * (float)word * scale; a fault can make the word -128.
 *
 * Scales are stored beside the words and can be hit as redundant bits can (redundancy.h); a hit one
 * changes its whole channel. Thread rule: scales are const once they are settled. */
#ifndef FS_QUANTISE_H
#define FS_QUANTISE_H

#include <stddef.h>
#include <stdint.h>

#include "geometry.h"
#include "status.h"

enum { FS_SCALE_BITS = 32 };

/** What the channels of a tensor are. */
typedef enum fs_channels {
    FS_CHANNELS_ROWS,
    FS_CHANNELS_COLUMNS,
    FS_CHANNELS_ONE /* a vector */
} fs_channels;

fs_channels fs_channels_of(const fs_geometry *geometry, uint32_t tensor);
/** @return the channels of a tensor: so many scales. */
uint64_t fs_channel_count(const fs_geometry *geometry, uint32_t tensor);

/** @return the word of the bits of a finite fp32 value; `scale` > 0. */
uint32_t fs_quantise(uint32_t fp32, float scale);
/** @return the bits of the fp32 value that a word is. A hit scale may be anything; a NaN comes out
 * as one and the same. */
uint32_t fs_dequantise(uint32_t word, float scale);

/** The scales of a model. */
typedef struct fs_scales fs_scales;

/** All scales are 0, to be learnt. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_scales_new(fs_scales **out, const fs_geometry *geometry);
void fs_scales_destroy(fs_scales **self);
/** Adds a row of a tensor to what is known of its channels.
 *  @param values  [cols]
 *  @return zero if a value is not finite */
int fs_scales_learn(fs_scales *self, uint32_t tensor, uint64_t row, const float *values);
/** Ends learning of a tensor: largest magnitudes become scales. */
void fs_scales_settle(fs_scales *self, uint32_t tensor);
/** @return the scale of an element, borrowed; that of the next one in its row is `step` on. */
const float *fs_scales_at(const fs_scales *self, uint32_t tensor, uint64_t element, size_t *step);
/** @return the first element of an element's channel: the channel's name. */
uint64_t fs_scales_channel(const fs_scales *self, uint32_t tensor, uint64_t element);
/** @return the first element of a channel at or behind an element; UINT64_MAX: none. */
uint64_t fs_scales_next(const fs_scales *self, uint32_t tensor, uint64_t channel, uint64_t element);

#endif
