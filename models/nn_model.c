#include "nn_model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "activation.h"
#include "assert.h"
#include "hash.h"
#include "nn_gemm.h"
#include "nn_image.h"

/* In messages, where others have a path. */
#define TUNED "a tuned model"

enum {
    FLOATS_PER_LINE = 16,
    LOAD_BLOCK = 4096, /* values read from the file at a time */
    NAME_BYTES_MAX = 128
};

size_t nn__aligned(size_t size)
{
    return (size + FLOATS_PER_LINE - 1) / FLOATS_PER_LINE * FLOATS_PER_LINE;
}

size_t nn__image_index(const nn_model *self, uint32_t tensor, uint64_t element)
{
    FS_ASSERT(tensor < self->geometry->tensor_count);
    const fs_tensor *shape = &self->geometry->tensors[tensor];
    const nn_place *place = &self->places[tensor];
    FS_ASSERT(element < (uint64_t)shape->rows * shape->cols);
    if (place->k == 0) return place->first + element;
    const size_t row = element / shape->cols, col = element % shape->cols;
    return place->first + (place->transposed ? nn_packed_index(place->k, col, row)
                                             : nn_packed_index(place->k, row, col));
}

/* Finding tensors in the file. */

/* @return nonzero if `name` ends in `suffix`. */
static int ends_in(const char *name, const char *suffix)
{
    size_t size = strlen(name), tail = strlen(suffix);
    return size >= tail && strcmp(name + size - tail, suffix) == 0;
}

/* Old BERT folders say gamma and beta. Writes the old name. @return nonzero if there is one. */
static int old_name(char out[NAME_BYTES_MAX], const char *name)
{
    static const char *const endings[2][2] = {{"LayerNorm.weight", "LayerNorm.gamma"},
                                              {"LayerNorm.bias", "LayerNorm.beta"}};
    for (unsigned i = 0; i < 2; i++) {
        if (!ends_in(name, endings[i][0])) continue;
        int stem = (int)(strlen(name) - strlen(endings[i][0]));
        snprintf(out, NAME_BYTES_MAX, "%.*s%s", stem, name, endings[i][1]);
        return 1;
    }
    return 0;
}

static const fs_tensor_view *find_prefixed(const nn_model *self, const char *name)
{
    const char *prefix = self->geometry->config.kind == FS_MODEL_BERT ? "bert" : "transformer";
    char prefixed[NAME_BYTES_MAX + 16];
    snprintf(prefixed, sizeof prefixed, "%s.%s", prefix, name);
    const fs_tensor_view *found = fs_safetensors_find(self->weights, prefixed);
    return found != NULL ? found : fs_safetensors_find(self->weights, name);
}

static const fs_tensor_view *find_tensor(const nn_model *self, const char *name)
{
    char old[NAME_BYTES_MAX];
    const fs_tensor_view *found = find_prefixed(self, name);
    if (found == NULL && old_name(old, name)) found = find_prefixed(self, old);
    /* Of two names for one memory some writers keep the head's. */
    if (found == NULL && self->geometry->config.tied && strcmp(name, "wte.weight") == 0) {
        found = fs_safetensors_find(self->weights, "lm_head.weight");
    }
    return found;
}

/* Writes the shape that a tensor must have. @return its rank. */
static int wanted_shape(uint64_t out[2], const fs_tensor *wanted)
{
    out[0] = wanted->rank == 2 ? wanted->rows : wanted->cols;
    out[1] = wanted->cols;
    return wanted->rank == 2 ? 2 : 1;
}

static void describe_shape(char *out, size_t size, const uint64_t *shape, int rank)
{
    size_t used = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < rank && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s%llu", i == 0 ? "" : ", ",
                                 (unsigned long long)shape[i]);
    }
    if (used < size) snprintf(out + used, size - used, "]");
}

