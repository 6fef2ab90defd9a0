#include "tr_journal.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static fs_status fail(const tr_journal *self, const char *what)
{
    const int error = errno;
    return fs_fail(error == ENOSPC || error == EDQUOT ? FS_ENOSPC : FS_EIO, "%s: %s: %s",
                   self->path, what, strerror(error));
}

fs_status tr_journal_open(tr_journal *self, const char *path, uint64_t bytes)
{
    *self = (tr_journal){0};
    const int n = snprintf(self->path, sizeof self->path, "%s", path);
    if (n < 0 || (size_t)n >= sizeof self->path) return fs_fail(FS_ELIMIT, "path too long");
    self->file = fopen(path, "ae");
    if (self->file == NULL) return fail(self, "open");
    struct stat st;
    fs_status status = FS_OK;
    if (fstat(fileno(self->file), &st) != 0)
        status = fail(self, "stat");
    else if ((uint64_t)st.st_size > bytes && ftruncate(fileno(self->file), (off_t)bytes) != 0)
        status = fail(self, "truncate");
    if (status != FS_OK) tr_journal_close(self);
    return status;
}

void tr_journal_close(tr_journal *self)
{
    if (self->file != NULL) fclose(self->file);
    self->file = NULL;
}

fs_status tr_journal_write(tr_journal *self, json_t *line)
{
    if (line == NULL) return fs_fail(FS_ENOMEM, "no memory for a line of metrics");
    errno = 0;
    const int failed = json_dumpf(line, self->file, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0;
    json_decref(line);
    if (putc('\n', self->file) == EOF || fflush(self->file) != 0) return fail(self, "write");
    return failed ? fs_fail(FS_ENOMEM, "no memory for a line of metrics") : FS_OK;
}

fs_status tr_journal_sync(tr_journal *self, uint64_t *bytes)
{
    struct stat st;
    if (fflush(self->file) != 0) return fail(self, "write");
    if (fsync(fileno(self->file)) != 0) return fail(self, "fsync");
    if (fstat(fileno(self->file), &st) != 0) return fail(self, "stat");
    *bytes = (uint64_t)st.st_size;
    return FS_OK;
}

json_t *tr_journal_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}
