#include "tr_save.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "file.h"
#include "json_file.h"
#include "limits.h"
#include "outfile.h"

enum { HEADER_ALIGN = 8 };

/* config.json. Failed insertions show when the whole is dumped: jansson keeps no error. */

static const char *architecture_of(const tr_layout *layout)
{
    const int bert = layout->geometry->config.kind == FS_MODEL_BERT;
    switch (layout->head) {
    case TR_HEAD_CLASSIFY:
        return bert ? "BertForSequenceClassification" : "GPT2ForSequenceClassification";
    case TR_HEAD_CAUSAL:
        return "GPT2LMHeadModel";
    case TR_HEAD_MASKED:
        return "BertForMaskedLM";
    }
    return NULL;
}

typedef struct setting {
    const char *key;
    json_t *value;
} setting;

static int set_all(json_t *root, const setting *settings, size_t count)
{
    int failed = 0;
    for (size_t i = 0; i < count; i++)
        failed |= json_object_set_new(root, settings[i].key, settings[i].value);
    return failed;
}

#define SET_ALL(root, settings) set_all(root, settings, sizeof(settings) / sizeof *(settings))

static int set_bert(json_t *root, const fs_config *c, const tr_save_options *options)
{
    const setting settings[] = {
        {"model_type", json_string("bert")},
        {"vocab_size", json_integer(c->vocab)},
        {"hidden_size", json_integer(c->d_model)},
        {"num_hidden_layers", json_integer(c->layers)},
        {"num_attention_heads", json_integer(c->heads)},
        {"intermediate_size", json_integer(c->d_ff)},
        {"max_position_embeddings", json_integer(c->positions)},
        {"type_vocab_size", json_integer(c->segments)},
        {"hidden_act", json_string(fs_activation_name(c->activation))},
        {"layer_norm_eps", json_real(c->norm_eps)},
        {"hidden_dropout_prob", json_real(options->dropout)},
        {"attention_probs_dropout_prob", json_real(options->attention_dropout)},
    };
    return SET_ALL(root, settings);
}

static int set_gpt2(json_t *root, const fs_config *c, const tr_save_options *options)
{
    const setting settings[] = {
        {"model_type", json_string("gpt2")},
        {"vocab_size", json_integer(c->vocab)},
        {"n_embd", json_integer(c->d_model)},
        {"n_layer", json_integer(c->layers)},
        {"n_head", json_integer(c->heads)},
        {"n_inner", json_integer(c->d_ff)},
        {"n_positions", json_integer(c->positions)},
        {"activation_function", json_string(fs_activation_name(c->activation))},
        {"layer_norm_epsilon", json_real(c->norm_eps)},
        {"embd_pdrop", json_real(options->dropout)},
        {"resid_pdrop", json_real(options->dropout)},
        {"attn_pdrop", json_real(options->attention_dropout)},
    };
    return SET_ALL(root, settings);
}

/* Names of classes: those of the model started from if they are as many. */
static int set_labels(json_t *root, uint32_t labels)
{
    int failed = json_object_set_new(root, "num_labels", json_integer(labels));
    if (json_object_size(json_object_get(root, "id2label")) == labels) return failed;
    json_t *names = json_object(), *ids = json_object();
    for (uint32_t i = 0; i < labels; i++) {
        char id[16], name[32];
        snprintf(id, sizeof id, "%" PRIu32, i);
        snprintf(name, sizeof name, "LABEL_%" PRIu32, i);
        failed |= json_object_set_new(names, id, json_string(name));
        failed |= json_object_set_new(ids, name, json_integer(i));
    }
    failed |= json_object_set_new(root, "id2label", names);
    return failed | json_object_set_new(root, "label2id", ids);
}

/* Without these transformers takes GPT-2's own 50256. It classifies by the last token before
 * padding begins, so what pads must not occur in a text: pieces of text have the low ids. */
static int set_end(json_t *root, int32_t end_token, int classifies)
{
    static const char *const keys[] = {"bos_token_id", "eos_token_id", "pad_token_id"};
    int failed = 0;
    for (size_t i = 0; i < (classifies ? 3 : 2) && end_token >= 0; i++)
        if (!json_is_integer(json_object_get(root, keys[i])))
            failed |= json_object_set_new(root, keys[i], json_integer(end_token));
    return failed;
}

static int set_head(json_t *root, const tr_layout *layout, int32_t end_token)
{
    const fs_config *c = &layout->geometry->config;
    static const char *const of_classes[] = {"num_labels", "id2label", "label2id", "problem_type"};
    const int classifies = layout->head == TR_HEAD_CLASSIFY;
    const int failed = c->kind == FS_MODEL_GPT2 ? set_end(root, end_token, classifies) : 0;
    if (classifies) return failed | set_labels(root, c->labels);
    for (size_t i = 0; i < sizeof of_classes / sizeof *of_classes; i++)
        json_object_del(root, of_classes[i]);
    const int tied = layout->head == TR_HEAD_MASKED || c->tied;
    return failed | json_object_set_new(root, "tie_word_embeddings", json_boolean(tied));
}

