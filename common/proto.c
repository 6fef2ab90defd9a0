#include "proto.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "utf8.h"
#include "wire.h"

/* Each message is a row of fields; one encoder and one decoder walk the rows, so that a field can
 * neither be forgotten on one side nor be in another order. */

typedef enum field_kind {
    FIELD_U64,
    FIELD_U32,
    FIELD_FLAG,   /* int, 0 or 1 */
    FIELD_STATUS, /* int, a failure of status.h */
    FIELD_F64,
    FIELD_TEXT,
    FIELD_HASH,
    FIELD_LEASE,
    FIELD_LEASES, /* an array in place and its count */
    FIELD_IDS,    /* lease ids in place and their count */
    FIELD_RESULTS /* an array of our own and its count */
} field_kind;

typedef struct field {
    const char *name;
    field_kind kind;
    size_t offset;
    uint64_t min, max;   /* of a number, or bytes of a text */
    size_t count_offset; /* of the lists' uint32_t count */
} field;

#define AT(type, member) offsetof(fs_msg_##type, member)
#define U64(type, member, min, max)                                                                \
    {                                                                                              \
#type "." #member, FIELD_U64, AT(type, member), min, max, 0                                \
    }
#define U32(type, member, min, max)                                                                \
    {                                                                                              \
#type "." #member, FIELD_U32, AT(type, member), min, max, 0                                \
    }
#define TEXT(type, member, min, max)                                                               \
    {                                                                                              \
#type "." #member, FIELD_TEXT, AT(type, member), min, max, 0                               \
    }
#define PLAIN(kind, type, member)                                                                  \
    {                                                                                              \
#type "." #member, kind, AT(type, member), 0, 0, 0                                         \
    }
#define LIST(kind, type, member, count)                                                            \
    {                                                                                              \
#type "." #member, kind, AT(type, member), 0, 0, AT(type, count)                           \
    }

static const field hello_fields[] = {
    TEXT(hello, uuid, FS_PROTO_UUID_BYTES, FS_PROTO_UUID_BYTES),
    U64(hello, boot_ms, 0, UINT64_MAX),
    TEXT(hello, host, 0, FS_PROTO_HOST_BYTES_MAX),
    U32(hello, pid, 0, UINT32_MAX),
    U32(hello, threads, 1, FS_THREADS_MAX),
    TEXT(hello, kernel, 0, FS_PROTO_KERNEL_BYTES_MAX),
    TEXT(hello, version, 0, FS_PROTO_VERSION_BYTES_MAX),
    PLAIN(FIELD_HASH, hello, fingerprint),
    LIST(FIELD_LEASES, hello, leases, lease_count),
    PLAIN(FIELD_FLAG, hello, draining),
};
static const field ready_fields[] = {PLAIN(FIELD_HASH, ready, fingerprint)};
static const field golden_fields[] = {
    U32(golden, variant, 0, FS_CELLS_MAX - 1),
    PLAIN(FIELD_F64, golden, metric),
    PLAIN(FIELD_F64, golden, loss),
    U64(golden, answers, 0, UINT64_MAX),
    U64(golden, checksum, 0, UINT64_MAX),
    U64(golden, altered, 0, UINT64_MAX),
    U64(golden, token_rows_read, 0, UINT64_MAX),
    U64(golden, positions_read, 0, UINT64_MAX),
    U64(golden, bounds_checksum, 0, UINT64_MAX),
};
static const field results_fields[] = {
    U64(results, lease, 1, UINT64_MAX),      U64(results, sequence, 0, UINT64_MAX),
    U32(results, cell, 0, FS_CELLS_MAX - 1), PLAIN(FIELD_FLAG, results, last),
    U64(results, cost_us, 0, UINT64_MAX),    LIST(FIELD_RESULTS, results, results, count),
};
static const field heartbeat_fields[] = {
    LIST(FIELD_IDS, heartbeat, leases, lease_count),
    U64(heartbeat, trials_done, 0, UINT64_MAX),
    U32(heartbeat, busy, 0, FS_THREADS_MAX),
};
static const field return_fields[] = {PLAIN(FIELD_LEASE, return, lease)};
static const field failed_fields[] = {
    PLAIN(FIELD_STATUS, failed, status),      PLAIN(FIELD_FLAG, failed, fatal),
    U64(failed, lease, 0, UINT64_MAX),        U32(failed, cell, 0, FS_CELLS_MAX - 1),
    U64(failed, trial, 0, FS_TRIALS_MAX - 1), TEXT(failed, why, 0, FS_PROTO_WHY_BYTES_MAX),
};
static const field welcome_fields[] = {
    PLAIN(FIELD_HASH, welcome, fingerprint),
    TEXT(welcome, campaign, 0, FS_CAMPAIGN_BYTES_MAX),
    TEXT(welcome, identity, 0, FS_PROTO_IDENTITY_BYTES_MAX),
    U64(welcome, heartbeat_ms, 1, UINT32_MAX),
    U64(welcome, lease_ms, 1, UINT32_MAX),
};
static const field grant_fields[] = {PLAIN(FIELD_LEASE, grant, lease),
                                     U64(grant, deadline_ms, 1, UINT32_MAX)};
