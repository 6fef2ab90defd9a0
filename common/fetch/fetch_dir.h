/** Folders of the cache. Thread rule: reentrant. */
#ifndef FETCH_DIR_H
#define FETCH_DIR_H

#include "status.h"

/** Removes a folder with the files in it; folders in it are an error. One that is not there is
 * FS_OK. Errors: FS_EIO naming what could not be removed. */
FS_MUST_CHECK fs_status fetch_dir_remove(const char *path);
/** Makes the names in the folder of `path` durable, as far as the file system can. */
void fetch_dir_sync(const char *path);
/** Renames within one file system, and makes that durable. Errors: FS_EIO. */
FS_MUST_CHECK fs_status fetch_dir_rename(const char *from, const char *to);

#endif
