#include "meter.h"

#include <stdio.h>
#include <unistd.h>

#include "clock.h"

enum { TERMINAL_MS = 200, PLAIN_MS = 60000 };

void fs_meter_start(fs_meter *self, const char *label, const char *unit, double scale,
                    uint64_t first, uint64_t all)
{
    uint64_t now = fs_clock_mono_ms();
    *self = (fs_meter){label, unit, scale, first, all, now, now, isatty(STDERR_FILENO), NULL};
}

void fs_meter_show(fs_meter *self, uint64_t done)
{
    char line[FS_METER_LINE_BYTES_MAX];
    uint64_t now = fs_clock_mono_ms();
    if (now - self->shown_ms < (self->terminal ? TERMINAL_MS : PLAIN_MS)) return;
    self->shown_ms = now;
    fs_meter_line(self, done, (double)(now - self->start_ms) / 1000, line);
    fprintf(stderr, "%s%s%s", self->terminal ? "\r\033[K" : "", line, self->terminal ? "" : "\n");
}

void fs_meter_end(fs_meter *self)
{
    if (self->terminal) fputs("\r\033[K", stderr);
}

void fs_meter_line(const fs_meter *self, uint64_t done, double seconds,
                   char out[FS_METER_LINE_BYTES_MAX])
{
    int digits = self->scale == 1 ? 0 : 1;
    char of[64] = "", left[64] = "";
    double rate = done > self->first && seconds > 0 ? (double)(done - self->first) / seconds : 0;
    int rate_digits = rate > 0 && rate < 10 && digits == 0 ? 2 : digits; /* slow is not 0 */
    if (self->all > 0) snprintf(of, sizeof of, " of %.*f", digits, (double)self->all / self->scale);
    if (self->all > 0 && rate > 0)
        snprintf(left, sizeof left, ", %.0f s left",
                 done < self->all ? (double)(self->all - done) / rate : 0);
    snprintf(out, FS_METER_LINE_BYTES_MAX, "%.120s%s%.*f%s %s, %.*f/s%s%s%.80s", self->label,
             self->label[0] == '\0' ? "" : ": ", digits, (double)done / self->scale, of, self->unit,
             rate_digits, rate / self->scale, left, self->note == NULL ? "" : ", ",
             self->note == NULL ? "" : self->note);
}
