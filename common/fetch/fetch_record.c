#include "fetch_record.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch_sha256.h"
#include "file.h"
#include "json_file.h"

void fetch_record_free(fetch_record *self)
{
    free(self->files);
    *self = (fetch_record){0};
}

/* --- Reading ---------------------------------------------------------------------------------- */

static int copy_text(char *out, size_t size, const json_t *root, const char *key)
{
    const char *text = json_string_value(json_object_get(root, key));
    if (text == NULL || strlen(text) >= size) return 0;
    memcpy(out, text, strlen(text) + 1);
    return 1;
}

/** A record may have come with a folder from elsewhere: its names must stay in the folder. */
static int read_file(fetch_record_file *out, const json_t *item)
{
    char sum[FETCH_SHA256_BYTES];
    const json_t *bytes = json_object_get(item, "bytes");
    if (!copy_text(out->name, sizeof out->name, item, "name") || out->name[0] == '\0' ||
        out->name[0] == '.' || strchr(out->name, '/') != NULL)
        return 0;
    if (!json_is_integer(bytes) || json_integer_value(bytes) < 0) return 0;
    out->bytes = (uint64_t)json_integer_value(bytes);
    return copy_text(sum, sizeof sum, item, "sha256") && fetch_sha256_parse(out->sha256, sum);
}

static fs_status read_root(fetch_record *out, const char *path, const json_t *root)
{
    const json_t *files = json_object_get(root, "files");
    if (!copy_text(out->source, sizeof out->source, root, "source"))
        return fs_fail(FS_EFORMAT, "%s: key \"source\" is no text", path);
    if (!copy_text(out->revision, sizeof out->revision, root, "revision"))
        return fs_fail(FS_EFORMAT, "%s: key \"revision\" is no text", path);
    if (json_array_size(files) == 0)
        return fs_fail(FS_EFORMAT, "%s: key \"files\" is no list of files", path);
    for (size_t i = 0; i < json_array_size(files); i++) {
        fetch_record_file file;
        if (!read_file(&file, json_array_get(files, i)))
            return fs_fail(FS_EFORMAT, "%s: key \"files\": item %zu is no file", path, i);
        FS_TRY(fetch_record_put(out, &file));
    }
    return FS_OK;
}

fs_status fetch_record_read(fetch_record *out, const char *path)
{
    json_t *root = NULL;
    *out = (fetch_record){0};
    FS_TRY(fs_json_file_read(&root, path, FS_JSON_BYTES_MAX));
    fs_status status = read_root(out, path, root);
    json_decref(root);
    if (status != FS_OK) fetch_record_free(out);
    return status;
}

/* --- Writing ---------------------------------------------------------------------------------- */

fs_status fetch_record_write(const fetch_record *self, const char *path)
{
    json_t *files = json_array();
    for (size_t i = 0; i < self->count; i++)
        json_array_append_new(files, json_pack("{s:s, s:I, s:s}", "name", self->files[i].name,
                                               "bytes", (json_int_t)self->files[i].bytes, "sha256",
                                               self->files[i].sha256));
    json_t *root = json_pack("{s:s, s:s, s:o}", "source", self->source, "revision", self->revision,
                             "files", files);
    return fs_json_file_write(root, path, 17);
}

fs_status fetch_record_put(fetch_record *self, const fetch_record_file *file)
{
    for (size_t i = 0; i < self->count; i++) {
        if (strcmp(self->files[i].name, file->name) != 0) continue;
        self->files[i] = *file;
        return FS_OK;
    }
    if (self->count == FS_FETCH_FILES_MAX)
        return fs_fail(FS_ELIMIT, "more than %d files", FS_FETCH_FILES_MAX);
    fetch_record_file *files = realloc(self->files, (self->count + 1) * sizeof *files);
    if (files == NULL) return fs_fail(FS_ENOMEM, "no memory for a list of files");
    self->files = files;
    self->files[self->count++] = *file;
    return FS_OK;
}

/* --- Looking ---------------------------------------------------------------------------------- */

const fetch_record_file *fetch_record_find(const fetch_record *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++)
        if (strcmp(self->files[i].name, name) == 0) return &self->files[i];
    return NULL;
}

fs_status fetch_record_check(const fetch_record_file *file, const char *dir)
{
    char path[FS_PATH_BYTES_MAX], sha256[FETCH_SHA256_BYTES];
    uint64_t bytes;
    FS_TRY(fs_path_join(path, dir, file->name));
    FS_TRY(fetch_sha256_file(path, sha256, &bytes));
    if (strcmp(sha256, file->sha256) == 0) return FS_OK;
    return fs_fail(FS_EMISMATCH,
                   "%s: has %llu bytes and sha256 %s, but %llu bytes with %s were "
                   "fetched",
                   path, (unsigned long long)bytes, sha256, (unsigned long long)file->bytes,
                   file->sha256);
}

fs_status fetch_record_prune(const fetch_record *self, const char *dir)
{
    DIR *open_dir = opendir(dir);
    if (open_dir == NULL) return fs_fail(FS_EIO, "%s: %s", dir, strerror(errno));
    fs_status status = FS_OK;
    for (struct dirent *entry; status == FS_OK && (entry = readdir(open_dir)) != NULL;) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
        if (strcmp(name, FETCH_RECORD_NAME) == 0 || fetch_record_find(self, name) != NULL) continue;
        if (unlinkat(dirfd(open_dir), name, 0) != 0)
            status = fs_fail(FS_EIO, "%s/%s: %s", dir, name, strerror(errno));
    }
    closedir(open_dir);
    return status;
}
