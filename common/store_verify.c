/* The checker: reads every entry under one snapshot and recomputes what the store claims.
 *
 * Totals and done ranges are recounted from the trials and the quarantine; duplicates and
 * mismatches, which leave no trial, from the attempts where there are any. */
#include "store_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { PROBLEMS_MAX = 1000 }; /* lines written; further ones are only counted */

typedef struct received {
    uint64_t accepted, duplicates, mismatches;
} received;

typedef struct checker {
    fs_store *store;
    MDB_txn *txn;
    fs_buf *problems;
    uint64_t problem_count;
    uint64_t checksum_errors;
    int totals_equal;
    uint64_t trials;
    uint32_t cell_count;
    received *received; /* [cell_count] from the attempts */
    uint64_t attempts;
} checker;

__attribute__((format(printf, 2, 3))) static fs_status problem(checker *c, const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (c->problem_count++ >= PROBLEMS_MAX) return FS_OK;
    FS_TRY(fs_buf_puts(c->problems, line));
    return fs_buf_puts(c->problems, "\n");
}

static fs_status damaged(checker *c, fs_store_db db, const char *what)
{
    c->checksum_errors++;
    return problem(c, "%s: an entry does not hold its checksum: %s", fs_store__db_name(db), what);
}

/* Visits the entries of a database from a key on; `visit` says whether to go on. */
typedef fs_status visit_entry(checker *c, const MDB_val *key, const MDB_val *value, void *data,
                              int *stop);

static fs_status each(checker *c, fs_store_db db, fs_store_key from, visit_entry *visit, void *data)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(c->txn, c->store->dbi[db], &cursor);
    if (rc != 0) return fs_store__error(c->store, rc, fs_store__db_name(db));
    MDB_val key = {from.size, from.bytes}, value;
    fs_status status = FS_OK;
    int stop = 0;
    rc = mdb_cursor_get(cursor, &key, &value, from.size == 0 ? MDB_FIRST : MDB_SET_RANGE);
    while (rc == 0 && status == FS_OK) {
        status = visit(c, &key, &value, data, &stop);
        if (stop) break;
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (status == FS_OK && rc != 0 && rc != MDB_NOTFOUND)
        status = fs_store__error(c->store, rc, fs_store__db_name(db));
    return status;
}

/* The recount of one cell. */
typedef struct recount {
    uint32_t cell;
    fs_totals totals;
    fs_range *done;
    size_t done_count;
    uint64_t inside; /* trials and quarantines inside done ranges */
    uint64_t least;  /* that the next trial can be: a record does not know its own number, and a
                        key hit in one page may repeat that of another */
} recount;

static int is_done(const recount *r, uint64_t trial)
{
    size_t low = 0, high = r->done_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (trial < r->done[mid].first)
            high = mid;
        else if (trial >= r->done[mid].first + r->done[mid].count)
            low = mid + 1;
        else
            return 1;
    }
    return 0;
}

static fs_status recount_trial(checker *c, const MDB_val *key, const MDB_val *value, void *data,
                               int *stop)
{
    recount *r = data;
    if (key->mv_size != 12) return damaged(c, FS_DB_TRIALS, "a key of the wrong length");
    const uint8_t *bytes = key->mv_data;
    if (fs_store__be32(bytes) != r->cell) {
        *stop = 1;
        return FS_OK;
    }
    uint64_t trial = fs_store__be64(bytes + 4);
    if (trial < r->least)
        FS_TRY(
            problem(c, "cell %u: trial %llu is out of order", r->cell, (unsigned long long)trial));
    r->least = trial + 1;
    if (is_done(r, trial))
        r->inside++;
    else
        FS_TRY(problem(c, "cell %u: trial %llu is stored and not marked done", r->cell,
                       (unsigned long long)trial));
    fs_trial_record record;
    if (fs_trial_decode(&record, value->mv_data, value->mv_size) != FS_OK) {
        c->checksum_errors++;
        r->totals.trials++;
        return problem(c, "cell %u: trial %llu: %s", r->cell, (unsigned long long)trial,
                       fs_status_detail());
    }
    fs_totals_add(&r->totals, &record);
    return FS_OK;
}

