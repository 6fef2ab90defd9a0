/** How far long work is, on stderr: a line that is rewritten on a terminal, elsewhere one line a
 * minute. Thread rule: one thread at a time. */
#ifndef MAIN_PROGRESS_H
#define MAIN_PROGRESS_H

#include <stdint.h>

typedef struct main_progress {
    const char *unit; /* "tokens" */
    uint64_t all;
    uint64_t start_ms;
    uint64_t shown_ms;
    int terminal;
} main_progress;

void main_progress_start(main_progress *self, const char *unit, uint64_t all);
/** Shows a line if it is time for one. */
void main_progress_show(main_progress *self, uint64_t done);
/** Wipes the line off a terminal. */
void main_progress_end(main_progress *self);

#endif
