#include "fetch_job.h"

#include <stdio.h>
#include <string.h>

#include "fetch_dir.h"
#include "fetch_lock.h"
#include "fetch_sha256.h"
#include "fetch_source.h"
#include "fetch_zip.h"
#include "file.h"
#include "log.h"
#include "names.h"

/** A job: its target and its places in the cache. */
typedef struct job {
    const fetch_options *options;
    fetch_target target;
    char sha256[FETCH_SHA256_BYTES]; /* of --sha256; "" if not given */
    char cache[FS_PATH_BYTES_MAX];
    char staging[FS_PATH_BYTES_MAX];
    char record[FS_PATH_BYTES_MAX]; /* where the record will be */
    fetch_source source;
    fetch_result *result;
} job;

static const char *wanted_sum(const job *self)
{
    return self->sha256[0] == '\0' ? NULL : self->sha256;
}

/** @return the i-th data file that the job makes, NULL past the last. */
static const char *output_at(const job *self, size_t i)
{
    if (self->target.kind == FETCH_FILE) return i == 0 ? self->target.name : NULL;
    return i < FETCH_MEMBERS_MAX ? self->target.known->members[i].output : NULL;
}

/** Writes CACHE/NAME and an ending. */
static fs_status cache_path(const job *self, const char *name, const char *ending,
                            char out[FS_PATH_BYTES_MAX])
{
    int n = snprintf(out, FS_PATH_BYTES_MAX, "%s/%s%s", self->cache, name, ending);
    if (n < 0 || n >= FS_PATH_BYTES_MAX)
        return fs_fail(FS_ELIMIT, "path too long: %.80s", self->cache);
    return FS_OK;
}

/* --- What is there already -------------------------------------------------------------------- */

static fs_status not_ours(const char *path)
{
    return fs_fail(FS_EREFUSED,
                   "%s is there and was not fetched; remove it, or name another folder with "
                   "--cache",
                   path);
}

static fs_status changed(fs_status status, const char *path)
{
    if (status != FS_EMISMATCH && status != FS_ENOENT) return status;
    char detail[700];
    snprintf(detail, sizeof detail, "%s", fs_status_detail());
    return fs_fail(FS_ECORRUPT, "%s; remove %s to fetch it again", detail, path);
}

/** A wish for certain contents concerns what is there, too. */
static fs_status check_wanted(const job *self, const fetch_record *record)
{
    const char *has = record->revision, *what = self->target.name;
    if (self->sha256[0] == '\0') return FS_OK;
    if (self->target.kind != FETCH_ARCHIVE) {
        if (self->target.kind == FETCH_MODEL) what = "model.safetensors";
        const fetch_record_file *file = fetch_record_find(record, what);
        has = file == NULL ? "not there" : file->sha256;
    }
    if (strcmp(has, self->sha256) == 0) return FS_OK;
    return fs_fail(FS_EMISMATCH, "%s is in the cache, and its sha256 is %s, not %s", what, has,
                   self->sha256);
}

/** Looks at what the record names. @return FS_OK with *missing nonzero if some of it lacks. */
static fs_status check_files(const job *self, const fetch_record *record, int *missing)
{
    int model = self->target.kind == FETCH_MODEL;
    const char *dir = model ? self->result->path : self->cache;
    char path[FS_PATH_BYTES_MAX];
    *missing = 0;
    for (size_t i = 0; i < record->count; i++) {
        FS_TRY(fs_path_join(path, dir, record->files[i].name));
        /* Data files take their names one by one, after the record. */
        if (!model && !fs_file_exists(path)) {
            *missing = 1;
            continue;
        }
        fs_status status = fetch_record_check(&record->files[i], dir);
        if (status != FS_OK) return changed(status, model ? dir : path);
    }
    return check_wanted(self, record);
}

static fs_status look(job *self)
{
    fetch_result *result = self->result;
    int missing = 0;
    fs_status status = FS_OK;
    if (!fs_file_exists(self->record)) {
        if (self->target.kind == FETCH_MODEL)
            return fs_file_exists(result->path) ? not_ours(result->path) : FS_OK;
        for (size_t i = 0; output_at(self, i) != NULL && status == FS_OK; i++) {
            char path[FS_PATH_BYTES_MAX];
            FS_TRY(cache_path(self, output_at(self, i), "", path));
            if (fs_file_exists(path)) status = not_ours(path);
        }
        return status;
    }
    FS_TRY(fetch_record_read(&result->record, self->record));
    FS_TRY(check_files(self, &result->record, &missing));
    result->already = !missing;
    if (missing) fetch_record_free(&result->record);
    return FS_OK;
}

/* --- Data ------------------------------------------------------------------------------------- */

