#include "tr_checkpoint.h"

#include <string.h>

#include "assert.h"
#include "file.h"
#include "outfile.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arrays are written as they lie");

enum { MAGIC_BYTES = 8, HEAD_BYTES = MAGIC_BYTES + FS_HASH_BYTES + 3 * 8 + TR_COUNTERS * 8 };

static const char magic[MAGIC_BYTES + 1] = "FSTRAIN1";

static void put_head(const tr_checkpoint *self, uint8_t out[HEAD_BYTES])
{
    const uint64_t sizes[3] = {self->step, self->floats, self->arrays};
    memcpy(out, magic, MAGIC_BYTES);
    memcpy(out + MAGIC_BYTES, self->fingerprint.bytes, FS_HASH_BYTES);
    memcpy(out + MAGIC_BYTES + FS_HASH_BYTES, sizes, sizeof sizes);
    memcpy(out + MAGIC_BYTES + FS_HASH_BYTES + sizeof sizes, self->counters, sizeof self->counters);
}

fs_status tr_checkpoint_write(const tr_checkpoint *self, const char *path)
{
    FS_ASSERT(self->arrays <= TR_CHECKPOINT_ARRAYS_MAX);
    uint8_t head[HEAD_BYTES];
    fs_outfile file;
    fs_hasher hasher;
    fs_hash sum;
    put_head(self, head);
    FS_TRY(fs_outfile_open(&file, path));
    fs_hasher_init(&hasher);
    fs_hasher_update(&hasher, head, sizeof head);
    fwrite(head, 1, sizeof head, file.file);
    for (size_t i = 0; i < self->arrays; i++) {
        fs_hasher_update(&hasher, self->data[i], self->floats * sizeof(float));
        fwrite(self->data[i], sizeof(float), self->floats, file.file);
    }
    if (self->extra_bytes > 0) {
        fs_hasher_update(&hasher, self->extra, self->extra_bytes);
        fwrite(self->extra, 1, self->extra_bytes, file.file);
    }
    fs_hasher_final(&hasher, &sum);
    fwrite(sum.bytes, 1, sizeof sum.bytes, file.file);
    return fs_outfile_commit(&file);
}

static fs_status damaged(const char *path, const char *why)
{
    return fs_fail(FS_ECORRUPT, "%s: the checkpoint is damaged (%s); delete it to begin anew", path,
                   why);
}

static fs_status read_map(tr_checkpoint *self, const char *path, const fs_map *map)
{
    FS_ASSERT(self->arrays <= TR_CHECKPOINT_ARRAYS_MAX);
    if (map->size < HEAD_BYTES + FS_HASH_BYTES) return damaged(path, "it is cut off");
    if (memcmp(map->data, magic, MAGIC_BYTES) != 0)
        return damaged(path, "it does not begin as one");
    fs_hash sum;
    const size_t body = map->size - FS_HASH_BYTES;
    fs_hash_bytes(&sum, map->data, body);
    if (memcmp(sum.bytes, map->data + body, FS_HASH_BYTES) != 0)
        return damaged(path, "its checksum differs");
    const uint8_t *at = map->data + MAGIC_BYTES;
    if (memcmp(at, self->fingerprint.bytes, FS_HASH_BYTES) != 0)
        return fs_fail(FS_EREFUSED, "%s: the checkpoint of another run", path);
    uint64_t sizes[3];
    memcpy(sizes, at + FS_HASH_BYTES, sizeof sizes);
    const size_t bytes = self->floats * sizeof(float);
    if (sizes[1] != self->floats || sizes[2] != self->arrays ||
        body != HEAD_BYTES + self->arrays * bytes + self->extra_bytes)
        return fs_fail(FS_EREFUSED, "%s: the checkpoint of a model of other size", path);
    self->step = sizes[0];
    memcpy(self->counters, at + FS_HASH_BYTES + sizeof sizes, sizeof self->counters);
    for (size_t i = 0; i < self->arrays; i++)
        memcpy(self->data[i], map->data + HEAD_BYTES + i * bytes, bytes);
    if (self->extra_bytes > 0)
        memcpy(self->extra, map->data + body - self->extra_bytes, self->extra_bytes);
    return FS_OK;
}

fs_status tr_checkpoint_read(tr_checkpoint *self, const char *path)
{
    fs_map map;
    FS_TRY(fs_map_open(&map, path));
    fs_status status = read_map(self, path, &map);
    fs_map_close(&map);
    return status;
}
