/* What protections cost and leave: decode speed on one core, and the residual table of `codecs.md`
 * on four million weights drawn to GPT-2's histogram.
 *
 *     build/tests/bench_codecs
 *
 * Speed is of words decoded in rows of 1024 where nothing is hit, the best of several short runs,
 * in processor time. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coding.h"
#include "residual.h"

enum { ROUNDS = 7, COLS = 1024, ROWS = 256, WEIGHTS = 4 << 20 };
static const double GPT2_WEIGHTS = 124439808;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(void)
{
    fprintf(stderr, "bench_codecs: %s\n", fs_status_detail());
    exit(1);
}

/* @return seconds to copy and decode a word. */
static double decode_seconds(const fs_codec *codec, const uint32_t *weights)
{
    fs_protect protect;
    fs_codec_param param[FS_PROTECT_MAX] = {{0}};
    fs_coding_room room = {0};
    if (fs_protect_init(&protect, &codec->name, 1, (fs_guard){0}) != FS_OK ||
        fs_coding_room_reserve(&room, &protect, COLS) != FS_OK)
        die();
    const fs_coding coding = {&protect, param};
    fs_codec_report report = {0};
    memcpy(room.prepared, weights, COLS * sizeof *weights);
    fs_coding_prepare(&coding, room.prepared, COLS);
    memcpy(room.stored, room.prepared, COLS * sizeof *weights);
    fs_coding_learn(&protect, param, room.stored, COLS, room.check);
    double best = INFINITY;
    for (int round = 0; round < ROUNDS; round++) {
        const double start = now();
        for (int row = 0; row < ROWS; row++) {
            memcpy(room.read, room.stored, COLS * sizeof *weights);
            fs_coding_decode(&coding, room.read, COLS, room.check, room.prepared, room.scratch,
                             &report);
        }
        best = fmin(best, (now() - start) / ((double)ROWS * COLS));
    }
    if (report.corrected + report.detected > 0) puts("a decoder reports what was not hit");
    fs_coding_room_free(&room);
    return best;
}

static void bench_speed(const uint32_t *weights)
{
    printf("%-16s %12s %12s %10s %18s\n", "protection", "bits/weight", "ns/weight", "GB/s",
           "s/GPT-2 forward");
    const fs_codec *codec;
    for (unsigned i = 0; (codec = fs_codec_at(i)) != NULL; i++) {
        fs_protect protect;
        if (fs_protect_init(&protect, &codec->name, 1, (fs_guard){0}) != FS_OK) die();
        const double seconds = decode_seconds(codec, weights);
        printf("%-16s %12.4f %12.3f %10.2f %18.3f\n", codec->name,
               fs_protect_bits_per_word(&protect, 768), 1e9 * seconds, 4e-9 / seconds,
               seconds * GPT2_WEIGHTS);
    }
}

static void show_residual(const uint32_t *weights)
{
    static const char *const lists[][2] = {
        {"none", NULL},         {"ep", NULL},          {"mset", NULL},
        {"cep", NULL},          {"cep", "ep"},         {"op", NULL},
        {"secded", NULL},       {"secded-zero", NULL}, {"secded-exponent", NULL},
        {"tmr-exponent", NULL}, {"range", NULL},       {"range-clip", NULL},
        {"scrub", NULL}};
    static const residual_amount amounts[] = {{1, 0.01}, {0, 1e-4}, {0, 1e-3}, {0, 1e-2}};
    printf("\nshare of big weights / relative noise of the others\n%-16s %17s %17s %17s %17s\n",
           "protection", "rho = 1 %", "ber 1e-4", "ber 1e-3", "ber 1e-2");
    for (size_t l = 0; l < sizeof lists / sizeof lists[0]; l++) {
        const unsigned count = lists[l][1] == NULL ? 1 : 2;
        char name[32];
        snprintf(name, sizeof name, "%s%s%s", lists[l][0], count == 2 ? ", " : "",
                 count == 2 ? lists[l][1] : "");
        printf("%-16s", name);
        for (size_t a = 0; a < sizeof amounts / sizeof amounts[0]; a++) {
            residual r = residual_measure(weights, WEIGHTS, lists[l], count, amounts[a], 7);
            printf("   %7.1e / %.3f", r.big, r.noise);
            fflush(stdout);
        }
        putchar('\n');
    }
}

int main(void)
{
    uint32_t *weights = malloc(WEIGHTS * sizeof *weights);
    if (weights == NULL) die();
    residual_weights(weights, WEIGHTS, 1);
    bench_speed(weights);
    show_residual(weights);
    free(weights);
    return 0;
}
