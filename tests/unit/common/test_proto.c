#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "proto.h"

static const char uuid[] = "01234567-89ab-cdef-0123-456789abcdef";

static const fs_message_type all_types[] = {
#define X(name, value, direction) FS_MSG_##name,
    FS_MESSAGE_MAP(X)
#undef X
};
enum { TYPES = sizeof all_types / sizeof all_types[0] };

/* ---- samples: every message, small and at its limits ---- */

static uint8_t record_bytes[FS_TRIAL_RECORD_BYTES_MAX];
static fs_msg_result result_items[FS_RESULTS_PER_MESSAGE_MAX];
static char *long_text; /* of FS_PROTO_IDENTITY_BYTES_MAX letters */

static fs_hash some_hash(uint8_t seed)
{
    fs_hash hash;
    for (int i = 0; i < FS_HASH_BYTES; i++) hash.bytes[i] = (uint8_t)(seed + 37 * i);
    return hash;
}

static fs_text letters(size_t size)
{
    return (fs_text){long_text, size};
}

static fs_lease some_lease(uint64_t id, int full)
{
    if (!full) return (fs_lease){id, 3, 100, 50};
    return (fs_lease){UINT64_MAX - id, FS_CELLS_MAX - 1, FS_TRIALS_MAX - FS_SHARD_TRIALS_MAX,
                      FS_SHARD_TRIALS_MAX};
}

static void sample_hello(fs_msg_hello *hello, int full)
{
    hello->uuid = fs_text_of(uuid);
    hello->boot_ms = full ? UINT64_MAX : 1700000000000u;
    hello->host = full ? letters(FS_PROTO_HOST_BYTES_MAX) : fs_text_of("n\xc3\xb6rdlich");
    hello->pid = full ? UINT32_MAX : 4711;
    hello->threads = full ? FS_THREADS_MAX : 1;
    hello->kernel = full ? letters(FS_PROTO_KERNEL_BYTES_MAX) : fs_text_of("avx2");
    hello->version = full ? letters(FS_PROTO_VERSION_BYTES_MAX) : fs_text_of("");
    hello->fingerprint = some_hash(1);
    hello->lease_count = full ? FS_LEASES_PER_WORKER_MAX : 0;
    for (uint32_t i = 0; i < hello->lease_count; i++) hello->leases[i] = some_lease(i, 1);
    hello->draining = full;
}

static void sample_results(fs_msg_results *results, int full)
{
    results->lease = full ? UINT64_MAX : 1;
    results->sequence = full ? UINT64_MAX : 0;
    results->cell = full ? FS_CELLS_MAX - 1 : 0;
    results->last = !full;
    results->cost_us = full ? UINT64_MAX : 250;
    results->count = full ? FS_RESULTS_PER_MESSAGE_MAX : 1;
    results->results = result_items;
    for (uint32_t i = 0; i < FS_RESULTS_PER_MESSAGE_MAX; i++) {
        result_items[i].trial = full ? FS_TRIALS_MAX - 1 - i : i;
        result_items[i].record = record_bytes;
        result_items[i].record_bytes = full ? FS_TRIAL_RECORD_BYTES_MAX : 1;
    }
}

