/* A write transaction. Results go straight into the trials; totals and done ranges are gathered per
 * cell in memory and folded in at commit, so that a group of results costs one descent each. */
#include "store_impl.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "assert.h"
#include "grow.h"
#include "hash.h"

static fs_status begin_in(fs_store *self)
{
    FS_TRY(fs_store__next_number(self, self->txn, FS_DB_ATTEMPTS, &self->attempt_next));
    FS_TRY(fs_store__next_number(self, self->txn, FS_DB_EVENTS, &self->event_next));
    int rc = mdb_cursor_open(self->txn, self->dbi[FS_DB_TRIALS], &self->trials);
    return rc == 0 ? FS_OK : fs_store__error(self, rc, "trials");
}

fs_status fs_store_begin(fs_store *self)
{
    FS_ASSERT(self->mode == FS_STORE_CREATE && self->txn == NULL);
    FS_TRY(fs_store__env_mend(self));
    int rc = mdb_txn_begin(self->env, NULL, 0, &self->txn);
    if (rc == MDB_PANIC) { /* the last commit could not write its meta page, for want of space */
        self->broken = 1;
        FS_TRY(fs_store__env_mend(self));
        rc = mdb_txn_begin(self->env, NULL, 0, &self->txn);
    }
    if (rc != 0) {
        self->txn = NULL;
        return fs_store__error(self, rc, "begin");
    }
    return begin_in(self);
}

static void forget_touched(fs_store *self)
{
    for (size_t i = 0; i < self->touched_count; i++) self->slot[self->touched[i].cell] = 0;
    self->touched_count = 0;
}

void fs_store_abort(fs_store *self)
{
    /* A cursor of a write transaction is freed with it. */
    if (self->txn != NULL) mdb_txn_abort(self->txn);
    self->txn = NULL;
    self->trials = NULL;
    forget_touched(self);
}

static fs_status touch(fs_store *self, uint32_t cell, fs_store_touched **out)
{
    if (self->slot[cell] != 0) {
        *out = &self->touched[self->slot[cell] - 1];
        return FS_OK;
    }
    const size_t before = self->touched_capacity;
    fs_store_touched *grown =
        fs_grow(self->touched, self->touched_count, &self->touched_capacity, sizeof *grown);
    if (grown == NULL) return fs_fail(FS_ENOMEM, "no memory for more cells");
    memset(grown + before, 0, (self->touched_capacity - before) * sizeof *grown);
    self->touched = grown;
    fs_store_touched *touched = &self->touched[self->touched_count];
    FS_TRY(fs_store__totals(self, self->txn, cell, &touched->totals));
    touched->cell = cell;
    touched->range_count = 0; /* the memory of an earlier transaction is used again */
    self->slot[cell] = (uint32_t)++self->touched_count;
    *out = touched;
    return FS_OK;
}

static fs_status mark_done(fs_store_touched *touched, uint64_t trial)
{
    fs_range *last = touched->range_count == 0 ? NULL : &touched->ranges[touched->range_count - 1];
    if (last != NULL && trial == last->first + last->count) {
        last->count++;
        return FS_OK;
    }
    fs_range *ranges =
        fs_grow(touched->ranges, touched->range_count, &touched->range_capacity, sizeof *ranges);
    if (ranges == NULL) return fs_fail(FS_ENOMEM, "no memory for more ranges");
    touched->ranges = ranges;
    touched->ranges[touched->range_count++] = (fs_range){trial, 1};
    return FS_OK;
}

static fs_status check_place(const fs_store *self, uint32_t cell, uint64_t trial)
{
    if (cell >= self->cell_count)
        return fs_fail(FS_EPROTO, "%s: the campaign has no cell %u", self->dir, cell);
    if (trial >= self->planned[cell])
        return fs_fail(FS_EPROTO, "%s: cell %u has no trial %llu", self->dir, cell,
                       (unsigned long long)trial);
    return FS_OK;
}

/* A late result of a quarantined trial lifts the quarantine: the order of the two cannot show. */
static fs_status lift_quarantine(fs_store *self, fs_store_touched *touched, fs_store_key *key)
{
    MDB_val k = {key->size, key->bytes};
    int rc = mdb_del(self->txn, self->dbi[FS_DB_QUARANTINE], &k, NULL);
    if (rc == MDB_NOTFOUND) return FS_OK;
    if (rc != 0) return fs_store__error(self, rc, "quarantine");
    if (touched->totals.quarantined > 0) touched->totals.quarantined--;
    return FS_OK;
}

