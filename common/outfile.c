#include "outfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

static fs_status fail(const char *path, const char *what, int error)
{
    return fs_fail(error == ENOSPC || error == EDQUOT ? FS_ENOSPC : FS_EIO, "%s: %s: %s", path,
                   what, strerror(error));
}

fs_status fs_outfile_open(fs_outfile *out, const char *path)
{
    *out = (fs_outfile){0};
    int n = snprintf(out->path, sizeof out->path, "%s", path);
    if (n < 0 || (size_t)n >= sizeof out->path) return fs_fail(FS_ELIMIT, "path too long");
    struct stat st;
    int regular = stat(path, &st) != 0 || S_ISREG(st.st_mode);
    if (regular) {
        n = snprintf(out->temporary, sizeof out->temporary, "%s.%ld.tmp", path, (long)getpid());
        if (n < 0 || (size_t)n >= sizeof out->temporary) return fs_fail(FS_ELIMIT, "path too long");
    }
    out->file = fopen(regular ? out->temporary : path, "we");
    return out->file == NULL ? fail(path, "open", errno) : FS_OK;
}

/* Makes the rename itself durable. It is visible already, and not every file system syncs a
 * folder, so a failure says nothing that the caller could act on. */
static void sync_folder(const char *path)
{
    char dir[FS_PATH_BYTES_MAX];
    if (fs_path_dir(dir, path) != FS_OK) return;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)fsync(fd);
    close(fd);
}

fs_status fs_outfile_commit(fs_outfile *self)
{
    if (self->file == NULL) return FS_OK;
    fs_status status = FS_OK;
    errno = 0;
    int broken = ferror(self->file), flushed = fflush(self->file) == 0;
    /* The error of an earlier write is remembered, but not which: one more byte asks again. */
    if (broken && flushed && write(fileno(self->file), "", 1) == 1) errno = EIO;
    if (broken || !flushed) status = fail(self->path, "write", errno != 0 ? errno : EIO);
    int whole = self->temporary[0] == '\0';
    if (status == FS_OK && !whole && fsync(fileno(self->file)) != 0)
        status = fail(self->path, "fsync", errno);
    if (fclose(self->file) != 0 && status == FS_OK) status = fail(self->path, "close", errno);
    self->file = NULL;
    if (status == FS_OK && !whole && rename(self->temporary, self->path) != 0)
        status = fail(self->path, "rename", errno);
    if (status != FS_OK && !whole) unlink(self->temporary);
    if (status == FS_OK && !whole) sync_folder(self->path);
    return status;
}

void fs_outfile_drop(fs_outfile *self)
{
    if (self->file == NULL) return;
    fclose(self->file);
    self->file = NULL;
    if (self->temporary[0] != '\0') unlink(self->temporary);
}

/* @return the process that writes a path under this name; 0 if it is no temporary of it. */
static long writer_of(const char *entry, const char *name)
{
    const size_t size = strlen(name);
    char *end;
    if (strncmp(entry, name, size) != 0 || entry[size] != '.') return 0;
    if (entry[size + 1] < '1' || entry[size + 1] > '9') return 0;
    const long pid = strtol(entry + size + 1, &end, 10);
    return strcmp(end, ".tmp") == 0 && pid < INT32_MAX ? pid : 0;
}

void fs_outfile_sweep(const char *path)
{
    char dir[FS_PATH_BYTES_MAX], found[FS_PATH_BYTES_MAX];
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    const struct dirent *entry;
    if (fs_path_dir(dir, path) != FS_OK) return;
    DIR *folder = opendir(dir);
    if (folder == NULL) return;
    while ((entry = readdir(folder)) != NULL) {
        const long pid = writer_of(entry->d_name, name);
        if (pid == 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH) continue;
        if (fs_path_join(found, dir, entry->d_name) == FS_OK) (void)unlink(found);
    }
    closedir(folder);
}
