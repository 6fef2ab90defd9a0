/** The messages between coordinator and worker, and their MessagePack encoding.
 *
 * Every message is one frame: an array [version, type, fields...] with a fixed schema. Decoding
 * pre-scans the whole frame linearly first (counts at most the bytes left, depth, object cap), then
 * decodes, checks types and bounds and the final offset; it never trusts a length. Strings and
 * binaries of a decoded message point into the frame. Source: `orchestration.md`, "MessagePack".
 *
 * The conversation, as both sides keep it:
 *
 * 1. The worker says HELLO when it starts and whenever it is asked WHO. WHO answers any message of
 *    an unknown peer but HELLO and BYE; whatever else that message said is forgotten.
 * 2. WELCOME answers HELLO. A worker of the same campaign keeps its leases and results; one of
 *    another drops them. READY follows, at once or after minutes of preparing with heartbeats.
 * 3. After READY the worker repeats every GOLDEN it knows and every RESULTS not yet acknowledged,
 *    with their old sequence numbers: receiving them twice is normal.
 * 4. GRANT is sent after READY only, at most FS_LEASES_PER_WORKER_MAX at a time. A lease is over
 *    with a RESULTS that says `last`, or with a RETURN of all of it. A trial that gave FAILED is
 *    skipped: the lease goes on and ends without it.
 * 5. A worker that sent RETURN, or HELLO with `draining`, gets no further GRANT; it returns those
 *    that crossed.
 * 6. HELLO and HEARTBEAT name the leases held; one that is missing in a HELLO is void.
 * 7. BYE, a fatal FAILED and REJECT end the conversation; nothing answers them.
 *
 * Thread rule: reentrant. */
#ifndef FS_PROTO_H
#define FS_PROTO_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "hash.h"
#include "limits.h"
#include "status.h"

enum {
    FS_PROTO_VERSION = 2
}; /* 2: a golden run says what inputs read,
    an acknowledgement what became of the results */

/* X(NAME, value, direction): w worker to coordinator, c coordinator to worker. */
#define FS_MESSAGE_MAP(X)                                                                          \
    X(HELLO, 1, w)     /* who I am; again after WHO or a reconnection */                           \
    X(READY, 2, w)     /* models and data found, plan equal: grant me shards */                    \
    X(GOLDEN, 3, w)    /* a variant's golden run; before its first results */                      \
    X(RESULTS, 4, w)   /* records of a lease */                                                    \
    X(HEARTBEAT, 5, w) /* leases held, trials done and rate */                                     \
    X(RETURN, 6, w)    /* the rest of a lease, not started: grant it elsewhere */                  \
    X(FAILED, 7, w)    /* I cannot serve this campaign, or a trial failed here, and why */         \
    X(BYE, 8, w)       /* leaving; leases held are void */                                         \
    X(WHO, 64, c)      /* I do not know you: say HELLO */                                          \
    X(WELCOME, 65, c)  /* the campaign */                                                          \
    X(GRANT, 66, c)    /* a lease */                                                               \
    X(ACK, 67, c)      /* these results are durable */                                             \
    X(STOP, 68, c)     /* finish (drain) or drop your leases and leave */                          \
    X(REJECT, 69, c)   /* you cannot take part, and why; do not come back */

typedef enum fs_message_type {
#define X(name, value, direction) FS_MSG_##name = (value),
    FS_MESSAGE_MAP(X)
#undef X
} fs_message_type;

/** Borrowed bytes; text is UTF-8 without NUL, checked at decoding. */
typedef struct fs_text {
    const char *data;
    size_t size;
} fs_text;

/** A lease as both sides name it. */
typedef struct fs_lease {
    uint64_t id;
    uint32_t cell;
    uint64_t first;
    uint64_t count;
} fs_lease;

typedef struct fs_msg_hello {
    fs_text uuid;     /* of the worker process, 36 characters */
    uint64_t boot_ms; /* wall clock at its start: tells a restarted worker from its former self */
    fs_text host;
    uint32_t pid;
    uint32_t threads;
    fs_text kernel;                            /* of nn_kernel_name() */
    fs_text version;                           /* FS_VERSION */
    fs_hash fingerprint;                       /* of the campaign it already serves; zero: none */
    fs_lease leases[FS_LEASES_PER_WORKER_MAX]; /* still held */
    uint32_t lease_count;
    int draining; /* it finishes what it holds and leaves: grant it nothing */
} fs_msg_hello;

typedef struct fs_msg_ready {
    fs_hash fingerprint; /* computed by the worker from its own models and data */
} fs_msg_ready;

typedef struct fs_msg_golden {
    uint32_t variant;
    double metric;
    double loss;
    uint64_t answers;
    uint64_t checksum;
    uint64_t altered;
    uint64_t token_rows_read;
    uint64_t positions_read;
    uint64_t bounds_checksum;
} fs_msg_golden;

