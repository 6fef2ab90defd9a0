/** Takes single members out of a zip archive.
 *
 * Stored and deflated members; sizes and checksums must be those that the archive's directory
 * states. No ZIP64, no encryption: what is not read is said. Thread rule: reentrant.
 * Source: PKWARE APPNOTE 6.3; inflate by zlib. */
#ifndef FETCH_ZIP_H
#define FETCH_ZIP_H

#include <stdint.h>

#include "status.h"

/** Writes a member to a file, which appears whole or not at all.
 * @param bytes_max  a larger member is refused
 * Errors: FS_ENOENT if the archive or the member is not there; FS_EFORMAT naming archive and member
 * for damage; FS_EUNSUPPORTED; FS_ELIMIT; FS_ENOSPC, FS_EIO. */
FS_MUST_CHECK fs_status fetch_zip_extract(const char *archive, const char *member, const char *path,
                                          uint64_t bytes_max);

#endif