/** Copies the data files of another cache, by its record. */
static fs_status copy_outputs(const job *self, fetch_session *session)
{
    for (size_t i = 0; output_at(self, i) != NULL; i++) {
        char path[FS_PATH_BYTES_MAX];
        const char *name = output_at(self, i);
        FS_TRY(fs_path_join(path, self->source.folder, name));
        const fetch_wish wish = {
            .name = name,
            .source = path,
            .sha256 = fetch_record_find(&self->source.record, name)->sha256,
            .bytes_max = FS_DATA_BYTES_MAX,
        };
        FS_TRY(fetch_file(session, &wish));
    }
    memcpy(session->record.revision, self->source.record.revision, FETCH_REVISION_BYTES_MAX);
    return FS_OK;
}

/** Brings the one file that the target is: an archive or data. */
static fs_status bring_one(const job *self, fetch_session *session)
{
    char from[FS_PATH_BYTES_MAX];
    const char *name = fetch_target_file(&self->target);
    const char *known = fetch_known_sha256(self->target.known, name);
    if (session->http == NULL)
        FS_TRY(fs_path_join(from, "", self->source.file));
    else
        FS_TRY(fetch_target_url(&self->target, NULL, NULL, from));
    const fetch_wish wish = {.name = name,
                             .source = from,
                             .sha256 = wanted_sum(self) != NULL ? wanted_sum(self) : known,
                             .bytes_max = self->target.kind == FETCH_FILE ? FS_DATA_BYTES_MAX
                                                                          : FS_FETCH_BYTES_MAX};
    return fetch_file(session, &wish);
}

/** Takes the members out of the archive; the record names them and not the archive. */
static fs_status unpack(const job *self, fetch_session *session)
{
    const fetch_known *known = self->target.known;
    const fetch_record_file *archive =
        fetch_record_find(&session->record, fetch_target_file(&self->target));
    char path[FS_PATH_BYTES_MAX], member[FS_PATH_BYTES_MAX];
    memcpy(session->record.revision, archive->sha256, sizeof archive->sha256);
    FS_TRY(fs_path_join(path, self->staging, archive->name));
    session->record.count = 0;
    for (size_t i = 0; output_at(self, i) != NULL; i++) {
        fetch_record_file file = {.bytes = 0};
        snprintf(file.name, sizeof file.name, "%s", known->members[i].output);
        FS_TRY(fs_path_join(member, self->staging, file.name));
        FS_TRY(fetch_zip_extract(path, known->members[i].member, member, FS_DATA_BYTES_MAX));
        FS_TRY(fetch_sha256_file(member, file.sha256, &file.bytes));
        FS_TRY(fetch_record_put(&session->record, &file));
    }
    return FS_OK;
}

/** Gives data files their names. The record comes first: after a kill -9 it tells whose they are.
 */
static fs_status publish_data(const job *self, const fetch_session *session)
{
    FS_TRY(fetch_record_write(&session->record, self->record));
    for (size_t i = 0; i < session->record.count; i++) {
        char from[FS_PATH_BYTES_MAX], to[FS_PATH_BYTES_MAX];
        FS_TRY(fs_path_join(from, self->staging, session->record.files[i].name));
        FS_TRY(cache_path(self, session->record.files[i].name, "", to));
        FS_TRY(fetch_dir_rename(from, to));
    }
    return fetch_dir_remove(self->staging);
}

static fs_status bring_data(const job *self, fetch_session *session)
{
    if (session->http == NULL && self->source.has_record) {
        FS_TRY(copy_outputs(self, session));
    } else {
        FS_TRY(bring_one(self, session));
        if (self->target.kind == FETCH_ARCHIVE) FS_TRY(unpack(self, session));
    }
    return publish_data(self, session);
}

/* --- Models ----------------------------------------------------------------------------------- */

static int is_about_contents(fs_status status)
{
    return status == FS_EFORMAT || status == FS_EUNSUPPORTED || status == FS_ELIMIT;
}

static fs_status bring_model(const job *self, fetch_session *session)
{
    char path[FS_PATH_BYTES_MAX];
    const fetch_model_source source = {.target = &self->target,
                                       .folder = session->http == NULL ? self->source.folder : NULL,
                                       .noted =
                                           self->source.has_record ? &self->source.record : NULL,
                                       .sha256 = wanted_sum(self)};
    fs_status status = fetch_model(session, &source, self->result->note);
    if (is_about_contents(status)) {
        /* Files that no server vouched for would be taken for good by the next try. */
        char detail[900];
        snprintf(detail, sizeof detail, "%s", fs_status_detail());
        if (fetch_dir_remove(self->staging) != FS_OK) fs_warn("%s", fs_status_detail());
        return fs_fail(status, "%s", detail);
    }
    if (status != FS_OK) return status;
    FS_TRY(fs_path_join(path, self->staging, FETCH_RECORD_NAME));
    FS_TRY(fetch_record_write(&session->record, path));
    return fetch_dir_rename(self->staging, self->result->path);
}