static fs_message sample(fs_message_type type, int full)
{
    fs_message m;
    memset(&m, 0, sizeof m);
    m.type = type;
    switch (type) {
    case FS_MSG_HELLO:
        sample_hello(&m.u.hello, full);
        break;
    case FS_MSG_READY:
        m.u.ready.fingerprint = some_hash(9);
        break;
    case FS_MSG_GOLDEN:
        m.u.golden = (fs_msg_golden){full ? FS_CELLS_MAX - 1 : 0,
                                     full ? (double)NAN : 0.875,
                                     full ? HUGE_VAL : -0.0,
                                     7,
                                     UINT64_MAX,
                                     1,
                                     full ? UINT64_MAX : 0,
                                     512,
                                     full ? UINT64_MAX - 1 : 0};
        break;
    case FS_MSG_RESULTS:
        sample_results(&m.u.results, full);
        break;
    case FS_MSG_HEARTBEAT:
        m.u.heartbeat.lease_count = full ? FS_LEASES_PER_WORKER_MAX : 0;
        m.u.heartbeat.leases[0] = 12;
        m.u.heartbeat.leases[1] = UINT64_MAX;
        m.u.heartbeat.trials_done = 1u << 30;
        m.u.heartbeat.busy = full ? FS_THREADS_MAX : 0;
        break;
    case FS_MSG_RETURN:
        m.u.returned.lease = some_lease(5, full);
        break;
    case FS_MSG_FAILED:
        m.u.failed = (fs_msg_failed){full ? FS_EINTERRUPTED : FS_EIO,
                                     full,
                                     full ? UINT64_MAX : 0,
                                     full ? FS_CELLS_MAX - 1 : 0,
                                     full ? FS_TRIALS_MAX - 1 : 0,
                                     full ? letters(FS_PROTO_WHY_BYTES_MAX) : fs_text_of("")};
        break;
    case FS_MSG_WELCOME:
        m.u.welcome.fingerprint = some_hash(77);
        m.u.welcome.campaign = full ? letters(FS_CAMPAIGN_BYTES_MAX) : fs_text_of("campaign: x\n");
        m.u.welcome.identity = full ? letters(FS_PROTO_IDENTITY_BYTES_MAX) : fs_text_of("");
        m.u.welcome.heartbeat_ms = full ? UINT32_MAX : 1;
        m.u.welcome.lease_ms = full ? UINT32_MAX : 1;
        break;
    case FS_MSG_GRANT:
        m.u.grant.lease = some_lease(6, full);
        m.u.grant.deadline_ms = full ? UINT32_MAX : 1;
        break;
    case FS_MSG_ACK:
        m.u.ack = (fs_msg_ack){full ? UINT64_MAX : 1, full ? UINT64_MAX : 0,
                               full ? FS_RESULTS_PER_MESSAGE_MAX : 0, 2, 1};
        break;
    case FS_MSG_STOP:
        m.u.stop.drain = full;
        m.u.stop.why = full ? letters(FS_PROTO_WHY_BYTES_MAX) : fs_text_of("done");
        break;
    case FS_MSG_REJECT:
        m.u.reject.why = full ? letters(FS_PROTO_WHY_BYTES_MAX) : fs_text_of("go");
        break;
    case FS_MSG_BYE:
    case FS_MSG_WHO:
        break;
    }
    return m;
}

/* ---- equality, field by field ---- */

static void same_text(fs_text a, fs_text b)
{
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
}

static void same_lease(fs_lease a, fs_lease b)
{
    assert_true(a.id == b.id && a.cell == b.cell && a.first == b.first && a.count == b.count);
}

static void same_hello(const fs_msg_hello *a, const fs_msg_hello *b)
{
    same_text(a->uuid, b->uuid);
    same_text(a->host, b->host);
    same_text(a->kernel, b->kernel);
    same_text(a->version, b->version);
    assert_true(a->boot_ms == b->boot_ms && a->pid == b->pid && a->threads == b->threads);
    assert_true(fs_hash_equal(&a->fingerprint, &b->fingerprint));
    assert_int_equal(a->lease_count, b->lease_count);
    for (uint32_t i = 0; i < a->lease_count; i++) same_lease(a->leases[i], b->leases[i]);
    assert_int_equal(a->draining, b->draining);
}

static void same_results(const fs_msg_results *a, const fs_msg_results *b)
{
    assert_true(a->lease == b->lease && a->sequence == b->sequence && a->cell == b->cell);
    assert_true(a->last == b->last && a->cost_us == b->cost_us && a->count == b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        assert_true(a->results[i].trial == b->results[i].trial);
        assert_int_equal(a->results[i].record_bytes, b->results[i].record_bytes);
        assert_memory_equal(a->results[i].record, b->results[i].record, a->results[i].record_bytes);
    }
}