static fs_status check_tensor(const nn_model *self, const fs_tensor *wanted,
                              const fs_tensor_view *found)
{
    uint64_t shape[2];
    const int rank = wanted_shape(shape, wanted);
    const char *path = fs_safetensors_path(self->weights, found);
    if (found->dtype != FS_F32 && found->dtype != FS_F16 && found->dtype != FS_BF16) {
        return fs_fail(FS_EFORMAT, "%s: tensor %s has dtype %s, expected F32, F16 or BF16", path,
                       found->name, found->dtype == FS_I64 ? "I64" : "of another kind");
    }
    if (found->rank != rank || memcmp(found->shape, shape, (size_t)rank * sizeof *shape) != 0) {
        char expected[64], actual[192];
        describe_shape(expected, sizeof expected, shape, rank);
        describe_shape(actual, sizeof actual, found->shape, found->rank);
        return fs_fail(FS_EFORMAT, "%s: tensor %s has shape %s, config.json makes it %s", path,
                       found->name, actual, expected);
    }
    return FS_OK;
}

/* A folder that ties its head and yet stores another one contradicts itself. */
static fs_status check_tied_head(const nn_model *self)
{
    const fs_tensor_view *head = fs_safetensors_find(self->weights, "lm_head.weight");
    const fs_tensor_view *table = self->places[0].source;
    if (!self->geometry->config.tied || head == NULL) return FS_OK;
    if (head->dtype == table->dtype && head->bytes == table->bytes &&
        memcmp(head->data, table->data, table->bytes) == 0) {
        return FS_OK;
    }
    return fs_fail(FS_EFORMAT,
                   "%s: tensor %s differs from %s, but config.json ties them (key "
                   "\"tie_word_embeddings\", true unless given)",
                   fs_safetensors_path(self->weights, head), head->name, table->name);
}

static fs_status find_sources(nn_model *self, const char *dir)
{
    const fs_geometry *geometry = self->geometry;
    for (size_t i = 0; i < geometry->tensor_count; i++) {
        const fs_tensor *wanted = &geometry->tensors[i];
        const fs_tensor_view *found = find_tensor(self, wanted->name);
        if (found == NULL) {
            uint64_t shape[2];
            char expected[64];
            const int rank = wanted_shape(shape, wanted);
            describe_shape(expected, sizeof expected, shape, rank);
            return fs_fail(FS_EFORMAT, "%s: the weights lack tensor %s of shape %s", dir,
                           wanted->name, expected);
        }
        FS_TRY(check_tensor(self, wanted, found));
        self->places[i].source = found;
    }
    return check_tied_head(self);
}

const char *nn__source_path(const nn_model *self, uint32_t tensor)
{
    if (self->weights == NULL) return TUNED;
    return fs_safetensors_path(self->weights, self->places[tensor].source);
}

/* Laying out and filling the image. */

/* @return nonzero if the tensor is a table that rows are looked up in and nothing else. */
static int is_lookup(const fs_geometry *geometry, const char *name)
{
    return strncmp(name, "embeddings.", 11) == 0 || strcmp(name, "wpe.weight") == 0 ||
           (strcmp(name, "wte.weight") == 0 && !geometry->config.tied);
}

static void lay_out(nn_model *self)
{
    const fs_geometry *geometry = self->geometry;
    size_t next = 0;
    for (size_t i = 0; i < geometry->tensor_count; i++) {
        const fs_tensor *tensor = &geometry->tensors[i];
        nn_place *place = &self->places[i];
        size_t size = (size_t)tensor->rows * tensor->cols;
        if (tensor->rank == 2 && !is_lookup(geometry, tensor->name)) {
            /* GPT-2's blocks hold Conv1D, [in, out]; all else is [out, in]. */
            place->transposed = strncmp(tensor->name, "h.", 2) != 0;
            place->k = place->transposed ? tensor->cols : tensor->rows;
            size = nn_packed_size(place->k, place->transposed ? tensor->rows : tensor->cols);
        }
        place->first = next;
        next += nn__aligned(size);
    }
    self->image_bytes = next * sizeof(float);
}

/* Within a row of a torch Linear values lie a panel's width apart, within a panel's columns of a
 * Conv1D side by side. */
