#include "fetch_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "log.h"

enum { POLL_MS = 100 };

/** @return nonzero if the file that is locked is still the one that the path names: its holder
 * removes it, and then the next one makes another. */
static int is_current(const fetch_lock *self)
{
    struct stat held, named;
    return fstat(self->fd, &held) == 0 && stat(self->path, &named) == 0 &&
           held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

fs_status fetch_lock_take(fetch_lock *out, const char *path)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    int said = 0;
    out->fd = -1;
    FS_TRY(fs_path_join(out->path, "", path));
    for (;;) {
        out->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (out->fd < 0) return fs_fail(FS_EIO, "%s: %s", path, strerror(errno));
        while (flock(out->fd, LOCK_EX | LOCK_NB) != 0) {
            if (errno != EWOULDBLOCK && errno != EINTR) {
                fs_status status = fs_fail(FS_EIO, "%s: %s", path, strerror(errno));
                close(out->fd);
                out->fd = -1;
                return status;
            }
            if (!said) fs_info("another process fetches this; waiting for it (%s)", path);
            said = 1;
            nanosleep(&pause, NULL);
        }
        if (is_current(out)) return FS_OK;
        close(out->fd);
    }
}

void fetch_lock_drop(fetch_lock *self)
{
    if (self->fd < 0) return;
    unlink(self->path);
    close(self->fd);
    self->fd = -1;
}