static void same(const fs_message *a, const fs_message *b)
{
    assert_int_equal(a->type, b->type);
    switch (a->type) {
    case FS_MSG_HELLO:
        same_hello(&a->u.hello, &b->u.hello);
        break;
    case FS_MSG_RESULTS:
        same_results(&a->u.results, &b->u.results);
        break;
    case FS_MSG_READY:
        assert_true(fs_hash_equal(&a->u.ready.fingerprint, &b->u.ready.fingerprint));
        break;
    case FS_MSG_GOLDEN:
        assert_int_equal(a->u.golden.variant, b->u.golden.variant);
        assert_memory_equal(&a->u.golden.metric, &b->u.golden.metric, sizeof(double));
        assert_memory_equal(&a->u.golden.loss, &b->u.golden.loss, sizeof(double));
        assert_true(a->u.golden.answers == b->u.golden.answers);
        assert_true(a->u.golden.checksum == b->u.golden.checksum);
        assert_true(a->u.golden.altered == b->u.golden.altered);
        assert_true(a->u.golden.token_rows_read == b->u.golden.token_rows_read);
        assert_true(a->u.golden.positions_read == b->u.golden.positions_read);
        assert_true(a->u.golden.bounds_checksum == b->u.golden.bounds_checksum);
        break;
    case FS_MSG_HEARTBEAT:
        assert_int_equal(a->u.heartbeat.lease_count, b->u.heartbeat.lease_count);
        assert_memory_equal(a->u.heartbeat.leases, b->u.heartbeat.leases,
                            a->u.heartbeat.lease_count * sizeof(uint64_t));
        assert_true(a->u.heartbeat.trials_done == b->u.heartbeat.trials_done);
        assert_int_equal(a->u.heartbeat.busy, b->u.heartbeat.busy);
        break;
    case FS_MSG_RETURN:
        same_lease(a->u.returned.lease, b->u.returned.lease);
        break;
    case FS_MSG_FAILED:
        assert_int_equal(a->u.failed.status, b->u.failed.status);
        assert_int_equal(a->u.failed.fatal, b->u.failed.fatal);
        assert_true(a->u.failed.lease == b->u.failed.lease);
        assert_int_equal(a->u.failed.cell, b->u.failed.cell);
        assert_true(a->u.failed.trial == b->u.failed.trial);
        same_text(a->u.failed.why, b->u.failed.why);
        break;
    case FS_MSG_WELCOME:
        assert_true(fs_hash_equal(&a->u.welcome.fingerprint, &b->u.welcome.fingerprint));
        same_text(a->u.welcome.campaign, b->u.welcome.campaign);
        same_text(a->u.welcome.identity, b->u.welcome.identity);
        assert_true(a->u.welcome.heartbeat_ms == b->u.welcome.heartbeat_ms);
        assert_true(a->u.welcome.lease_ms == b->u.welcome.lease_ms);
        break;
    case FS_MSG_GRANT:
        same_lease(a->u.grant.lease, b->u.grant.lease);
        assert_true(a->u.grant.deadline_ms == b->u.grant.deadline_ms);
        break;
    case FS_MSG_ACK:
        assert_true(a->u.ack.lease == b->u.ack.lease && a->u.ack.sequence == b->u.ack.sequence);
        assert_int_equal(a->u.ack.accepted, b->u.ack.accepted);
        assert_int_equal(a->u.ack.duplicates, b->u.ack.duplicates);
        assert_int_equal(a->u.ack.mismatches, b->u.ack.mismatches);
        break;
    case FS_MSG_STOP:
        assert_int_equal(a->u.stop.drain, b->u.stop.drain);
        same_text(a->u.stop.why, b->u.stop.why);
        break;
    case FS_MSG_REJECT:
        same_text(a->u.reject.why, b->u.reject.why);
        break;
    case FS_MSG_BYE:
    case FS_MSG_WHO:
        break;
    }
}

static int set_up(void **state)
{
    long_text = malloc(FS_PROTO_IDENTITY_BYTES_MAX + 1);
    if (long_text == NULL) return -1;
    for (size_t i = 0; i <= FS_PROTO_IDENTITY_BYTES_MAX; i++) long_text[i] = (char)('a' + i % 26);
    for (size_t i = 0; i < sizeof record_bytes; i++) record_bytes[i] = (uint8_t)(i * 7);
    return 0;
}

static int tear_down(void **state)
{
    free(long_text);
    return 0;
}

static void every_message_comes_back(void **state)
{
    for (int i = 0; i < TYPES; i++) {
        for (int full = 0; full < 2; full++) {
            fs_message in = sample(all_types[i], full), out;
            fs_buf frame = {0};
            assert_int_equal(fs_message_encode(&in, &frame), FS_OK);
            assert_true(frame.size <= FS_MESSAGE_BYTES_MAX);
            assert_int_equal(fs_message_decode(&out, frame.data, frame.size), FS_OK);
            same(&in, &out);
            fs_message_free(&out);
            fs_message_free(&out);
            fs_buf_free(&frame);
        }
    }
}

