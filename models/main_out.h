/** The folder that a training command fills: whose it is, how far it is, one process at a time.
 *
 * `training.json` keeps the options that decide the result, and the hashes of files that the run
 * made for itself. The same command finds its own folder again; another one is refused. Thread
 * rule: one thread at a time. */
#ifndef MAIN_OUT_H
#define MAIN_OUT_H

#include <jansson.h>

#include "hash.h"
#include "limits.h"
#include "status.h"

typedef struct main_out {
    const char *dir;
    char record[FS_PATH_BYTES_MAX]; /* training.json */
    int lock;                       /* a descriptor of the folder; -1: none */
    int made;                       /* nonzero: the folder was not there before */
    int known;                      /* nonzero: an earlier call of this command was here */
    json_t *options;
    json_t *files;  /* that it made and reads again: names and hashes; NULL: none */
    json_t *result; /* of a complete run; NULL: it is not complete */
} main_out;

/** Makes the folder if need be, locks it and compares. `options` is an object of strings and
 * numbers by the names of command-line options; it is taken over.
 * Errors: FS_EREFUSED naming what differs, or for a folder with other things in it; FS_EBUSY;
 * FS_EIO.
 */
FS_MUST_CHECK fs_status main_out_open(main_out *self, const char *dir, json_t *options);
/** Notes which of the files `names` there are in the folder and what is in them; where the run goes
 * on, compares instead. Before main_out_begin(). Errors: FS_EREFUSED naming a file that is not as
 * it was made, FS_EIO, FS_ENOMEM. */
FS_MUST_CHECK fs_status main_out_files(main_out *self, const char *const *names, size_t count);
/** Says that the run has begun: from now on the folder is this command's. */
FS_MUST_CHECK fs_status main_out_begin(main_out *self);
/** Says that it is complete; `result` is taken over. Removes the checkpoint. */
FS_MUST_CHECK fs_status main_out_complete(main_out *self, json_t *result);
/** Unlocks and frees; removes a new folder that is still empty. Idempotent. */
void main_out_close(main_out *self);
/** The hash of the options, for checkpoints. */
FS_MUST_CHECK fs_status main_out_fingerprint(const main_out *self, fs_hash *out);

#endif