static const field ack_fields[] = {
    U64(ack, lease, 1, UINT64_MAX),
    U64(ack, sequence, 0, UINT64_MAX),
    U32(ack, accepted, 0, FS_RESULTS_PER_MESSAGE_MAX),
    U32(ack, duplicates, 0, FS_RESULTS_PER_MESSAGE_MAX),
    U32(ack, mismatches, 0, FS_RESULTS_PER_MESSAGE_MAX),
};
static const field stop_fields[] = {PLAIN(FIELD_FLAG, stop, drain),
                                    TEXT(stop, why, 0, FS_PROTO_WHY_BYTES_MAX)};
static const field reject_fields[] = {TEXT(reject, why, 0, FS_PROTO_WHY_BYTES_MAX)};

typedef struct schema {
    fs_message_type type;
    const field *fields;
    size_t count;
} schema;

#define SCHEMA(type, rows)                                                                         \
    {                                                                                              \
        FS_MSG_##type, rows, sizeof(rows) / sizeof((rows)[0])                                      \
    }

static const schema schemas[] = {
    SCHEMA(HELLO, hello_fields),
    SCHEMA(READY, ready_fields),
    SCHEMA(GOLDEN, golden_fields),
    SCHEMA(RESULTS, results_fields),
    SCHEMA(HEARTBEAT, heartbeat_fields),
    SCHEMA(RETURN, return_fields),
    SCHEMA(FAILED, failed_fields),
    {FS_MSG_BYE, NULL, 0},
    {FS_MSG_WHO, NULL, 0},
    SCHEMA(WELCOME, welcome_fields),
    SCHEMA(GRANT, grant_fields),
    SCHEMA(ACK, ack_fields),
    SCHEMA(STOP, stop_fields),
    SCHEMA(REJECT, reject_fields),
};

enum { LEASE_FIELDS = 4, RESULT_FIELDS = 2, HEAD_FIELDS = 2 };

static const schema *schema_of(uint64_t type)
{
    for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++) {
        if ((uint64_t)schemas[i].type == type) return &schemas[i];
    }
    return NULL;
}

const char *fs_message_name(fs_message_type type)
{
    switch (type) {
#define X(name, value, direction)                                                                  \
    case FS_MSG_##name:                                                                            \
        return #name;
        FS_MESSAGE_MAP(X)
#undef X
    }
    return "UNKNOWN";
}

/* ---- encoding ---- */

static void put_lease(fs_wire_writer *writer, const fs_lease *lease)
{
    FS_ASSERT(lease->id > 0 && lease->cell < FS_CELLS_MAX);
    FS_ASSERT(lease->count > 0 && lease->count <= FS_SHARD_TRIALS_MAX);
    FS_ASSERT(lease->first <= FS_TRIALS_MAX - lease->count);
    fs_wire_put_array(writer, LEASE_FIELDS);
    fs_wire_put_u64(writer, lease->id);
    fs_wire_put_u64(writer, lease->cell);
    fs_wire_put_u64(writer, lease->first);
    fs_wire_put_u64(writer, lease->count);
}

static void put_leases(fs_wire_writer *writer, const fs_lease *leases, uint32_t count)
{
    FS_ASSERT(count <= FS_LEASES_PER_WORKER_MAX);
    fs_wire_put_array(writer, count);
    for (uint32_t i = 0; i < count; i++) put_lease(writer, &leases[i]);
}