static void known_bytes(void **state)
{
    /* Written by hand from the MessagePack specification. */
    static const uint8_t ack[] = {0x97, 0x02, 0x43, 0x07, 0xcd, 0x01, 0x00, 0x05, 0x01, 0x00};
    static const uint8_t who[] = {0x92, 0x02, 0x40};
    static const uint8_t stop[] = {0x94, 0x02, 0x44, 0x01, 0xa3, 'e', 'n', 'd'};
    static const uint8_t grant[] = {0x94, 0x02, 0x42, 0x94, 0x01, 0x02,
                                    0x03, 0x04, 0xcd, 0x75, 0x30};
    fs_message m;
    assert_int_equal(fs_message_decode(&m, ack, sizeof ack), FS_OK);
    assert_true(m.type == FS_MSG_ACK && m.u.ack.lease == 7 && m.u.ack.sequence == 256);
    assert_true(m.u.ack.accepted == 5 && m.u.ack.duplicates == 1 && m.u.ack.mismatches == 0);
    assert_int_equal(fs_message_decode(&m, who, sizeof who), FS_OK);
    assert_true(m.type == FS_MSG_WHO);
    assert_int_equal(fs_message_decode(&m, stop, sizeof stop), FS_OK);
    assert_true(m.type == FS_MSG_STOP && m.u.stop.drain == 1);
    same_text(m.u.stop.why, fs_text_of("end"));
    assert_int_equal(fs_message_decode(&m, grant, sizeof grant), FS_OK);
    same_lease(m.u.grant.lease, (fs_lease){1, 2, 3, 4});
    assert_int_equal(m.u.grant.deadline_ms, 30000);
    fs_buf frame = {0};
    assert_int_equal(fs_message_encode(&m, &frame), FS_OK);
    assert_int_equal(frame.size, sizeof grant);
    assert_memory_equal(frame.data, grant, sizeof grant);
    fs_buf_free(&frame);
    assert_string_equal(fs_message_name(FS_MSG_WELCOME), "WELCOME");
    assert_string_equal(fs_message_name((fs_message_type)99), "UNKNOWN");
}

static void every_truncation_is_refused(void **state)
{
    for (int i = 0; i < TYPES; i++) {
        for (int full = 0; full < 2; full++) {
            fs_message in = sample(all_types[i], full), out;
            fs_buf frame = {0};
            assert_int_equal(fs_message_encode(&in, &frame), FS_OK);
            /* Every length of a short frame; of a long one the first 3000, the last 40 and a grid.
             */
            for (size_t size = 0; size < frame.size; size++) {
                if (size > 3000 && size + 40 < frame.size && size % 40099 != 0) continue;
                uint8_t *copy = malloc(size + 1); /* its own block, for the address sanitizer */
                assert_non_null(copy);
                memcpy(copy + 1, frame.data, size);
                assert_int_equal(fs_message_decode(&out, copy + 1, size), FS_EPROTO);
                free(copy);
            }
            fs_buf_free(&frame);
        }
    }
}

static void trailing_bytes_are_refused(void **state)
{
    for (int i = 0; i < TYPES; i++) {
        fs_message in = sample(all_types[i], 0), out;
        fs_buf frame = {0};
        assert_int_equal(fs_message_encode(&in, &frame), FS_OK);
        assert_int_equal(fs_buf_append(&frame, "\xc0", 1), FS_OK);
        assert_int_equal(fs_message_decode(&out, frame.data, frame.size), FS_EPROTO);
        fs_buf_free(&frame);
    }
}

static void mutations_never_crash(void **state)
{
    uint64_t random = 7;
    long decoded = 0;
    for (int i = 0; i < TYPES; i++) {
        fs_message in = sample(all_types[i], 0), out;
        /* Several results, so that lists are mutated too. */
        if (in.type == FS_MSG_RESULTS) in.u.results.count = 5;
        fs_buf frame = {0};
        assert_int_equal(fs_message_encode(&in, &frame), FS_OK);
        uint8_t *copy = malloc(frame.size);
        assert_non_null(copy);
        for (int round = 0; round < 30000; round++) {
            memcpy(copy, frame.data, frame.size);
            int flips = 1 + round % 4;
            for (int k = 0; k < flips; k++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                uint64_t bit = (random >> 20) % (frame.size * 8);
                copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            }
            fs_status status = fs_message_decode(&out, copy, frame.size);
            assert_true(status == FS_OK || status == FS_EPROTO);
            if (status != FS_OK) continue;
            /* What was accepted is within every limit: the encoder asserts them all. */
            decoded++;
            fs_buf again = {0};
            fs_message twice;
            assert_int_equal(fs_message_encode(&out, &again), FS_OK);
            assert_int_equal(fs_message_decode(&twice, again.data, again.size), FS_OK);
            same(&out, &twice);
            fs_message_free(&twice);
            fs_message_free(&out);
            fs_buf_free(&again);
        }
        free(copy);
        fs_buf_free(&frame);
    }
    assert_true(decoded > 1000);
}

