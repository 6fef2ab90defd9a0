/** metrics.jsonl of a run: one JSON object a line, what was so when.
 *
 * A run that goes on from a checkpoint cuts off what was written after it, so that no step is told
 * of twice. Thread rule: one thread at a time. */
#ifndef TR_JOURNAL_H
#define TR_JOURNAL_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "limits.h"
#include "status.h"

/** Zeroed: not open. */
typedef struct tr_journal {
    FILE *file;
    char path[FS_PATH_BYTES_MAX];
} tr_journal;

/** Opens or makes the file and keeps its first `bytes` bytes. Errors: FS_EIO naming the path. */
FS_MUST_CHECK fs_status tr_journal_open(tr_journal *self, const char *path, uint64_t bytes);
void tr_journal_close(tr_journal *self);
/** Writes one line and drops `line`; NULL stands for memory that was not there. Errors: FS_ENOMEM,
 * FS_EIO, FS_ENOSPC. */
FS_MUST_CHECK fs_status tr_journal_write(tr_journal *self, json_t *line);
/** Makes sure that all lines are on the disk and says how long the file is. */
FS_MUST_CHECK fs_status tr_journal_sync(tr_journal *self, uint64_t *bytes);
/** @return a JSON number, null for NaN and the infinities. */
json_t *tr_journal_real(double value);

#endif
