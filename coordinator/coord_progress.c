#include "coord_progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static unsigned slot(unsigned sample)
{
    return sample % COORD_PROGRESS_SAMPLES;
}

void coord_progress_update(coord_progress *self, uint64_t now_ms, uint64_t done, uint64_t remaining)
{
    self->now_ms = now_ms;
    self->now_done = done;
    self->remaining = remaining;
    if (self->count > 0 && now_ms - self->at_ms[slot(self->count - 1)] < COORD_PROGRESS_SAMPLE_MS)
        return;
    self->at_ms[slot(self->count)] = now_ms;
    self->done[slot(self->count)] = done;
    self->count++;
}

/** @return the oldest sample that is within the window and not overwritten. */
static unsigned oldest(const coord_progress *self)
{
    unsigned first =
        self->count > COORD_PROGRESS_SAMPLES ? self->count - COORD_PROGRESS_SAMPLES : 0;
    while (first + 1 < self->count &&
           self->now_ms - self->at_ms[slot(first)] > COORD_PROGRESS_WINDOW_MS)
        first++;
    return first;
}

double coord_progress_rate(const coord_progress *self)
{
    if (self->count == 0) return 0;
    unsigned first = oldest(self);
    uint64_t ms = self->now_ms - self->at_ms[slot(first)];
    if (ms == 0) return 0;
    return (double)(self->now_done - self->done[slot(first)]) * 1000 / (double)ms;
}

double coord_progress_eta(const coord_progress *self)
{
    if (self->remaining == 0) return 0;
    double rate = coord_progress_rate(self);
    return rate > 0 ? (double)self->remaining / rate : -1;
}

static void write_time(double seconds, char *out, size_t size)
{
    if (seconds < 0)
        snprintf(out, size, "?");
    else if (seconds < 60)
        snprintf(out, size, "%.0f s", ceil(seconds));
    else if (seconds < 3600)
        snprintf(out, size, "%d min %02d s", (int)(seconds / 60), (int)fmod(seconds, 60));
    else if (seconds < 100 * 3600.0)
        snprintf(out, size, "%d h %02d min", (int)(seconds / 3600),
                 (int)(fmod(seconds, 3600) / 60));
    else
        snprintf(out, size, "%.0f days", seconds / 86400);
}

void coord_progress_line(const coord_progress *self, int bar, uint32_t workers, char *out,
                         size_t size)
{
    uint64_t all = self->now_done + self->remaining;
    double share = all > 0 ? (double)self->now_done / (double)all : 1;
    char cells[COORD_PROGRESS_BAR + 1], left[32], head[COORD_PROGRESS_BAR + 4] = "";
    int full = (int)(share * COORD_PROGRESS_BAR);
    for (int i = 0; i < COORD_PROGRESS_BAR; i++) cells[i] = i < full ? '#' : '.';
    cells[COORD_PROGRESS_BAR] = '\0';
    if (bar) snprintf(head, sizeof head, "[%s] ", cells);
    write_time(coord_progress_eta(self), left, sizeof left);
    snprintf(out, size, "%s%5.1f %%  %" PRIu64 "/%" PRIu64 " trials  %.*f/s  %u worker%s  %s left",
             head, floor(share * 1000) / 10, self->now_done, all,
             coord_progress_rate(self) < 10 ? 1 : 0, coord_progress_rate(self), workers,
             workers == 1 ? "" : "s", left);
}
