/** Inside of the store, for the store_*.c files only: environment, transaction, keys and values.
 *
 * Every value but a trial's ends with the XXH3-64 of key and payload, so that a value under the
 * wrong key is as visible as a changed one; a trial's record ends with its own checksum. Keys are
 * big-endian, so that LMDB's order is the order of numbers. */
#ifndef FS_STORE_IMPL_H
#define FS_STORE_IMPL_H

#include <lmdb.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "store.h"

#define FS_STORE_FORMAT "flipsweep-store 1"

/* X(NAME, name of the LMDB database) */
#define FS_STORE_DB_MAP(X)                                                                         \
    X(META, "meta")             /* text: bytes; see FS_STORE_KEY_* */                              \
    X(PLAN, "plan")             /* cell u32: trials planned u64, id */                             \
    X(SHARDS, "shards")         /* cell u32, first trial u64: count u64; merged done ranges */     \
    X(TRIALS, "trials")         /* cell u32, trial u64: encoded fs_trial_record */                 \
    X(TOTALS, "totals")         /* cell u32: fs_totals */                                          \
    X(ATTEMPTS, "attempts")     /* id u64: fs_attempt */                                           \
    X(EVENTS, "events")         /* number u64: wall_ms, kind, text */                              \
    X(GOLDEN, "golden")         /* variant u32: fs_store_golden */                                 \
    X(QUARANTINE, "quarantine") /* cell u32, trial u64: cause */

typedef enum fs_store_db {
#define X(name, text) FS_DB_##name,
    FS_STORE_DB_MAP(X)
#undef X
        FS_DB_COUNT
} fs_store_db;

#define FS_STORE_KEY_FORMAT      "format"
#define FS_STORE_KEY_FINGERPRINT "fingerprint"
#define FS_STORE_KEY_IDENTITY    "identity"
#define FS_STORE_KEY_CAMPAIGN    "campaign"
#define FS_STORE_KEY_MODELS      "models"

enum {
    FS_STORE_SUM_BYTES = 8, /* checksum at the end of a value */
    FS_STORE_KEY_BYTES_MAX = 32,
    FS_STORE_CAUSE_BYTES_MAX = 512, /* texts of events and quarantines; longer ones are cut */
    FS_STORE_TOTALS_WORDS = sizeof(fs_totals) / sizeof(uint64_t),
    FS_STORE_TOTALS_WORDS_OLD = FS_STORE_TOTALS_WORDS - 1 /* without check_faults */
};

/** What a write transaction has gathered for one cell; folded into the databases at commit. */
typedef struct fs_store_touched {
    uint32_t cell;
    fs_totals totals;
    fs_range *ranges; /* newly done, as they came; runs are joined */
    size_t range_count;
    size_t range_capacity;
} fs_store_touched;

struct fs_store {
    fs_store_mode mode;
    char dir[FS_PATH_BYTES_MAX];
    MDB_env *env; /* NULL after a failed reopening */
    size_t map_bytes;
    MDB_dbi dbi[FS_DB_COUNT];
    int lock_fd;  /* holds the writer's lock; -1 for readers */
    dev_t device; /* of the folder, in the process's register of open stores */
    ino_t inode;
    struct fs_store *next_open; /* in the process's register */
    int registered;
    int map_full; /* the last error was a full map: abort grows it */
    int broken;   /* LMDB refuses writes after a failed meta write: abort reopens */
    uint64_t readers_checked_ms;
    fs_buf scratch; /* key and value, for checksums */

    uint64_t *planned; /* [cell_count] trials of each cell; writers only */
    size_t cell_count;

    MDB_txn *txn; /* the write transaction, or NULL */
    MDB_cursor *trials;
    uint64_t attempt_next;
    uint64_t event_next;
    uint32_t *slot; /* [cell_count] 1 + index into touched, 0 for none */
    fs_store_touched *touched;
    size_t touched_count;
    size_t touched_capacity;
};

/** A key under construction. */
typedef struct fs_store_key {
    uint8_t bytes[FS_STORE_KEY_BYTES_MAX];
    size_t size;
} fs_store_key;

fs_store_key fs_store__key_text(const char *text);
fs_store_key fs_store__key_u32(uint32_t a);
fs_store_key fs_store__key_u64(uint64_t a);
fs_store_key fs_store__key_trial(uint32_t cell, uint64_t trial);
uint32_t fs_store__be32(const uint8_t *bytes);
uint64_t fs_store__be64(const uint8_t *bytes);

/** Appends little-endian numbers and bounded texts. */
FS_MUST_CHECK fs_status fs_store__put_u64(fs_buf *out, uint64_t value);
FS_MUST_CHECK fs_status fs_store__put_text(fs_buf *out, const char *text, size_t bytes_max);

/** Reads what the put functions write; after a read past the end `bad` is set and zeros come. */
typedef struct fs_store_reader {
    const uint8_t *at;
    const uint8_t *end;
    int bad;
} fs_store_reader;

