#include "residual.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coding.h"
#include "rng.h"

enum { COLS = 1024, BITS = 32 };

/* (lower, upper] as powers of two, and the share of weights; the last reaches to 4. */
static const struct {
    int lower, upper;
    double share;
} ranges[] = {
    {-32, -8, 0.03106}, {-8, -4, 0.3709}, {-4, -2, 0.5338},
    {-2, -1, 0.06183},  {-1, 1, 0.00248}, {1, 2, 0.000012},
};
enum { RANGES = sizeof ranges / sizeof ranges[0] };

void residual_weights(uint32_t *out, size_t count, uint64_t seed)
{
    fs_rng rng;
    double total = 0;
    fs_rng_init(&rng, seed, 0);
    for (int r = 0; r < RANGES; r++) total += ranges[r].share;
    for (size_t i = 0; i < count; i++) {
        double u = fs_rng_unit(&rng) * total;
        int r = 0;
        while (r + 1 < RANGES && u > ranges[r].share) u -= ranges[r++].share;
        const int octaves = ranges[r].upper - ranges[r].lower;
        const float value = (float)exp2(ranges[r].lower + octaves * fs_rng_unit(&rng));
        memcpy(&out[i], &value, sizeof value);
        out[i] |= fs_rng_u32(&rng) & 0x80000000u;
    }
}

/* Numbers of hit places, ascending. */
typedef struct hits {
    fs_rng rng;
    double log_miss;
    double next;
} hits;

static void hits_begin(hits *self, double rate, uint64_t seed, uint64_t stream)
{
    fs_rng_init(&self->rng, seed, stream);
    self->log_miss = log1p(-rate);
    self->next = floor(log(fs_rng_unit(&self->rng)) / self->log_miss);
}

/* @return nonzero while there is one below `end`; it is written to `at`, counted from `first`. */
static int hits_below(hits *self, double first, double end, size_t *at)
{
    if (self->next >= end) return 0;
    *at = (size_t)(self->next - first);
    self->next += 1 + floor(log(fs_rng_unit(&self->rng)) / self->log_miss);
    return 1;
}

static float value_of(uint32_t word)
{
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

static void die(const char *why)
{
    fprintf(stderr, "residual: %s\n", why);
    abort();
}

/* The sums over the weights of one row. */
typedef struct sums {
    double error, weight;
    size_t big;
} sums;

static void add_row(sums *s, const uint32_t *clean, const uint32_t *read, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const double a = (double)value_of(clean[i]), b = (double)value_of(read[i]);
        s->weight += a * a;
        if (!(fabs(b) <= 8))
            s->big++;
        else
            s->error += (b - a) * (b - a);
    }
}

residual residual_measure(const uint32_t *weights, size_t count, const char *const *names,
                          unsigned name_count, residual_amount amount, uint64_t seed)
{
    fs_protect protect;
    fs_protection *protection = NULL;
    fs_coding_room room = {0};
    if (fs_protect_init(&protect, names, name_count, (fs_guard){0}) != FS_OK ||
        fs_protection_new(&protection, &protect, 1) != FS_OK ||
        fs_coding_room_reserve(&room, &protect, COLS) != FS_OK)
        die(fs_status_detail());
    const fs_coding coding = fs_protection_coding(protection, 0);
    for (size_t first = 0; fs_protection_learns(protection) && first < count; first += COLS) {
        memcpy(room.prepared, weights + first, COLS * sizeof *weights);
        fs_coding_prepare(&coding, room.prepared, COLS);
        fs_coding_learn(&protect, fs_protection_params(protection, 0), room.prepared, COLS,
                        room.check);
    }
    const double bit_rate = amount.per_value ? amount.rate / BITS : amount.rate;
    const size_t check_bits = 8 * fs_coding_check_bytes(&protect, COLS);
    hits data, checks;
    hits_begin(&data, amount.rate, seed, 1);
    hits_begin(&checks, bit_rate, seed, 2);
    sums s = {0};
    fs_codec_report report = {0};
    for (size_t first = 0; first < count; first += COLS) {
        const double row = (double)(first / COLS), places = amount.per_value ? 1 : BITS;
        size_t at;
        memcpy(room.prepared, weights + first, COLS * sizeof *weights);
        fs_coding_prepare(&coding, room.prepared, COLS);
        memcpy(room.read, room.prepared, COLS * sizeof *weights);
        fs_coding_encode(&coding, room.read, COLS, room.check);
        while (hits_below(&data, row * COLS * places, (row + 1) * COLS * places, &at)) {
            const size_t word = amount.per_value ? at : at / BITS;
            const unsigned bit =
                amount.per_value ? fs_rng_u32(&data.rng) % BITS : (unsigned)(at % BITS);
            room.read[word] ^= 1u << bit;
        }
        while (hits_below(&checks, row * (double)check_bits, (row + 1) * (double)check_bits, &at))
            room.check[at / 8] ^= (uint8_t)(1u << (at % 8));
        fs_coding_decode(&coding, room.read, COLS, room.check, room.prepared, room.scratch,
                         &report);
        add_row(&s, weights + first, room.read, COLS);
    }
    fs_coding_room_free(&room);
    fs_protection_destroy(&protection);
    return (residual){(double)s.big / (double)count, sqrt(s.error / s.weight)};
}