static fs_status recount_quarantine(checker *c, const MDB_val *key, const MDB_val *value,
                                    void *data, int *stop)
{
    recount *r = data;
    size_t size;
    if (key->mv_size != 12) return damaged(c, FS_DB_QUARANTINE, "a key of the wrong length");
    const uint8_t *bytes = key->mv_data;
    if (fs_store__be32(bytes) != r->cell) {
        *stop = 1;
        return FS_OK;
    }
    uint64_t trial = fs_store__be64(bytes + 4);
    if (!fs_store__sum_holds(c->store, key, value, &size))
        FS_TRY(damaged(c, FS_DB_QUARANTINE, "a cause"));
    if (is_done(r, trial))
        r->inside++;
    else
        FS_TRY(problem(c, "cell %u: trial %llu is quarantined and not marked done", r->cell,
                       (unsigned long long)trial));
    MDB_val same = *key, found;
    if (mdb_get(c->txn, c->store->dbi[FS_DB_TRIALS], &same, &found) == 0)
        FS_TRY(problem(c, "cell %u: trial %llu is quarantined and has a result", r->cell,
                       (unsigned long long)trial));
    r->totals.quarantined++;
    return FS_OK;
}

static fs_status compare_totals(checker *c, const recount *r)
{
    fs_totals stored;
    fs_status status = fs_store__totals(c->store, c->txn, r->cell, &stored);
    if (status != FS_OK) {
        c->totals_equal = 0;
        if (status == FS_ECORRUPT) c->checksum_errors++;
        return problem(c, "cell %u: totals: %s", r->cell, fs_status_detail());
    }
    fs_totals counted = r->totals;
    counted.duplicates = stored.duplicates;
    counted.mismatches = stored.mismatches;
    if (c->attempts > 0) {
        counted.duplicates = c->received[r->cell].duplicates;
        counted.mismatches = c->received[r->cell].mismatches;
    }
    if (memcmp(&counted, &stored, sizeof stored) != 0) {
        c->totals_equal = 0;
        FS_TRY(problem(
            c,
            "cell %u: totals say %llu trials, %llu critical, %llu quarantined, %llu "
            "duplicates; counted %llu, %llu, %llu, %llu",
            r->cell, (unsigned long long)stored.trials, (unsigned long long)stored.critical,
            (unsigned long long)stored.quarantined, (unsigned long long)stored.duplicates,
            (unsigned long long)counted.trials, (unsigned long long)counted.critical,
            (unsigned long long)counted.quarantined, (unsigned long long)counted.duplicates));
    }
    if (c->attempts > 0 && c->received[r->cell].accepted != counted.trials)
        FS_TRY(problem(c, "cell %u: attempts brought %llu results, %llu are stored", r->cell,
                       (unsigned long long)c->received[r->cell].accepted,
                       (unsigned long long)counted.trials));
    return FS_OK;
}

static fs_status check_cell(checker *c, uint32_t cell)
{
    recount r = {.cell = cell};
    fs_status status = fs_store__done(c->store, c->txn, cell, &r.done, &r.done_count);
    if (status == FS_ECORRUPT) {
        c->checksum_errors++;
        FS_TRY(problem(c, "cell %u: done ranges: %s", cell, fs_status_detail()));
    } else if (status != FS_OK)
        return status;
    uint64_t marked = 0;
    for (size_t i = 0; i < r.done_count; i++) marked += r.done[i].count;
    fs_store_key from = fs_store__key_trial(cell, 0);
    status = each(c, FS_DB_TRIALS, from, recount_trial, &r);
    if (status == FS_OK) status = each(c, FS_DB_QUARANTINE, from, recount_quarantine, &r);
    if (status == FS_OK && r.inside != marked)
        status = problem(c, "cell %u: %llu trials are marked done, %llu of them are stored", cell,
                         (unsigned long long)marked, (unsigned long long)r.inside);
    if (status == FS_OK) status = compare_totals(c, &r);
    c->trials += r.totals.trials;
    free(r.done);
    return status;
}