static void put_ids(fs_wire_writer *writer, const uint64_t *ids, uint32_t count)
{
    FS_ASSERT(count <= FS_LEASES_PER_WORKER_MAX);
    fs_wire_put_array(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        FS_ASSERT(ids[i] > 0);
        fs_wire_put_u64(writer, ids[i]);
    }
}

static void put_results(fs_wire_writer *writer, const fs_msg_result *results, uint32_t count)
{
    FS_ASSERT(count <= FS_RESULTS_PER_MESSAGE_MAX);
    fs_wire_put_array(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        FS_ASSERT(results[i].trial < FS_TRIALS_MAX);
        FS_ASSERT(results[i].record_bytes > 0);
        FS_ASSERT(results[i].record_bytes <= FS_TRIAL_RECORD_BYTES_MAX);
        fs_wire_put_array(writer, RESULT_FIELDS);
        fs_wire_put_u64(writer, results[i].trial);
        fs_wire_put_bytes(writer, results[i].record, results[i].record_bytes);
    }
}

/** Texts come from the world, so that a bad one is a failure and no assertion. */
static void put_text(fs_wire_writer *writer, const field *row, const fs_text *text)
{
    if (text->size < row->min || text->size > row->max) {
        writer->status =
            fs_fail(FS_ELIMIT, "%s is %zu bytes long, allowed are %llu to %llu", row->name,
                    text->size, (unsigned long long)row->min, (unsigned long long)row->max);
    } else if (!fs_utf8_valid(text->data, text->size)) {
        writer->status = fs_fail(FS_EFORMAT, "%s is not UTF-8 without NUL", row->name);
    } else {
        fs_wire_put_text(writer, text->data, text->size);
    }
}

static void put_number(fs_wire_writer *writer, const field *row, uint64_t value)
{
    FS_ASSERT(value >= row->min && value <= row->max);
    fs_wire_put_u64(writer, value);
}

static int is_failure(int64_t status)
{
    return status < 0 && strcmp(fs_status_name((fs_status)status), "UNKNOWN") != 0;
}

static void put_field(fs_wire_writer *writer, const field *row, const uint8_t *base)
{
    const void *at = base + row->offset;
    const uint32_t *count = (const uint32_t *)(const void *)(base + row->count_offset);
    switch (row->kind) {
    case FIELD_U64:
        put_number(writer, row, *(const uint64_t *)at);
        break;
    case FIELD_U32:
        put_number(writer, row, *(const uint32_t *)at);
        break;
    case FIELD_FLAG:
        fs_wire_put_u64(writer, *(const int *)at != 0);
        break;
    case FIELD_STATUS:
        FS_ASSERT(is_failure(*(const int *)at));
        fs_wire_put_i64(writer, *(const int *)at);
        break;
    case FIELD_F64:
        fs_wire_put_f64(writer, *(const double *)at);
        break;
    case FIELD_TEXT:
        put_text(writer, row, at);
        break;
    case FIELD_HASH:
        fs_wire_put_bytes(writer, at, FS_HASH_BYTES);
        break;
    case FIELD_LEASE:
        put_lease(writer, at);
        break;
    case FIELD_LEASES:
        put_leases(writer, at, *count);
        break;
    case FIELD_IDS:
        put_ids(writer, at, *count);
        break;
    case FIELD_RESULTS:
        put_results(writer, *(fs_msg_result *const *)at, *count);
        break;
    }
}

fs_status fs_message_encode(const fs_message *message, fs_buf *out)
{
    const schema *rows = schema_of((uint64_t)message->type);
    FS_ASSERT(rows != NULL);
    const fs_msg_results *results = &message->u.results;
    FS_ASSERT(message->type != FS_MSG_RESULTS || results->count > 0 || results->last);
    size_t before = out->size;
    fs_wire_writer writer;
    fs_wire_writer_init(&writer, out);
    fs_wire_put_array(&writer, HEAD_FIELDS + rows->count);
    fs_wire_put_u64(&writer, FS_PROTO_VERSION);
    fs_wire_put_u64(&writer, (uint64_t)message->type);
    for (size_t i = 0; i < rows->count && writer.status == FS_OK; i++) {
        put_field(&writer, &rows->fields[i], (const uint8_t *)&message->u);
    }
    size_t size = out->size - before;
    if (writer.status == FS_OK && size > FS_MESSAGE_BYTES_MAX) {
        writer.status = fs_fail(FS_ELIMIT, "a %s message of %zu bytes, at most %d are allowed",
                                fs_message_name(message->type), size, FS_MESSAGE_BYTES_MAX);
    }
    if (writer.status != FS_OK && out->data != NULL) {
        out->size = before;
        out->data[before] = 0;
    }
    return writer.status;
}

