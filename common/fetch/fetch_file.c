#include "fetch_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fetch_part.h"
#include "file.h"
#include "log.h"

/** What the callbacks of one connection share. */
typedef struct transfer {
    fetch_session *session;
    const fetch_wish *wish;
    fetch_part *part;
    int misfit; /* nonzero: the answer did not fit, and another may */
} transfer;

static const char *expected(const fetch_wish *wish, const fetch_part *part)
{
    return wish->sha256 != NULL ? wish->sha256 : part->sha256;
}

/* --- One connection --------------------------------------------------------------------------- */

static fs_status begin(void *context, const fetch_reply *reply)
{
    transfer *t = context;
    if (!reply->bounded && !reply->size_known && t->wish->sha256 == NULL &&
        reply->sha256[0] == '\0')
        return fs_fail(FS_EUNSUPPORTED,
                       "%s: the server states neither a length nor a sha256, so half a file would "
                       "look like a whole one",
                       t->wish->source);
    fs_status status = fetch_part_begin(t->part, reply);
    t->misfit = status == FS_EPROTO;
    if (status != FS_OK) return status;
    fs_meter_start(&t->session->meter, t->wish->name, "MB", 1e6, t->part->bytes,
                   t->part->size_known ? t->part->size : 0);
    return FS_OK;
}

static fs_status write_bytes(void *context, const void *data, size_t size)
{
    transfer *t = context;
    fs_status status = fetch_part_write(t->part, data, size);
    t->misfit = status == FS_EPROTO;
    if (status != FS_OK) return status;
    t->session->bytes_fetched += size;
    fs_meter_show(&t->session->meter, t->part->bytes);
    return FS_OK;
}

/** Asks once. `reply->again` says after a failure whether another try makes sense. */
static fs_status connect_once(fetch_session *self, const fetch_wish *wish, fetch_part *part,
                              fetch_reply *reply)
{
    transfer t = {.session = self, .wish = wish, .part = part};
    const fetch_sink sink = {begin, write_bytes, &t};
    int resume = fetch_part_resumable(part, wish->sha256 != NULL);
    const fetch_request request = {
        .url = wish->source, .first = resume ? part->bytes : 0, .etag = part->etag};
    fs_status status = fetch_http_get(self->http, &request, &sink, reply);
    fs_meter_end(&self->meter);
    if (t.misfit) reply->again = 1;
    if (reply->code == 416) { /* what is here is longer than the file is now */
        fs_status cleared = fetch_part_clear(part);
        if (cleared != FS_OK) return cleared;
    }
    if (status == FS_OK && !fetch_part_whole(part)) {
        reply->again = 1;
        status = fs_fail(FS_EPROTO, "%s: %llu of %llu bytes came", wish->source,
                         (unsigned long long)part->bytes, (unsigned long long)part->size);
    }
    if (status == FS_OK) memcpy(self->commit, reply->commit, sizeof self->commit);
    return status;
}

/* --- Tries ------------------------------------------------------------------------------------ */

