#include "fetch_part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "assert.h"
#include "fetch_dir.h"
#include "fetch_sha256.h"
#include "file.h"
#include "json_file.h"

enum { NOTE_BYTES_MAX = 1 << 14 };

static fs_status fail(const fetch_part *self, const char *what)
{
    int error = errno;
    if (error == ENOSPC || error == EDQUOT)
        return fs_fail(FS_ENOSPC,
                       "%s: the disk is full; what came is kept: make room and run the same "
                       "command again",
                       self->path);
    return fs_fail(FS_EIO, "%s: %s: %s", self->path, what, strerror(error));
}

static void forget(fetch_part *self)
{
    self->bytes = 0;
    self->size_known = 0;
    self->size = 0;
    self->etag[0] = self->sha256[0] = '\0';
}

/* --- The note --------------------------------------------------------------------------------- */

static int copy_text(char *out, size_t size, const json_t *root, const char *key)
{
    const char *text = json_string_value(json_object_get(root, key));
    if (text == NULL || strlen(text) >= size) return 0;
    memcpy(out, text, strlen(text) + 1);
    return 1;
}

/** @return nonzero if the note is whole and of this source. */
static int read_note(fetch_part *self)
{
    json_t *root = NULL;
    char source[FS_PATH_BYTES_MAX];
    if (!fs_file_exists(self->note)) return 0;
    if (fs_json_file_read(&root, self->note, NOTE_BYTES_MAX) != FS_OK) return 0;
    json_t *size = json_object_get(root, "size");
    int good = copy_text(source, sizeof source, root, "source") &&
               strcmp(source, self->source) == 0 &&
               copy_text(self->etag, sizeof self->etag, root, "etag") &&
               copy_text(self->sha256, sizeof self->sha256, root, "sha256") &&
               (json_is_null(size) || (json_is_integer(size) && json_integer_value(size) >= 0));
    if (good && json_is_integer(size)) {
        self->size_known = 1;
        self->size = (uint64_t)json_integer_value(size);
    }
    json_decref(root);
    return good;
}

static fs_status write_note(const fetch_part *self)
{
    json_t *root = json_pack("{s:s, s:s, s:s, s:o}", "source", self->source, "etag", self->etag,
                             "sha256", self->sha256, "size",
                             self->size_known ? json_integer((json_int_t)self->size) : json_null());
    return fs_json_file_write(root, self->note, 17);
}

/* --- Opening ---------------------------------------------------------------------------------- */

static fs_status set_paths(fetch_part *self, const char *dir, const char *file)
{
    FS_TRY(fs_path_join(self->final, dir, file));
    int n = snprintf(self->path, sizeof self->path, "%s.part", self->final);
    int m = snprintf(self->note, sizeof self->note, "%s.part.json", self->final);
    if (n < 0 || m < 0 || (size_t)m >= sizeof self->note)
        return fs_fail(FS_ELIMIT, "path too long: %.80s", file);
    return FS_OK;
}