/* ---- frames packed by hand, so that one field can be beyond its limit ---- */

/** Packs by `format`: a array of N, u unsigned, i signed, d double, s C string, b bytes of N from
 * record_bytes, t N letters, n nil. Numbers are uint64_t. */
static fs_status decode_raw(const char *format, ...)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    va_list args;
    va_start(args, format);
    for (const char *c = format; *c != '\0'; c++) {
        const char *text = *c == 's' ? va_arg(args, const char *) : NULL;
        double real = *c == 'd' ? va_arg(args, double) : 0;
        uint64_t value = strchr("auibt", *c) != NULL ? va_arg(args, uint64_t) : 0;
        switch (*c) {
        case 'a':
            msgpack_pack_array(&packer, value);
            break;
        case 'u':
            msgpack_pack_uint64(&packer, value);
            break;
        case 'i':
            msgpack_pack_int64(&packer, (int64_t)value);
            break;
        case 'd':
            msgpack_pack_double(&packer, real);
            break;
        case 's':
            msgpack_pack_str_with_body(&packer, text, strlen(text));
            break;
        case 'b':
            msgpack_pack_bin(&packer, value);
            for (uint64_t i = 0; i < value; i++) msgpack_pack_bin_body(&packer, "x", 1);
            break;
        case 't':
            msgpack_pack_str_with_body(&packer, long_text, value);
            break;
        case 'n':
            msgpack_pack_nil(&packer);
            break;
        }
    }
    va_end(args);
    fs_message message;
    fs_status status = fs_message_decode(&message, buffer.data, buffer.size);
    if (status == FS_OK) fs_message_free(&message);
    msgpack_sbuffer_destroy(&buffer);
    return status;
}

#define U(x)       ((uint64_t)(x))
#define OK(...)    assert_int_equal(decode_raw(__VA_ARGS__), FS_OK)
#define BAD(...)   assert_int_equal(decode_raw(__VA_ARGS__), FS_EPROTO)
#define HEAD(n, t) U((n) + 2), U(FS_PROTO_VERSION), U(t)

static void head_is_checked(void **state)
{
    OK("auu", HEAD(0, FS_MSG_WHO));
    BAD("auu", U(2), U(FS_PROTO_VERSION + 1), U(FS_MSG_WHO));
    BAD("auu", U(2), U(0), U(FS_MSG_WHO));
    BAD("auu", HEAD(0, 0));
    BAD("auu", HEAD(0, 9));
    BAD("auu", HEAD(0, 63));
    BAD("auu", HEAD(0, 70));
    BAD("auu", HEAD(0, UINT64_MAX));
    BAD("auu", HEAD(0, (UINT64_C(1) << 32) + FS_MSG_WHO));
    BAD("auun", HEAD(1, FS_MSG_WHO));
    BAD("au", U(1), U(FS_PROTO_VERSION));
    BAD("a", U(0));
    BAD("u", U(1));
    BAD("auuu", HEAD(1, FS_MSG_ACK));
    BAD("auuuuu", HEAD(3, FS_MSG_ACK), U(1), U(1), U(1));
}

static fs_status decode_lease(uint64_t fields, uint64_t id, uint64_t cell, uint64_t first,
                              uint64_t count)
{
    return decode_raw("auuauuuuu", HEAD(2, FS_MSG_GRANT), fields, id, cell, first, count, U(1000));
}

static void leases_are_checked(void **state)
{
    const uint64_t shard = FS_SHARD_TRIALS_MAX;
    assert_int_equal(decode_lease(4, 1, 0, 0, 1), FS_OK);
    assert_int_equal(decode_lease(4, 1, FS_CELLS_MAX - 1, 0, shard), FS_OK);
    assert_int_equal(decode_lease(4, 1, 0, FS_TRIALS_MAX - shard, shard), FS_OK);
    assert_int_equal(decode_lease(4, 0, 0, 0, 1), FS_EPROTO);
    assert_int_equal(decode_lease(4, 1, FS_CELLS_MAX, 0, 1), FS_EPROTO);
    assert_int_equal(decode_lease(4, 1, UINT64_C(1) << 32, 0, 1), FS_EPROTO);
    assert_int_equal(decode_lease(4, 1, 0, 0, 0), FS_EPROTO);
    assert_int_equal(decode_lease(4, 1, 0, 0, shard + 1), FS_EPROTO);
    assert_int_equal(decode_lease(4, 1, 0, FS_TRIALS_MAX - shard + 1, shard), FS_EPROTO);
    assert_int_equal(decode_lease(4, 1, 0, UINT64_MAX - 3, shard), FS_EPROTO);
    assert_int_equal(decode_lease(4, 1, 0, FS_TRIALS_MAX, 1), FS_EPROTO);
    assert_int_equal(decode_lease(3, 1, 0, 0, 1), FS_EPROTO);
    BAD("auuauuuuu", HEAD(2, FS_MSG_GRANT), U(4), U(1), U(0), U(0), U(1), U(0));
    BAD("auuauuuuu", HEAD(2, FS_MSG_GRANT), U(4), U(1), U(0), U(0), U(1), U(1) << 32);
    OK("auuauuuu", HEAD(1, FS_MSG_RETURN), U(4), U(1), U(0), U(0), U(1));
    BAD("auuauuu", HEAD(1, FS_MSG_RETURN), U(3), U(1), U(0), U(0));
}

