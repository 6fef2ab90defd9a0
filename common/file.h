/** Whole files: bounded reads, read-only maps, atomic writes, paths.
 *
 * Errors name the path. Thread rule: reentrant. */
#ifndef FS_FILE_H
#define FS_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "status.h"

/** A read-only private map of a regular file. Valid until fs_map_close(); an empty file has
 * data == NULL. A file that shrinks under a map raises SIGBUS: models must not be changed in use.
 */
typedef struct fs_map {
    const uint8_t *data;
    size_t size;
} fs_map;

/** Reads a whole regular file into `out`, replacing its contents.
 * Errors: FS_ENOENT, FS_EIO, FS_ELIMIT if larger than `bytes_max`, FS_EFORMAT if not a regular
 * file. */
FS_MUST_CHECK fs_status fs_file_read(fs_buf *out, const char *path, size_t bytes_max);
/** Maps a regular file. Errors: FS_ENOENT, FS_EIO, FS_EFORMAT if not a regular file. */
FS_MUST_CHECK fs_status fs_map_open(fs_map *out, const char *path);
/** Unmaps; idempotent. */
void fs_map_close(fs_map *self);
/** Writes a whole file by an fs_outfile: readers see the old or the new contents, never a part; a
 * path that is no regular file is written to as it is. Errors: FS_EIO, FS_ENOSPC, FS_ELIMIT. */
FS_MUST_CHECK fs_status fs_file_write_atomic(const char *path, const void *data, size_t size);
/** Makes the folder and its missing parents. Errors: FS_EIO. */
FS_MUST_CHECK fs_status fs_dir_make(const char *path);
/** @return nonzero if `path` can be statted. */
int fs_file_exists(const char *path);
/** @return nonzero if `path` is a folder. */
int fs_dir_exists(const char *path);
/** Writes "dir/name" ("name" alone where it is absolute or dir is empty). Errors: FS_ELIMIT if
 * longer than FS_PATH_BYTES_MAX. */
FS_MUST_CHECK fs_status fs_path_join(char *out, const char *dir, const char *name);
/** Writes the folder part of `path`, "." if it has none. Errors: FS_ELIMIT. */
FS_MUST_CHECK fs_status fs_path_dir(char *out, const char *path);
/** Writes the path of a program that lies beside the running executable. Errors: FS_EIO. */
FS_MUST_CHECK fs_status fs_path_sibling(char *out, const char *program);

#endif
