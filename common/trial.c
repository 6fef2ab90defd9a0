#include "trial.h"

#include <math.h>
#include <string.h>

#include "activation.h"
#include "assert.h"
#include "hash.h"
#include "tuning.h"

enum {
    WORD_BITS = 32, /* of the widest format */
    VERSION_PARAMETERS = 1,
    VERSION_CHECKS = 2,      /* the same and, after the sums, check_faults, which are not 0 */
    VERSION_ACTIVATIONS = 3, /* as 1, but each fault has a place */
    VERSION_TUNED = 4,       /* as 3 with a step too, and what came of tuning after the sums */
    CHECKS_BYTES = 8,
    TUNED_BYTES = 4 + FS_HASH_BYTES,
    HEAD_BYTES = 1 + 1 + 1 + 1 + 5 * 4 + 13 * 8, /* fixed part, `kept` as one byte */
    FAULT_BYTES = 4 + 1 + 1 + 8 + 4 * 4,
    PLACE_BYTES = 2,
    STEP_BYTES = 4,
    CHECKSUM_BYTES = 8,
    RECORD_BYTES_MAX = HEAD_BYTES + TUNED_BYTES +
                       FS_FAULTS_KEPT_MAX * (FAULT_BYTES + PLACE_BYTES + STEP_BYTES) +
                       CHECKSUM_BYTES
};
_Static_assert((int)RECORD_BYTES_MAX <= (int)FS_TRIAL_RECORD_BYTES_MAX, "a record fits its limit");

typedef struct cursor {
    uint8_t *at;
} cursor;

static void put(cursor *c, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) *c->at++ = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t **at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t) * (*at)++ << (8 * i);
    return value;
}

/* NaNs differ in sign and payload from one instruction to the next: one stands for all. */
static void put_double(cursor *c, double value)
{
    uint64_t bits = 0x7ff8000000000000u;
    if (!isnan(value)) memcpy(&bits, &value, sizeof bits);
    put(c, bits, 8);
}