static fs_status decode_hello(uint64_t uuid_bytes, uint64_t host, uint64_t threads, uint64_t kernel,
                              uint64_t version, uint64_t hash)
{
    return decode_raw("auututuuttbau", HEAD(10, FS_MSG_HELLO), uuid_bytes, U(5), host, U(6),
                      threads, kernel, version, hash, U(0), U(0));
}

static void hellos_are_checked(void **state)
{
    const uint64_t host = FS_PROTO_HOST_BYTES_MAX, kernel = FS_PROTO_KERNEL_BYTES_MAX,
                   version = FS_PROTO_VERSION_BYTES_MAX;
    assert_int_equal(decode_hello(36, host, FS_THREADS_MAX, kernel, version, 32), FS_OK);
    assert_int_equal(decode_hello(35, host, 1, kernel, version, 32), FS_EPROTO);
    assert_int_equal(decode_hello(37, host, 1, kernel, version, 32), FS_EPROTO);
    assert_int_equal(decode_hello(36, host + 1, 1, kernel, version, 32), FS_EPROTO);
    assert_int_equal(decode_hello(36, host, 0, kernel, version, 32), FS_EPROTO);
    assert_int_equal(decode_hello(36, host, FS_THREADS_MAX + 1, kernel, version, 32), FS_EPROTO);
    assert_int_equal(decode_hello(36, host, 1, kernel + 1, version, 32), FS_EPROTO);
    assert_int_equal(decode_hello(36, host, 1, kernel, version + 1, 32), FS_EPROTO);
    assert_int_equal(decode_hello(36, host, 1, kernel, version, 31), FS_EPROTO);
    assert_int_equal(decode_hello(36, host, 1, kernel, version, 33), FS_EPROTO);
#define HELLO_LEASES(n, format, ...)                                                               \
    decode_raw("auututuuttba" format "u", HEAD(10, FS_MSG_HELLO), U(36), U(5), U(3), U(6), U(1),   \
               U(1), U(1), U(32), U(n), __VA_ARGS__, U(0))
#define LEASE(id) U(4), U(id), U(0), U(10), U(5)
    assert_int_equal(HELLO_LEASES(1, "auuuu", LEASE(1)), FS_OK);
    assert_int_equal(HELLO_LEASES(2, "auuuuauuuu", LEASE(1), LEASE(2)), FS_OK);
    assert_int_equal(HELLO_LEASES(2, "auuuuauuuu", LEASE(1), LEASE(1)), FS_EPROTO);
    assert_int_equal(HELLO_LEASES(3, "auuuuauuuuauuuu", LEASE(1), LEASE(2), LEASE(3)), FS_EPROTO);
    BAD("auututuuttbau", HEAD(10, FS_MSG_HELLO), U(36), U(5), U(3), U(6), U(1), U(1), U(1), U(32),
        U(0), U(2));
}