void nn__place_values(nn_model *self, uint32_t tensor, uint64_t first, const float *values,
                      size_t count)
{
    const nn_place *place = &self->places[tensor];
    const size_t cols = self->geometry->tensors[tensor].cols;
    if (place->k == 0) {
        memcpy(self->image + place->first + first, values, count * sizeof *values);
        return;
    }
    size_t col = first % cols;
    for (size_t done = 0, run; done < count; done += run) {
        const size_t left = cols - col;
        float *out = self->image + nn__image_index(self, tensor, first + done);
        const size_t whole = place->transposed ? cols : NN_PANEL - col % NN_PANEL;
        run = whole < left ? whole : left;
        if (run > count - done) run = count - done;
        if (place->transposed) {
            for (size_t i = 0; i < run; i++) out[i * NN_PANEL] = values[done + i];
        } else {
            memcpy(out, values + done, run * sizeof *out);
        }
        col = run < left ? col + run : 0;
    }
}

static void load_plain(nn_model *self, uint32_t tensor)
{
    float values[LOAD_BLOCK];
    const fs_tensor *shape = &self->geometry->tensors[tensor];
    const uint64_t total = (uint64_t)shape->rows * shape->cols;
    for (uint64_t first = 0; first < total; first += LOAD_BLOCK) {
        size_t count = total - first < LOAD_BLOCK ? (size_t)(total - first) : LOAD_BLOCK;
        fs_tensor_to_f32(values, self->places[tensor].source, first, count);
        nn__place_values(self, tensor, first, values, count);
    }
}

static fs_status make_image(nn_model *self, const char *dir)
{
    self->image_fd = memfd_create("flipsweep-model", MFD_CLOEXEC);
    if (self->image_fd < 0) {
        return fs_fail(FS_EIO, "%s: cannot make a memory file: %s", dir, strerror(errno));
    }
    /* Allocated now: with a hole in it, full memory would end the process at the first touch. */
    int error = posix_fallocate(self->image_fd, 0, (off_t)self->image_bytes);
    if (error != 0) {
        return fs_fail(FS_ENOMEM, "%s: no memory for %zu bytes of weights: %s", dir,
                       self->image_bytes, strerror(error));
    }
    void *image =
        mmap(NULL, self->image_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, self->image_fd, 0);
    if (image == MAP_FAILED) {
        return fs_fail(FS_ENOMEM, "%s: cannot map %zu bytes of weights: %s", dir, self->image_bytes,
                       strerror(errno));
    }
    self->image = image;
    return FS_OK;
}

static fs_status make_geometry(nn_model *self, const char *dir, const fs_config *config)
{
    FS_TRY(fs_geometry_new(&self->geometry, config));
    self->places = calloc(self->geometry->tensor_count, sizeof *self->places);
    return self->places != NULL ? FS_OK : fs_fail(FS_ENOMEM, "%s: no memory for a model", dir);
}

/* Reads what the places' sources hold. `dir` is for messages. */
static fs_status fill_image(nn_model *self, const char *dir, const fs_protect *protect,
                            const fs_protection *bounds)
{
    lay_out(self);
    FS_TRY(make_image(self, dir));
    static const fs_protect none;
    if (protect == NULL) protect = &none;
    FS_TRY(fs_protection_new(&self->protection, protect, self->geometry->tensor_count));
    self->given = bounds != NULL;
    if (self->given) fs_protection_give(self->protection, bounds);
    self->activations = fs_activation_format(protect->format);
    self->restriction = fs_protect_restriction(protect);
    if (protect->format == FS_FORMAT_INT8)
        FS_TRY(fs_scales_new(&self->protection->scales, self->geometry));
    if (fs_protect_is_plain(protect)) {
        for (uint32_t i = 0; i < self->geometry->tensor_count; i++) load_plain(self, i);
    } else {
        FS_TRY(nn__load_protected(self));
    }
    self->checksum = fs_checksum(self->image, self->image_bytes);
    if (mprotect(self->image, self->image_bytes, PROT_READ) != 0) {
        return fs_fail(FS_EIO, "%s: cannot seal the weights: %s", dir, strerror(errno));
    }
    return FS_OK;
}

