#include "main_progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"

enum { TERMINAL_MS = 200, PLAIN_MS = 60000 };

void main_progress_start(main_progress *self, const char *unit, uint64_t all)
{
    uint64_t now = fs_clock_mono_ms();
    *self = (main_progress){unit, all, now, now, isatty(STDERR_FILENO)};
}

void main_progress_show(main_progress *self, uint64_t done)
{
    uint64_t now = fs_clock_mono_ms();
    if (now - self->shown_ms < (self->terminal ? TERMINAL_MS : PLAIN_MS)) return;
    self->shown_ms = now;
    double seconds = (double)(now - self->start_ms) / 1000;
    double rate = (double)done / seconds;
    double left = done > 0 ? (double)(self->all - done) / rate : 0;
    fprintf(stderr, "%s%" PRIu64 " of %" PRIu64 " %s, %.0f/s, %.0f s left%s",
            self->terminal ? "\r\033[K" : "", done, self->all, self->unit, rate, left,
            self->terminal ? "" : "\n");
}

void main_progress_end(main_progress *self)
{
    if (self->terminal) fputs("\r\033[K", stderr);
}