static fs_status check_sum(checker *c, const MDB_val *key, const MDB_val *value, void *data,
                           int *stop)
{
    const fs_store_db *db = data;
    size_t size;
    if (!fs_store__sum_holds(c->store, key, value, &size)) return damaged(c, *db, "a value");
    return FS_OK;
}

static fs_status check_attempt(checker *c, const MDB_val *key, const MDB_val *value, void *data,
                               int *stop)
{
    size_t size;
    fs_attempt attempt;
    if (key->mv_size != 8 || !fs_store__sum_holds(c->store, key, value, &size) ||
        fs_store__attempt_decode(&attempt, value->mv_data, size) != FS_OK)
        return damaged(c, FS_DB_ATTEMPTS, "an attempt");
    c->attempts++;
    if (attempt.cell >= c->cell_count)
        return problem(c, "attempts: one of cell %u, which the campaign lacks", attempt.cell);
    c->received[attempt.cell].accepted += attempt.accepted;
    c->received[attempt.cell].duplicates += attempt.duplicates;
    c->received[attempt.cell].mismatches += attempt.mismatches;
    return FS_OK;
}

/* Entries of cells beyond the campaign's would escape the walk over its cells. */
static fs_status check_strays(checker *c, fs_store_db db)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(c->txn, c->store->dbi[db], &cursor);
    if (rc != 0) return fs_store__error(c->store, rc, fs_store__db_name(db));
    MDB_val key, value;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    mdb_cursor_close(cursor);
    if (rc == MDB_NOTFOUND) return FS_OK;
    if (rc != 0) return fs_store__error(c->store, rc, fs_store__db_name(db));
    if (key.mv_size >= 4 && fs_store__be32(key.mv_data) < c->cell_count) return FS_OK;
    return problem(c, "%s: entries of a cell that the campaign lacks", fs_store__db_name(db));
}

static fs_status check_all(checker *c)
{
    static const fs_store_db plain[] = {FS_DB_META, FS_DB_PLAN, FS_DB_EVENTS, FS_DB_GOLDEN};
    static const fs_store_db by_cell[] = {FS_DB_TRIALS, FS_DB_SHARDS, FS_DB_TOTALS,
                                          FS_DB_QUARANTINE};
    MDB_stat stat;
    int rc = mdb_stat(c->txn, c->store->dbi[FS_DB_PLAN], &stat);
    if (rc != 0) return fs_store__error(c->store, rc, "plan");
    if (stat.ms_entries > FS_CELLS_MAX)
        return fs_fail(FS_ECORRUPT, "%s: the plan has %zu cells", c->store->dir, stat.ms_entries);
    c->cell_count = (uint32_t)stat.ms_entries;
    c->received = calloc((size_t)c->cell_count + 1, sizeof *c->received);
    if (c->received == NULL) return fs_fail(FS_ENOMEM, "no memory for %u cells", c->cell_count);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        fs_store_db db = plain[i];
        FS_TRY(each(c, db, (fs_store_key){.size = 0}, check_sum, &db));
    }
    FS_TRY(each(c, FS_DB_ATTEMPTS, (fs_store_key){.size = 0}, check_attempt, NULL));
    for (size_t i = 0; i < sizeof by_cell / sizeof *by_cell; i++)
        FS_TRY(check_strays(c, by_cell[i]));
    for (uint32_t cell = 0; cell < c->cell_count; cell++) FS_TRY(check_cell(c, cell));
    return FS_OK;
}

fs_status fs_store_verify(fs_store *self, fs_buf *problems, uint64_t *checksum_errors,
                          int *totals_equal, uint64_t *trials)
{
    checker c = {.store = self, .problems = problems, .totals_equal = 1};
    FS_TRY(fs_store__read_begin(self, &c.txn));
    fs_status status = check_all(&c);
    mdb_txn_abort(c.txn);
    free(c.received);
    *checksum_errors = c.checksum_errors;
    *totals_equal = c.totals_equal;
    *trials = c.trials;
    if (status != FS_OK) return status;
    if (c.problem_count == 0) return FS_OK;
    return fs_fail(FS_EMISMATCH, "%s: %llu problems found", self->dir,
                   (unsigned long long)c.problem_count);
}