/* ---- decoding ---- */

static fs_status get_lease(fs_wire_reader *reader, const char *name, fs_lease *lease)
{
    uint64_t fields, cell;
    FS_TRY(fs_wire_array(reader, name, LEASE_FIELDS, LEASE_FIELDS, &fields));
    FS_TRY(fs_wire_u64(reader, "a lease's id", 1, UINT64_MAX, &lease->id));
    FS_TRY(fs_wire_u64(reader, "a lease's cell", 0, FS_CELLS_MAX - 1, &cell));
    FS_TRY(fs_wire_u64(reader, "a lease's first trial", 0, FS_TRIALS_MAX - 1, &lease->first));
    FS_TRY(fs_wire_u64(reader, "a lease's count", 1, FS_SHARD_TRIALS_MAX, &lease->count));
    lease->cell = (uint32_t)cell;
    if (lease->first > FS_TRIALS_MAX - lease->count) {
        return fs_fail(FS_EPROTO, "%s ends beyond the last trial a cell can have", name);
    }
    return FS_OK;
}

static fs_status get_leases(fs_wire_reader *reader, const char *name, fs_lease *leases,
                            uint32_t *count)
{
    uint64_t n;
    FS_TRY(fs_wire_array(reader, name, 0, FS_LEASES_PER_WORKER_MAX, &n));
    for (uint32_t i = 0; i < n; i++) {
        FS_TRY(get_lease(reader, name, &leases[i]));
        for (uint32_t k = 0; k < i; k++) {
            if (leases[i].id == leases[k].id) {
                return fs_fail(FS_EPROTO, "%s names a lease twice", name);
            }
        }
    }
    *count = (uint32_t)n;
    return FS_OK;
}

static fs_status get_ids(fs_wire_reader *reader, const char *name, uint64_t *ids, uint32_t *count)
{
    uint64_t n;
    FS_TRY(fs_wire_array(reader, name, 0, FS_LEASES_PER_WORKER_MAX, &n));
    for (uint32_t i = 0; i < n; i++) {
        FS_TRY(fs_wire_u64(reader, name, 1, UINT64_MAX, &ids[i]));
    }
    *count = (uint32_t)n;
    return FS_OK;
}

static fs_status get_result(fs_wire_reader *reader, fs_msg_result *out)
{
    uint64_t fields;
    size_t size;
    FS_TRY(fs_wire_array(reader, "a result", RESULT_FIELDS, RESULT_FIELDS, &fields));
    FS_TRY(fs_wire_u64(reader, "a result's trial", 0, FS_TRIALS_MAX - 1, &out->trial));
    FS_TRY(fs_wire_bytes(reader, "a result's record", 1, FS_TRIAL_RECORD_BYTES_MAX, &out->record,
                         &size));
    out->record_bytes = (uint32_t)size;
    return FS_OK;
}

static fs_status get_results(fs_wire_reader *reader, const char *name, fs_msg_result **out,
                             uint32_t *count)
{
    uint64_t n;
    FS_TRY(fs_wire_array(reader, name, 0, FS_RESULTS_PER_MESSAGE_MAX, &n));
    if (n == 0) return FS_OK;
    fs_msg_result *results = calloc((size_t)n, sizeof *results);
    if (results == NULL)
        return fs_fail(FS_ENOMEM, "no memory for %llu results", (unsigned long long)n);
    *out = results; /* fs_message_decode frees it on failure */
    for (uint64_t i = 0; i < n; i++) FS_TRY(get_result(reader, &results[i]));
    *count = (uint32_t)n;
    return FS_OK;
}

static fs_status get_u32(fs_wire_reader *reader, const field *row, uint32_t *out)
{
    uint64_t value;
    FS_TRY(fs_wire_u64(reader, row->name, row->min, row->max, &value));
    *out = (uint32_t)value;
    return FS_OK;
}

