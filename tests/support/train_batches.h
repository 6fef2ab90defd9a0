/** Packed batches from a file of tensors, for the tests and timings of training.
 *
 * The file has I64 vectors: batch/sequences and batch/outputs [batches]; batch/offsets, of each
 * batch its sequences + 1; batch/ids; batch/targets; batch/rows (empty for TR_HEAD_CLASSIFY), all
 * batches one behind the other. Source: tests/reference/hf_models.py, batch_tensors. */
#ifndef TRAIN_BATCHES_H
#define TRAIN_BATCHES_H

#include <stdlib.h>
#include <string.h>

#include "safetensors.h"
#include "tr_net.h"

typedef struct train_batches {
    tr_batch *items; /* [count] */
    uint32_t count;
    uint32_t outputs_max;
    uint32_t *off, *rows;
    int32_t *ids, *targets;
} train_batches;

/** Reads whole numbers from 0 on. Errors: FS_EFORMAT naming the tensor, FS_ENOMEM. */
FS_MUST_CHECK static inline fs_status
train_batches_numbers(const fs_safetensors *file, const char *name, uint32_t **out, size_t *count)
{
    const fs_tensor_view *view = fs_safetensors_find(file, name);
    if (view == NULL || view->dtype != FS_I64) {
        return fs_fail(FS_EFORMAT, "the batches have no I64 tensor %s", name);
    }
    *count = view->bytes / sizeof(int64_t);
    *out = calloc(*count + 1, sizeof **out);
    if (*out == NULL) return fs_fail(FS_ENOMEM, "no memory for %s", name);
    for (size_t i = 0; i < *count; i++) {
        int64_t value;
        memcpy(&value, view->data + i * sizeof value, sizeof value);
        if (value < 0 || value > INT32_MAX) {
            return fs_fail(FS_EFORMAT, "%s holds %lld", name, (long long)value);
        }
        (*out)[i] = (uint32_t)value;
    }
    return FS_OK;
}

static inline void train_batches_free(train_batches *self)
{
    free(self->items);
    free(self->off);
    free(self->rows);
    free(self->ids);
    free(self->targets);
    *self = (train_batches){0};
}

/** Hands out the arrays to the batches, which must use them up. */
FS_MUST_CHECK static inline fs_status train_batches_cut(train_batches *self,
                                                        const uint32_t *sequences,
                                                        const uint32_t *outputs,
                                                        const size_t counts[4])
{
    size_t offset = 0, token = 0, output = 0;
    for (uint32_t i = 0; i < self->count; i++) {
        if (offset + sequences[i] >= counts[0]) return fs_fail(FS_EFORMAT, "batch/offsets: short");
        const uint32_t *off = self->off + offset;
        self->items[i] =
            (tr_batch){.tokens = {.ids = self->ids + token, .off = off, .n_seq = sequences[i]},
                       .rows = counts[3] == 0 ? NULL : self->rows + output,
                       .targets = self->targets + output,
                       .outputs = outputs[i]};
        offset += sequences[i] + 1u;
        token += off[sequences[i]];
        output += outputs[i];
        if (outputs[i] > self->outputs_max) self->outputs_max = outputs[i];
    }
    if (offset != counts[0] || token != counts[1] || output != counts[2] ||
        (counts[3] != 0 && output != counts[3])) {
        return fs_fail(FS_EFORMAT, "the batches do not use up their tensors");
    }
    return FS_OK;
}

/** Reads all batches; free them with train_batches_free, also after a failure. */
FS_MUST_CHECK static inline fs_status train_batches_read(train_batches *out,
                                                         const fs_safetensors *file)
{
    uint32_t *sequences = NULL, *outputs = NULL, *ids = NULL, *targets = NULL;
    size_t batches, same, counts[4] = {0};
    *out = (train_batches){0};
    fs_status status = train_batches_numbers(file, "batch/sequences", &sequences, &batches);
    if (status == FS_OK) status = train_batches_numbers(file, "batch/outputs", &outputs, &same);
    if (status == FS_OK) status = train_batches_numbers(file, "batch/offsets", &out->off, counts);
    if (status == FS_OK) status = train_batches_numbers(file, "batch/ids", &ids, counts + 1);
    if (status == FS_OK)
        status = train_batches_numbers(file, "batch/targets", &targets, counts + 2);
    if (status == FS_OK) status = train_batches_numbers(file, "batch/rows", &out->rows, counts + 3);
    /* None is beyond INT32_MAX, so the signed ones have the same bits. */
    out->ids = (int32_t *)ids;
    out->targets = (int32_t *)targets;
    if (status == FS_OK && same != batches) status = fs_fail(FS_EFORMAT, "batch/outputs: length");
    if (status == FS_OK) {
        out->count = (uint32_t)batches;
        out->items = calloc(batches + 1, sizeof *out->items);
        status = out->items == NULL ? fs_fail(FS_ENOMEM, "no memory for batches")
                                    : train_batches_cut(out, sequences, outputs, counts);
    }
    free(sequences);
    free(outputs);
    return status;
}

#endif
