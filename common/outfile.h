/** A file written piece by piece that appears whole or not at all.
 *
 * The pieces go to a temporary beside the path, which takes its name when all is on the disk. A
 * path that is no regular file (a terminal, a pipe, /dev/null) is written to as it is. Thread rule:
 * one thread at a time. */
#ifndef FS_OUTFILE_H
#define FS_OUTFILE_H

#include <stdio.h>

#include "limits.h"
#include "status.h"

/** Zeroed: not open; closing and dropping it does nothing. */
typedef struct fs_outfile {
    FILE *file; /* for fprintf; errors are kept and found by fs_outfile_commit */
    char path[FS_PATH_BYTES_MAX];
    char temporary[FS_PATH_BYTES_MAX]; /* "" while written to as it is */
} fs_outfile;

/** Errors: FS_EIO, FS_ENOSPC naming the path, FS_ELIMIT. */
FS_MUST_CHECK fs_status fs_outfile_open(fs_outfile *out, const char *path);
/** Flushes, syncs and renames; on failure drops. Errors: FS_EIO, FS_ENOSPC naming the path. */
FS_MUST_CHECK fs_status fs_outfile_commit(fs_outfile *self);
/** Closes and removes what was written; nothing to do after a commit. */
void fs_outfile_drop(fs_outfile *self);
/** @return nonzero if an entry of a folder is a temporary of writing the file `name` in it. */
int fs_outfile_is_temporary(const char *entry, const char *name);
/** Removes what processes of this machine that are gone have left of writing `path`. Those of other
 * machines, which may share the folder, are theirs to remove. */
void fs_outfile_sweep(const char *path);
/** The same for every file of a folder. */
void fs_outfile_sweep_folder(const char *dir);

#endif
