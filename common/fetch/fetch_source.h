/** Where in a folder lies what a target names: for machines without a network.
 *
 * The folder may be another machine's cache, a mirror that looks like a server
 * (OWNER/NAME/resolve/main/FILE), a folder of models (OWNER/NAME or NAME), or the model's own
 * folder. Thread rule: reentrant. */
#ifndef FETCH_SOURCE_H
#define FETCH_SOURCE_H

#include "fetch_record.h"
#include "fetch_target.h"

typedef struct fetch_source {
    char folder[FS_PATH_BYTES_MAX]; /* that holds the model's files or the data's */
    char file[FS_PATH_BYTES_MAX];   /* the archive or the data file; "" for a model */
    int has_record;                 /* nonzero: the folder is one that fetch filled */
    fetch_record record;            /* then what it says; the owner frees it */
} fetch_source;

/** Looks for a target. A record that cannot be read is an error, not a file like others.
 * Errors: FS_ENOENT naming the places that were searched; FS_EFORMAT; FS_ELIMIT. */
FS_MUST_CHECK fs_status fetch_source_find(fetch_source *out, const char *folder,
                                          const fetch_target *target);

#endif