/** Pauses longer after each failure in a row, and as long as the server asks for. */
static void pause_before(const fetch_session *self, unsigned tries, const fetch_reply *reply)
{
    uint64_t ms = (uint64_t)self->pause_ms << (tries < 16 ? tries - 1 : 15);
    if (ms < (uint64_t)reply->pause_s * 1000) ms = (uint64_t)reply->pause_s * 1000;
    if (ms > FS_FETCH_PAUSE_MS_MAX) ms = FS_FETCH_PAUSE_MS_MAX;
    fs_info("%s; trying again in %.1f s", fs_status_detail(), (double)ms / 1000);
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

/** Brings all bytes, by as many connections as that takes while each failure or two brings more. */
static fs_status bring(fetch_session *self, const fetch_wish *wish, fetch_part *part)
{
    uint64_t best = part->bytes;
    unsigned tries = 0;
    if (part->bytes > 0 && part->size_known && part->bytes == part->size) return FS_OK;
    for (unsigned connections = 1;; connections++) {
        fetch_reply reply = {0};
        fs_status status = connect_once(self, wish, part, &reply);
        if (status == FS_OK || !reply.again) return status;
        tries = part->bytes > best ? 1 : tries + 1;
        if (part->bytes > best) best = part->bytes;
        if (tries == FS_FETCH_TRIES_MAX || connections == FS_FETCH_CONNECTIONS_MAX)
            return fs_fail(status,
                           "%s (given up after %u connections; the same command goes on later, and "
                           "--from takes files from a folder)",
                           fs_status_detail(), connections);
        self->retries++;
        pause_before(self, tries, &reply);
    }
}

static fs_status download(fetch_session *self, const fetch_wish *wish, fetch_record_file *out)
{
    fetch_part part;
    for (int again = 1;; again = 0) {
        uint32_t retries = self->retries;
        FS_TRY(fetch_part_open(&part, self->staging, wish->name, wish->source, wish->bytes_max));
        uint64_t kept = part.bytes;
        fs_status status = bring(self, wish, &part);
        out->bytes = part.bytes;
        if (status == FS_OK) status = fetch_part_publish(&part, expected(wish, &part), out->sha256);
        fetch_part_close(&part);
        if (status == FS_OK) self->bytes_kept += kept;
        /* A file put together of several pieces gets one chance to come in one. */
        if (status != FS_EMISMATCH || !again || (kept == 0 && self->retries == retries))
            return status;
        fs_warn("%s; it came in pieces: fetching all of it again", fs_status_detail());
    }
}

/* --- Copies ----------------------------------------------------------------------------------- */

static fs_status copy_bytes(fetch_session *self, const fetch_wish *wish, int fd, fetch_part *part)
{
    static uint8_t chunk[1 << 18];
    transfer t = {.session = self, .wish = wish, .part = part};
    struct stat st;
    if (fstat(fd, &st) != 0) return fs_fail(FS_EIO, "%s: %s", wish->source, strerror(errno));
    if (!S_ISREG(st.st_mode)) return fs_fail(FS_EFORMAT, "%s: is not a regular file", wish->source);
    const fetch_reply reply = {
        .code = 200, .bounded = 1, .size_known = 1, .size = (uint64_t)st.st_size};
    FS_TRY(fetch_part_clear(part));
    FS_TRY(begin(&t, &reply));
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fs_fail(FS_EIO, "%s: %s", wish->source, strerror(errno));
        if (n == 0) break;
        FS_TRY(write_bytes(&t, chunk, (size_t)n));
    }
    if (fetch_part_whole(part)) return FS_OK;
    return fs_fail(FS_EIO, "%s: became shorter while it was read", wish->source);
}

static fs_status copy(fetch_session *self, const fetch_wish *wish, fetch_record_file *out)
{
    fetch_part part;
    /* O_NONBLOCK: opening a named pipe must not hang before fstat tells that it is one. */
    int fd = open(wish->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return fs_fail(FS_ENOENT, "%s: %s", wish->source, strerror(errno));
    fs_status status =
        fetch_part_open(&part, self->staging, wish->name, wish->source, wish->bytes_max);
    if (status == FS_OK) {
        status = copy_bytes(self, wish, fd, &part);
        fs_meter_end(&self->meter);
        out->bytes = part.bytes;
        if (status == FS_OK) status = fetch_part_publish(&part, expected(wish, &part), out->sha256);
        fetch_part_close(&part);
    }
    close(fd);
    return status;
}

/* --- A file ----------------------------------------------------------------------------------- */

/** Takes what an earlier process had finished, if it still is as it was noted. */
static int is_there(fetch_session *self, const fetch_wish *wish, fetch_record_file *out)
{
    const fetch_record_file *noted = fetch_record_find(&self->before, wish->name);
    if (wish->fresh || noted == NULL) return 0;
    if (wish->sha256 != NULL && strcmp(wish->sha256, noted->sha256) != 0) return 0;
    if (noted->bytes > wish->bytes_max) return 0;
    if (fetch_record_check(noted, self->staging) != FS_OK) return 0;
    *out = *noted;
    self->bytes_kept += noted->bytes;
    return 1;
}

/** Notes what is whole in the staging folder: what came now and what an earlier process left. */
static fs_status note_files(const fetch_session *self)
{
    char path[FS_PATH_BYTES_MAX];
    fetch_record all = self->record;
    all.files = NULL;
    all.count = 0;
    fs_status status = fs_path_join(path, self->staging, FETCH_RECORD_NAME);
    for (size_t i = 0; i < self->before.count && status == FS_OK; i++)
        status = fetch_record_put(&all, &self->before.files[i]);
    for (size_t i = 0; i < self->record.count && status == FS_OK; i++)
        status = fetch_record_put(&all, &self->record.files[i]);
    if (status == FS_OK) status = fetch_record_write(&all, path);
    fetch_record_free(&all);
    return status;
}

fs_status fetch_file(fetch_session *self, const fetch_wish *wish)
{
    fetch_record_file file = {.bytes = 0};
    int n = snprintf(file.name, sizeof file.name, "%s", wish->name);
    if (n < 0 || (size_t)n >= sizeof file.name)
        return fs_fail(FS_ELIMIT, "%.80s...: the file's name is too long", wish->name);
    if (!is_there(self, wish, &file))
        FS_TRY(self->http != NULL ? download(self, wish, &file) : copy(self, wish, &file));
    FS_TRY(fetch_record_put(&self->record, &file));
    return note_files(self);
}
