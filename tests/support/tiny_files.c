#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "file.h"
#include "tiny_model.h"

enum { NAME_BYTES_MAX = 160 };

fs_status tiny_file_write(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL) return fs_fail(FS_EIO, "%s: %s", path, strerror(errno));
    size_t written = fwrite(data, 1, size, file);
    if (fclose(file) != 0 || written != size) return fs_fail(FS_EIO, "%s: cannot write", path);
    return FS_OK;
}

static fs_status write_file(const char *dir, const char *name, const fs_buf *contents)
{
    char path[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_join(path, dir, name));
    return tiny_file_write(path, contents->data, contents->size);
}

/* config.json */

static fs_status print_config(fs_buf *out, const tiny_spec *spec)
{
    const int bert = spec->kind == FS_MODEL_BERT;
    const char *architecture = bert                       ? "BertForSequenceClassification"
                               : spec->task == FS_TASK_LM ? "GPT2LMHeadModel"
                                                          : "GPT2ForSequenceClassification";
    const char *activation = spec->activation != NULL ? spec->activation
                             : bert                   ? "gelu"
                                                      : "gelu_new";
    FS_TRY(fs_buf_printf(out, "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\",\n",
                         architecture, bert ? "bert" : "gpt2"));
    FS_TRY(fs_buf_printf(out, "  \"vocab_size\": %u,\n", spec->vocab));
    if (bert) {
        FS_TRY(fs_buf_printf(out,
                             "  \"hidden_size\": %u,\n  \"num_hidden_layers\": %u,\n"
                             "  \"num_attention_heads\": %u,\n  \"intermediate_size\": %u,\n"
                             "  \"max_position_embeddings\": %u,\n  \"type_vocab_size\": 2,\n"
                             "  \"hidden_act\": \"%s\",\n  \"layer_norm_eps\": 1e-12",
                             spec->width, spec->layers, spec->heads,
                             spec->inner != 0 ? spec->inner : 4 * spec->width, spec->positions,
                             activation));
    } else {
        FS_TRY(fs_buf_printf(out,
                             "  \"n_embd\": %u,\n  \"n_layer\": %u,\n  \"n_head\": %u,\n"
                             "  \"n_positions\": %u,\n  \"activation_function\": \"%s\",\n"
                             "  \"layer_norm_epsilon\": 1e-05,\n  \"tie_word_embeddings\": %s,\n",
                             spec->width, spec->layers, spec->heads, spec->positions, activation,
                             spec->untied ? "false" : "true"));
        if (spec->inner == 0)
            FS_TRY(fs_buf_puts(out, "  \"n_inner\": null"));
        else
            FS_TRY(fs_buf_printf(out, "  \"n_inner\": %u", spec->inner));
    }
    if (spec->task == FS_TASK_CLASSIFICATION) {
        FS_TRY(fs_buf_puts(out, ",\n  \"id2label\": {"));
        for (uint32_t i = 0; i < spec->labels; i++) {
            FS_TRY(fs_buf_printf(out, "%s\"%u\": \"LABEL_%u\"", i == 0 ? "" : ", ", i, i));
        }
        FS_TRY(fs_buf_puts(out, "}"));
    }
    return fs_buf_puts(out, "\n}\n");
}

/* Weights */

static void stored_name(char out[NAME_BYTES_MAX], const tiny_spec *spec, const char *name)
{
    const char *prefix = spec->kind == FS_MODEL_BERT ? "bert." : "transformer.";
    int head = strncmp(name, "classifier", 10) == 0 || strncmp(name, "lm_head", 7) == 0 ||
               strncmp(name, "score", 5) == 0;
    const char *norm = strstr(name, "LayerNorm.");
    if (spec->no_prefix || head) prefix = "";
    if (spec->old_names && norm != NULL) {
        snprintf(out, NAME_BYTES_MAX, "%s%.*sLayerNorm.%s", prefix, (int)(norm - name), name,
                 strcmp(norm + 10, "weight") == 0 ? "gamma" : "beta");
    } else {
        snprintf(out, NAME_BYTES_MAX, "%s%s", prefix, name);
    }
}

/* The value has been rounded: its half is found by scaling, without rounding again. */
static uint16_t half_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude < 0x38800000u) { /* below 2^-14: a multiple of 2^-24 */
        float scaled = value * 0x1p24f;
        return (uint16_t)(sign | (uint16_t)(scaled < 0 ? -scaled : scaled));
    }
    return (uint16_t)(sign | (magnitude - 0x38000000u) >> 13);
}

static fs_status append_values(fs_buf *out, const float *values, size_t count, tiny_dtype dtype)
{
    if (dtype == TINY_F32) return fs_buf_append(out, values, count * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        uint16_t stored = dtype == TINY_F16 ? half_bits(values[i]) : (uint16_t)(bits >> 16);
        FS_TRY(fs_buf_append(out, &stored, sizeof stored));
    }
    return FS_OK;
}

/* A file being put together: its header's text and its data. */
typedef struct writer {
    fs_buf header, data;
} writer;