/** One record of a RESULTS message. */
typedef struct fs_msg_result {
    uint64_t trial;
    const uint8_t *record; /* an encoded fs_trial_record; validated by its reader */
    uint32_t record_bytes;
} fs_msg_result;

typedef struct fs_msg_results {
    uint64_t lease;
    uint64_t sequence; /* of this worker's RESULTS messages; echoed in ACK */
    uint32_t cell;
    int last;               /* the lease is finished with this message */
    uint64_t cost_us;       /* compute time spent on these records, summed over threads */
    uint32_t count;         /* 1..FS_RESULTS_PER_MESSAGE_MAX; 0 only with `last`, if the trials
                               before the end of the lease failed or were returned */
    fs_msg_result *results; /* decode: allocated by fs_message_decode, freed by
                               fs_message_free */
} fs_msg_results;

typedef struct fs_msg_heartbeat {
    uint64_t leases[FS_LEASES_PER_WORKER_MAX]; /* ids held */
    uint32_t lease_count;
    uint64_t trials_done; /* by this process */
    uint32_t busy;        /* compute threads at work */
} fs_msg_heartbeat;

typedef struct fs_msg_return {
    fs_lease lease; /* the part given back: a tail of the lease */
} fs_msg_return;

typedef struct fs_msg_failed {
    int status; /* fs_status, never FS_OK */
    int fatal;  /* the worker leaves; otherwise only `cell`/`trial` failed */
    uint64_t lease;
    uint32_t cell;
    uint64_t trial;
    fs_text why;
} fs_msg_failed;

typedef struct fs_msg_welcome {
    fs_hash fingerprint;
    fs_text campaign; /* the effective campaign, YAML */
    fs_text identity; /* the plan's, so that a worker can name what differs; may be empty */
    uint64_t heartbeat_ms;
    uint64_t lease_ms;
} fs_msg_welcome;

typedef struct fs_msg_grant {
    fs_lease lease;
    uint64_t deadline_ms; /* from now, without a heartbeat */
} fs_msg_grant;

typedef struct fs_msg_ack {
    uint64_t lease;
    uint64_t sequence;
    uint32_t accepted;   /* of the message's results: the first of their trials, */
    uint32_t duplicates; /* equal to a stored one, */
    uint32_t mismatches; /* or not */
} fs_msg_ack;

typedef struct fs_msg_stop {
    int drain; /* nonzero: finish leases first */
    fs_text why;
} fs_msg_stop;

typedef struct fs_msg_reject {
    fs_text why;
} fs_msg_reject;

typedef struct fs_message {
    fs_message_type type;
    union {
        fs_msg_hello hello;
        fs_msg_ready ready;
        fs_msg_golden golden;
        fs_msg_results results;
        fs_msg_heartbeat heartbeat;
        fs_msg_return returned;
        fs_msg_failed failed;
        fs_msg_welcome welcome;
        fs_msg_grant grant;
        fs_msg_ack ack;
        fs_msg_stop stop;
        fs_msg_reject reject;
    } u; /* BYE and WHO have no fields */
} fs_message;

/** Lengths of texts in bytes, without a NUL. */
enum {
    FS_PROTO_UUID_BYTES = 36,
    FS_PROTO_HOST_BYTES_MAX = 63,
    FS_PROTO_KERNEL_BYTES_MAX = 15,
    FS_PROTO_VERSION_BYTES_MAX = 31,
    FS_PROTO_WHY_BYTES_MAX = 1023,
    FS_PROTO_IDENTITY_BYTES_MAX = 2 << 20
};

/** Makes a text for a message of any C string: what is not UTF-8 becomes '?', and it is cut at a
 * character's boundary so that it fits `out_bytes` with a NUL. Points into `out`. */
fs_text fs_text_clean(char *out, size_t out_bytes, const char *text);
/** @return the whole string as a text, as it is. */
fs_text fs_text_of(const char *text);

/** Appends one encoded frame; on failure `out` is as before. Asserts limits of numbers.
 * Errors: FS_ELIMIT for a text beyond its maximum or a frame beyond FS_MESSAGE_BYTES_MAX,
 * FS_EFORMAT for a text that is not UTF-8 or has a NUL; FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_message_encode(const fs_message *message, fs_buf *out);
/** Decodes one frame of exactly `size` bytes; texts and records point into it. After a failure
 * there is nothing to free. Errors: FS_EPROTO saying what is wrong; FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_message_decode(fs_message *out, const void *frame, size_t size);
/** Frees what decoding allocated; idempotent. */
void fs_message_free(fs_message *self);
/** @return "HELLO", ... */
const char *fs_message_name(fs_message_type type);

#endif