json_t *tr_save_config(const tr_layout *layout, const tr_save_options *options)
{
    json_t *root = options->base == NULL ? json_object() : json_deep_copy(options->base);
    if (root == NULL) return NULL;
    const setting settings[] = {
        {"architectures", json_pack("[s]", architecture_of(layout))},
        {"initializer_range", json_real(options->range)},
        {"torch_dtype", json_string("float32")},
    };
    const fs_config *c = &layout->geometry->config;
    int failed = SET_ALL(root, settings);
    failed |= c->kind == FS_MODEL_BERT ? set_bert(root, c, options) : set_gpt2(root, c, options);
    failed |= set_head(root, layout, options->end_token);
    json_object_del(root, "_name_or_path");
    if (failed) {
        json_decref(root);
        return NULL;
    }
    return root;
}

/* model.safetensors. */

static fs_status make_header(const tr_layout *layout, fs_buf *out)
{
    uint64_t offset = 0;
    FS_TRY(fs_buf_puts(out, "{\"__metadata__\":{\"format\":\"pt\"}"));
    for (size_t i = 0; i < layout->count; i++) {
        const tr_tensor *t = &layout->tensors[i];
        if (!t->used) continue;
        const uint64_t bytes = (uint64_t)t->rows * t->cols * sizeof(float);
        FS_TRY(fs_buf_printf(out, ",\"%s\":{\"dtype\":\"F32\",\"shape\":[", t->name));
        if (t->rank == 2) FS_TRY(fs_buf_printf(out, "%" PRIu32 ",", t->rows));
        FS_TRY(fs_buf_printf(out, "%" PRIu32 "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}",
                             t->cols, offset, offset + bytes));
        offset += bytes;
    }
    FS_TRY(fs_buf_puts(out, "}"));
    while (out->size % HEADER_ALIGN != 0) FS_TRY(fs_buf_puts(out, " "));
    return FS_OK;
}

fs_status tr_save_weights(const tr_layout *layout, const float *values, const char *path)
{
    fs_outfile file;
    fs_buf header = {0};
    fs_status status = make_header(layout, &header);
    if (status == FS_OK) status = fs_outfile_open(&file, path);
    if (status == FS_OK) {
        uint8_t size[8];
        for (unsigned i = 0; i < 8; i++) size[i] = (uint8_t)((uint64_t)header.size >> (8 * i));
        fwrite(size, 1, sizeof size, file.file);
        fwrite(header.data, 1, header.size, file.file);
        for (size_t i = 0; i < layout->count; i++) {
            const tr_tensor *t = &layout->tensors[i];
            if (!t->used) continue;
            fwrite(values + t->first, sizeof *values, (size_t)t->rows * t->cols, file.file);
        }
        status = fs_outfile_commit(&file); /* finds what went wrong */
    }
    fs_buf_free(&header);
    return status;
}

/* The tokeniser's files. */

static fs_status copy_file(const char *dir, const char *from, const char *name, int *found)
{
    char source[FS_PATH_BYTES_MAX], target[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_join(source, from, name));
    FS_TRY(fs_path_join(target, dir, name));
    *found = fs_file_exists(source);
    if (!*found || strcmp(source, target) == 0) return FS_OK;
    fs_buf text = {0};
    fs_status status = fs_file_read(&text, source, FS_JSON_BYTES_MAX);
    if (status == FS_OK) status = fs_file_write_atomic(target, text.data, text.size);
    fs_buf_free(&text);
    return status;
}

static fs_status write_tokenizer_config(const char *dir, int bpe, uint32_t positions)
{
    char path[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_join(path, dir, "tokenizer_config.json"));
    json_t *root = bpe ? json_pack("{s:s, s:b, s:s, s:s, s:s, s:I}", "tokenizer_class",
                                   "GPT2Tokenizer", "add_prefix_space", 0, "bos_token",
                                   "<|endoftext|>", "eos_token", "<|endoftext|>", "unk_token",
                                   "<|endoftext|>", "model_max_length", (json_int_t)positions)
                       : json_pack("{s:s, s:b, s:I}", "tokenizer_class", "BertTokenizer",
                                   "do_lower_case", 1, "model_max_length", (json_int_t)positions);
    return fs_json_file_write(root, path, 15);
}

fs_status tr_save_tokenizer(const char *dir, const char *from, uint32_t positions)
{
    static const char *const names[] = {
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "tokenizer.json",
        "added_tokens.json",
        "special_tokens_map.json",
        "tokenizer_config.json",
    };
    enum { NAMES = sizeof names / sizeof *names };
    int found[NAMES];
    for (size_t i = 0; i < NAMES; i++) FS_TRY(copy_file(dir, from, names[i], &found[i]));
    if (!found[0] && !(found[1] && found[2]))
        return fs_fail(FS_ENOENT, "%s: no vocab.txt and no vocab.json with merges.txt", from);
    return found[NAMES - 1] ? FS_OK : write_tokenizer_config(dir, !found[0], positions);
}

fs_status tr_save(const tr_layout *layout, const float *values, const char *dir,
                  const tr_save_options *options)
{
    char path[FS_PATH_BYTES_MAX];
    FS_TRY(tr_save_tokenizer(dir, options->tokenizer, layout->geometry->config.positions));
    FS_TRY(fs_path_join(path, dir, "model.safetensors"));
    FS_TRY(tr_save_weights(layout, values, path));
    FS_TRY(fs_path_join(path, dir, "config.json"));
    return fs_json_file_write(tr_save_config(layout, options), path, 15);
}
