#include "tr_vocab.h"

#include <string.h>

#include "dataset.h"
#include "file.h"
#include "limits.h"
#include "tr_bpe_train.h"
#include "tr_wordpiece_train.h"

/** Cuts the text to at most `most` bytes: behind a line end, or where a character begins if the
 * part is one line. @return its size. */
static size_t cut_text(const char *text, size_t size, uint64_t most)
{
    if (most == 0 || size <= most) return size;
    const char *stop = memrchr(text, '\n', (size_t)most);
    if (stop != NULL) return (size_t)(stop - text) + 1;
    size_t end = (size_t)most;
    while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80) end--;
    return end;
}

static fs_status make(const char *dir, const char *path, const tr_vocab_options *options,
                      const char *text, size_t size, tr_vocab_counts *out)
{
    const int wordpiece = options->kind == FS_MODEL_BERT;
    tr_words words = {0};
    tr_pieces pieces = {0};
    tr_merges merges = {0};
    fs_status status =
        wordpiece ? tr_wordpiece_count(&words, text, size) : tr_bpe_count(&words, text, size);
    if (status == FS_OK && words.count == 0)
        status = fs_fail(FS_EFORMAT, "%s: no words to learn from", path);
    if (status == FS_OK)
        status = wordpiece ? tr_wordpiece_train(&pieces, &words, options->size)
                           : tr_bpe_train(&pieces, &merges, &words, options->size);
    if (status == FS_OK) status = fs_dir_make(dir);
    if (status == FS_OK)
        status = wordpiece ? tr_wordpiece_write(dir, &pieces) : tr_bpe_write(dir, &pieces, &merges);
    *out = (tr_vocab_counts){.bytes = size,
                             .words = words.total,
                             .distinct = words.count,
                             .pieces = pieces.count + !wordpiece};
    tr_words_free(&words);
    tr_pieces_free(&pieces);
    tr_merges_free(&merges);
    return status;
}

fs_status tr_vocab_train(const char *dir, const char *path, const tr_vocab_options *options,
                         tr_vocab_counts *out)
{
    fs_map map;
    if (options->size > TR_VOCAB_SIZE_MAX)
        return fs_fail(FS_ELIMIT, "a vocabulary of %u pieces; at most %d", options->size,
                       TR_VOCAB_SIZE_MAX);
    FS_TRY(fs_map_open(&map, path));
    const char *text = (const char *)map.data;
    const size_t size = cut_text(text, map.size, options->bytes_max);
    fs_status status = FS_OK;
    if (size > FS_DATA_BYTES_MAX)
        status = fs_fail(FS_ELIMIT, "%s: more than %d bytes", path, FS_DATA_BYTES_MAX);
    if (status == FS_OK) status = dataset_check_text(path, text, size);
    if (status == FS_OK) status = make(dir, path, options, text, size, out);
    fs_map_close(&map);
    return status;
}
