#include "safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "file.h"
#include "format.h"
#include "json_file.h"
#include "limits.h"
#include "shard_index.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are read as they are stored");

enum { RANK_MAX = 8 };

static const char metadata_key[] = "__metadata__"; /* no tensor, a map of strings */

/* A file of tensors. */
typedef struct part {
    char path[FS_PATH_BYTES_MAX];
    fs_map map;
    const uint8_t *data; /* behind the header */
    uint64_t bytes;      /* of data */
} part;

typedef struct entry {
    fs_tensor_view view; /* first: a view is found back to its entry */
    char *name;
    const part *part;
} entry;

struct fs_safetensors {
    part *parts;
    size_t part_count;
    entry *entries; /* ascending by name */
    size_t count;
    size_t capacity;
};

/* X(text in the file, bytes of a value, what we call it). Other words are allowed for tensors that
 * nobody asks for: their size is then what their offsets say. */
#define DTYPE_MAP(X)                                                                               \
    X("F32", 4, FS_F32)                                                                            \
    X("F16", 2, FS_F16)                                                                            \
    X("BF16", 2, FS_BF16)                                                                          \
    X("I64", 8, FS_I64)                                                                            \
    X("F64", 8, FS_OTHER)                                                                          \
    X("U64", 8, FS_OTHER)                                                                          \
    X("I32", 4, FS_OTHER)                                                                          \
    X("U32", 4, FS_OTHER)                                                                          \
    X("I16", 2, FS_OTHER)                                                                          \
    X("U16", 2, FS_OTHER)                                                                          \
    X("I8", 1, FS_OTHER)                                                                           \
    X("U8", 1, FS_OTHER)                                                                           \
    X("BOOL", 1, FS_OTHER)

/* @return bytes of a value, 0 if unknown. */
static unsigned dtype_parse(const char *text, fs_dtype *out)
{
    static const struct {
        const char *text;
        unsigned bytes;
        fs_dtype dtype;
    } known[] = {
#define X(text, bytes, dtype) {text, bytes, dtype},
        DTYPE_MAP(X)
#undef X
    };
    *out = FS_OTHER;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(text, known[i].text) == 0) {
            *out = known[i].dtype;
            return known[i].bytes;
        }
    }
    return 0;
}

/* Checks the eight bytes that say how long the header is. */
static fs_status header_size(const part *self, uint64_t *out)
{
    if (self->map.size < 8) {
        return fs_fail(FS_EFORMAT, "%s: has %zu bytes, too short for a safetensors header",
                       self->path, self->map.size);
    }
    memcpy(out, self->map.data, 8);
    if (*out > FS_SAFETENSORS_HEADER_BYTES_MAX) {
        return fs_fail(FS_EFORMAT, "%s: header of %llu bytes, the most is %d", self->path,
                       (unsigned long long)*out, FS_SAFETENSORS_HEADER_BYTES_MAX);
    }
    if (*out > self->map.size - 8) {
        return fs_fail(FS_EFORMAT, "%s: header of %llu bytes, but the file has %zu", self->path,
                       (unsigned long long)*out, self->map.size);
    }
    return FS_OK;
}

/* @return nonzero and the number if `value` is a whole number of 0 or more. */
static int read_u64(const json_t *value, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) return 0;
    *out = (uint64_t)json_integer_value(value);
    return 1;
}

static fs_status read_shape(fs_tensor_view *view, const part *file, const json_t *shape,
                            uint64_t *values)
{
    if (!json_is_array(shape) || json_array_size(shape) > RANK_MAX) {
        return fs_fail(FS_EFORMAT, "%s: tensor %.128s: \"shape\" must be an array of at most %d",
                       file->path, view->name, RANK_MAX);
    }
    view->rank = (int)json_array_size(shape);
    *values = 1;
    for (int i = 0; i < view->rank; i++) {
        if (!read_u64(json_array_get(shape, (size_t)i), &view->shape[i])) {
            return fs_fail(FS_EFORMAT, "%s: tensor %.128s: \"shape\" holds what is no size",
                           file->path, view->name);
        }
        if (__builtin_mul_overflow(*values, view->shape[i], values)) {
            return fs_fail(FS_EFORMAT, "%s: tensor %.128s: \"shape\" is larger than memory",
                           file->path, view->name);
        }
    }
    return FS_OK;
}

static fs_status read_offsets(fs_tensor_view *view, const part *file, const json_t *offsets)
{
    uint64_t begin, end;
    if (json_array_size(offsets) != 2 || !read_u64(json_array_get(offsets, 0), &begin) ||
        !read_u64(json_array_get(offsets, 1), &end)) {
        return fs_fail(FS_EFORMAT, "%s: tensor %.128s: \"data_offsets\" must be two sizes",
                       file->path, view->name);
    }
    if (begin > end || end > file->bytes) {
        return fs_fail(FS_EFORMAT,
                       "%s: tensor %.128s lies at %llu to %llu, but the file has %llu bytes of "
                       "data",
                       file->path, view->name, (unsigned long long)begin, (unsigned long long)end,
                       (unsigned long long)file->bytes);
    }
    view->data = file->data + begin;
    view->bytes = end - begin;
    return FS_OK;
}