static void results_are_checked(void **state)
{
    const uint64_t record = FS_TRIAL_RECORD_BYTES_MAX;
#define RESULTS(lease, cell, last, trial, bytes)                                                   \
    "auuuuuuuaaub", HEAD(6, FS_MSG_RESULTS), U(lease), U(0), U(cell), U(last), U(9), U(1), U(2),   \
        U(trial), U(bytes)
    OK(RESULTS(1, 0, 0, 0, 1));
    OK(RESULTS(1, FS_CELLS_MAX - 1, 1, FS_TRIALS_MAX - 1, record));
    BAD(RESULTS(0, 0, 0, 0, 1));
    BAD(RESULTS(1, FS_CELLS_MAX, 0, 0, 1));
    BAD(RESULTS(1, 0, 2, 0, 1));
    BAD(RESULTS(1, 0, 0, FS_TRIALS_MAX, 1));
    BAD(RESULTS(1, 0, 0, 0, 0));
    BAD(RESULTS(1, 0, 0, 0, record + 1));
    OK("auuuuuuua", HEAD(6, FS_MSG_RESULTS), U(1), U(0), U(0), U(1), U(9), U(0));
    BAD("auuuuuuua", HEAD(6, FS_MSG_RESULTS), U(1), U(0), U(0), U(0), U(9), U(0));
    BAD("auuuuuuuaauub", HEAD(6, FS_MSG_RESULTS), U(1), U(0), U(0), U(0), U(9), U(1), U(3), U(0),
        U(0), U(1));
    BAD("auuuuuuuaaut", HEAD(6, FS_MSG_RESULTS), U(1), U(0), U(0), U(0), U(9), U(1), U(2), U(0),
        U(3));
}

static void too_many_results_are_refused(void **state)
{
    for (uint32_t over = 0; over < 2; over++) {
        uint32_t count = FS_RESULTS_PER_MESSAGE_MAX + over;
        msgpack_sbuffer buffer;
        msgpack_packer packer;
        msgpack_sbuffer_init(&buffer);
        msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
        msgpack_pack_array(&packer, 8);
        const uint64_t head[] = {FS_PROTO_VERSION, FS_MSG_RESULTS, 1, 0, 0, 0, 0};
        for (size_t i = 0; i < 7; i++) msgpack_pack_uint64(&packer, head[i]);
        msgpack_pack_array(&packer, count);
        for (uint32_t i = 0; i < count; i++) {
            msgpack_pack_array(&packer, 2);
            msgpack_pack_uint64(&packer, i);
            msgpack_pack_bin_with_body(&packer, "r", 1);
        }
        fs_message m;
        assert_int_equal(fs_message_decode(&m, buffer.data, buffer.size), over ? FS_EPROTO : FS_OK);
        fs_message_free(&m);
        msgpack_sbuffer_destroy(&buffer);
    }
}

static void other_fields_are_checked(void **state)
{
#define GOLDEN(variant, answers)                                                                   \
    "auuuddiiiuuu", HEAD(9, FS_MSG_GOLDEN), U(variant), 1.0, 2.0, U(answers), U(1), U(1), U(1),    \
        U(2), U(3)
    OK(GOLDEN(FS_CELLS_MAX - 1, 1));
    BAD(GOLDEN(FS_CELLS_MAX, 1));
    BAD(GOLDEN(0, -1));
#undef GOLDEN
    BAD("auuuuduuuuuu", HEAD(9, FS_MSG_GOLDEN), U(0), U(1), 2.0, U(1), U(1), U(1), U(1), U(1),
        U(1));
    BAD("auuuddiii", HEAD(6, FS_MSG_GOLDEN), U(0), 1.0, 2.0, U(1), U(1), U(1)); /* version 1's */
    OK("auuauuu", HEAD(3, FS_MSG_HEARTBEAT), U(1), U(5), U(1), U(FS_THREADS_MAX));
    BAD("auuauuu", HEAD(3, FS_MSG_HEARTBEAT), U(1), U(0), U(1), U(1));
    BAD("auuauuu", HEAD(3, FS_MSG_HEARTBEAT), U(1), U(5), U(1), U(FS_THREADS_MAX + 1));
    BAD("auuauuuuu", HEAD(3, FS_MSG_HEARTBEAT), U(3), U(5), U(6), U(7), U(1), U(1));
#define FAILED(status, fatal, cell, trial, why)                                                    \
    "auuiuuuut", HEAD(6, FS_MSG_FAILED), U(status), U(fatal), U(0), U(cell), U(trial), U(why)
    OK(FAILED(FS_EMISMATCH, 1, FS_CELLS_MAX - 1, FS_TRIALS_MAX - 1, FS_PROTO_WHY_BYTES_MAX));
    BAD(FAILED(FS_OK, 1, 0, 0, 1));
    BAD(FAILED(1, 1, 0, 0, 1));
    BAD(FAILED(-19, 1, 0, 0, 1)); /* no status has this value */
    BAD(FAILED(INT64_MIN, 1, 0, 0, 1));
    BAD(FAILED(FS_EIO, 2, 0, 0, 1));
    BAD(FAILED(FS_EIO, 0, FS_CELLS_MAX, 0, 1));
    BAD(FAILED(FS_EIO, 0, 0, FS_TRIALS_MAX, 1));
    BAD(FAILED(FS_EIO, 0, 0, 0, FS_PROTO_WHY_BYTES_MAX + 1));
    OK("auut", HEAD(1, FS_MSG_REJECT), U(FS_PROTO_WHY_BYTES_MAX));
    BAD("auut", HEAD(1, FS_MSG_REJECT), U(FS_PROTO_WHY_BYTES_MAX + 1));
    BAD("auus", HEAD(1, FS_MSG_REJECT), "bad \xff byte");
    BAD("auuut", HEAD(2, FS_MSG_STOP), U(2), U(1));
    BAD("auuut", HEAD(2, FS_MSG_STOP), U(1), U(FS_PROTO_WHY_BYTES_MAX + 1));
    OK("auuuuuuu", HEAD(5, FS_MSG_ACK), U(1), U(1), U(FS_RESULTS_PER_MESSAGE_MAX), U(0), U(0));
    BAD("auuuuuuu", HEAD(5, FS_MSG_ACK), U(0), U(1), U(0), U(0), U(0));
    BAD("auuuuuuu", HEAD(5, FS_MSG_ACK), U(1), U(1), U(FS_RESULTS_PER_MESSAGE_MAX + 1), U(0), U(0));
    BAD("auuuu", HEAD(2, FS_MSG_ACK), U(1), U(1)); /* version 1's */
#define WELCOME(hash, campaign, identity, heartbeat, lease)                                        \
    "auubttuu", HEAD(5, FS_MSG_WELCOME), U(hash), U(campaign), U(identity), U(heartbeat), U(lease)
    OK(WELCOME(32, FS_CAMPAIGN_BYTES_MAX, FS_PROTO_IDENTITY_BYTES_MAX, 1, 1));
    BAD(WELCOME(32, FS_CAMPAIGN_BYTES_MAX + 1, 0, 1, 1));
    BAD(WELCOME(32, 0, FS_PROTO_IDENTITY_BYTES_MAX + 1, 1, 1));
    BAD(WELCOME(32, 0, 0, 0, 1));
    BAD(WELCOME(32, 0, 0, 1, 0));
    BAD(WELCOME(31, 0, 0, 1, 1));
}

