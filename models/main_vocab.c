#include <stdio.h>
#include <string.h>

#include "limits.h"
#include "main.h"
#include "names.h"
#include "tr_vocab.h"

typedef struct vocab_values {
    const char *model;
    const char *data;
    uint32_t size;
    uint32_t megabytes;
    int json;
} vocab_values;

static const fs_option vocab_options[] = {
    {"model", 0, "bert|gpt2", FS_OPTION_CHOICE, offsetof(vocab_values, model),
     "whose tokens: bert for WordPiece, gpt2 for byte-level BPE (required)", 0, 0},
    {"size", 0, "N", FS_OPTION_U32, offsetof(vocab_values, size),
     "pieces, special tokens included (required)", 1, TR_VOCAB_SIZE_MAX},
    {"data", 0, "FILE", FS_OPTION_TEXT, offsetof(vocab_values, data),
     "text to learn from (required)", 0, 0},
    {"megabytes", 0, "N", FS_OPTION_U32, offsetof(vocab_values, megabytes),
     "read the first N million bytes only, to a line end (default: all)", 1, 0},
    {"json", 0, NULL, FS_OPTION_FLAG, offsetof(vocab_values, json), "print one JSON document", 0,
     0},
    {0},
};

static fs_status check(const vocab_values *v)
{
    if (v->model == NULL) return fs_fail(FS_EUSAGE, "--model is needed: bert or gpt2");
    if (v->size == 0) return fs_fail(FS_EUSAGE, "--size is needed");
    if (v->data == NULL) return fs_fail(FS_EUSAGE, "--data is needed: a file of text");
    return FS_OK;
}

static fs_status print_json(const char *dir, const tr_vocab_counts *counts)
{
    return main_json_print(json_pack("{s:s, s:I, s:I, s:I, s:I}", "folder", dir, "bytes",
                                     (json_int_t)counts->bytes, "words", (json_int_t)counts->words,
                                     "distinct_words", (json_int_t)counts->distinct, "pieces",
                                     (json_int_t)counts->pieces));
}

static fs_status run(const void *values, const fs_arguments *arguments)
{
    const vocab_values *v = values;
    const char *dir = arguments->items[0];
    char data[FS_PATH_BYTES_MAX];
    FS_TRY(check(v));
    FS_TRY(fs_data_argument(data, v->data, FS_TASK_LM));
    const tr_vocab_options options = {
        .kind = strcmp(v->model, "bert") == 0 ? FS_MODEL_BERT : FS_MODEL_GPT2,
        .size = v->size,
        .bytes_max = (uint64_t)v->megabytes * 1000000,
    };
    tr_vocab_counts counts;
    FS_TRY(tr_vocab_train(dir, data, &options, &counts));
    if (v->json) return print_json(dir, &counts);
    printf("%s: %u pieces from %llu words, %llu of them distinct, in %llu bytes\n", dir,
           counts.pieces, (unsigned long long)counts.words, (unsigned long long)counts.distinct,
           (unsigned long long)counts.bytes);
    if (counts.pieces < v->size)
        printf("The text has no more that comes %d times: give the model a vocabulary of %u.\n",
               TR_VOCAB_TIMES_LEAST, counts.pieces);
    return FS_OK;
}

const fs_command main_vocab = {
    .name = "vocab",
    .summary = "Makes a vocabulary from text.",
    .synopsis = "OUT",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = vocab_options,
    .values_bytes = sizeof(vocab_values),
    .details = "OUT is a folder, made if need be: vocab.txt and tokenizer_config.json for bert,\n"
               "vocab.json and merges.txt for gpt2. The same text gives the same files.\n",
    .run = run,
};