static fs_status read_tensor(fs_tensor_view *view, const part *file, const json_t *info)
{
    uint64_t values = 0, bytes;
    const char *dtype = json_string_value(json_object_get(info, "dtype"));
    if (dtype == NULL) {
        return fs_fail(FS_EFORMAT, "%s: tensor %.128s: \"dtype\" is missing", file->path,
                       view->name);
    }
    unsigned value_bytes = dtype_parse(dtype, &view->dtype);
    FS_TRY(read_shape(view, file, json_object_get(info, "shape"), &values));
    FS_TRY(read_offsets(view, file, json_object_get(info, "data_offsets")));
    if (value_bytes == 0) return FS_OK;
    if (__builtin_mul_overflow(values, value_bytes, &bytes) || bytes != view->bytes) {
        return fs_fail(FS_EFORMAT,
                       "%s: tensor %.128s: %llu values of %s do not take the %llu bytes that its "
                       "offsets give",
                       file->path, view->name, (unsigned long long)values, dtype,
                       (unsigned long long)view->bytes);
    }
    return FS_OK;
}

static fs_status check_metadata(const part *file, const json_t *metadata)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata)) {
        return fs_fail(FS_EFORMAT, "%s: \"__metadata__\" must be an object", file->path);
    }
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value)
    {
        if (!json_is_string(value)) {
            return fs_fail(FS_EFORMAT, "%s: \"__metadata__\": \"%.128s\" must be a string",
                           file->path, key);
        }
    }
    return FS_OK;
}