/* Compares with the stored result; the first one stays. */
static fs_status put_again(fs_store *self, fs_store_touched *touched, uint64_t trial,
                           const MDB_val *stored, const void *record, size_t bytes, int *verdict)
{
    if (stored->mv_size == bytes && memcmp(stored->mv_data, record, bytes) == 0) {
        touched->totals.duplicates++;
        *verdict = 1;
        return FS_OK;
    }
    fs_trial_record old;
    if (fs_trial_decode(&old, stored->mv_data, stored->mv_size) != FS_OK)
        return fs_wrap(FS_ECORRUPT, "%s: stored trial %llu of cell %u", self->dir,
                       (unsigned long long)trial, touched->cell);
    touched->totals.mismatches++;
    *verdict = 2;
    return FS_OK;
}

fs_status fs_store_put_trial(fs_store *self, uint32_t cell, uint64_t trial, const void *record,
                             size_t bytes, int *verdict)
{
    FS_ASSERT(self->txn != NULL);
    FS_TRY(check_place(self, cell, trial));
    fs_trial_record decoded;
    fs_status status = fs_trial_decode(&decoded, record, bytes);
    if (status != FS_OK)
        return fs_wrap(status, "result of trial %llu of cell %u", (unsigned long long)trial, cell);
    fs_store_touched *touched;
    FS_TRY(touch(self, cell, &touched));
    fs_store_key key = fs_store__key_trial(cell, trial);
    MDB_val k = {key.size, key.bytes};
    MDB_val v = {bytes, (void *)(uintptr_t)record}; /* LMDB only reads it */
    int rc = mdb_cursor_put(self->trials, &k, &v, MDB_NOOVERWRITE);
    if (rc == MDB_KEYEXIST) return put_again(self, touched, trial, &v, record, bytes, verdict);
    if (rc != 0) return fs_store__error(self, rc, "trials");
    *verdict = 0;
    fs_totals_add(&touched->totals, &decoded);
    FS_TRY(lift_quarantine(self, touched, &key));
    return mark_done(touched, trial);
}

fs_status fs_store_put_quarantine(fs_store *self, uint32_t cell, uint64_t trial, const char *cause)
{
    FS_ASSERT(self->txn != NULL);
    FS_TRY(check_place(self, cell, trial));
    fs_store_touched *touched;
    FS_TRY(touch(self, cell, &touched));
    fs_store_key key = fs_store__key_trial(cell, trial);
    MDB_val k = {key.size, key.bytes}, v;
    int rc = mdb_get(self->txn, self->dbi[FS_DB_TRIALS], &k, &v);
    if (rc == 0) return FS_OK; /* it has a result after all */
    if (rc == MDB_NOTFOUND) rc = mdb_get(self->txn, self->dbi[FS_DB_QUARANTINE], &k, &v);
    if (rc == 0) return FS_OK; /* the first cause stays */
    if (rc != MDB_NOTFOUND) return fs_store__error(self, rc, "quarantine");
    FS_TRY(fs_store__put(self, self->txn, FS_DB_QUARANTINE, &key, cause,
                         strnlen(cause, FS_STORE_CAUSE_BYTES_MAX - 1)));
    touched->totals.quarantined++;
    return mark_done(touched, trial);
}

fs_status fs_store_put_attempt(fs_store *self, const fs_attempt *attempt)
{
    FS_ASSERT(self->txn != NULL);
    fs_buf value = {0};
    fs_store_key key = fs_store__key_u64(self->attempt_next);
    fs_status status = fs_store__attempt_encode(attempt, &value);
    if (status == FS_OK)
        status = fs_store__put(self, self->txn, FS_DB_ATTEMPTS, &key, value.data, value.size);
    if (status == FS_OK) self->attempt_next++;
    fs_buf_free(&value);
    return status;
}