static double get_double(const uint8_t **at)
{
    uint64_t bits = get(at, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint8_t version_of(const fs_trial_record *self)
{
    FS_ASSERT(!(self->activations || self->tuned) || self->check_faults == 0);
    FS_ASSERT(!self->activations || !self->tuned);
    if (self->tuned) return VERSION_TUNED;
    if (self->activations) return VERSION_ACTIVATIONS;
    return self->check_faults == 0 ? VERSION_PARAMETERS : VERSION_CHECKS;
}

fs_status fs_trial_encode(const fs_trial_record *self, fs_buf *out)
{
    FS_ASSERT(self->kept <= FS_FAULTS_KEPT_MAX && self->outcome < FS_OUTCOME_COUNT);
    uint8_t bytes[RECORD_BYTES_MAX];
    cursor c = {bytes};
    put(&c, version_of(self), 1);
    put(&c, self->outcome, 1);
    put(&c, self->critical != 0, 1);
    put(&c, self->kept, 1);
    const uint32_t counts[] = {self->inputs, self->masked, self->benign, self->sdc, self->due};
    for (int i = 0; i < 5; i++) put(&c, counts[i], 4);
    put(&c, self->answers, 8);
    put(&c, self->answers_changed, 8);
    put_double(&c, self->metric);
    put_double(&c, self->loss);
    put_double(&c, self->deviation_max);
    put_double(&c, self->kl_mean);
    const uint64_t sums[] = {self->faults,         self->effective, self->visible,
                             self->corrected,      self->detected,  self->miscorrected,
                             self->faults_checksum};
    for (int i = 0; i < 7; i++) put(&c, sums[i], 8);
    if (self->check_faults > 0) put(&c, self->check_faults, CHECKS_BYTES);
    if (self->tuned) {
        put(&c, self->diverged, 4);
        for (int i = 0; i < FS_HASH_BYTES; i++) put(&c, self->model.bytes[i], 1);
    }
    for (uint32_t i = 0; i < self->kept; i++) {
        const fs_fault_record *fault = &self->fault[i];
        put(&c, fault->tensor, 4);
        if (self->activations || self->tuned) put(&c, fault->place, PLACE_BYTES);
        if (self->tuned) put(&c, fault->step, STEP_BYTES);
        put(&c, fault->bit, 1);
        put(&c, fault->kind, 1);
        put(&c, fault->element, 8);
        put(&c, fault->before, 4);
        put(&c, fault->after, 4);
        put(&c, fault->value_before, 4);
        put(&c, fault->value_after, 4);
    }
    size_t size = (size_t)(c.at - bytes);
    put(&c, fs_checksum(bytes, size), CHECKSUM_BYTES);
    return fs_buf_append(out, bytes, size + CHECKSUM_BYTES);
}

static fs_status check_record(const fs_trial_record *r)
{
    if (r->outcome >= FS_OUTCOME_COUNT || r->critical > 1) {
        return fs_fail(FS_ECORRUPT, "a trial record holds an unknown outcome");
    }
    if ((uint64_t)r->masked + r->benign + r->sdc + r->due != r->inputs) {
        return fs_fail(FS_ECORRUPT, "a trial record's outcomes do not sum to its inputs");
    }
    uint64_t kept = r->faults < FS_FAULTS_KEPT_MAX ? r->faults : FS_FAULTS_KEPT_MAX;
    if (r->kept != kept || r->effective > r->faults || r->answers_changed > r->answers) {
        return fs_fail(FS_ECORRUPT, "a trial record's counts contradict each other");
    }
    for (uint32_t i = 0; i < r->kept; i++) {
        if (r->fault[i].kind > FS_FAULT_STUCK1 || r->fault[i].bit >= WORD_BITS)
            return fs_fail(FS_ECORRUPT, "a trial record holds an unknown fault");
        if (r->activations && !fs_place_valid(r->fault[i].place))
            return fs_fail(FS_ECORRUPT, "a trial record names a place that no model has");
        if (r->tuned && r->fault[i].place >= FS_TUNE_ARRAY_COUNT)
            return fs_fail(FS_ECORRUPT, "a trial record names an array that no step has");
    }
    return FS_OK;
}

fs_status fs_trial_decode(fs_trial_record *out, const void *data, size_t size)
{
    const uint8_t *at = data;
    if (size < HEAD_BYTES + CHECKSUM_BYTES || at[0] < VERSION_PARAMETERS || at[0] > VERSION_TUNED) {
        return fs_fail(FS_ECORRUPT, "not a trial record of version %d to %d (%zu bytes)",
                       VERSION_PARAMETERS, VERSION_TUNED, size);
    }
    const int checks = at[0] == VERSION_CHECKS;
    uint32_t kept = at[3];
    const uint8_t activations = at[0] == VERSION_ACTIVATIONS, tuned = at[0] == VERSION_TUNED;
    const size_t each = FAULT_BYTES + (activations || tuned ? (size_t)PLACE_BYTES : 0) +
                        (tuned ? (size_t)STEP_BYTES : 0);
    const size_t head =
        (size_t)HEAD_BYTES + (checks ? CHECKS_BYTES : 0) + (tuned ? TUNED_BYTES : 0);
    if (kept > FS_FAULTS_KEPT_MAX || size != head + kept * each + CHECKSUM_BYTES) {
        return fs_fail(FS_ECORRUPT, "a trial record has the wrong length, %zu bytes", size);
    }
    const uint8_t *tail = at + size - CHECKSUM_BYTES;
    if (get(&tail, CHECKSUM_BYTES) != fs_checksum(data, size - CHECKSUM_BYTES)) {
        return fs_fail(FS_ECORRUPT, "a trial record's checksum does not match");
    }
    *out = (fs_trial_record){.outcome = at[1],
                             .critical = at[2],
                             .activations = activations,
                             .tuned = tuned,
                             .kept = kept};
    at += 4;
    uint32_t *counts[] = {&out->inputs, &out->masked, &out->benign, &out->sdc, &out->due};
    for (int i = 0; i < 5; i++) *counts[i] = (uint32_t)get(&at, 4);
    out->answers = get(&at, 8);
    out->answers_changed = get(&at, 8);
    out->metric = get_double(&at);
    out->loss = get_double(&at);
    out->deviation_max = get_double(&at);
    out->kl_mean = get_double(&at);
    uint64_t *sums[] = {&out->faults,   &out->effective,    &out->visible,        &out->corrected,
                        &out->detected, &out->miscorrected, &out->faults_checksum};
    for (int i = 0; i < 7; i++) *sums[i] = get(&at, 8);
    if (checks) {
        out->check_faults = get(&at, CHECKS_BYTES);
        if (out->check_faults == 0)
            return fs_fail(FS_ECORRUPT, "a trial record of version 2 has no faults in checks");
    }
    if (tuned) {
        out->diverged = (uint32_t)get(&at, 4);
        for (int i = 0; i < FS_HASH_BYTES; i++) out->model.bytes[i] = (uint8_t)get(&at, 1);
    }
    for (uint32_t i = 0; i < kept; i++) {
        fs_fault_record *fault = &out->fault[i];
        fault->tensor = (uint32_t)get(&at, 4);
        if (activations || tuned) fault->place = (uint16_t)get(&at, PLACE_BYTES);
        if (tuned) fault->step = (uint32_t)get(&at, STEP_BYTES);
        fault->bit = (uint8_t)get(&at, 1);
        fault->kind = (uint8_t)get(&at, 1);
        fault->element = get(&at, 8);
        fault->before = (uint32_t)get(&at, 4);
        fault->after = (uint32_t)get(&at, 4);
        fault->value_before = (uint32_t)get(&at, 4);
        fault->value_after = (uint32_t)get(&at, 4);
    }
    return check_record(out);
}

const char *fs_outcome_name(fs_outcome outcome)
{
    switch (outcome) {
#define X(name, text)                                                                              \
    case FS_OUTCOME_##name:                                                                        \
        return text;
        FS_OUTCOME_MAP(X)
#undef X
    case FS_OUTCOME_COUNT:
        break;
    }
    return "unknown";
}
