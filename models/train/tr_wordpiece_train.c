#include "tr_wordpiece_train.h"

#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "limits.h"
#include "tok_unicode.h"
#include "tok_wordpiece.h"
#include "tr_vocab.h"

enum {
    SPAN_BYTES = 1 << 16, /* normalised at once, to a line end */
    POINTS = 0x110000,
    PIECE_BYTES = 8, /* "##", a character and a NUL */
    /* Characters of the vocabulary: as many as a sixteenth of its size, within these bounds. In
     * English text the 128 commonest are 99.97 % of all. */
    LETTERS_LEAST = 128,
    LETTERS_MOST = 1000
};

static const char *const specials[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
enum { SPECIALS = sizeof specials / sizeof specials[0] };

/** A character and how often it comes. */
typedef struct letter {
    uint64_t times;
    int32_t point;
} letter;

/** The characters of the vocabulary: their ids by code point, -1 for what is left out. */
typedef struct alphabet {
    int32_t *begins;  /* [POINTS] at the beginning of a word */
    int32_t *goes_on; /* [POINTS] within one */
} alphabet;

static fs_status count_points(tr_words *out, const tok_points *points)
{
    size_t count;
    for (size_t from = 0; (count = tok_wordpiece_word(points, &from)) > 0; from += count) {
        char text[4 * TOK_WORDPIECE_POINTS_MAX];
        size_t size = 0;
        if (count > TOK_WORDPIECE_POINTS_MAX) continue; /* [UNK], whatever the vocabulary */
        for (size_t i = 0; i < count; i++)
            size += tok_encode_point(points->items[from + i], text + size);
        FS_TRY(tr_words_add(out, text, size));
    }
    return FS_OK;
}

fs_status tr_wordpiece_count(tr_words *out, const char *text, size_t size)
{
    static const tok_normaliser normaliser = {.lower_case = 1, .strip_accents = 1, .space_cjk = 1};
    tok_points points = {0};
    fs_status status = FS_OK;
    for (size_t at = 0, end; at < size && status == FS_OK; at = end) {
        const char *stop = size - at <= SPAN_BYTES
                               ? NULL
                               : memchr(text + at + SPAN_BYTES, '\n', size - at - SPAN_BYTES);
        end = stop == NULL ? size : (size_t)(stop - text) + 1;
        status = tok_normalise(&normaliser, text + at, end - at, &points);
        if (status == FS_OK) status = count_points(out, &points);
    }
    tok_points_free(&points);
    return status;
}

static int by_times(const void *a, const void *b)
{
    const letter *x = a, *y = b;
    if (x->times != y->times) return x->times < y->times ? 1 : -1;
    return (x->point > y->point) - (x->point < y->point);
}

static int by_point(const void *a, const void *b)
{
    const letter *x = a, *y = b;
    return (x->point > y->point) - (x->point < y->point);
}

/** Counts characters; the commonest come first. @param times [POINTS], zero */
static fs_status count_letters(letter **out, uint32_t *count, const tr_words *words,
                               uint64_t *times)
{
    uint32_t distinct = 0;
    for (uint32_t i = 0; i < words->count; i++) {
        const tr_word *word = &words->items[i];
        int32_t point;
        for (size_t at = 0; at < word->size;) {
            at += tok_decode(tr_words_text(words, word) + at, word->size - at, &point);
            distinct += times[point] == 0;
            times[point] += word->count;
        }
    }
    letter *letters = malloc(((size_t)distinct + 1) * sizeof *letters);
    if (letters == NULL) return fs_fail(FS_ENOMEM, "no memory for %u characters", distinct);
    *count = 0;
    for (int32_t point = 0; point < POINTS; point++)
        if (times[point] > 0) letters[(*count)++] = (letter){times[point], point};
    qsort(letters, *count, sizeof *letters, by_times);
    *out = letters;
    return FS_OK;
}

static int is_kept(const alphabet *a, const char *text, size_t size)
{
    int32_t point;
    for (size_t at = 0; at < size;) {
        at += tok_decode(text + at, size - at, &point);
        if (a->begins[point] < 0) return 0;
    }
    return 1;
}

static fs_status put_letter(tr_pieces *out, int32_t point, const char *prefix, int32_t *id)
{
    char text[PIECE_BYTES];
    const size_t size = strlen(prefix);
    memcpy(text, prefix, size);
    return tr_pieces_put(out, text, size + tok_encode_point(point, text + size), id);
}

/** Marks the characters that kept words go on with. @return how many there are. */
static uint32_t mark_inner(alphabet *a, const tr_words *words)
{
    uint32_t inner = 0;
    for (uint32_t i = 0; i < words->count; i++) {
        const tr_word *word = &words->items[i];
        const char *text = tr_words_text(words, word);
        int32_t point;
        if (!is_kept(a, text, word->size)) continue;
        for (size_t at = tok_decode(text, word->size, &point); at < word->size;) {
            at += tok_decode(text + at, word->size - at, &point);
            inner += a->goes_on[point] < 0;
            a->goes_on[point] = 0;
        }
    }
    return inner;
}

/** Chooses the characters and makes pieces of them. */
static fs_status put_alphabet(tr_pieces *out, alphabet *a, const tr_words *words, letter *letters,
                              uint32_t count)
{
    const uint32_t share = out->most / 16;
    const uint32_t most = share < LETTERS_LEAST  ? LETTERS_LEAST
                          : share > LETTERS_MOST ? LETTERS_MOST
                                                 : share;
    if (count > most) count = most;
    qsort(letters, count, sizeof *letters, by_point);
    for (uint32_t i = 0; i < count; i++) a->begins[letters[i].point] = 0;
    const uint32_t needed = SPECIALS + count + mark_inner(a, words);
    if (needed > out->most)
        return fs_fail(FS_EUSAGE,
                       "a vocabulary of %u pieces has no room for the %d special tokens and the "
                       "characters of the text: at least %u",
                       out->most, SPECIALS, needed);
    for (uint32_t i = 0; i < count; i++)
        FS_TRY(put_letter(out, letters[i].point, "", &a->begins[letters[i].point]));
    for (uint32_t i = 0; i < count; i++)
        if (a->goes_on[letters[i].point] == 0)
            FS_TRY(put_letter(out, letters[i].point, "##", &a->goes_on[letters[i].point]));
    return FS_OK;
}

static fs_status spell_words(tr_merge_words *out, const alphabet *a, const tr_words *words)
{
    for (uint32_t i = 0; i < words->count; i++) {
        const tr_word *word = &words->items[i];
        const char *text = tr_words_text(words, word);
        int32_t symbols[TOK_WORDPIECE_POINTS_MAX], point;
        uint32_t length = 0;
        if (!is_kept(a, text, word->size)) continue;
        for (size_t at = 0; at < word->size;) {
            at += tok_decode(text + at, word->size - at, &point);
            symbols[length] = length == 0 ? a->begins[point] : a->goes_on[point];
            length++;
        }
        FS_TRY(tr_merge_words_add(out, symbols, length, word->count));
    }
    return FS_OK;
}

static fs_status train(tr_pieces *out, const tr_words *words, alphabet *a, uint64_t *times)
{
    letter *letters = NULL;
    uint32_t count = 0;
    int32_t id;
    tr_merge_words spelt = {0};
    tr_merges merges = {0};
    fs_status status = count_letters(&letters, &count, words, times);
    for (int i = 0; i < SPECIALS && status == FS_OK; i++)
        status = tr_pieces_put(out, specials[i], strlen(specials[i]), &id);
    if (status == FS_OK) status = put_alphabet(out, a, words, letters, count);
    if (status == FS_OK) status = spell_words(&spelt, a, words);
    if (status == FS_OK) status = tr_merge_learn(out, &spelt, "##", TR_VOCAB_TIMES_LEAST, &merges);
    free(letters);
    tr_merge_words_free(&spelt);
    tr_merges_free(&merges);
    return status;
}

fs_status tr_wordpiece_train(tr_pieces *out, const tr_words *words, uint32_t size)
{
    if (size < SPECIALS)
        return fs_fail(FS_EUSAGE, "a vocabulary of %u pieces; the special tokens are %d", size,
                       SPECIALS);
    uint64_t *times = calloc(POINTS, sizeof *times);
    alphabet a = {malloc(POINTS * sizeof *a.begins), malloc(POINTS * sizeof *a.goes_on)};
    fs_status status = FS_OK;
    if (times == NULL || a.begins == NULL || a.goes_on == NULL) {
        status = fs_fail(FS_ENOMEM, "no memory for the characters");
    } else {
        memset(a.begins, 0xFF, POINTS * sizeof *a.begins);
        memset(a.goes_on, 0xFF, POINTS * sizeof *a.goes_on);
        status = tr_pieces_init(out, size);
    }
    if (status == FS_OK) status = train(out, words, &a, times);
    free(times);
    free(a.begins);
    free(a.goes_on);
    return status;
}

fs_status tr_wordpiece_write(const char *dir, const tr_pieces *pieces)
{
    static const char config[] =
        "{\n  \"tokenizer_class\": \"BertTokenizer\",\n  \"do_lower_case\": true,\n"
        "  \"strip_accents\": null,\n  \"tokenize_chinese_chars\": true,\n"
        "  \"unk_token\": \"[UNK]\",\n  \"sep_token\": \"[SEP]\",\n"
        "  \"pad_token\": \"[PAD]\",\n  \"cls_token\": \"[CLS]\",\n"
        "  \"mask_token\": \"[MASK]\"\n}\n";
    char path[FS_PATH_BYTES_MAX];
    fs_buf text = {0};
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < pieces->count && status == FS_OK; i++)
        status = fs_buf_printf(&text, "%s\n", pieces->items[i]);
    if (status == FS_OK) status = fs_path_join(path, dir, "vocab.txt");
    if (status == FS_OK) status = fs_file_write_atomic(path, text.data, text.size);
    fs_buf_free(&text);
    FS_TRY(status);
    FS_TRY(fs_path_join(path, dir, "tokenizer_config.json"));
    return fs_file_write_atomic(path, config, sizeof config - 1);
}