fs_status fs_store_put_event(fs_store *self, uint64_t wall_ms, const char *kind, const char *text)
{
    FS_ASSERT(self->txn != NULL);
    fs_buf value = {0};
    fs_store_key key = fs_store__key_u64(self->event_next);
    fs_status status = fs_store__put_u64(&value, wall_ms);
    if (status == FS_OK) status = fs_store__put_text(&value, kind, FS_NAME_BYTES_MAX);
    if (status == FS_OK) status = fs_store__put_text(&value, text, FS_STORE_CAUSE_BYTES_MAX);
    if (status == FS_OK)
        status = fs_store__put(self, self->txn, FS_DB_EVENTS, &key, value.data, value.size);
    if (status == FS_OK) self->event_next++;
    fs_buf_free(&value);
    return status;
}

static int same_bits(double a, double b)
{
    uint64_t x, y;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    return x == y;
}

int fs_store_golden_finite(const fs_store_golden *self)
{
    return isfinite(self->loss) && isfinite(self->metric);
}

int fs_store_golden_equal(const fs_store_golden *a, const fs_store_golden *b)
{
    return same_bits(a->metric, b->metric) && same_bits(a->loss, b->loss) &&
           a->answers == b->answers && a->checksum == b->checksum && a->altered == b->altered &&
           (!a->has_facts || !b->has_facts ||
            (a->token_rows_read == b->token_rows_read && a->positions_read == b->positions_read &&
             a->bounds_checksum == b->bounds_checksum));
}

static fs_status write_golden(fs_store *self, const fs_store_key *key,
                              const fs_store_golden *golden)
{
    fs_buf value = {0};
    fs_status status = fs_store__golden_encode(golden, &value);
    if (status == FS_OK)
        status = fs_store__put(self, self->txn, FS_DB_GOLDEN, key, value.data, value.size);
    fs_buf_free(&value);
    return status;
}

/* The first one stays; one of a store that kept no facts gets them. */
static fs_status keep_golden(fs_store *self, const fs_store_key *key, fs_store_golden *old,
                             const fs_store_golden *golden)
{
    if (old->has_facts || !golden->has_facts) return FS_OK;
    old->has_facts = 1;
    old->token_rows_read = golden->token_rows_read;
    old->positions_read = golden->positions_read;
    old->bounds_checksum = golden->bounds_checksum;
    return write_golden(self, key, old);
}

fs_status fs_store_put_golden(fs_store *self, uint32_t variant, const fs_store_golden *golden)
{
    FS_ASSERT(self->txn != NULL);
    const uint8_t *data;
    size_t size;
    fs_store_key key = fs_store__key_u32(variant);
    fs_status status = fs_store__get(self, self->txn, FS_DB_GOLDEN, &key, &data, &size);
    if (status == FS_OK) {
        fs_store_golden old;
        FS_TRY(fs_store__golden_decode(&old, data, size));
        if (fs_store_golden_equal(&old, golden)) return keep_golden(self, &key, &old, golden);
        return fs_fail(
            FS_EMISMATCH,
            "golden run of variant %u on %s (%s): metric %.17g, checksum %016llx; stored "
            "from %s (%s): metric %.17g, checksum %016llx",
            variant, golden->host, golden->kernel, golden->metric,
            (unsigned long long)golden->checksum, old.host, old.kernel, old.metric,
            (unsigned long long)old.checksum);
    }
    return status == FS_ENOENT ? write_golden(self, &key, golden) : status;
}

static fs_status fold_cell(fs_store *self, const fs_store_touched *touched)
{
    for (size_t i = 0; i < touched->range_count; i++)
        FS_TRY(fs_store__range_add(self, self->txn, touched->cell, touched->ranges[i].first,
                                   touched->ranges[i].count));
    fs_buf value = {0};
    fs_store_key key = fs_store__key_u32(touched->cell);
    fs_status status = fs_store__totals_encode(&touched->totals, &value);
    if (status == FS_OK)
        status = fs_store__put(self, self->txn, FS_DB_TOTALS, &key, value.data, value.size);
    fs_buf_free(&value);
    return status;
}

fs_status fs_store_commit(fs_store *self)
{
    FS_ASSERT(self->txn != NULL);
    for (size_t i = 0; i < self->touched_count; i++) FS_TRY(fold_cell(self, &self->touched[i]));
    int rc = mdb_txn_commit(self->txn);
    self->txn = NULL; /* freed by LMDB whether it worked or not */
    self->trials = NULL;
    forget_touched(self);
    return rc == 0 ? FS_OK : fs_store__error(self, rc, "commit");
}
