/** A folder with two small models and data, and campaign texts over them. */
#ifndef CAMPAIGN_FIXTURE_H
#define CAMPAIGN_FIXTURE_H

#include "testing.h"

#include "campaign.h"
#include "file.h"

enum { FIXTURE_LAYERS = 3, FIXTURE_WIDTH = 8, FIXTURE_FF = 20 };

static const char bert_config[] =
    "{\"architectures\": [\"BertForSequenceClassification\"], \"model_type\": \"bert\","
    " \"hidden_size\": 8, \"num_hidden_layers\": 3, \"num_attention_heads\": 2,"
    " \"intermediate_size\": 20, \"hidden_act\": \"gelu\", \"layer_norm_eps\": 1e-12,"
    " \"max_position_embeddings\": 16, \"type_vocab_size\": 2, \"vocab_size\": 11,"
    " \"num_labels\": 2}";
static const char gpt2_config[] =
    "{\"architectures\": [\"GPT2LMHeadModel\"], \"model_type\": \"gpt2\", \"n_embd\": 8,"
    " \"n_layer\": 3, \"n_head\": 2, \"n_positions\": 16, \"n_inner\": null,"
    " \"activation_function\": \"gelu_new\", \"layer_norm_epsilon\": 1e-5, \"vocab_size\": 11,"
    " \"tie_word_embeddings\": true}";

/** Writes `text` to dir/name, making the folder of it. */
static inline void fixture_write(const char *dir, const char *name, const char *text)
{
    char path[FS_PATH_BYTES_MAX], parent[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(path, dir, name));
    assert_ok(fs_path_dir(parent, path));
    assert_ok(fs_dir_make(parent));
    assert_ok(fs_file_write_atomic(path, text, strlen(text)));
}

/** A folder with bert, bert-other (one layer less), bert-bare (no weights), gpt2, rows.tsv and
 * text.txt. The weights are bytes to hash; nothing here loads them. */
static inline char *fixture_folder(void)
{
    char *dir = testing_folder();
    assert_non_null(dir);
    char other[sizeof bert_config];
    memcpy(other, bert_config, sizeof other);
    *strchr(strstr(other, "num_hidden_layers"), '3') = '2';
    fixture_write(dir, "bert/config.json", bert_config);
    fixture_write(dir, "bert/model.safetensors", "weights of bert");
    fixture_write(dir, "bert-tuned/config.json", bert_config);
    fixture_write(dir, "bert-tuned/model.safetensors", "other weights");
    fixture_write(dir, "bert-other/config.json", other);
    fixture_write(dir, "bert-other/model.safetensors", "weights");
    fixture_write(dir, "bert-bare/config.json", bert_config);
    fixture_write(dir, "gpt2/config.json", gpt2_config);
    fixture_write(dir, "gpt2/model.safetensors", "weights of gpt2");
    fixture_write(dir, "rows.tsv", "sentence\tlabel\ngood\t1\n");
    fixture_write(dir, "text.txt", "words\n");
    return dir;
}

/** Parses text as if it were dir/c.yaml. */
static inline fs_status fixture_parse(fs_campaign **out, const char *dir, const char *text)
{
    char path[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(path, dir, "c.yaml"));
    return fs_campaign_parse(out, text, strlen(text), path);
}

/** Replaces line `number` (from 1) of `text`; the caller frees the result. */
static inline char *with_line(const char *text, int number, const char *line)
{
    const char *from = text;
    for (int i = 1; i < number; i++) from = strchr(from, '\n') + 1;
    const char *rest = from + strcspn(from, "\n");
    char *out = NULL;
    assert_true(asprintf(&out, "%.*s%s%s", (int)(from - text), text, line, rest) > 0);
    return out;
}

#endif
