#include "outfile.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

#define ENDING ".tmp"

enum { HOST_BYTES = 65 };

/* This machine, as a part of a file's name. */
static void name_host(char out[HOST_BYTES])
{
    if (gethostname(out, HOST_BYTES) != 0 || out[0] == '\0') memcpy(out, "unknown", 8);
    out[HOST_BYTES - 1] = '\0';
    for (char *c = out; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '.') *c = '_';
}

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
        char host[HOST_BYTES];
        name_host(host);
        n = snprintf(out->temporary, sizeof out->temporary, "%s.%ld@%s" ENDING, path,
                     (long)getpid(), host);
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

/* @return the process that writes the file `name` (NULL: any) of a folder under this entry's name,
 * and its machine in *host, which ends with the entry; 0 if it is no temporary of it. */
static long writer_of(const char *entry, const char *name, const char **host)
{
    const char *at = strrchr(entry, '@'), *digits = at;
    if (at == NULL) return 0;
    while (digits > entry && digits[-1] >= '0' && digits[-1] <= '9') digits--;
    if (digits == at || *digits == '0' || digits == entry || digits[-1] != '.') return 0;
    const size_t size = (size_t)(digits - 1 - entry), left = strlen(at);
    if (size == 0 || left < sizeof ENDING || strcmp(at + left + 1 - sizeof ENDING, ENDING) != 0)
        return 0;
    if (name != NULL && (strlen(name) != size || strncmp(entry, name, size) != 0)) return 0;
    const long pid = strtol(digits, NULL, 10);
    *host = at + 1;
    return pid < INT32_MAX ? pid : 0;
}

int fs_outfile_is_temporary(const char *entry, const char *name)
{
    const char *host;
    return writer_of(entry, name, &host) != 0;
}

static void sweep(const char *dir, const char *name)
{
    char own[HOST_BYTES + sizeof ENDING], found[FS_PATH_BYTES_MAX];
    const struct dirent *entry;
    DIR *folder = opendir(dir);
    if (folder == NULL) return;
    name_host(own);
    memcpy(own + strlen(own), ENDING, sizeof ENDING);
    while ((entry = readdir(folder)) != NULL) {
        const char *host;
        const long pid = writer_of(entry->d_name, name, &host);
        if (pid == 0 || strcmp(host, own) != 0) continue;
        if (kill((pid_t)pid, 0) == 0 || errno != ESRCH) continue;
        if (fs_path_join(found, dir, entry->d_name) == FS_OK) (void)unlink(found);
    }
    closedir(folder);
}

void fs_outfile_sweep(const char *path)
{
    char dir[FS_PATH_BYTES_MAX];
    const char *slash = strrchr(path, '/');
    if (fs_path_dir(dir, path) == FS_OK) sweep(dir, slash == NULL ? path : slash + 1);
}

void fs_outfile_sweep_folder(const char *dir)
{
    sweep(dir, NULL);
}
