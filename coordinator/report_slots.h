/** The page's template and its five slots.
 *
 * The template is built from web-report/ and compiled in, so the program needs no file at run time.
 * Each slot occurs once; what is put in is never searched for slots. Thread rule: reentrant. */
#ifndef REPORT_SLOTS_H
#define REPORT_SLOTS_H

#include <stddef.h>

#include "buf.h"
#include "status.h"

/* X(NAME): in the order in which they stand in the template, written @@FS:NAME@@ there. */
#define REPORT_SLOT_MAP(X)                                                                         \
    X(TITLE)  /* escaped text */                                                                   \
    X(TABLES) /* HTML for readers without script */                                                \
    X(META)   /* JSON, safe inside a script element */                                             \
    X(CELLS)  /* base64 of gzipped JSON */                                                         \
    X(TRIALS) /* the same */

typedef enum report_slot {
#define X(name) REPORT_SLOT_##name,
    REPORT_SLOT_MAP(X)
#undef X
        REPORT_SLOT_COUNT
} report_slot;

/** Appends `template` with its slots filled. Errors: FS_EINTERNAL if it lacks a slot or has one
 * twice or out of order; FS_ENOMEM. */
FS_MUST_CHECK fs_status report_slots_fill(fs_buf *out, const char *template, size_t size,
                                          const fs_buf slots[REPORT_SLOT_COUNT]);
/** Appends base64 of the gzipped bytes. Equal bytes give equal text: no time is written. */
FS_MUST_CHECK fs_status report_slots_pack(fs_buf *out, const void *data, size_t size);

/** The compiled-in template. */
extern const unsigned char report_template[];
extern const size_t report_template_size;

#endif
