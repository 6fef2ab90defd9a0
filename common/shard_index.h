/** The files that hold a model's weights: one, or the shards that an index names.
 *
 * Thread rule: const after reading. Source: HuggingFace's model.safetensors.index.json. */
#ifndef FS_SHARD_INDEX_H
#define FS_SHARD_INDEX_H

#include <jansson.h>
#include <stddef.h>

#include "status.h"

typedef struct fs_shard_index {
    char *path;         /* of the index; NULL where model.safetensors holds everything */
    json_t *weight_map; /* name of a tensor: name of its file; NULL without an index */
    const char **files; /* plain names, ascending; borrowed from weight_map or static */
    size_t file_count;  /* 1..FS_SHARD_FILES_MAX */
} fs_shard_index;

/** Looks for `dir`/model.safetensors, then for `dir`/model.safetensors.index.json.
 * Errors: FS_ENOENT if neither is there; FS_EFORMAT naming file and key, also for a file name that
 * would lead out of the folder; FS_ELIMIT; FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_shard_index_read(fs_shard_index *out, const char *dir);
/** Frees; idempotent. */
void fs_shard_index_free(fs_shard_index *self);

#endif