uint64_t fs_store__get_u64(fs_store_reader *self);
/** Copies a text with its NUL; one that does not fit or holds a NUL is bad. */
void fs_store__get_text(fs_store_reader *self, char *out, size_t bytes);

FS_MUST_CHECK fs_status fs_store__attempt_encode(const fs_attempt *attempt, fs_buf *out);
FS_MUST_CHECK fs_status fs_store__attempt_decode(fs_attempt *out, const void *data, size_t size);
FS_MUST_CHECK fs_status fs_store__golden_encode(const fs_store_golden *golden, fs_buf *out);
FS_MUST_CHECK fs_status fs_store__golden_decode(fs_store_golden *out, const void *data,
                                                size_t size);
FS_MUST_CHECK fs_status fs_store__totals_encode(const fs_totals *totals, fs_buf *out);
/** `old` is set for totals of a store that did not count check_faults; it is 0 there. */
FS_MUST_CHECK fs_status fs_store__totals_decode(fs_totals *out, const void *data, size_t size,
                                                int *old);

/** Writes payload and checksum under the key. */
FS_MUST_CHECK fs_status fs_store__put(fs_store *self, MDB_txn *txn, fs_store_db db,
                                      const fs_store_key *key, const void *payload, size_t size);
/** Checks the checksum of a value as LMDB gave it. @return nonzero if it holds; `size` is then
 * without the checksum. */
int fs_store__sum_holds(fs_store *self, const MDB_val *key, const MDB_val *value, size_t *size);
/** Finds a value and checks it. The payload is borrowed until the transaction ends.
 * Errors: FS_ENOENT, FS_ECORRUPT. */
FS_MUST_CHECK fs_status fs_store__get(fs_store *self, MDB_txn *txn, fs_store_db db,
                                      const fs_store_key *key, const uint8_t **payload,
                                      size_t *size);

/** Appends what the store says of its campaign under a name. Errors: FS_ECORRUPT if it lacks. */
FS_MUST_CHECK fs_status fs_store__meta(fs_store *self, const char *name, fs_buf *out);

/** Turns an LMDB or errno code into a status, and remembers what abort has to mend. */
fs_status fs_store__error(fs_store *self, int rc, const char *what);
/** @return "NFS", "Lustre", ... for the f_type of a network file system, NULL for others. */
const char *fs_store__network_name(unsigned long type);
/** Registers the folder, takes the writer's lock in mode CREATE, and opens the environment. */
FS_MUST_CHECK fs_status fs_store__env_open(fs_store *self);
/** Closes environment and lock. */
void fs_store__env_close(fs_store *self);
/** Opens the databases, creating them in mode CREATE. Errors: FS_ENOENT if there are none yet. */
FS_MUST_CHECK fs_status fs_store__databases_open(fs_store *self);
/** After an abort: grows a full map, reopens a broken environment. */
FS_MUST_CHECK fs_status fs_store__env_mend(fs_store *self);
/** Begins a read transaction; end it with mdb_txn_abort. */
FS_MUST_CHECK fs_status fs_store__read_begin(fs_store *self, MDB_txn **out);
/** @return the number of a database's first free numeric key. */
FS_MUST_CHECK fs_status fs_store__next_number(fs_store *self, MDB_txn *txn, fs_store_db db,
                                              uint64_t *out);
/** Sets the first size tried for maps of stores opened later, 0 for the usual; tests only. */
void fs_store__set_map_bytes(size_t bytes);
/** @return the database's name, for messages. */
const char *fs_store__db_name(fs_store_db db);

/** Checks the two first pages, which LMDB reads when it opens the store. A file that is not there
 * or empty is fine. Errors: FS_ECORRUPT naming the page. */
FS_MUST_CHECK fs_status fs_store__check_head(const fs_store *self);
/** Walks every page of the open store's newest snapshot without LMDB. Errors: FS_ECORRUPT. */
FS_MUST_CHECK fs_status fs_store__check_pages(fs_store *self);

/** Writes and compares what a store says about its campaign. */
FS_MUST_CHECK fs_status fs_store__plan_write(fs_store *self, MDB_txn *txn, const fs_plan *plan,
                                             const char *campaign_text);
FS_MUST_CHECK fs_status fs_store__plan_compare(fs_store *self, MDB_txn *txn, const fs_plan *plan);
/** Merges [first, first + count) into the cell's done ranges. */
FS_MUST_CHECK fs_status fs_store__range_add(fs_store *self, MDB_txn *txn, uint32_t cell,
                                            uint64_t first, uint64_t count);
/** As fs_store_done and fs_store_totals, under a given transaction. */
FS_MUST_CHECK fs_status fs_store__done(fs_store *self, MDB_txn *txn, uint32_t cell, fs_range **out,
                                       size_t *count);
FS_MUST_CHECK fs_status fs_store__totals(fs_store *self, MDB_txn *txn, uint32_t cell,
                                         fs_totals *out);

#endif
