/** Rate and time left from a sliding window, and the line that shows them.
 *
 * Pure: the clock is handed in. Thread rule: one thread at a time. */
#ifndef COORD_PROGRESS_H
#define COORD_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

enum {
    COORD_PROGRESS_SAMPLES = 64,
    COORD_PROGRESS_WINDOW_MS = 30000, /* the rate is that of the last half minute */
    COORD_PROGRESS_SAMPLE_MS = 500,   /* at least this far apart */
    COORD_PROGRESS_BAR = 24,          /* characters */
    COORD_PROGRESS_LINE_BYTES_MAX = 160
};

typedef struct coord_progress {
    uint64_t at_ms[COORD_PROGRESS_SAMPLES];
    uint64_t done[COORD_PROGRESS_SAMPLES];
    unsigned count; /* samples taken */
    uint64_t now_ms;
    uint64_t now_done;
    uint64_t remaining;
} coord_progress;

/** Notes how many trials are done and how many may still be needed. */
void coord_progress_update(coord_progress *self, uint64_t now_ms, uint64_t done,
                           uint64_t remaining);
/** @return trials a second over the window, 0 before two samples. */
double coord_progress_rate(const coord_progress *self);
/** @return seconds left, -1 while nothing is known, 0 when nothing remains. */
double coord_progress_eta(const coord_progress *self);
/** Writes one line without a line end: share, counts, rate, time left; with a bar for terminals. */
void coord_progress_line(const coord_progress *self, int bar, uint32_t workers, char *out,
                         size_t size);

#endif