static fs_status open_model(nn_model *self, const char *dir, const fs_protect *protect)
{
    fs_config config;
    FS_TRY(fs_config_read(&config, dir));
    FS_TRY(make_geometry(self, dir, &config));
    FS_TRY(fs_safetensors_open(&self->weights, dir));
    FS_TRY(find_sources(self, dir));
    return fill_image(self, dir, protect, NULL);
}

static fs_status take_values(nn_model *self, const fs_config *config, const float *const *values,
                             const fs_protect *protect, const fs_protection *bounds)
{
    FS_TRY(make_geometry(self, TUNED, config));
    const fs_geometry *geometry = self->geometry;
    self->sources = calloc(geometry->tensor_count, sizeof *self->sources);
    if (self->sources == NULL) return fs_fail(FS_ENOMEM, "%s: no memory for it", TUNED);
    for (size_t i = 0; i < geometry->tensor_count; i++) {
        const fs_tensor *tensor = &geometry->tensors[i];
        fs_tensor_view *source = &self->sources[i];
        *source = (fs_tensor_view){.name = tensor->name,
                                   .dtype = FS_F32,
                                   .data = (const uint8_t *)values[i],
                                   .bytes = (uint64_t)tensor->rows * tensor->cols * sizeof(float)};
        source->rank = wanted_shape(source->shape, tensor);
        self->places[i].source = source;
    }
    return fill_image(self, TUNED, protect, bounds);
}

fs_status nn_model_of_values(nn_model **out, const fs_config *config, const float *const *values,
                             const fs_protect *protect, const fs_protection *bounds)
{
    *out = NULL;
    nn_model *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a model");
    self->image_fd = -1;
    fs_status status = take_values(self, config, values, protect, bounds);
    if (status != FS_OK)
        nn_model_close(&self);
    else
        *out = self;
    return status;
}

fs_status nn_model_open(nn_model **out, const char *dir, const fs_protect *protect)
{
    *out = NULL;
    nn_model *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "%s: no memory for a model", dir);
    self->image_fd = -1;
    fs_status status = open_model(self, dir, protect);
    if (status != FS_OK)
        nn_model_close(&self);
    else
        *out = self;
    return status;
}

void nn_model_close(nn_model **self)
{
    if (*self == NULL) return;
    if ((*self)->image != NULL) munmap((*self)->image, (*self)->image_bytes);
    if ((*self)->image_fd >= 0) close((*self)->image_fd);
    free((*self)->places);
    fs_protection_destroy(&(*self)->protection);
    fs_safetensors_close(&(*self)->weights);
    free((*self)->sources);
    fs_geometry_destroy(&(*self)->geometry);
    free(*self);
    *self = NULL;
}

const fs_geometry *nn_model_geometry(const nn_model *self)
{
    return self->geometry;
}

uint32_t nn_model_clean(const nn_model *self, uint32_t tensor, uint64_t element)
{
    FS_ASSERT(tensor < self->geometry->tensor_count);
    float value;
    uint32_t bits;
    fs_tensor_to_f32(&value, self->places[tensor].source, element, 1);
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

uint64_t nn_model_altered(const nn_model *self)
{
    return self->altered;
}

fs_codec_report nn_model_noticed(const nn_model *self)
{
    return self->noticed;
}

const fs_protection *nn_model_protection(const nn_model *self)
{
    return self->protection;
}

void nn_model_take_protection(nn_model *self, fs_protection **out)
{
    *out = self->protection;
    self->protection = NULL;
}

fs_format_kind nn_model_activations(const nn_model *self)
{
    return self->activations;
}

fs_restriction nn_model_restriction(const nn_model *self)
{
    return self->restriction;
}

uint64_t nn_model_checksum(const nn_model *self)
{
    return self->checksum;
}
