/** Reads safetensors: one file, or the shards that an index names.
 *
 * Everything in the header is validated before use: sizes, overflow, holes and overlap, dtypes,
 * duplicate names. Opaque; memory-mapped. Thread rule: const functions are reentrant.
 * Source: github.com/huggingface/safetensors, README "Format". */
#ifndef FS_SAFETENSORS_H
#define FS_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

typedef enum fs_dtype { FS_F32, FS_F16, FS_BF16, FS_I64, FS_OTHER } fs_dtype;

/** One tensor. Borrowed pointers live as long as the fs_safetensors. */
typedef struct fs_tensor_view {
    const char *name;
    fs_dtype dtype;
    int rank; /* 0 to 8 */
    uint64_t shape[8];
    const uint8_t *data; /* may be unaligned: read by memcpy */
    uint64_t bytes;
} fs_tensor_view;

typedef struct fs_safetensors fs_safetensors;

/** Opens `dir`/model.safetensors or, where that lacks, `dir`/model.safetensors.index.json.
 * Errors: FS_ENOENT (no weights), FS_EFORMAT naming file, tensor and offsets, FS_ELIMIT, FS_EIO. */
FS_MUST_CHECK fs_status fs_safetensors_open(fs_safetensors **out, const char *dir);
/** Unmaps and frees; nulls; idempotent. */
void fs_safetensors_close(fs_safetensors **self);
/** @return nonzero if the folder holds weights in a form that open would try. */
int fs_safetensors_present(const char *dir);

size_t fs_safetensors_count(const fs_safetensors *self);
const fs_tensor_view *fs_safetensors_at(const fs_safetensors *self, size_t i);
/** @return the tensor of that name, NULL if absent. */
const fs_tensor_view *fs_safetensors_find(const fs_safetensors *self, const char *name);
/** @return the path of the file that holds the tensor, for messages. */
const char *fs_safetensors_path(const fs_safetensors *self, const fs_tensor_view *tensor);

/** Converts `count` values from `first` on to fp32, exactly (F16 and BF16 widen; NaN payloads are
 * kept in the high bits). The dtype must be F32, F16 or BF16. Asserts the range. */
void fs_tensor_to_f32(float *out, const fs_tensor_view *tensor, uint64_t first, uint64_t count);

#endif
