/** The access file that `flipsweep serve` leaves beside its results: all that a worker needs. */
#ifndef WK_ACCESS_H
#define WK_ACCESS_H

#include "limits.h"
#include "status.h"

/** Reads the endpoint. Errors: FS_ENOENT, FS_ELIMIT; FS_EFORMAT naming file and line. */
FS_MUST_CHECK fs_status wk_access_read(char out[FS_PATH_BYTES_MAX], const char *path);

#endif
