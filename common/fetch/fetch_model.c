#include "fetch_model.h"

#include <stdio.h>
#include <string.h>

#include "config.h"
#include "file.h"
#include "json_file.h"
#include "safetensors.h"
#include "shard_index.h"

static const char weights_name[] = "model.safetensors";

_Static_assert((int)FS_URL_BYTES_MAX <= (int)FS_PATH_BYTES_MAX, "a source is a URL or a path");

typedef struct model {
    fetch_session *session;
    const fetch_model_source *source;
    const char *revision; /* the commit, once it is known: all files are of one */
} model;

/** @return the sha256 that a file must have, NULL if none is known. */
static const char *sum_of(const model *self, const char *file)
{
    const fetch_model_source *source = self->source;
    if (source->sha256 != NULL && strcmp(file, weights_name) == 0) return source->sha256;
    const char *known = fetch_known_sha256(source->target->known, file);
    if (known != NULL || source->noted == NULL) return known;
    const fetch_record_file *noted = fetch_record_find(source->noted, file);
    return noted == NULL ? NULL : noted->sha256;
}

static fs_status bring(const model *self, const char *file, uint64_t bytes_max, int fresh)
{
    const fetch_model_source *source = self->source;
    char from[FS_PATH_BYTES_MAX];
    if (source->folder != NULL)
        FS_TRY(fs_path_join(from, source->folder, file));
    else
        FS_TRY(fetch_target_url(source->target, self->revision, file, from));
    const fetch_wish wish = {.name = file,
                             .source = from,
                             .sha256 = sum_of(self, file),
                             .bytes_max = bytes_max,
                             .fresh = fresh};
    return fetch_file(self->session, &wish);
}

/** Says what lacks in the words of the model. */
static fs_status lacks(const model *self, fs_status status, const char *what)
{
    char where[FS_PATH_BYTES_MAX];
    if (status != FS_ENOENT) return status;
    if (self->source->folder != NULL)
        FS_TRY(fs_path_join(where, "", self->source->folder));
    else
        fetch_target_source(self->source->target, where);
    return fs_fail(FS_ENOENT, "%.1000s has no %s", where, what);
}

/* --- config.json and the tokeniser ------------------------------------------------------------ */

static fs_status bring_config(model *self)
{
    fetch_session *session = self->session;
    fs_status status = bring(self, "config.json", FS_JSON_BYTES_MAX, 1);
    if (status == FS_ENOENT && self->source->folder == NULL)
        return fs_fail(FS_ENOENT, "%s has no model %s: there is no config.json (HTTP 404)",
                       self->source->target->server, self->source->target->path);
    if (status != FS_OK) return lacks(self, status, "config.json");
    if (session->commit[0] == '\0') return FS_OK;
    /* What is left from another commit is not mixed with this one. */
    if (strcmp(session->before.revision, session->commit) != 0) fetch_record_free(&session->before);
    memcpy(session->record.revision, session->commit, sizeof session->commit);
    self->revision = session->record.revision;
    return FS_OK;
}

static fs_status read_kind(const model *self, int *is_bert)
{
    char path[FS_PATH_BYTES_MAX];
    json_t *root = NULL;
    FS_TRY(fs_path_join(path, self->session->staging, "config.json"));
    FS_TRY(fs_json_file_read(&root, path, FS_JSON_BYTES_MAX));
    const char *type = json_string_value(json_object_get(root, "model_type"));
    fs_status status = FS_OK;
    *is_bert = type != NULL && strcmp(type, "bert") == 0;
    if (type == NULL)
        status = fs_fail(FS_EFORMAT, "%s: key \"model_type\" is missing or no text", path);
    else if (!*is_bert && strcmp(type, "gpt2") != 0)
        status = fs_fail(FS_EUNSUPPORTED,
                         "%s is a %.80s; bert and gpt2 are supported, nothing more was fetched",
                         self->source->target->name, type);
    json_decref(root);
    return status;
}

static fs_status bring_tokeniser(const model *self, int is_bert)
{
    static const char *const files[] = {"vocab.txt", "vocab.json", "merges.txt"};
    for (size_t i = is_bert ? 0 : 1; i < (is_bert ? 1 : 3); i++) {
        fs_status status = bring(self, files[i], FS_JSON_BYTES_MAX, 0);
        if (status != FS_OK) return lacks(self, status, files[i]);
        if (fetch_record_find(&self->session->record, files[i])->bytes == 0)
            return fs_fail(FS_EFORMAT, "%s of %s is empty", files[i], self->source->target->name);
    }
    fs_status status = bring(self, "tokenizer_config.json", FS_JSON_BYTES_MAX, 0);
    return status == FS_ENOENT ? FS_OK : status;
}

/* --- Weights ---------------------------------------------------------------------------------- */

static fs_status bring_shards(const model *self)
{
    fs_shard_index index;
    fs_status status = bring(self, "model.safetensors.index.json", FS_JSON_BYTES_MAX, 0);
    if (status != FS_OK)
        return lacks(self, status,
                     "weights as safetensors (model.safetensors); pytorch_model.bin is not read");
    if (self->source->sha256 != NULL)
        return fs_fail(FS_EUSAGE, "--sha256 is of one file, and the weights of %s are in several",
                       self->source->target->name);
    FS_TRY(fs_shard_index_read(&index, self->session->staging));
    for (size_t i = 0; i < index.file_count && status == FS_OK; i++) {
        status = bring(self, index.files[i], FS_FETCH_BYTES_MAX, 0);
        if (status != FS_OK) status = lacks(self, status, index.files[i]);
    }
    fs_shard_index_free(&index);
    return status;
}

static fs_status check_files(const model *self, char note[FETCH_NOTE_BYTES_MAX])
{
    fs_safetensors *weights = NULL;
    fs_config config;
    const char *staging = self->session->staging;
    note[0] = '\0';
    /* A run before this one may have left shards where there is one file now. */
    FS_TRY(fetch_record_prune(&self->session->record, staging));
    FS_TRY(fs_safetensors_open(&weights, staging));
    fs_safetensors_close(&weights);
    fs_status status = fs_config_read(&config, staging);
    if (status != FS_EUNSUPPORTED) return status;
    /* As with bert-base-uncased, which has the head that it was pretrained with. */
    const char *detail = fs_status_detail(), *key = strstr(detail, "config.json: ");
    snprintf(note, FETCH_NOTE_BYTES_MAX, "it cannot be evaluated as it is: %.400s",
             key == NULL ? detail : key);
    return FS_OK;
}

fs_status fetch_model(fetch_session *session, const fetch_model_source *source,
                      char note[FETCH_NOTE_BYTES_MAX])
{
    model self = {session, source, source->target->revision};
    int is_bert = 0;
    FS_TRY(bring_config(&self));
    FS_TRY(read_kind(&self, &is_bert));
    FS_TRY(bring_tokeniser(&self, is_bert));
    fs_status status = bring(&self, weights_name, FS_FETCH_BYTES_MAX, 0);
    if (status == FS_ENOENT) status = bring_shards(&self);
    FS_TRY(status);
    return check_files(&self, note);
}
