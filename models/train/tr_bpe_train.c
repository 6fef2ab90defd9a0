#include "tr_bpe_train.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "file.h"
#include "limits.h"
#include "tok_bpe.h"
#include "tok_split.h"
#include "tok_unicode.h"
#include "tr_vocab.h"

enum { SYMBOL_POINTS = 0x144 /* the characters that stand for bytes lie below */ };

fs_status tr_bpe_count(tr_words *out, const char *text, size_t size)
{
    for (size_t at = 0, word; at < size; at += word) {
        word = tok_split_word(text + at, size - at);
        if (word <= TR_BPE_WORD_BYTES_MAX) FS_TRY(tr_words_add(out, text + at, word));
    }
    return FS_OK;
}

/** Puts the bytes in the order of the characters that stand for them: GPT-2's. */
static fs_status put_bytes(tr_pieces *out, int32_t ids[static 256])
{
    int byte_of[SYMBOL_POINTS];
    char symbol[4];
    int32_t point;
    for (int i = 0; i < SYMBOL_POINTS; i++) byte_of[i] = -1;
    for (int byte = 0; byte < 256; byte++) {
        const size_t size = tok_bpe_symbol((unsigned char)byte, symbol);
        tok_decode(symbol, size, &point);
        FS_ASSERT(point >= 0 && point < SYMBOL_POINTS);
        byte_of[point] = byte;
    }
    for (int i = 0; i < SYMBOL_POINTS; i++) {
        if (byte_of[i] < 0) continue;
        const size_t size = tok_bpe_symbol((unsigned char)byte_of[i], symbol);
        FS_TRY(tr_pieces_put(out, symbol, size, &ids[byte_of[i]]));
    }
    return FS_OK;
}

static fs_status spell_words(tr_merge_words *out, const tr_words *words, const int32_t *ids)
{
    for (uint32_t i = 0; i < words->count; i++) {
        const tr_word *word = &words->items[i];
        const char *text = tr_words_text(words, word);
        int32_t symbols[TR_BPE_WORD_BYTES_MAX];
        for (uint32_t k = 0; k < word->size; k++) symbols[k] = ids[(unsigned char)text[k]];
        FS_TRY(tr_merge_words_add(out, symbols, word->size, word->count));
    }
    return FS_OK;
}

fs_status tr_bpe_train(tr_pieces *out, tr_merges *merges, const tr_words *words, uint32_t size)
{
    int32_t ids[256];
    tr_merge_words spelt = {0};
    if (size < TR_BPE_SIZE_LEAST)
        return fs_fail(FS_EUSAGE, "a vocabulary of %u pieces; the bytes and <|endoftext|> are %d",
                       size, TR_BPE_SIZE_LEAST);
    fs_status status = tr_pieces_init(out, size - 1);
    if (status == FS_OK) status = put_bytes(out, ids);
    if (status == FS_OK) status = spell_words(&spelt, words, ids);
    if (status == FS_OK) status = tr_merge_learn(out, &spelt, "", TR_VOCAB_TIMES_LEAST, merges);
    tr_merge_words_free(&spelt);
    return status;
}

static fs_status write_vocab(const char *dir, const tr_pieces *pieces)
{
    char path[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_join(path, dir, "vocab.json"));
    json_t *root = json_object();
    int failed = root == NULL;
    for (uint32_t i = 0; i < pieces->count && !failed; i++)
        failed = json_object_set_new(root, pieces->items[i], json_integer((json_int_t)i)) != 0;
    if (!failed)
        failed = json_object_set_new(root, "<|endoftext|>",
                                     json_integer((json_int_t)pieces->count)) != 0;
    char *text = failed ? NULL : json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (text == NULL) return fs_fail(FS_ENOMEM, "no memory for %u pieces", pieces->count);
    fs_status status = fs_file_write_atomic(path, text, strlen(text));
    free(text);
    return status;
}

static fs_status write_merges(const char *dir, const tr_pieces *pieces, const tr_merges *merges)
{
    char path[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_join(path, dir, "merges.txt"));
    fs_buf text = {0};
    fs_status status = fs_buf_puts(&text, "#version: 0.2\n");
    for (size_t i = 0; i < merges->count && status == FS_OK; i++)
        status = fs_buf_printf(&text, "%s %s\n", pieces->items[merges->items[i].left],
                               pieces->items[merges->items[i].right]);
    if (status == FS_OK) status = fs_file_write_atomic(path, text.data, text.size);
    fs_buf_free(&text);
    return status;
}

fs_status tr_bpe_write(const char *dir, const tr_pieces *pieces, const tr_merges *merges)
{
    FS_TRY(write_merges(dir, pieces, merges));
    return write_vocab(dir, pieces);
}
