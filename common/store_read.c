#include "store_impl.h"

#include <stdlib.h>

/* Reads one checked value under a transaction of its own and hands it to `decode`. */
static fs_status read_one(fs_store *self, fs_store_db db, const fs_store_key *key, fs_buf *out)
{
    MDB_txn *txn;
    const uint8_t *data;
    size_t size;
    FS_TRY(fs_store__read_begin(self, &txn));
    fs_status status = fs_store__get(self, txn, db, key, &data, &size);
    if (status == FS_OK) status = fs_buf_append(out, data, size);
    mdb_txn_abort(txn);
    return status;
}

fs_status fs_store_get_golden(fs_store *self, uint32_t variant, fs_store_golden *out)
{
    fs_buf value = {0};
    fs_store_key key = fs_store__key_u32(variant);
    fs_status status = read_one(self, FS_DB_GOLDEN, &key, &value);
    if (status == FS_OK) status = fs_store__golden_decode(out, value.data, value.size);
    if (status == FS_ENOENT)
        status = fs_fail(FS_ENOENT, "%s: no golden run of variant %u yet", self->dir, variant);
    fs_buf_free(&value);
    return status;
}

/* Decodes a trial's entry; the detail names the trial. */
static fs_status trial_decode(const fs_store *self, const MDB_val *key, const MDB_val *value,
                              fs_trial_record *out)
{
    if (key->mv_size != 12)
        return fs_fail(FS_ECORRUPT, "%s: a trial's key has %zu bytes", self->dir, key->mv_size);
    fs_status status = fs_trial_decode(out, value->mv_data, value->mv_size);
    if (status == FS_OK) return FS_OK;
    const uint8_t *bytes = key->mv_data;
    return fs_wrap(status, "%s: trial %llu of cell %u", self->dir,
                   (unsigned long long)fs_store__be64(bytes + 4), fs_store__be32(bytes));
}

fs_status fs_store_get_trial(fs_store *self, uint32_t cell, uint64_t trial, fs_buf *out)
{
    MDB_txn *txn;
    FS_TRY(fs_store__read_begin(self, &txn));
    fs_store_key key = fs_store__key_trial(cell, trial);
    MDB_val k = {key.size, key.bytes}, v;
    fs_trial_record record;
    fs_status status;
    int rc = mdb_get(txn, self->dbi[FS_DB_TRIALS], &k, &v);
    if (rc == MDB_NOTFOUND)
        status = fs_fail(FS_ENOENT, "%s: trial %llu of cell %u has no result yet", self->dir,
                         (unsigned long long)trial, cell);
    else if (rc != 0)
        status = fs_store__error(self, rc, "trials");
    else
        status = trial_decode(self, &k, &v, &record);
    if (status == FS_OK) status = fs_buf_append(out, v.mv_data, v.mv_size);
    mdb_txn_abort(txn);
    return status;
}

/* Calls `visit` for each entry from `first` on, until it returns nonzero in *stop or fails. */
typedef fs_status visit_entry(fs_store *self, const MDB_val *key, const MDB_val *value, void *data,
                              int *stop);

static fs_status each_in(fs_store *self, MDB_txn *txn, fs_store_db db, const fs_store_key *first,
                         visit_entry *visit, void *data)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, self->dbi[db], &cursor);
    if (rc != 0) return fs_store__error(self, rc, fs_store__db_name(db));
    fs_store_key from = *first;
    MDB_val key = {from.size, from.bytes}, value;
    fs_status status = FS_OK;
    int stop = 0;
    rc = mdb_cursor_get(cursor, &key, &value, from.size == 0 ? MDB_FIRST : MDB_SET_RANGE);
    while (rc == 0 && status == FS_OK) {
        status = visit(self, &key, &value, data, &stop);
        if (stop) break;
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (status == FS_OK && rc != 0 && rc != MDB_NOTFOUND)
        status = fs_store__error(self, rc, fs_store__db_name(db));
    return status;
}

/* The trials of one cell, as each_in gives them. */
typedef struct check_count {
    uint32_t cell;
    fs_totals *out;
} check_count;

static fs_status count_checks(fs_store *self, const MDB_val *key, const MDB_val *value, void *data,
                              int *stop)
{
    check_count *c = data;
    fs_trial_record record;
    if (key->mv_size == 12 && fs_store__be32(key->mv_data) != c->cell) {
        *stop = 1;
        return FS_OK;
    }
    FS_TRY(trial_decode(self, key, value, &record));
    c->out->check_faults += record.check_faults;
    return FS_OK;
}

fs_status fs_store__totals(fs_store *self, MDB_txn *txn, uint32_t cell, fs_totals *out)
{
    const uint8_t *data;
    size_t size;
    int old;
    fs_store_key key = fs_store__key_u32(cell);
    *out = (fs_totals){0};
    fs_status status = fs_store__get(self, txn, FS_DB_TOTALS, &key, &data, &size);
    if (status == FS_ENOENT) return FS_OK; /* nothing committed yet */
    if (status == FS_OK) status = fs_store__totals_decode(out, data, size, &old);
    if (status != FS_OK || !old) return status;
    /* Totals of an older store: what they do not count is in the trials. */
    check_count count = {cell, out};
    key = fs_store__key_trial(cell, 0);
    return each_in(self, txn, FS_DB_TRIALS, &key, count_checks, &count);
}

fs_status fs_store_totals(fs_store *self, uint32_t cell, fs_totals *out)
{
    MDB_txn *txn;
    FS_TRY(fs_store__read_begin(self, &txn));
    fs_status status = fs_store__totals(self, txn, cell, out);
    mdb_txn_abort(txn);
    return status;
}