static void texts_from_outside_do_not_abort(void **state)
{
    fs_message m = {.type = FS_MSG_REJECT};
    fs_buf frame = {0};
    assert_int_equal(fs_buf_puts(&frame, "before"), FS_OK);
    m.u.reject.why = letters(FS_PROTO_WHY_BYTES_MAX + 1);
    assert_int_equal(fs_message_encode(&m, &frame), FS_ELIMIT);
    m.u.reject.why = fs_text_of("caf\xe9");
    assert_int_equal(fs_message_encode(&m, &frame), FS_EFORMAT);
    m.u.reject.why = (fs_text){"a\0b", 3};
    assert_int_equal(fs_message_encode(&m, &frame), FS_EFORMAT);
    assert_string_equal(fs_buf_text(&frame), "before");
    fs_buf_free(&frame);
}

static void clean_texts_fit(void **state)
{
    char out[8];
    same_text(fs_text_clean(out, sizeof out, "abc"), fs_text_of("abc"));
    same_text(fs_text_clean(out, sizeof out, "1234567"), fs_text_of("1234567"));
    same_text(fs_text_clean(out, sizeof out, "12345678"), fs_text_of("1234567"));
    same_text(fs_text_clean(out, sizeof out, "123456\xc3\xbc"), fs_text_of("123456"));
    same_text(fs_text_clean(out, sizeof out, "12345\xc3\xbc!"), fs_text_of("12345\xc3\xbc"));
    same_text(fs_text_clean(out, sizeof out, "a\xff\xc3z"), fs_text_of("a??z"));
    same_text(fs_text_clean(out, 1, "abc"), fs_text_of(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back),
        cmocka_unit_test(known_bytes),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(trailing_bytes_are_refused),
        cmocka_unit_test(mutations_never_crash),
        cmocka_unit_test(head_is_checked),
        cmocka_unit_test(leases_are_checked),
        cmocka_unit_test(hellos_are_checked),
        cmocka_unit_test(results_are_checked),
        cmocka_unit_test(too_many_results_are_refused),
        cmocka_unit_test(other_fields_are_checked),
        cmocka_unit_test(texts_from_outside_do_not_abort),
        cmocka_unit_test(clean_texts_fit),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
