#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "limits.h"
#include "outfile.h"

/* Opens a regular file and says its size. */
static fs_status open_regular(int *out_fd, size_t *out_size, const char *path)
{
    /* O_NONBLOCK: opening a named pipe must not hang before fstat tells that it is one. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return fs_fail(FS_ENOENT, "%s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) != 0) {
        int error = errno;
        close(fd);
        return fs_fail(FS_EIO, "%s: %s", path, strerror(error));
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return fs_fail(FS_EFORMAT, "%s: %s", path,
                       S_ISDIR(st.st_mode) ? "is a directory" : "is not a regular file");
    }
    *out_fd = fd;
    *out_size = (size_t)st.st_size;
    return FS_OK;
}

fs_status fs_file_read(fs_buf *out, const char *path, size_t bytes_max)
{
    int fd;
    size_t size;
    FS_TRY(open_regular(&fd, &size, path));
    fs_buf_clear(out);
    fs_status status = FS_OK;
    while (status == FS_OK) {
        if (out->size > bytes_max || (out->size == 0 && size > bytes_max)) {
            status = fs_fail(FS_ELIMIT, "%s: larger than %zu bytes", path, bytes_max);
            break;
        }
        status = fs_buf_reserve(out, out->size == 0 ? size + 1 : 65536);
        if (status != FS_OK) break;
        ssize_t n = read(fd, out->data + out->size, out->capacity - out->size - 1);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) status = fs_fail(FS_EIO, "%s: %s", path, strerror(errno));
        if (n <= 0) break;
        out->size += (size_t)n;
        out->data[out->size] = 0;
    }
    close(fd);
    return status;
}

fs_status fs_map_open(fs_map *out, const char *path)
{
    *out = (fs_map){0};
    int fd;
    size_t size;
    FS_TRY(open_regular(&fd, &size, path));
    if (size == 0) {
        close(fd);
        return FS_OK;
    }
    void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    int error = errno;
    close(fd);
    if (data == MAP_FAILED) return fs_fail(FS_EIO, "%s: mmap: %s", path, strerror(error));
    out->data = data;
    out->size = size;
    return FS_OK;
}

void fs_map_close(fs_map *self)
{
    if (self->data != NULL) munmap((void *)(uintptr_t)self->data, self->size);
    *self = (fs_map){0};
}

static fs_status errno_status(const char *path, const char *what)
{
    int error = errno;
    return fs_fail(error == ENOSPC || error == EDQUOT ? FS_ENOSPC : FS_EIO, "%s: %s: %s", path,
                   what, strerror(error));
}

fs_status fs_file_write_atomic(const char *path, const void *data, size_t size)
{
    fs_outfile file;
    FS_TRY(fs_outfile_open(&file, path));
    if (size > 0) (void)fwrite(data, 1, size, file.file); /* commit finds what went wrong */
    return fs_outfile_commit(&file);
}

fs_status fs_dir_make(const char *path)
{
    char part[FS_PATH_BYTES_MAX];
    size_t size = strlen(path);
    if (size == 0 || size >= sizeof part) return fs_fail(FS_ELIMIT, "path too long or empty");
    for (size_t i = 1; i <= size; i++) {
        if (i != size && path[i] != '/') continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST) return errno_status(part, "mkdir");
    }
    return fs_dir_exists(path) ? FS_OK : fs_fail(FS_EIO, "%s: is not a directory", path);
}

int fs_file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

int fs_dir_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

fs_status fs_path_join(char *out, const char *dir, const char *name)
{
    int n = name[0] == '/' || dir[0] == '\0' ? snprintf(out, FS_PATH_BYTES_MAX, "%s", name)
                                             : snprintf(out, FS_PATH_BYTES_MAX, "%s/%s", dir, name);
    if (n < 0 || n >= FS_PATH_BYTES_MAX) return fs_fail(FS_ELIMIT, "path too long: %.80s", name);
    return FS_OK;
}

fs_status fs_path_dir(char *out, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    if (size >= FS_PATH_BYTES_MAX) return fs_fail(FS_ELIMIT, "path too long: %.80s", path);
    if (size == 0) {
        memcpy(out, ".", 2);
        return FS_OK;
    }
    memcpy(out, path, size);
    out[size] = '\0';
    return FS_OK;
}

fs_status fs_path_sibling(char *out, const char *program)
{
    char self[FS_PATH_BYTES_MAX], dir[FS_PATH_BYTES_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0) return fs_fail(FS_EIO, "/proc/self/exe: %s", strerror(errno));
    self[n] = '\0';
    FS_TRY(fs_path_dir(dir, self));
    return fs_path_join(out, dir, program);
}