static fs_status each(fs_store *self, fs_store_db db, fs_store_key first, visit_entry *visit,
                      void *data)
{
    MDB_txn *txn;
    FS_TRY(fs_store__read_begin(self, &txn));
    fs_status status = each_in(self, txn, db, &first, visit, data);
    mdb_txn_abort(txn);
    return status;
}

/* Checks a value's checksum and the key's length. */
static fs_status checked(fs_store *self, fs_store_db db, const MDB_val *key, size_t key_size,
                         const MDB_val *value, fs_store_reader *out)
{
    size_t size;
    if (key->mv_size != key_size || !fs_store__sum_holds(self, key, value, &size))
        return fs_fail(FS_ECORRUPT, "%s: an entry of \"%s\" does not match its checksum", self->dir,
                       fs_store__db_name(db));
    const uint8_t *bytes = value->mv_data;
    *out = (fs_store_reader){bytes, bytes + size, 0};
    return FS_OK;
}

typedef struct trial_visit {
    uint32_t cell; /* UINT32_MAX: all */
    fs_store_visit_trial *visit;
    void *data;
} trial_visit;

static fs_status visit_trial(fs_store *self, const MDB_val *key, const MDB_val *value, void *data,
                             int *stop)
{
    const trial_visit *v = data;
    const uint8_t *bytes = key->mv_data;
    fs_trial_record record;
    if (key->mv_size == 12 && v->cell != UINT32_MAX && fs_store__be32(bytes) != v->cell) {
        *stop = 1;
        return FS_OK;
    }
    FS_TRY(trial_decode(self, key, value, &record));
    *stop = v->visit(v->data, fs_store__be32(bytes), fs_store__be64(bytes + 4), &record,
                     value->mv_data, value->mv_size) != 0;
    return FS_OK;
}

fs_status fs_store_each_trial(fs_store *self, uint32_t cell, fs_store_visit_trial *visit,
                              void *data)
{
    trial_visit v = {cell, visit, data};
    fs_store_key first = fs_store__key_trial(cell == UINT32_MAX ? 0 : cell, 0);
    return each(self, FS_DB_TRIALS, first, visit_trial, &v);
}

typedef struct attempt_visit {
    fs_store_visit_attempt *visit;
    void *data;
} attempt_visit;

static fs_status visit_attempt(fs_store *self, const MDB_val *key, const MDB_val *value, void *data,
                               int *stop)
{
    const attempt_visit *v = data;
    fs_store_reader in;
    fs_attempt attempt;
    FS_TRY(checked(self, FS_DB_ATTEMPTS, key, 8, value, &in));
    FS_TRY(fs_store__attempt_decode(&attempt, in.at, (size_t)(in.end - in.at)));
    attempt.id = fs_store__be64(key->mv_data);
    *stop = v->visit(v->data, &attempt) != 0;
    return FS_OK;
}

fs_status fs_store_each_attempt(fs_store *self, fs_store_visit_attempt *visit, void *data)
{
    attempt_visit v = {visit, data};
    return each(self, FS_DB_ATTEMPTS, (fs_store_key){.size = 0}, visit_attempt, &v);
}

typedef struct event_visit {
    fs_store_visit_event *visit;
    void *data;
} event_visit;

static fs_status visit_event(fs_store *self, const MDB_val *key, const MDB_val *value, void *data,
                             int *stop)
{
    const event_visit *v = data;
    fs_store_reader in;
    char kind[FS_NAME_BYTES_MAX], text[FS_STORE_CAUSE_BYTES_MAX];
    FS_TRY(checked(self, FS_DB_EVENTS, key, 8, value, &in));
    uint64_t wall_ms = fs_store__get_u64(&in);
    fs_store__get_text(&in, kind, sizeof kind);
    fs_store__get_text(&in, text, sizeof text);
    if (in.bad || in.at != in.end)
        return fs_fail(FS_ECORRUPT, "%s: an event has the wrong length", self->dir);
    *stop = v->visit(v->data, wall_ms, kind, text) != 0;
    return FS_OK;
}

fs_status fs_store_each_event(fs_store *self, fs_store_visit_event *visit, void *data)
{
    event_visit v = {visit, data};
    return each(self, FS_DB_EVENTS, (fs_store_key){.size = 0}, visit_event, &v);
}

typedef struct quarantine_visit {
    fs_store_visit_quarantine *visit;
    void *data;
} quarantine_visit;

static fs_status visit_quarantine(fs_store *self, const MDB_val *key, const MDB_val *value,
                                  void *data, int *stop)
{
    const quarantine_visit *v = data;
    fs_store_reader in;
    char cause[FS_STORE_CAUSE_BYTES_MAX];
    FS_TRY(checked(self, FS_DB_QUARANTINE, key, 12, value, &in));
    size_t size = (size_t)(in.end - in.at);
    if (size >= sizeof cause)
        return fs_fail(FS_ECORRUPT, "%s: a quarantine's cause is too long", self->dir);
    memcpy(cause, in.at, size);
    cause[size] = '\0';
    const uint8_t *bytes = key->mv_data;
    *stop = v->visit(v->data, fs_store__be32(bytes), fs_store__be64(bytes + 4), cause) != 0;
    return FS_OK;
}

fs_status fs_store_each_quarantine(fs_store *self, fs_store_visit_quarantine *visit, void *data)
{
    quarantine_visit v = {visit, data};
    return each(self, FS_DB_QUARANTINE, (fs_store_key){.size = 0}, visit_quarantine, &v);
}
