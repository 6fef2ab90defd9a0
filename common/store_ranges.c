/* Done ranges: one entry per run of done trials, disjoint, never touching one another. */
#include "store_impl.h"

#include <stdlib.h>

#include "grow.h"

enum { RANGE_KEY_BYTES = 12 };

/* Reads the entry at a cursor. */
static fs_status range_decode(fs_store *self, const MDB_val *key, const MDB_val *value,
                              uint32_t *cell, fs_range *out)
{
    size_t size;
    if (key->mv_size != RANGE_KEY_BYTES || !fs_store__sum_holds(self, key, value, &size) ||
        size != 8)
        return fs_fail(FS_ECORRUPT, "%s: a done range does not match its checksum", self->dir);
    const uint8_t *bytes = key->mv_data;
    fs_store_reader in = {value->mv_data, (const uint8_t *)value->mv_data + size, 0};
    *cell = fs_store__be32(bytes);
    *out = (fs_range){fs_store__be64(bytes + 4), fs_store__get_u64(&in)};
    if (out->count == 0 || out->count > FS_TRIALS_MAX || out->first > FS_TRIALS_MAX)
        return fs_fail(FS_ECORRUPT, "%s: a done range of cell %u is impossible", self->dir, *cell);
    return FS_OK;
}

/* Finds the range at or before `first` in the cell; count 0 if there is none. */
static fs_status range_before(fs_store *self, MDB_cursor *cursor, uint32_t cell, uint64_t first,
                              fs_range *out)
{
    fs_store_key key = fs_store__key_trial(cell, first);
    MDB_val k = {key.size, key.bytes}, v;
    *out = (fs_range){0, 0};
    int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    if (rc == MDB_NOTFOUND)
        rc = mdb_cursor_get(cursor, &k, &v, MDB_LAST);
    else if (rc == 0 && (k.mv_size != key.size || memcmp(k.mv_data, key.bytes, key.size) != 0))
        rc = mdb_cursor_get(cursor, &k, &v, MDB_PREV);
    if (rc == MDB_NOTFOUND) return FS_OK;
    if (rc != 0) return fs_store__error(self, rc, "shards");
    uint32_t found_cell;
    fs_range found;
    FS_TRY(range_decode(self, &k, &v, &found_cell, &found));
    if (found_cell == cell) *out = found;
    return FS_OK;
}

/* Deletes the ranges that begin in [first, *end], and moves *end to where the last of them ends. */
static fs_status absorb_after(fs_store *self, MDB_cursor *cursor, uint32_t cell, uint64_t first,
                              uint64_t *end)
{
    for (;;) {
        fs_store_key key = fs_store__key_trial(cell, first);
        MDB_val k = {key.size, key.bytes}, v;
        int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
        if (rc == MDB_NOTFOUND) return FS_OK;
        if (rc != 0) return fs_store__error(self, rc, "shards");
        uint32_t found_cell;
        fs_range found;
        FS_TRY(range_decode(self, &k, &v, &found_cell, &found));
        if (found_cell != cell || found.first > *end) return FS_OK;
        if (found.first + found.count > *end) *end = found.first + found.count;
        rc = mdb_cursor_del(cursor, 0);
        if (rc != 0) return fs_store__error(self, rc, "shards");
    }
}

static fs_status range_merge(fs_store *self, MDB_txn *txn, MDB_cursor *cursor, uint32_t cell,
                             fs_range add)
{
    uint64_t first = add.first, end = add.first + add.count;
    fs_range before;
    FS_TRY(range_before(self, cursor, cell, first, &before));
    if (before.count > 0 && before.first + before.count >= first) {
        first = before.first; /* its entry is written over below */
        if (before.first + before.count > end) end = before.first + before.count;
    }
    FS_TRY(absorb_after(self, cursor, cell, first + 1, &end));
    uint8_t value[8];
    for (int i = 0; i < 8; i++) value[i] = (uint8_t)((end - first) >> (8 * i));
    fs_store_key key = fs_store__key_trial(cell, first);
    return fs_store__put(self, txn, FS_DB_SHARDS, &key, value, sizeof value);
}

fs_status fs_store__range_add(fs_store *self, MDB_txn *txn, uint32_t cell, uint64_t first,
                              uint64_t count)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, self->dbi[FS_DB_SHARDS], &cursor);
    if (rc != 0) return fs_store__error(self, rc, "shards");
    fs_status status = range_merge(self, txn, cursor, cell, (fs_range){first, count});
    mdb_cursor_close(cursor);
    return status;
}

static fs_status range_push(fs_range **ranges, size_t *count, size_t *capacity, fs_range range)
{
    fs_range *data = fs_grow(*ranges, *count, capacity, sizeof *data);
    if (data == NULL) return fs_fail(FS_ENOMEM, "no memory for more ranges");
    *ranges = data;
    (*ranges)[(*count)++] = range;
    return FS_OK;
}

static fs_status collect(fs_store *self, MDB_cursor *cursor, uint32_t cell, fs_range **out,
                         size_t *count)
{
    fs_store_key key = fs_store__key_trial(cell, 0);
    MDB_val k = {key.size, key.bytes}, v;
    size_t capacity = 0;
    uint64_t end = 0;
    int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    for (; rc == 0; rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
        uint32_t found_cell;
        fs_range found;
        FS_TRY(range_decode(self, &k, &v, &found_cell, &found));
        if (found_cell != cell) return FS_OK;
        if (*count > 0 && found.first <= end)
            return fs_fail(FS_ECORRUPT, "%s: done ranges of cell %u overlap", self->dir, cell);
        end = found.first + found.count;
        FS_TRY(range_push(out, count, &capacity, found));
    }
    return rc == MDB_NOTFOUND ? FS_OK : fs_store__error(self, rc, "shards");
}

fs_status fs_store__done(fs_store *self, MDB_txn *txn, uint32_t cell, fs_range **out, size_t *count)
{
    *out = NULL;
    *count = 0;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, self->dbi[FS_DB_SHARDS], &cursor);
    if (rc != 0) return fs_store__error(self, rc, "shards");
    fs_status status = collect(self, cursor, cell, out, count);
    mdb_cursor_close(cursor);
    if (status == FS_OK) return FS_OK;
    free(*out);
    *out = NULL;
    *count = 0;
    return status;
}

fs_status fs_store_done(fs_store *self, uint32_t cell, fs_range **out, size_t *count)
{
    *out = NULL;
    *count = 0;
    MDB_txn *txn;
    FS_TRY(fs_store__read_begin(self, &txn));
    fs_status status = fs_store__done(self, txn, cell, out, count);
    mdb_txn_abort(txn);
    return status;
}
