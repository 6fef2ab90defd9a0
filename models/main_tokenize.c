#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "main.h"
#include "names.h"
#include "tok.h"

enum { LINE_BYTES_MAX = 64 << 20 };

typedef struct tokenize_values {
    int json;
} tokenize_values;

static const fs_option tokenize_options[] = {
    {"json", 0, NULL, FS_OPTION_FLAG, offsetof(tokenize_values, json),
     "print one JSON array of ids for each line (default: ids with their pieces)", 0, 0},
    {0},
};

/** Reads up to the next line end, which is dropped. @return FS_OK with *more == 0 at the end. */
static fs_status read_line(fs_buf *line, int *more)
{
    fs_buf_clear(line);
    *more = 0;
    for (int c; (c = getc_unlocked(stdin)) != EOF;) {
        *more = 1;
        if (c == '\n') return FS_OK;
        char byte = (char)c;
        if (line->size == LINE_BYTES_MAX)
            return fs_fail(FS_ELIMIT, "more than %d bytes", LINE_BYTES_MAX);
        FS_TRY(fs_buf_append(line, &byte, 1));
    }
    return ferror(stdin) ? fs_fail(FS_EIO, "cannot read") : FS_OK;
}

static void print_ids(const tok *tokeniser, const tok_ids *ids, int json)
{
    if (json) putchar('[');
    for (size_t i = 0; i < ids->count; i++) {
        if (i > 0) fputs(json ? ", " : " ", stdout);
        if (json)
            printf("%d", ids->items[i]);
        else
            printf("%d:%s", ids->items[i], tok_piece(tokeniser, ids->items[i]));
    }
    puts(json ? "]" : "");
}

static fs_status tokenize_lines(const tok *tokeniser, int json)
{
    fs_buf line = {0};
    tok_ids ids = {0};
    fs_status status = FS_OK;
    for (size_t number = 1; status == FS_OK; number++) {
        int more;
        status = read_line(&line, &more);
        if (status == FS_OK && !more) break;
        ids.count = 0;
        if (status == FS_OK)
            status = tok_encode_input(tokeniser, fs_buf_text(&line), line.size, 0, &ids);
        if (status == FS_OK)
            print_ids(tokeniser, &ids, json);
        else
            status = fs_wrap(status, "standard input:%zu", number);
        if (ferror(stdout)) break; /* reported when stdout is flushed */
    }
    fs_buf_free(&line);
    tok_ids_free(&ids);
    return status;
}

static fs_status run(const void *values, const fs_arguments *arguments)
{
    const tokenize_values *v = values;
    tok *tokeniser = NULL;
    char dir[FS_PATH_BYTES_MAX];
    FS_TRY(fs_model_argument(dir, arguments->items[0]));
    FS_TRY(tok_open(&tokeniser, dir));
    fs_status status = tokenize_lines(tokeniser, v->json);
    tok_close(&tokeniser);
    return status;
}

const fs_command main_tokenize = {
    .name = "tokenize",
    .summary = "Turns lines of standard input into token ids, special tokens included.",
    .synopsis = "MODEL",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = tokenize_options,
    .values_bytes = sizeof(tokenize_values),
    .details = "MODEL is a folder with vocab.txt, or vocab.json and merges.txt, or a name that is "
               "looked up\nin the zoo and the cache. Weights are not needed.\nInput is not cut to "
               "the model's positions.\n",
    .run = run,
};
