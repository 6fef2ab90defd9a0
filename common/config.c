#include "config.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "assert.h"
#include "file.h"
#include "json_file.h"

/* A config.json being read. The first failure is the one reported. */
typedef struct reader {
    const char *path;
    const json_t *root;
    int base; /* nonzero: models that lack a head that answers are taken too */
} reader;

static fs_status bad(const reader *self, const char *key, const char *wanted)
{
    char text[64];
    const json_t *value = json_object_get(self->root, key);
    if (value == NULL) {
        return fs_fail(FS_EFORMAT, "%s: key \"%s\" is missing, it must be %s", self->path, key,
                       wanted);
    }
    return fs_fail(FS_EFORMAT, "%s: key \"%s\" must be %s, found %s", self->path, key, wanted,
                   fs_json_describe(value, text));
}

static fs_status unsupported(const reader *self, const char *key, const char *known)
{
    char text[64];
    return fs_fail(FS_EUNSUPPORTED, "%s: key \"%s\": %s is not supported, only %s", self->path, key,
                   fs_json_describe(json_object_get(self->root, key), text), known);
}

/* A whole number of 1 to max. */
static fs_status read_size(const reader *self, const char *key, uint32_t max, uint32_t *out)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "a whole number of 1 to %u", max);
    const json_t *value = json_object_get(self->root, key);
    if (!json_is_integer(value) || json_integer_value(value) < 1) return bad(self, key, wanted);
    if (json_integer_value(value) > max) {
        return fs_fail(FS_ELIMIT, "%s: key \"%s\" is %" JSON_INTEGER_FORMAT ", the most is %u",
                       self->path, key, json_integer_value(value), max);
    }
    *out = (uint32_t)json_integer_value(value);
    return FS_OK;
}

static fs_status read_size_or(const reader *self, const char *key, uint32_t max, uint32_t otherwise,
                              uint32_t *out)
{
    if (json_object_get(self->root, key) != NULL) return read_size(self, key, max, out);
    *out = otherwise;
    return FS_OK;
}

static fs_status read_bool(const reader *self, const char *key, int otherwise, int *out)
{
    const json_t *value = json_object_get(self->root, key);
    *out = otherwise;
    if (value == NULL) return FS_OK;
    if (!json_is_boolean(value)) return bad(self, key, "true or false");
    *out = json_is_true(value);
    return FS_OK;
}

static fs_status read_epsilon(const reader *self, const char *key, double otherwise, double *out)
{
    const json_t *value = json_object_get(self->root, key);
    *out = otherwise;
    if (value == NULL) return FS_OK;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0 && number < 1)) {
        return bad(self, key, "a number of 0 to less than 1");
    }
    *out = number;
    return FS_OK;
}

/* A string key. @return NULL if absent. */
static fs_status read_text(const reader *self, const char *key, const char **out)
{
    const json_t *value = json_object_get(self->root, key);
    *out = NULL;
    if (value == NULL) return FS_OK;
    if (!json_is_string(value)) return bad(self, key, "a string");
    *out = json_string_value(value);
    return FS_OK;
}

/* Refuses a switch of the architecture that would change the numbers. */
static fs_status refuse_unless(const reader *self, const char *key, int needed)
{
    int found;
    FS_TRY(read_bool(self, key, needed, &found));
    return found == needed ? FS_OK : unsupported(self, key, needed ? "true" : "false");
}

static fs_status refuse_word_unless(const reader *self, const char *key, const char *needed)
{
    const char *found;
    if (json_is_null(json_object_get(self->root, key))) return FS_OK;
    FS_TRY(read_text(self, key, &found));
    return found == NULL || strcmp(found, needed) == 0 ? FS_OK : unsupported(self, key, needed);
}

/* The first name of each is the one that is written. */
static const struct {
    const char *name;
    fs_activation value;
} activations[] = {{"gelu", FS_ACT_GELU_ERF},
                   {"gelu_new", FS_ACT_GELU_TANH},
                   {"gelu_pytorch_tanh", FS_ACT_GELU_TANH},
                   {"relu", FS_ACT_RELU}};
enum { ACTIVATIONS = sizeof activations / sizeof activations[0] };

const char *fs_activation_name(fs_activation activation)
{
    size_t i = 0;
    while (activations[i].value != activation) {
        i++;
        FS_ASSERT(i < ACTIVATIONS);
    }
    return activations[i].name;
}

static fs_status read_activation(const reader *self, const char *key, fs_activation otherwise,
                                 fs_activation *out)
{
    const char *name;
    *out = otherwise;
    FS_TRY(read_text(self, key, &name));
    if (name == NULL) return FS_OK;
    for (size_t i = 0; i < ACTIVATIONS; i++) {
        if (strcmp(name, activations[i].name) == 0) {
            *out = activations[i].value;
            return FS_OK;
        }
    }
    return unsupported(self, key, "gelu, gelu_new, gelu_pytorch_tanh and relu");
}

