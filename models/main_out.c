#include "main_out.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "file.h"
#include "json_file.h"
#include "outfile.h"

static fs_status no_memory(void)
{
    return fs_fail(FS_ENOMEM, "no memory for a JSON document");
}

/* @return nonzero for a temporary of a file that training writes. */
static int is_half_written(const char *entry)
{
    static const char *const names[] = {
        "checkpoint",
        "training.json",
        "model.safetensors",
        "config.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "tokenizer.json",
        "tokenizer_config.json",
        "added_tokens.json",
        "special_tokens_map.json",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (fs_outfile_is_temporary(entry, names[i])) return 1;
    return 0;
}

/* Removes what a killed process left half written, and nothing that a user may have put there;
 * nobody else is at work here. */
static void tidy(const char *dir)
{
    DIR *entries = opendir(dir);
    if (entries == NULL) return;
    for (const struct dirent *e; (e = readdir(entries)) != NULL;) {
        char path[FS_PATH_BYTES_MAX];
        if (is_half_written(e->d_name) && fs_path_join(path, dir, e->d_name) == FS_OK)
            (void)unlink(path);
    }
    closedir(entries);
}

static fs_status take_folder(main_out *self)
{
    self->made = !fs_file_exists(self->dir);
    FS_TRY(fs_dir_make(self->dir));
    self->lock = open(self->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->lock < 0) return fs_fail(FS_EIO, "%s: %s", self->dir, strerror(errno));
    if (flock(self->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return fs_fail(FS_EBUSY, "%s: another process trains into this folder", self->dir);
        return fs_fail(FS_EIO, "%s: cannot lock: %s", self->dir, strerror(errno));
    }
    if (access(self->dir, W_OK) != 0)
        return fs_fail(FS_EIO, "%s: cannot write there: %s", self->dir, strerror(errno));
    return FS_OK;
}

/* "0.001", "linear", "none". The caller frees. */
static char *word_of(const json_t *value)
{
    if (value == NULL || json_is_null(value)) return strdup("none");
    if (json_is_string(value)) return strdup(json_string_value(value));
    return json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
}

static fs_status refuse(const main_out *self, const char *key, const json_t *before,
                        const json_t *now)
{
    char *old = word_of(before), *new = word_of(now);
    fs_status status =
        old == NULL || new == NULL
            ? no_memory()
            : fs_fail(FS_EREFUSED,
                      "%s: was made with other options: %s was %.80s, now it is %.80s; give the "
                      "same ones to go on, or another folder",
                      self->dir, key, old, new);
    free(old);
    free(new);
    return status;
}

static fs_status compare(const main_out *self, json_t *before)
{
    const char *key;
    json_t *value;
    json_object_foreach(self->options, key, value)
    {
        const json_t *other = json_object_get(before, key);
        if (other == NULL || !json_equal(value, other)) return refuse(self, key, other, value);
    }
    json_object_foreach(before, key, value)
    {
        if (json_object_get(self->options, key) == NULL) return refuse(self, key, value, NULL);
    }
    return FS_OK;
}

static fs_status read_record(main_out *self)
{
    json_t *root;
    FS_TRY(fs_json_file_read(&root, self->record, FS_JSON_BYTES_MAX));
    json_t *before = json_object_get(root, "options"), *result = json_object_get(root, "result");
    json_t *files = json_object_get(root, "files");
    fs_status status =
        json_is_object(before)
            ? compare(self, before)
            : fs_fail(FS_ECORRUPT, "%s: not the record of a training run", self->record);
    if (status == FS_OK && json_is_object(result)) self->result = json_incref(result);
    if (status == FS_OK && json_is_object(files)) self->files = json_incref(files);
    json_decref(root);
    return status;
}

static fs_status remove_checkpoint(const main_out *self)
{
    char path[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_join(path, self->dir, "checkpoint"));
    if (unlink(path) != 0 && errno != ENOENT)
        return fs_fail(FS_EIO, "%s: cannot remove: %s", path, strerror(errno));
    return FS_OK;
}

fs_status main_out_open(main_out *self, const char *dir, json_t *options)
{
    *self = (main_out){.dir = dir, .lock = -1, .options = options};
    if (options == NULL) return no_memory();
    FS_TRY(fs_path_join(self->record, dir, "training.json"));
    FS_TRY(take_folder(self));
    self->known = fs_file_exists(self->record);
    if (self->known) FS_TRY(read_record(self));
    char path[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_join(path, dir, "config.json"));
    if (!self->known && fs_file_exists(path)) {
        return fs_fail(FS_EREFUSED, "%s: holds a model already; give another folder", dir);
    }
    tidy(dir);
    /* Killed between the last record and this, a complete run has its checkpoint still. */
    return self->result == NULL ? FS_OK : remove_checkpoint(self);
}

static fs_status note_file(main_out *self, const char *name, const char *path)
{
    char hex[FS_HASH_HEX_BYTES];
    fs_hash hash;
    if (!fs_file_exists(path)) return FS_OK;
    FS_TRY(fs_hash_file(&hash, path));
    fs_hash_hex(&hash, hex);
    return json_object_set_new(self->files, name, json_string(hex)) == 0 ? FS_OK : no_memory();
}

static fs_status compare_file(const main_out *self, const char *name, const char *path)
{
    const char *made = json_string_value(json_object_get(self->files, name));
    char hex[FS_HASH_HEX_BYTES];
    fs_hash hash;
    if (made == NULL) return FS_OK; /* it was not there, or an earlier version did not note it */
    FS_TRY(fs_hash_file(&hash, path));
    fs_hash_hex(&hash, hex);
    if (strcmp(hex, made) == 0) return FS_OK;
    return fs_fail(FS_EREFUSED,
                   "%s: has changed since the run began with it; restore it to go on, or give "
                   "another folder",
                   path);
}

fs_status main_out_files(main_out *self, const char *const *names, size_t count)
{
    if (!self->known && (self->files = json_object()) == NULL) return no_memory();
    for (size_t i = 0; i < count; i++) {
        char path[FS_PATH_BYTES_MAX];
        FS_TRY(fs_path_join(path, self->dir, names[i]));
        FS_TRY(self->known ? compare_file(self, names[i], path) : note_file(self, names[i], path));
    }
    return FS_OK;
}

static fs_status write_record(const main_out *self, const char *state)
{
    json_t *root = json_pack("{s:s, s:O, s:O*, s:O*}", "state", state, "options", self->options,
                             "files", self->files, "result", self->result);
    return fs_json_file_write(root, self->record, 17);
}

fs_status main_out_begin(main_out *self)
{
    return self->known ? FS_OK : write_record(self, "running");
}

fs_status main_out_complete(main_out *self, json_t *result)
{
    if (result == NULL) return no_memory();
    self->result = result;
    FS_TRY(write_record(self, "complete"));
    return remove_checkpoint(self);
}

void main_out_close(main_out *self)
{
    json_decref(self->options);
    json_decref(self->result);
    json_decref(self->files);
    self->options = self->result = self->files = NULL;
    if (self->lock < 0) return;
    if (self->made) (void)rmdir(self->dir); /* only an empty one goes */
    close(self->lock);
    self->lock = -1;
}

fs_status main_out_fingerprint(const main_out *self, fs_hash *out)
{
    char *text = json_dumps(self->options, JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    if (text == NULL) return no_memory();
    fs_hash_bytes(out, text, strlen(text));
    free(text);
    return FS_OK;
}
