/** How far long work is, on stderr: a line that is rewritten on a terminal, elsewhere one line a
 * minute. Rate and time left count from the start of this process's part of the work.
 *
 * Thread rule: one thread at a time. */
#ifndef FS_METER_H
#define FS_METER_H

#include <stddef.h>
#include <stdint.h>

enum { FS_METER_LINE_BYTES_MAX = 256 };

typedef struct fs_meter {
    const char *label; /* what is done, before the numbers; "" for nothing. Borrowed */
    const char *unit;  /* "tokens". Borrowed */
    double scale;      /* things in a unit: 1, or 1e6 for "MB" */
    uint64_t first;    /* done before the start */
    uint64_t all;      /* 0: not known */
    uint64_t start_ms;
    uint64_t shown_ms;
    int terminal;
    const char *note; /* after the numbers; NULL: nothing. Borrowed, may change between lines */
} fs_meter;

/** @param first  things that were done before, of `all` */
void fs_meter_start(fs_meter *self, const char *label, const char *unit, double scale,
                    uint64_t first, uint64_t all);
/** Shows a line if it is time for one. */
void fs_meter_show(fs_meter *self, uint64_t done);
/** Wipes the line off a terminal. */
void fs_meter_end(fs_meter *self);
/** Writes the line of `done` things after `seconds`, without a line end. Pure. */
void fs_meter_line(const fs_meter *self, uint64_t done, double seconds,
                   char out[FS_METER_LINE_BYTES_MAX]);

#endif