static fs_status begin_tensor(writer *self, const char *name, const char *dtype, int rank,
                              uint32_t rows, uint32_t cols, size_t bytes)
{
    const char *comma = self->header.size > 1 ? ", " : "";
    FS_TRY(fs_buf_printf(&self->header, "%s\"%s\": {\"dtype\": \"%s\", \"shape\": [", comma, name,
                         dtype));
    if (rank == 2) FS_TRY(fs_buf_printf(&self->header, "%u, ", rows));
    return fs_buf_printf(&self->header, "%u], \"data_offsets\": [%zu, %zu]}", cols, self->data.size,
                         self->data.size + bytes);
}

static fs_status add_tensor(writer *self, const tiny_spec *spec, const tiny_tensor *tensor)
{
    static const char *const dtypes[] = {"F32", "F16", "BF16"};
    char name[NAME_BYTES_MAX];
    size_t count = (size_t)tensor->rows * tensor->cols;
    stored_name(name, spec, tensor->name);
    FS_TRY(begin_tensor(self, name, dtypes[spec->dtype], tensor->rank, tensor->rows, tensor->cols,
                        count * (spec->dtype == TINY_F32 ? 4 : 2)));
    return append_values(&self->data, tensor->values, count, spec->dtype);
}

/* What transformers once stored and nobody reads. */
static fs_status add_buffers(writer *self, const tiny_spec *spec)
{
    static const uint8_t zeros[64];
    const char *name =
        spec->kind == FS_MODEL_BERT ? "embeddings.position_ids" : "h.0.attn.masked_bias";
    char stored[NAME_BYTES_MAX];
    stored_name(stored, spec, name);
    FS_TRY(begin_tensor(self, stored, "I64", 2, 1, 8, 64));
    FS_TRY(fs_buf_append(&self->data, zeros, 64));
    FS_TRY(begin_tensor(self, "h.0.attn.bias", "U8", 2, 4, 4, 16));
    return fs_buf_append(&self->data, zeros, 16);
}

static fs_status finish(writer *self, const char *dir, const char *name)
{
    fs_buf out = {0};
    FS_TRY(fs_buf_puts(&self->header, "}"));
    while (self->header.size % 8 != 0) FS_TRY(fs_buf_puts(&self->header, " "));
    uint64_t size = self->header.size;
    fs_status status = fs_buf_append(&out, &size, sizeof size);
    if (status == FS_OK) status = fs_buf_append(&out, self->header.data, self->header.size);
    if (status == FS_OK) status = fs_buf_append(&out, self->data.data, self->data.size);
    if (status == FS_OK) status = write_file(dir, name, &out);
    fs_buf_free(&out);
    return status;
}

static fs_status write_shard(const tiny_model *self, const char *dir, const char *file,
                             size_t first, size_t last, fs_buf *index)
{
    writer file_out = {{0}, {0}};
    fs_status status = fs_buf_puts(&file_out.header, "{");
    for (size_t i = first; status == FS_OK && i < last; i++) {
        char name[NAME_BYTES_MAX];
        stored_name(name, &self->spec, self->tensors[i].name);
        status = add_tensor(&file_out, &self->spec, &self->tensors[i]);
        if (status == FS_OK) {
            status = fs_buf_printf(index, "%s\"%s\": \"%s\"", i == 0 ? "" : ", ", name, file);
        }
    }
    if (status == FS_OK && first == 0 && self->spec.buffers) {
        status = add_buffers(&file_out, &self->spec);
    }
    if (status == FS_OK) status = finish(&file_out, dir, file);
    fs_buf_free(&file_out.header);
    fs_buf_free(&file_out.data);
    return status;
}

static fs_status write_weights(const tiny_model *self, const char *dir, fs_buf *index)
{
    const unsigned shards = self->spec.shards > 1 ? self->spec.shards : 1;
    FS_TRY(fs_buf_puts(index, "{\"metadata\": {\"total_size\": 0}, \"weight_map\": {"));
    for (unsigned i = 0; i < shards; i++) {
        char file[64] = "model.safetensors";
        size_t first = self->count * i / shards, last = self->count * (i + 1) / shards;
        if (shards > 1) {
            snprintf(file, sizeof file, "model-%05u-of-%05u.safetensors", i + 1, shards);
        }
        if (last > first) FS_TRY(write_shard(self, dir, file, first, last, index));
    }
    FS_TRY(fs_buf_puts(index, "}}\n"));
    return shards > 1 ? write_file(dir, "model.safetensors.index.json", index) : FS_OK;
}

fs_status tiny_model_write(const tiny_model *self, const char *dir)
{
    fs_buf text = {0};
    FS_TRY(fs_dir_make(dir));
    fs_status status = print_config(&text, &self->spec);
    if (status == FS_OK) status = write_file(dir, "config.json", &text);
    fs_buf_clear(&text);
    if (status == FS_OK) status = write_weights(self, dir, &text);
    fs_buf_free(&text);
    return status == FS_OK ? tiny_vocab_write(&self->spec, dir) : status;
}
