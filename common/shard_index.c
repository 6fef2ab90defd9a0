#include "shard_index.h"

#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json_file.h"
#include "limits.h"
#include "safetensors.h"

static const char whole_name[] = "model.safetensors";
static const char index_name[] = "model.safetensors.index.json";

int fs_safetensors_present(const char *dir)
{
    char path[FS_PATH_BYTES_MAX];
    if (fs_path_join(path, dir, whole_name) == FS_OK && fs_file_exists(path)) return 1;
    return fs_path_join(path, dir, index_name) == FS_OK && fs_file_exists(path);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Nothing that a file says becomes a path outside its folder. */
static int plain_name(const char *name)
{
    return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL && strlen(name) < 256;
}

/* Fills `files` with the distinct names of the map's values. */
static fs_status collect_files(fs_shard_index *self)
{
    size_t n = json_object_size(self->weight_map), distinct = 0;
    if (n == 0) return fs_fail(FS_EFORMAT, "%s: key \"weight_map\" is empty", self->path);
    if (n > FS_TENSORS_MAX) {
        return fs_fail(FS_ELIMIT, "%s: key \"weight_map\" has %zu tensors, the most is %d",
                       self->path, n, FS_TENSORS_MAX);
    }
    self->files = calloc(n, sizeof *self->files);
    if (self->files == NULL) return fs_fail(FS_ENOMEM, "no memory for an index of weights");
    const char *key;
    json_t *value;
    json_object_foreach(self->weight_map, key, value)
    {
        const char *file = json_string_value(value);
        if (file == NULL || !plain_name(file)) {
            char text[64];
            return fs_fail(FS_EFORMAT,
                           "%s: tensor %.128s must lie in a file of the same folder, found %s",
                           self->path, key, fs_json_describe(value, text));
        }
        self->files[self->file_count++] = file;
    }
    qsort(self->files, self->file_count, sizeof *self->files, compare_names);
    for (size_t i = 0; i < self->file_count; i++) {
        if (i == 0 || strcmp(self->files[i], self->files[distinct - 1]) != 0) {
            self->files[distinct++] = self->files[i];
        }
    }
    self->file_count = distinct;
    if (distinct > FS_SHARD_FILES_MAX) {
        return fs_fail(FS_ELIMIT, "%s: names %zu files, the most is %d", self->path, distinct,
                       FS_SHARD_FILES_MAX);
    }
    return FS_OK;
}

static fs_status read_index(fs_shard_index *self, const char *path)
{
    json_t *root;
    self->path = strdup(path);
    if (self->path == NULL) return fs_fail(FS_ENOMEM, "no memory for an index of weights");
    FS_TRY(fs_json_file_read(&root, path, FS_JSON_BYTES_MAX));
    self->weight_map = json_incref(json_object_get(root, "weight_map"));
    json_decref(root);
    if (!json_is_object(self->weight_map)) {
        char text[64];
        return fs_fail(FS_EFORMAT, "%s: key \"weight_map\" must be an object, found %s", path,
                       fs_json_describe(self->weight_map, text));
    }
    return collect_files(self);
}

fs_status fs_shard_index_read(fs_shard_index *out, const char *dir)
{
    char path[FS_PATH_BYTES_MAX];
    *out = (fs_shard_index){0};
    FS_TRY(fs_path_join(path, dir, whole_name));
    if (fs_file_exists(path)) {
        out->files = calloc(1, sizeof *out->files);
        if (out->files == NULL) return fs_fail(FS_ENOMEM, "no memory for a model");
        out->files[0] = whole_name;
        out->file_count = 1;
        return FS_OK;
    }
    FS_TRY(fs_path_join(path, dir, index_name));
    if (!fs_file_exists(path)) {
        return fs_fail(FS_ENOENT, "%s: holds neither %s nor %s", dir, whole_name, index_name);
    }
    fs_status status = read_index(out, path);
    if (status != FS_OK) fs_shard_index_free(out);
    return status;
}

void fs_shard_index_free(fs_shard_index *self)
{
    free(self->path);
    free(self->files);
    json_decref(self->weight_map);
    *self = (fs_shard_index){0};
}
