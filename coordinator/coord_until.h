/** The TIME of `--until`: when to finish what is leased and leave.
 *
 * `HH:MM` (the next one, local time), `YYYY-MM-DDTHH:MM[:SS]` (local time), or `+N` with s, m or h
 * from now on. Thread rule: as localtime_r. */
#ifndef COORD_UNTIL_H
#define COORD_UNTIL_H

#include <stdint.h>

#include "status.h"

/** Errors: FS_EUSAGE for another form, or for a time that is past. */
FS_MUST_CHECK fs_status coord_until_parse(const char *text, uint64_t now_ms, uint64_t *out_ms);

#endif