static fs_status get_flag(fs_wire_reader *reader, const field *row, int *out)
{
    uint64_t value;
    FS_TRY(fs_wire_u64(reader, row->name, 0, 1, &value));
    *out = (int)value;
    return FS_OK;
}

static fs_status get_status(fs_wire_reader *reader, const field *row, int *out)
{
    int64_t value;
    FS_TRY(fs_wire_i64(reader, row->name, INT16_MIN, -1, &value));
    if (!is_failure(value)) {
        return fs_fail(FS_EPROTO, "%s is %lld, which is no status", row->name, (long long)value);
    }
    *out = (int)value;
    return FS_OK;
}

static fs_status get_hash(fs_wire_reader *reader, const field *row, fs_hash *out)
{
    const uint8_t *bytes;
    size_t size;
    FS_TRY(fs_wire_bytes(reader, row->name, FS_HASH_BYTES, FS_HASH_BYTES, &bytes, &size));
    memcpy(out->bytes, bytes, FS_HASH_BYTES);
    return FS_OK;
}

static fs_status get_field(fs_wire_reader *reader, const field *row, uint8_t *base)
{
    void *at = base + row->offset;
    uint32_t *count = (uint32_t *)(void *)(base + row->count_offset);
    fs_text *text = at;
    switch (row->kind) {
    case FIELD_U64:
        return fs_wire_u64(reader, row->name, row->min, row->max, at);
    case FIELD_U32:
        return get_u32(reader, row, at);
    case FIELD_FLAG:
        return get_flag(reader, row, at);
    case FIELD_STATUS:
        return get_status(reader, row, at);
    case FIELD_F64:
        return fs_wire_f64(reader, row->name, at);
    case FIELD_TEXT:
        return fs_wire_text(reader, row->name, row->min, row->max, &text->data, &text->size);
    case FIELD_HASH:
        return get_hash(reader, row, at);
    case FIELD_LEASE:
        return get_lease(reader, row->name, at);
    case FIELD_LEASES:
        return get_leases(reader, row->name, at, count);
    case FIELD_IDS:
        return get_ids(reader, row->name, at, count);
    case FIELD_RESULTS:
        return get_results(reader, row->name, at, count);
    }
    return fs_fail(FS_EINTERNAL, "%s has no kind", row->name);
}

static fs_status get_message(fs_wire_reader *reader, fs_message *out)
{
    uint64_t fields, version, type;
    FS_TRY(fs_wire_array(reader, "the message", HEAD_FIELDS, UINT32_MAX, &fields));
    FS_TRY(fs_wire_u64(reader, "the version", 0, UINT64_MAX, &version));
    if (version != FS_PROTO_VERSION) {
        return fs_fail(FS_EPROTO, "protocol version %llu, this program speaks %d",
                       (unsigned long long)version, FS_PROTO_VERSION);
    }
    FS_TRY(fs_wire_u64(reader, "the type", 0, UINT64_MAX, &type));
    const schema *rows = schema_of(type);
    if (rows == NULL) {
        return fs_fail(FS_EPROTO, "message type %llu is unknown", (unsigned long long)type);
    }
    out->type = rows->type;
    if (fields != HEAD_FIELDS + rows->count) {
        return fs_fail(FS_EPROTO, "a %s message has %zu fields, not %llu",
                       fs_message_name(rows->type), HEAD_FIELDS + rows->count,
                       (unsigned long long)fields);
    }
    for (size_t i = 0; i < rows->count; i++) {
        FS_TRY(get_field(reader, &rows->fields[i], (uint8_t *)&out->u));
    }
    if (rows->type == FS_MSG_RESULTS && out->u.results.count == 0 && !out->u.results.last) {
        return fs_fail(FS_EPROTO, "results.results is empty and not the last");
    }
    return fs_wire_end(reader);
}

fs_status fs_message_decode(fs_message *out, const void *frame, size_t size)
{
    memset(out, 0, sizeof *out);
    fs_wire_reader reader;
    FS_TRY(fs_wire_open(&reader, frame, size));
    fs_status status = get_message(&reader, out);
    if (status != FS_OK) fs_message_free(out);
    return status;
}

void fs_message_free(fs_message *self)
{
    if (self->type != FS_MSG_RESULTS) return;
    free(self->u.results.results);
    self->u.results.results = NULL;
    self->u.results.count = 0;
}
