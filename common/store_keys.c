#include "store_impl.h"

#include "assert.h"
#include "hash.h"

/* Keys. */

static void put_be(fs_store_key *key, uint64_t value, size_t bytes)
{
    FS_ASSERT(key->size + bytes <= FS_STORE_KEY_BYTES_MAX);
    for (size_t i = 0; i < bytes; i++)
        key->bytes[key->size++] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

fs_store_key fs_store__key_text(const char *text)
{
    fs_store_key key = {.size = strlen(text)};
    FS_ASSERT(key.size <= FS_STORE_KEY_BYTES_MAX);
    memcpy(key.bytes, text, key.size);
    return key;
}

fs_store_key fs_store__key_u32(uint32_t a)
{
    fs_store_key key = {.size = 0};
    put_be(&key, a, 4);
    return key;
}

fs_store_key fs_store__key_u64(uint64_t a)
{
    fs_store_key key = {.size = 0};
    put_be(&key, a, 8);
    return key;
}

fs_store_key fs_store__key_trial(uint32_t cell, uint64_t trial)
{
    fs_store_key key = {.size = 0};
    put_be(&key, cell, 4);
    put_be(&key, trial, 8);
    return key;
}

uint32_t fs_store__be32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

uint64_t fs_store__be64(const uint8_t *bytes)
{
    return (uint64_t)fs_store__be32(bytes) << 32 | fs_store__be32(bytes + 4);
}

/* Values. */

fs_status fs_store__put_u64(fs_buf *out, uint64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(value >> (8 * i));
    return fs_buf_append(out, bytes, sizeof bytes);
}

fs_status fs_store__put_text(fs_buf *out, const char *text, size_t bytes_max)
{
    size_t size = strnlen(text, bytes_max - 1);
    FS_TRY(fs_store__put_u64(out, size));
    return fs_buf_append(out, text, size);
}

static const uint8_t *take(fs_store_reader *self, size_t size)
{
    if (self->bad || (size_t)(self->end - self->at) < size) {
        self->bad = 1;
        return NULL;
    }
    const uint8_t *at = self->at;
    self->at += size;
    return at;
}

uint64_t fs_store__get_u64(fs_store_reader *self)
{
    const uint8_t *bytes = take(self, 8);
    if (bytes == NULL) return 0;
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

void fs_store__get_text(fs_store_reader *self, char *out, size_t bytes)
{
    out[0] = '\0';
    uint64_t size = fs_store__get_u64(self);
    if (size >= bytes) self->bad = 1;
    const uint8_t *text = take(self, size);
    if (text == NULL) return;
    if (memchr(text, 0, size) != NULL) {
        self->bad = 1;
        return;
    }
    memcpy(out, text, size);
    out[size] = '\0';
}

static fs_status reader_end(const fs_store_reader *self, const char *what)
{
    if (self->bad || self->at != self->end)
        return fs_fail(FS_ECORRUPT, "%s has the wrong length or contents", what);
    return FS_OK;
}

static uint64_t double_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double bits_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

fs_status fs_store__attempt_encode(const fs_attempt *attempt, fs_buf *out)
{
    const uint64_t numbers[] = {attempt->cell,       attempt->first,      attempt->last,
                                attempt->lease,      attempt->accepted,   attempt->duplicates,
                                attempt->mismatches, attempt->started_ms, attempt->committed_ms};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        FS_TRY(fs_store__put_u64(out, numbers[i]));
    FS_TRY(fs_store__put_text(out, attempt->worker, sizeof attempt->worker));
    return fs_store__put_text(out, attempt->host, sizeof attempt->host);
}

fs_status fs_store__attempt_decode(fs_attempt *out, const void *data, size_t size)
{
    fs_store_reader in = {data, (const uint8_t *)data + size, 0};
    *out = (fs_attempt){0};
    out->cell = (uint32_t)fs_store__get_u64(&in);
    out->first = fs_store__get_u64(&in);
    out->last = fs_store__get_u64(&in);
    out->lease = fs_store__get_u64(&in);
    out->accepted = (uint32_t)fs_store__get_u64(&in);
    out->duplicates = (uint32_t)fs_store__get_u64(&in);
    out->mismatches = (uint32_t)fs_store__get_u64(&in);
    out->started_ms = fs_store__get_u64(&in);
    out->committed_ms = fs_store__get_u64(&in);
    fs_store__get_text(&in, out->worker, sizeof out->worker);
    fs_store__get_text(&in, out->host, sizeof out->host);
    return reader_end(&in, "an attempt");
}

/* A golden run that ends after its host is version 1: no facts. */
enum { GOLDEN_VERSION = 2 };

fs_status fs_store__golden_encode(const fs_store_golden *golden, fs_buf *out)
{
    const uint64_t numbers[] = {double_bits(golden->metric), double_bits(golden->loss),
                                golden->answers, golden->checksum, golden->altered};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        FS_TRY(fs_store__put_u64(out, numbers[i]));
    FS_TRY(fs_store__put_text(out, golden->kernel, sizeof golden->kernel));
    FS_TRY(fs_store__put_text(out, golden->host, sizeof golden->host));
    if (!golden->has_facts) return FS_OK;
    const uint64_t facts[] = {GOLDEN_VERSION, golden->token_rows_read, golden->positions_read,
                              golden->bounds_checksum};
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        FS_TRY(fs_store__put_u64(out, facts[i]));
    return FS_OK;
}

fs_status fs_store__golden_decode(fs_store_golden *out, const void *data, size_t size)
{
    fs_store_reader in = {data, (const uint8_t *)data + size, 0};
    *out = (fs_store_golden){0};
    out->metric = bits_double(fs_store__get_u64(&in));
    out->loss = bits_double(fs_store__get_u64(&in));
    out->answers = fs_store__get_u64(&in);
    out->checksum = fs_store__get_u64(&in);
    out->altered = fs_store__get_u64(&in);
    fs_store__get_text(&in, out->kernel, sizeof out->kernel);
    fs_store__get_text(&in, out->host, sizeof out->host);
    if (in.bad || in.at == in.end) return reader_end(&in, "a golden run");
    if (fs_store__get_u64(&in) != GOLDEN_VERSION) in.bad = 1;
    out->has_facts = 1;
    out->token_rows_read = fs_store__get_u64(&in);
    out->positions_read = fs_store__get_u64(&in);
    out->bounds_checksum = fs_store__get_u64(&in);
    return reader_end(&in, "a golden run");
}

_Static_assert(sizeof(fs_totals) == 8 * (size_t)FS_STORE_TOTALS_WORDS,
               "totals are whole numbers of 64 bits and nothing else");

fs_status fs_store__totals_encode(const fs_totals *totals, fs_buf *out)
{
    uint64_t words[FS_STORE_TOTALS_WORDS];
    memcpy(words, totals, sizeof words);
    for (size_t i = 0; i < FS_STORE_TOTALS_WORDS; i++) FS_TRY(fs_store__put_u64(out, words[i]));
    return FS_OK;
}

fs_status fs_store__totals_decode(fs_totals *out, const void *data, size_t size, int *old)
{
    fs_store_reader in = {data, (const uint8_t *)data + size, 0};
    uint64_t words[FS_STORE_TOTALS_WORDS] = {0};
    *old = size == 8 * (size_t)FS_STORE_TOTALS_WORDS_OLD;
    const size_t count = *old ? FS_STORE_TOTALS_WORDS_OLD : FS_STORE_TOTALS_WORDS;
    for (size_t i = 0; i < count; i++) words[i] = fs_store__get_u64(&in);
    memcpy(out, words, sizeof words);
    return reader_end(&in, "a cell's totals");
}

void fs_totals_add(fs_totals *totals, const fs_trial_record *record)
{
    FS_ASSERT(record->outcome < FS_OUTCOME_COUNT);
    totals->trials++;
    totals->outcomes[record->outcome]++;
    totals->critical += record->critical != 0;
    totals->inputs += record->inputs;
    totals->masked += record->masked;
    totals->benign += record->benign;
    totals->sdc += record->sdc;
    totals->due += record->due;
    totals->faults += record->faults;
    totals->effective += record->effective;
    totals->visible += record->visible;
    totals->corrected += record->corrected;
    totals->detected += record->detected;
    totals->miscorrected += record->miscorrected;
    totals->check_faults += record->check_faults;
}

/* Checksums. */

static fs_status scratch_fill(fs_store *self, const void *key, size_t key_size, const void *payload,
                              size_t size)
{
    fs_buf_clear(&self->scratch);
    FS_TRY(fs_buf_append(&self->scratch, key, key_size));
    return fs_buf_append(&self->scratch, payload, size);
}

fs_status fs_store__put(fs_store *self, MDB_txn *txn, fs_store_db db, const fs_store_key *key,
                        const void *payload, size_t size)
{
    FS_TRY(scratch_fill(self, key->bytes, key->size, payload, size));
    FS_TRY(fs_store__put_u64(&self->scratch, fs_checksum(self->scratch.data, self->scratch.size)));
    fs_store_key copy = *key;
    MDB_val k = {copy.size, copy.bytes};
    MDB_val v = {self->scratch.size - key->size, self->scratch.data + key->size};
    int rc = mdb_put(txn, self->dbi[db], &k, &v, 0);
    return rc == 0 ? FS_OK : fs_store__error(self, rc, fs_store__db_name(db));
}

int fs_store__sum_holds(fs_store *self, const MDB_val *key, const MDB_val *value, size_t *size)
{
    if (value->mv_size < FS_STORE_SUM_BYTES) return 0;
    *size = value->mv_size - FS_STORE_SUM_BYTES;
    const uint8_t *bytes = value->mv_data;
    if (scratch_fill(self, key->mv_data, key->mv_size, bytes, *size) != FS_OK) return 0;
    fs_store_reader in = {bytes + *size, bytes + value->mv_size, 0};
    return fs_store__get_u64(&in) == fs_checksum(self->scratch.data, self->scratch.size);
}

fs_status fs_store__get(fs_store *self, MDB_txn *txn, fs_store_db db, const fs_store_key *key,
                        const uint8_t **payload, size_t *size)
{
    fs_store_key copy = *key;
    MDB_val k = {copy.size, copy.bytes}, v;
    int rc = mdb_get(txn, self->dbi[db], &k, &v);
    if (rc == MDB_NOTFOUND)
        return fs_fail(FS_ENOENT, "%s: nothing in \"%s\" for this key", self->dir,
                       fs_store__db_name(db));
    if (rc != 0) return fs_store__error(self, rc, fs_store__db_name(db));
    if (!fs_store__sum_holds(self, &k, &v, size))
        return fs_fail(FS_ECORRUPT, "%s: a value in \"%s\" does not match its checksum", self->dir,
                       fs_store__db_name(db));
    *payload = v.mv_data;
    return FS_OK;
}