/* id2label's keys must be 0..n-1, each once: with n distinct keys, all below n is enough. */
static fs_status count_id2label(const reader *self, const json_t *map, uint32_t *out)
{
    size_t n = json_object_size(map);
    if (n > FS_LABELS_MAX) {
        return fs_fail(FS_ELIMIT, "%s: key \"id2label\" has %zu labels, the most is %d", self->path,
                       n, FS_LABELS_MAX);
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        size_t digits = strspn(key, "0123456789");
        unsigned long id = 0;
        int ok = digits > 0 && digits <= 4 && key[digits] == '\0' && !(key[0] == '0' && digits > 1);
        for (size_t i = 0; ok && i < digits; i++) id = id * 10 + (unsigned long)(key[i] - '0');
        if (!ok || id >= n || !json_is_string(value)) {
            return fs_fail(FS_EFORMAT,
                           "%s: key \"id2label\" must map \"0\" to \"%zu\" to names, found "
                           "\"%.32s\"",
                           self->path, n == 0 ? 0 : n - 1, key);
        }
    }
    *out = (uint32_t)n;
    return FS_OK;
}

static fs_status read_labels(const reader *self, uint32_t *out)
{
    const json_t *map = json_object_get(self->root, "id2label");
    int has_map = map != NULL && !json_is_null(map);
    uint32_t mapped = 0;
    FS_TRY(read_size_or(self, "num_labels", FS_LABELS_MAX, 2, out));
    if (has_map) {
        if (!json_is_object(map)) return bad(self, "id2label", "an object");
        FS_TRY(count_id2label(self, map, &mapped));
        if (json_object_get(self->root, "num_labels") == NULL) *out = mapped;
        if (mapped != *out) {
            return fs_fail(FS_EFORMAT, "%s: key \"num_labels\" is %u, but \"id2label\" has %u",
                           self->path, *out, mapped);
        }
    }
    if (*out < 2) {
        return fs_fail(FS_EUNSUPPORTED,
                       "%s: a classifier needs 2 labels or more, found %u (regression is not "
                       "supported)",
                       self->path, *out);
    }
    return refuse_word_unless(self, "problem_type", "single_label_classification");
}

static fs_status read_bert(const reader *self, fs_config *out)
{
    out->kind = FS_MODEL_BERT;
    out->task = FS_TASK_CLASSIFICATION;
    FS_TRY(read_size(self, "vocab_size", FS_VOCAB_MAX, &out->vocab));
    FS_TRY(read_size(self, "hidden_size", FS_WIDTH_MAX, &out->d_model));
    FS_TRY(read_size(self, "num_hidden_layers", FS_LAYERS_MAX, &out->layers));
    FS_TRY(read_size(self, "num_attention_heads", FS_HEADS_MAX, &out->heads));
    FS_TRY(read_size(self, "intermediate_size", FS_WIDTH_MAX, &out->d_ff));
    FS_TRY(read_size(self, "max_position_embeddings", FS_POSITIONS_MAX, &out->positions));
    FS_TRY(read_size_or(self, "type_vocab_size", FS_LABELS_MAX, 2, &out->segments));
    FS_TRY(read_activation(self, "hidden_act", FS_ACT_GELU_ERF, &out->activation));
    FS_TRY(read_epsilon(self, "layer_norm_eps", 1e-12, &out->norm_eps));
    FS_TRY(read_labels(self, &out->labels));
    FS_TRY(refuse_word_unless(self, "position_embedding_type", "absolute"));
    FS_TRY(refuse_unless(self, "is_decoder", 0));
    FS_TRY(refuse_unless(self, "add_cross_attention", 0));
    const json_t *pruned = json_object_get(self->root, "pruned_heads");
    if (json_object_size(pruned) > 0) return unsupported(self, "pruned_heads", "an empty object");
    return FS_OK;
}

static fs_status read_gpt2(const reader *self, fs_config *out)
{
    out->kind = FS_MODEL_GPT2;
    FS_TRY(read_size(self, "vocab_size", FS_VOCAB_MAX, &out->vocab));
    FS_TRY(read_size(self, "n_embd", FS_WIDTH_MAX, &out->d_model));
    FS_TRY(read_size(self, "n_layer", FS_LAYERS_MAX, &out->layers));
    FS_TRY(read_size(self, "n_head", FS_HEADS_MAX, &out->heads));
    FS_TRY(read_size(self, "n_positions", FS_POSITIONS_MAX, &out->positions));
    const json_t *inner = json_object_get(self->root, "n_inner");
    if (inner != NULL && !json_is_null(inner)) {
        FS_TRY(read_size(self, "n_inner", FS_WIDTH_MAX, &out->d_ff));
    } else if (out->d_model > FS_WIDTH_MAX / 4) {
        return fs_fail(FS_ELIMIT, "%s: key \"n_embd\": an MLP of 4 x %u is wider than %d",
                       self->path, out->d_model, FS_WIDTH_MAX);
    } else {
        out->d_ff = 4 * out->d_model;
    }
    FS_TRY(read_activation(self, "activation_function", FS_ACT_GELU_TANH, &out->activation));
    FS_TRY(read_epsilon(self, "layer_norm_epsilon", 1e-5, &out->norm_eps));
    if (out->task == FS_TASK_LM) {
        FS_TRY(read_bool(self, "tie_word_embeddings", 1, &out->tied));
    } else {
        FS_TRY(read_labels(self, &out->labels));
    }
    FS_TRY(refuse_unless(self, "scale_attn_weights", 1));
    FS_TRY(refuse_unless(self, "scale_attn_by_inverse_layer_idx", 0));
    /* reorder_and_upcast_attn only reorders a product that fp32 computes alike. */
    return refuse_unless(self, "add_cross_attention", 0);
}