/* --- The job ---------------------------------------------------------------------------------- */

static void note_source(const job *self, fetch_session *session)
{
    char *out = session->record.source;
    if (session->http == NULL)
        snprintf(out, sizeof session->record.source, "%s",
                 self->source.has_record ? self->source.record.source : self->source.folder);
    else
        fetch_target_source(&self->target, out);
    if (session->http == NULL && self->source.has_record)
        memcpy(session->record.revision, self->source.record.revision, FETCH_REVISION_BYTES_MAX);
}

static fs_status open_session(const job *self, fetch_session *session)
{
    char path[FS_PATH_BYTES_MAX];
    *session = (fetch_session){.pause_ms = self->options->pause_ms, .staging = self->staging};
    if (self->options->from == NULL) {
        const fetch_http_options http = {.token =
                                             self->target.trusted ? self->options->token : NULL,
                                         .origin = self->target.origin,
                                         .plain = self->target.plain,
                                         .stall_s = self->options->stall_s};
        FS_TRY(fetch_http_new(&session->http, &http));
    }
    note_source(self, session);
    FS_TRY(fs_dir_make(self->staging));
    FS_TRY(fs_path_join(path, self->staging, FETCH_RECORD_NAME));
    /* What cannot be read is not gone on with. */
    if (fs_file_exists(path) && fetch_record_read(&session->before, path) == FS_OK &&
        strcmp(session->before.source, session->record.source) != 0)
        fetch_record_free(&session->before);
    return FS_OK;
}

static fs_status bring(job *self)
{
    fetch_session session;
    fetch_result *result = self->result;
    if (self->options->from != NULL)
        FS_TRY(fetch_source_find(&self->source, self->options->from, &self->target));
    fs_status status = open_session(self, &session);
    if (status == FS_OK)
        status = self->target.kind == FETCH_MODEL ? bring_model(self, &session)
                                                  : bring_data(self, &session);
    result->bytes_fetched = session.bytes_fetched;
    result->bytes_kept = session.bytes_kept;
    result->retries = session.retries;
    result->record = session.record;
    fetch_record_free(&session.before);
    fetch_http_destroy(&session.http);
    return status;
}

/** Settles where things will be, and makes the folders for that. */
static fs_status prepare(job *self, const char *text)
{
    const fetch_options *options = self->options;
    fetch_result *result = self->result;
    char parent[FS_PATH_BYTES_MAX];
    FS_TRY(fetch_target_parse(&self->target, text, options->server));
    if (options->sha256 != NULL && !fetch_sha256_parse(self->sha256, options->sha256))
        return fs_fail(FS_EUSAGE, "--sha256: not 64 hexadecimal digits");
    if (options->from == NULL && self->target.server[0] == '\0')
        return fs_fail(FS_EUSAGE, "'%s' is a data file: give its URL, or --from DIR",
                       self->target.name);
    FS_TRY(options->cache != NULL ? fs_path_join(self->cache, "", options->cache)
                                  : fs_cache_dir(self->cache));
    int model = self->target.kind == FETCH_MODEL;
    result->kind = self->target.kind;
    memcpy(result->name, self->target.name, sizeof result->name);
    FS_TRY(cache_path(self, model ? self->target.name : output_at(self, 0), "", result->path));
    FS_TRY(cache_path(self, self->target.name, model ? "/" FETCH_RECORD_NAME : ".fetch.json",
                      self->record));
    FS_TRY(cache_path(self, self->target.name, ".part", self->staging));
    FS_TRY(fs_path_dir(parent, self->staging));
    return fs_dir_make(parent);
}

fs_status fetch_run(const fetch_options *options, const char *text, fetch_result *out)
{
    job self = {.options = options, .result = out};
    char lock_path[FS_PATH_BYTES_MAX];
    fetch_lock lock = {.fd = -1};
    *out = (fetch_result){.kind = FETCH_MODEL};
    fs_status status = prepare(&self, text);
    if (status == FS_OK) status = cache_path(&self, self.target.name, ".lock", lock_path);
    if (status == FS_OK) status = fetch_lock_take(&lock, lock_path);
    if (status == FS_OK) status = look(&self);
    if (status == FS_OK && !out->already) status = bring(&self);
    fetch_lock_drop(&lock);
    fetch_record_free(&self.source.record);
    if (status != FS_OK) fetch_result_free(out);
    return status;
}

void fetch_result_free(fetch_result *self)
{
    fetch_record_free(&self->record);
}