fs_status fetch_part_open(fetch_part *out, const char *dir, const char *file, const char *source,
                          uint64_t bytes_max)
{
    struct stat st;
    *out = (fetch_part){.fd = -1, .bytes_max = bytes_max};
    FS_TRY(set_paths(out, dir, file));
    FS_TRY(fs_path_join(out->source, "", source));
    out->fd = open(out->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (out->fd < 0 || fstat(out->fd, &st) != 0) {
        fs_status status = fail(out, "open");
        fetch_part_close(out);
        return status;
    }
    out->bytes = (uint64_t)st.st_size;
    if (read_note(out) && out->bytes <= bytes_max &&
        (!out->size_known || (out->bytes <= out->size && out->size <= bytes_max)))
        return FS_OK;
    fs_status status = fetch_part_clear(out);
    if (status != FS_OK) fetch_part_close(out);
    return status;
}

void fetch_part_close(fetch_part *self)
{
    if (self->fd >= 0) close(self->fd);
    self->fd = -1;
}

fs_status fetch_part_clear(fetch_part *self)
{
    /* The note first: bytes without a note are dropped, a note never speaks of other bytes. */
    if (unlink(self->note) != 0 && errno != ENOENT) return fail(self, "unlink");
    if (ftruncate(self->fd, 0) != 0) return fail(self, "truncate");
    forget(self);
    return FS_OK;
}

int fetch_part_resumable(const fetch_part *self, int sha256_known)
{
    return self->bytes > 0 && (self->etag[0] != '\0' || self->sha256[0] != '\0' || sha256_known);
}

/* --- Bytes ------------------------------------------------------------------------------------ */

/** @return nonzero if the body goes on where the part ends, in the same file. */
static int continues(const fetch_part *self, const fetch_reply *reply)
{
    if (reply->first != self->bytes || reply->first == 0) return 0;
    if (self->size_known && reply->size_known && self->size != reply->size) return 0;
    if (self->sha256[0] != '\0' && reply->sha256[0] != '\0')
        return strcmp(self->sha256, reply->sha256) == 0;
    return strcmp(self->etag, reply->etag) == 0;
}

static fs_status check_room(const fetch_part *self, uint64_t more)
{
    struct statvfs disk;
    if (fstatvfs(self->fd, &disk) != 0) return FS_OK; /* then writing will tell */
    uint64_t left = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (more <= left) return FS_OK;
    return fs_fail(FS_ENOSPC,
                   "%s: %.1f MB more are needed, and the disk has %.1f MB left; make room and run "
                   "the same command again",
                   self->path, (double)more / 1e6, (double)left / 1e6);
}

static fs_status check_size(const fetch_part *self, const fetch_reply *reply)
{
    if (!reply->size_known || reply->size <= self->bytes_max) return FS_OK;
    return fs_fail(FS_ELIMIT, "%s: has %llu bytes, at most %llu are taken", self->source,
                   (unsigned long long)reply->size, (unsigned long long)self->bytes_max);
}

fs_status fetch_part_begin(fetch_part *self, const fetch_reply *reply)
{
    FS_TRY(check_size(self, reply));
    if (reply->code == 206) {
        if (continues(self, reply)) return FS_OK;
        FS_TRY(fetch_part_clear(self));
        return fs_fail(FS_EPROTO,
                       "%s: the server's part of the file does not fit the part that is "
                       "here",
                       self->source);
    }
    FS_TRY(fetch_part_clear(self));
    if (reply->size_known) FS_TRY(check_room(self, reply->size));
    self->size_known = reply->size_known;
    self->size = reply->size;
    memcpy(self->etag, reply->etag, sizeof self->etag);
    memcpy(self->sha256, reply->sha256, sizeof self->sha256);
    return write_note(self);
}

fs_status fetch_part_write(fetch_part *self, const void *data, size_t size)
{
    if (size > self->bytes_max - self->bytes)
        return fs_fail(FS_ELIMIT, "%s: more than the %llu bytes that are taken", self->source,
                       (unsigned long long)self->bytes_max);
    if (self->size_known && size > self->size - self->bytes)
        return fs_fail(FS_EPROTO, "%s: more than the %llu bytes that were stated", self->source,
                       (unsigned long long)self->size);
    const char *from = data;
    while (size > 0) {
        ssize_t n = pwrite(self->fd, from, size, (off_t)self->bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(self, "write");
        from += n;
        size -= (size_t)n;
        self->bytes += (uint64_t)n;
    }
    return FS_OK;
}

int fetch_part_whole(const fetch_part *self)
{
    return !self->size_known || self->bytes == self->size;
}

/* --- The end ---------------------------------------------------------------------------------- */

fs_status fetch_part_publish(fetch_part *self, const char *expected,
                             char sha256[FETCH_SHA256_BYTES])
{
    uint64_t bytes = 0;
    FS_ASSERT(self->fd >= 0 && fetch_part_whole(self));
    if (fsync(self->fd) != 0) return fail(self, "fsync");
    FS_TRY(fetch_sha256_file(self->path, sha256, &bytes));
    if (bytes != self->bytes)
        return fs_fail(FS_EIO, "%s: changed by somebody else meanwhile", self->path);
    if (expected[0] != '\0' && strcmp(expected, sha256) != 0) {
        unlink(self->note);
        unlink(self->path);
        fetch_part_close(self);
        return fs_fail(FS_EMISMATCH,
                       "%s: the sha256 is %s, and %s is expected; what came was "
                       "removed",
                       self->source, sha256, expected);
    }
    if (rename(self->path, self->final) != 0) return fail(self, "rename");
    unlink(self->note);
    fetch_part_close(self);
    fetch_dir_sync(self->final);
    return FS_OK;
}
