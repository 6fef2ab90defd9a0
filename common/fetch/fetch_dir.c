#include "fetch_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "limits.h"

fs_status fetch_dir_remove(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL && errno == ENOENT) return FS_OK;
    if (dir == NULL) return fs_fail(FS_EIO, "%s: %s", path, strerror(errno));
    fs_status status = FS_OK;
    for (struct dirent *entry; status == FS_OK && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) != 0)
            status = fs_fail(FS_EIO, "%s/%s: %s", path, entry->d_name, strerror(errno));
    }
    closedir(dir);
    if (status == FS_OK && rmdir(path) != 0)
        status = fs_fail(FS_EIO, "%s: %s", path, strerror(errno));
    return status;
}

void fetch_dir_sync(const char *path)
{
    char dir[FS_PATH_BYTES_MAX];
    if (fs_path_dir(dir, path) != FS_OK) return;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)fsync(fd); /* not every file system syncs a folder */
    close(fd);
}

fs_status fetch_dir_rename(const char *from, const char *to)
{
    if (rename(from, to) != 0)
        return fs_fail(FS_EIO, "cannot rename %s to %s: %s", from, to, strerror(errno));
    fetch_dir_sync(to);
    return FS_OK;
}