/* The architecture decides the head; without one, the model's usual head is taken. */
static fs_status read_architecture(const reader *self, const char **out)
{
    const json_t *list = json_object_get(self->root, "architectures");
    *out = NULL;
    if (list == NULL || json_is_null(list)) return FS_OK;
    if (!json_is_array(list) || json_array_size(list) != 1 ||
        !json_is_string(json_array_get(list, 0))) {
        return bad(self, "architectures", "an array of one string");
    }
    *out = json_string_value(json_array_get(list, 0));
    return FS_OK;
}

/* The first ANSWERING ones have a head that answers something; of each kind the usual one is first.
 */
static const struct {
    const char *architecture, *model_type;
    fs_task_kind task;
} known[] = {
    {"BertForSequenceClassification", "bert", FS_TASK_CLASSIFICATION},
    {"GPT2LMHeadModel", "gpt2", FS_TASK_LM},
    {"GPT2ForSequenceClassification", "gpt2", FS_TASK_CLASSIFICATION},
    {"BertModel", "bert", FS_TASK_CLASSIFICATION},
    {"BertForMaskedLM", "bert", FS_TASK_CLASSIFICATION},
    {"BertForPreTraining", "bert", FS_TASK_CLASSIFICATION},
    {"GPT2Model", "gpt2", FS_TASK_LM},
};

enum { ANSWERING = 3, KNOWN = sizeof known / sizeof known[0] };

static fs_status read_model(const reader *self, fs_config *out, size_t *row)
{
    const size_t rows = self->base ? KNOWN : ANSWERING;
    const char *type, *architecture;
    FS_TRY(read_text(self, "model_type", &type));
    FS_TRY(read_architecture(self, &architecture));
    if (type == NULL && architecture == NULL) return bad(self, "model_type", "bert or gpt2");
    size_t i = 0;
    if (architecture != NULL) {
        while (i < rows && strcmp(architecture, known[i].architecture) != 0) i++;
        if (i == rows) {
            return fs_fail(FS_EUNSUPPORTED,
                           "%s: key \"architectures\": \"%.64s\" is not supported, only "
                           "BertForSequenceClassification, GPT2LMHeadModel and "
                           "GPT2ForSequenceClassification",
                           self->path, architecture);
        }
    } else {
        while (i < ANSWERING && strcmp(type, known[i].model_type) != 0) i++;
        if (i == ANSWERING) return unsupported(self, "model_type", "bert and gpt2");
    }
    if (type != NULL && strcmp(type, known[i].model_type) != 0) {
        return fs_fail(FS_EFORMAT,
                       "%s: key \"model_type\" is \"%.64s\", but \"architectures\" is "
                       "%s",
                       self->path, type, known[i].architecture);
    }
    out->task = known[i].task;
    *row = i;
    return strcmp(known[i].model_type, "bert") == 0 ? read_bert(self, out) : read_gpt2(self, out);
}

static fs_status read_config(fs_config *out, const char *dir, int base, size_t *row)
{
    *out = (fs_config){0};
    char path[FS_PATH_BYTES_MAX];
    json_t *root;
    FS_TRY(fs_path_join(path, dir, "config.json"));
    FS_TRY(fs_json_file_read(&root, path, FS_JSON_BYTES_MAX));
    reader self = {.path = path, .root = root, .base = base};
    fs_status status = read_model(&self, out, row);
    if (status == FS_OK && out->d_model % out->heads != 0) {
        int bert = out->kind == FS_MODEL_BERT;
        status = fs_fail(FS_EFORMAT, "%s: key \"%s\" is %u, not a multiple of \"%s\", %u", path,
                         bert ? "hidden_size" : "n_embd", out->d_model,
                         bert ? "num_attention_heads" : "n_head", out->heads);
    }
    json_decref(root);
    return status;
}

fs_status fs_config_read(fs_config *out, const char *dir)
{
    size_t row;
    return read_config(out, dir, 0, &row);
}

fs_status fs_config_read_base(fs_config *out, const char *dir, int *classifies)
{
    size_t row = 0;
    FS_TRY(read_config(out, dir, 1, &row));
    *classifies = row < ANSWERING && known[row].task == FS_TASK_CLASSIFICATION;
    return FS_OK;
}