static int compare_places(const void *a, const void *b)
{
    const fs_tensor_view *x = &((const entry *)a)->view, *y = &((const entry *)b)->view;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* The entries of one file, sorted by place, must cover its data without hole or overlap. */
static fs_status check_tiling(const part *file, entry *entries, size_t count)
{
    uint64_t end = 0;
    if (count > 0) qsort(entries, count, sizeof *entries, compare_places);
    for (size_t i = 0; i < count; i++) {
        const fs_tensor_view *view = &entries[i].view;
        uint64_t begin = (uint64_t)(view->data - file->data);
        if (begin != end) {
            return fs_fail(FS_EFORMAT, "%s: tensor %.128s starts at %llu, %s at %llu", file->path,
                           view->name, (unsigned long long)begin,
                           begin < end ? "inside another that ends" : "after one that ends",
                           (unsigned long long)end);
        }
        end = begin + view->bytes;
    }
    if (end != file->bytes) {
        return fs_fail(FS_EFORMAT, "%s: its tensors end at %llu, the file has %llu bytes of data",
                       file->path, (unsigned long long)end, (unsigned long long)file->bytes);
    }
    return FS_OK;
}

static fs_status add_entry(fs_safetensors *self, const part *file, const char *name,
                           const json_t *info)
{
    FS_ASSERT(self->count < self->capacity);
    entry *added = &self->entries[self->count];
    *added = (entry){.part = file, .name = strdup(name)};
    if (added->name == NULL) return fs_fail(FS_ENOMEM, "no memory for a tensor's name");
    added->view.name = added->name;
    self->count++;
    return read_tensor(&added->view, file, info);
}

static fs_status add_header(fs_safetensors *self, const part *file, json_t *header)
{
    const size_t first = self->count;
    const size_t n =
        json_object_size(header) - (json_object_get(header, metadata_key) != NULL ? 1 : 0);
    if (n > FS_TENSORS_MAX - self->count) {
        return fs_fail(FS_ELIMIT, "%s: with it the model has more than %d tensors", file->path,
                       FS_TENSORS_MAX);
    }
    if (n > 0) {
        entry *entries = realloc(self->entries, (self->count + n) * sizeof *entries);
        if (entries == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu tensors", n);
        self->entries = entries;
        self->capacity = self->count + n;
    }
    const char *name;
    json_t *info;
    json_object_foreach(header, name, info)
    {
        if (strcmp(name, metadata_key) == 0)
            FS_TRY(check_metadata(file, info));
        else
            FS_TRY(add_entry(self, file, name, info));
    }
    return check_tiling(file, self->entries + first, self->count - first);
}

static fs_status add_part(fs_safetensors *self, const char *dir, const char *name)
{
    part *file = &self->parts[self->part_count];
    uint64_t size = 0;
    json_t *header;
    FS_TRY(fs_path_join(file->path, dir, name));
    FS_TRY(fs_map_open(&file->map, file->path));
    self->part_count++;
    FS_TRY(header_size(file, &size));
    file->data = file->map.data + 8 + size;
    file->bytes = file->map.size - 8 - size;
    FS_TRY(fs_json_parse(&header, file->path, file->map.data + 8, (size_t)size));
    fs_status status = add_header(self, file, header);
    json_decref(header);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

static fs_status sort_names(fs_safetensors *self)
{
    if (self->count > 0) qsort(self->entries, self->count, sizeof *self->entries, compare_names);
    for (size_t i = 1; i < self->count; i++) {
        if (strcmp(self->entries[i].name, self->entries[i - 1].name) == 0) {
            return fs_fail(FS_EFORMAT, "%s: tensor %.128s is also in %s",
                           self->entries[i].part->path, self->entries[i].name,
                           self->entries[i - 1].part->path);
        }
    }
    return FS_OK;
}

/* Every tensor must lie in the file in which the index says it lies. */
static fs_status check_index(const fs_safetensors *self, const fs_shard_index *index)
{
    const char *name;
    json_t *file;
    json_object_foreach(index->weight_map, name, file)
    {
        const fs_tensor_view *view = fs_safetensors_find(self, name);
        const char *path = view == NULL ? "" : fs_safetensors_path(self, view);
        const char *slash = strrchr(path, '/');
        if (strcmp(slash == NULL ? path : slash + 1, json_string_value(file)) != 0) {
            return fs_fail(FS_EFORMAT, "%s: tensor %.128s is not in %s", index->path, name,
                           json_string_value(file));
        }
    }
    return FS_OK;
}

static fs_status open_parts(fs_safetensors *self, const char *dir, const fs_shard_index *index)
{
    self->parts = calloc(index->file_count, sizeof *self->parts);
    if (self->parts == NULL)
        return fs_fail(FS_ENOMEM, "no memory for %zu files", index->file_count);
    for (size_t i = 0; i < index->file_count; i++) FS_TRY(add_part(self, dir, index->files[i]));
    FS_TRY(sort_names(self));
    return index->weight_map == NULL ? FS_OK : check_index(self, index);
}

fs_status fs_safetensors_open(fs_safetensors **out, const char *dir)
{
    fs_shard_index index;
    *out = NULL;
    FS_TRY(fs_shard_index_read(&index, dir));
    fs_safetensors *self = calloc(1, sizeof *self);
    fs_status status = self == NULL ? fs_fail(FS_ENOMEM, "no memory for the weights of %s", dir)
                                    : open_parts(self, dir, &index);
    fs_shard_index_free(&index);
    if (status != FS_OK)
        fs_safetensors_close(&self);
    else
        *out = self;
    return status;
}

void fs_safetensors_close(fs_safetensors **self)
{
    if (*self == NULL) return;
    for (size_t i = 0; i < (*self)->count; i++) free((*self)->entries[i].name);
    for (size_t i = 0; i < (*self)->part_count; i++) fs_map_close(&(*self)->parts[i].map);
    free((*self)->entries);
    free((*self)->parts);
    free(*self);
    *self = NULL;
}

size_t fs_safetensors_count(const fs_safetensors *self)
{
    return self->count;
}

const fs_tensor_view *fs_safetensors_at(const fs_safetensors *self, size_t i)
{
    FS_ASSERT(i < self->count);
    return &self->entries[i].view;
}

const fs_tensor_view *fs_safetensors_find(const fs_safetensors *self, const char *name)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(self->entries[middle].name, name);
        if (order == 0) return &self->entries[middle].view;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const char *fs_safetensors_path(const fs_safetensors *self, const fs_tensor_view *tensor)
{
    return ((const entry *)(const void *)tensor)->part->path;
}

void fs_tensor_to_f32(float *out, const fs_tensor_view *tensor, uint64_t first, uint64_t count)
{
    const unsigned value_bytes = tensor->dtype == FS_F32 ? 4 : 2;
    FS_ASSERT(tensor->dtype == FS_F32 || tensor->dtype == FS_F16 || tensor->dtype == FS_BF16);
    FS_ASSERT(first <= tensor->bytes / value_bytes && count <= tensor->bytes / value_bytes - first);
    const uint8_t *data = tensor->data + first * value_bytes;
    const fs_format *format =
        fs_format_of(tensor->dtype == FS_F16 ? FS_FORMAT_FP16 : FS_FORMAT_BF16);
    if (tensor->dtype == FS_F32) {
        if (count > 0) memcpy(out, data, count * 4);
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint16_t stored;
        memcpy(&stored, data + 2 * i, 2);
        uint32_t bits = fs_format_widen(format, stored);
        memcpy(out + i, &bits, 4);
    }
}
