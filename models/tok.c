#include "tok.h"

#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json_file.h"
#include "limits.h"
#include "tok_bpe.h"
#include "tok_ids.h"
#include "tok_index.h"
#include "tok_unicode.h"
#include "tok_wordpiece.h"
#include "utf8.h"

typedef enum tok_kind { TOK_WORDPIECE, TOK_BPE } tok_kind;

/** A token that is recognised in raw text, before anything is normalised or split. */
typedef struct special {
    const char *text;
    size_t size;
    int32_t id;
} special;

struct tok {
    tok_kind kind;
    char *text;          /* the pieces, each with its NUL */
    const char **pieces; /* [count], into text */
    size_t count;
    tok_index index;
    special specials[TOK_SPECIAL_COUNT]; /* by role; size 0: there is none */
    unsigned char special_first[256];    /* nonzero for bytes that begin a special token */
    tok_wordpiece wordpiece;
    tok_bpe bpe;
};

/** The words of tokenizer_config.json that change ids, with BertTokenizerFast's defaults. */
typedef struct settings {
    tok_normaliser normaliser;
    char unknown[64], first[64], last[64], mask[64], pad[64];
} settings;

static fs_status setting_flag(const json_t *root, const char *path, const char *key, int *out)
{
    const json_t *value = json_object_get(root, key);
    if (value == NULL || json_is_null(value)) return FS_OK;
    if (!json_is_boolean(value))
        return fs_fail(FS_EFORMAT, "%s: %s: expected true or false", path, key);
    *out = json_is_true(value);
    return FS_OK;
}

/** A special token is written as its text or as an object with the key "content". */
static fs_status setting_token(const json_t *root, const char *path, const char *key,
                               char out[static 64])
{
    const json_t *value = json_object_get(root, key);
    if (value == NULL || json_is_null(value)) return FS_OK;
    if (json_is_object(value)) value = json_object_get(value, "content");
    if (!json_is_string(value) || json_string_length(value) == 0)
        return fs_fail(FS_EFORMAT, "%s: %s: expected a token", path, key);
    if (json_string_length(value) >= 64)
        return fs_fail(FS_ELIMIT, "%s: %s: more than 63 bytes", path, key);
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return FS_OK;
}

static fs_status read_settings(settings *out, const char *dir)
{
    char path[FS_PATH_BYTES_MAX];
    json_t *root = NULL;
    *out = (settings){{1, 1, 1}, "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PAD]"};
    FS_TRY(fs_path_join(path, dir, "tokenizer_config.json"));
    if (!fs_file_exists(path)) return FS_OK;
    fs_status status = fs_json_file_read(&root, path, FS_JSON_BYTES_MAX);
    tok_normaliser *n = &out->normaliser;
    if (status == FS_OK) status = setting_flag(root, path, "do_lower_case", &n->lower_case);
    n->strip_accents = n->lower_case; /* unless it is said */
    if (status == FS_OK) status = setting_flag(root, path, "strip_accents", &n->strip_accents);
    if (status == FS_OK) status = setting_flag(root, path, "tokenize_chinese_chars", &n->space_cjk);
    if (status == FS_OK) status = setting_token(root, path, "unk_token", out->unknown);
    if (status == FS_OK) status = setting_token(root, path, "cls_token", out->first);
    if (status == FS_OK) status = setting_token(root, path, "sep_token", out->last);
    if (status == FS_OK) status = setting_token(root, path, "mask_token", out->mask);
    if (status == FS_OK) status = setting_token(root, path, "pad_token", out->pad);
    json_decref(root);
    return status;
}

static fs_status reserve_pieces(tok *self, size_t count, size_t bytes)
{
    self->pieces = calloc(count + 1, sizeof *self->pieces);
    self->text = malloc(bytes + 1);
    if (self->pieces == NULL || self->text == NULL)
        return fs_fail(FS_ENOMEM, "no memory for %zu pieces", count);
    return tok_index_init(&self->index, count);
}

/** Takes the text of vocab.txt apart: one piece a line, its id the line's number from 0. */
static fs_status split_vocabulary(tok *self, const char *path, const fs_buf *text)
{
    const char *in = fs_buf_text(text);
    size_t lines = 0;
    for (size_t i = 0; i < text->size; i++) lines += in[i] == '\n';
    lines += text->size > 0 && in[text->size - 1] != '\n';
    if (lines == 0) return fs_fail(FS_EFORMAT, "%s: empty", path);
    if (lines > FS_VOCAB_MAX)
        return fs_fail(FS_ELIMIT, "%s: %zu pieces; at most %d", path, lines, FS_VOCAB_MAX);
    FS_TRY(reserve_pieces(self, lines, text->size + 1));
    char *to = self->text;
    for (size_t at = 0; at < text->size; self->count++) {
        const char *stop = memchr(in + at, '\n', text->size - at);
        size_t next = stop == NULL ? text->size : (size_t)(stop - in) + 1;
        size_t size = stop == NULL ? text->size - at : (size_t)(stop - in) - at;
        if (size > 0 && in[at + size - 1] == '\r') size--;
        if (!fs_utf8_valid(in + at, size))
            return fs_fail(FS_EFORMAT, "%s:%zu: not UTF-8 text", path, self->count + 1);
        memcpy(to, in + at, size);
        to[size] = '\0';
        self->pieces[self->count] = to;
        /* A piece that comes twice has its last id, as in the original. */
        tok_index_put(&self->index, to, size, (int32_t)self->count);
        to += size + 1;
        at = next;
    }
    return FS_OK;
}

static void add_special(tok *self, tok_special which, const char *text)
{
    int32_t id = tok_index_find(&self->index, text, strlen(text));
    if (id < 0) return;
    self->specials[which] = (special){self->pieces[id], strlen(text), id};
    self->special_first[(unsigned char)text[0]] = 1;
}

static fs_status require_special(tok *self, const char *path, tok_special which, const char *text)
{
    add_special(self, which, text);
    if (tok_special_id(self, which) < 0)
        return fs_fail(FS_EFORMAT, "%s: the vocabulary has no %s", path, text);
    return FS_OK;
}

static fs_status open_wordpiece(tok *self, const char *dir, const char *path)
{
    settings set;
    fs_buf text = {0};
    FS_TRY(read_settings(&set, dir));
    fs_status status = fs_file_read(&text, path, FS_JSON_BYTES_MAX);
    if (status == FS_OK) status = split_vocabulary(self, path, &text);
    fs_buf_free(&text);
    FS_TRY(status);
    self->kind = TOK_WORDPIECE;
    self->wordpiece.normaliser = set.normaliser;
    FS_TRY(require_special(self, path, TOK_SPECIAL_UNKNOWN, set.unknown));
    FS_TRY(require_special(self, path, TOK_SPECIAL_FIRST, set.first));
    FS_TRY(require_special(self, path, TOK_SPECIAL_LAST, set.last));
    add_special(self, TOK_SPECIAL_MASK, set.mask);
    add_special(self, TOK_SPECIAL_PAD, set.pad);
    self->wordpiece.unknown = tok_special_id(self, TOK_SPECIAL_UNKNOWN);
    return tok_wordpiece_init(&self->wordpiece, self->pieces, self->count);
}

/** Takes the pieces out of vocab.json: ids 0 to n - 1, each once. */
static fs_status collect_vocabulary(tok *self, const char *path, json_t *root)
{
    size_t count = json_object_size(root), bytes = 0;
    const char *key;
    json_t *value;
    if (count == 0) return fs_fail(FS_EFORMAT, "%s: empty", path);
    if (count > FS_VOCAB_MAX)
        return fs_fail(FS_ELIMIT, "%s: %zu pieces; at most %d", path, count, FS_VOCAB_MAX);
    json_object_foreach(root, key, value) bytes += strlen(key) + 1;
    FS_TRY(reserve_pieces(self, count, bytes));
    self->count = count;
    char *to = self->text;
    json_object_foreach(root, key, value)
    {
        if (!json_is_integer(value))
            return fs_fail(FS_EFORMAT, "%s: \"%s\": its id is not a whole number", path, key);
        json_int_t id = json_integer_value(value);
        if (id < 0 || (size_t)id >= count)
            return fs_fail(FS_EFORMAT, "%s: \"%s\": id %lld is not in 0..%zu", path, key,
                           (long long)id, count - 1);
        if (self->pieces[id] != NULL)
            return fs_fail(FS_EFORMAT, "%s: \"%s\" and \"%s\" both have id %lld", path,
                           self->pieces[id], key, (long long)id);
        size_t size = strlen(key);
        memcpy(to, key, size + 1);
        self->pieces[id] = to;
        tok_index_put(&self->index, to, size, (int32_t)id);
        to += size + 1;
    }
    return FS_OK;
}

static fs_status open_bpe(tok *self, const char *vocab_path, const char *merges_path)
{
    json_t *root = NULL;
    fs_buf text = {0};
    fs_status status = fs_json_file_read(&root, vocab_path, FS_JSON_BYTES_MAX);
    if (status == FS_OK) status = collect_vocabulary(self, vocab_path, root);
    json_decref(root);
    if (status == FS_OK) status = fs_file_read(&text, merges_path, FS_JSON_BYTES_MAX);
    self->kind = TOK_BPE;
    if (status == FS_OK)
        status = tok_bpe_init(&self->bpe, &self->index, merges_path, fs_buf_text(&text), text.size);
    fs_buf_free(&text);
    if (status == FS_OK) add_special(self, TOK_SPECIAL_END, "<|endoftext|>");
    return status;
}

/** Both kinds of files are there: config.json decides. */
static fs_status kind_by_config(tok_kind *out, const char *dir)
{
    char path[FS_PATH_BYTES_MAX];
    json_t *root = NULL;
    FS_TRY(fs_path_join(path, dir, "config.json"));
    fs_status status = fs_json_file_read(&root, path, FS_JSON_BYTES_MAX);
    if (status == FS_OK) {
        const char *type = json_string_value(json_object_get(root, "model_type"));
        if (type != NULL && strcmp(type, "bert") == 0)
            *out = TOK_WORDPIECE;
        else if (type != NULL && strcmp(type, "gpt2") == 0)
            *out = TOK_BPE;
        else
            status = fs_fail(FS_EFORMAT,
                             "%s: model_type must be bert or gpt2 to choose between vocab.txt and "
                             "vocab.json",
                             path);
    }
    json_decref(root);
    return status;
}

static fs_status open_files(tok *self, const char *dir)
{
    char txt[FS_PATH_BYTES_MAX], json[FS_PATH_BYTES_MAX], merges[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_join(txt, dir, "vocab.txt"));
    FS_TRY(fs_path_join(json, dir, "vocab.json"));
    FS_TRY(fs_path_join(merges, dir, "merges.txt"));
    if (!fs_dir_exists(dir)) return fs_fail(FS_ENOENT, "%s: no such folder", dir);
    int has_txt = fs_file_exists(txt), has_json = fs_file_exists(json);
    int has_merges = fs_file_exists(merges);
    if (!has_txt && !has_json && !has_merges)
        return fs_fail(FS_ENOENT, "%s: no vocab.txt, and no vocab.json with merges.txt", dir);
    tok_kind kind = has_txt ? TOK_WORDPIECE : TOK_BPE;
    if (has_txt && has_json && has_merges) FS_TRY(kind_by_config(&kind, dir));
    if (kind == TOK_WORDPIECE) return open_wordpiece(self, dir, txt);
    if (!has_json) return fs_fail(FS_ENOENT, "%s: not found (merges.txt needs it)", json);
    if (!has_merges) return fs_fail(FS_ENOENT, "%s: not found (vocab.json needs it)", merges);
    return open_bpe(self, json, merges);
}

fs_status tok_open(tok **out, const char *dir)
{
    tok *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a tokeniser");
    fs_status status = open_files(self, dir);
    if (status != FS_OK) {
        tok_close(&self);
        return status;
    }
    *out = self;
    return FS_OK;
}

void tok_close(tok **self)
{
    tok *t = *self;
    *self = NULL;
    if (t == NULL) return;
    tok_wordpiece_free(&t->wordpiece);
    tok_bpe_free(&t->bpe);
    tok_index_free(&t->index);
    free((void *)(uintptr_t)t->pieces);
    free(t->text);
    free(t);
}

/** Finds the first special token from `from` on; where several begin, the longest. */
static const special *next_special(const tok *self, const char *text, size_t size, size_t from,
                                   size_t *at)
{
    const special *best = NULL;
    for (; from < size && best == NULL; from += best == NULL) {
        if (!self->special_first[(unsigned char)text[from]]) continue;
        for (unsigned i = 0; i < TOK_SPECIAL_COUNT; i++) {
            const special *s = &self->specials[i];
            if (s->size == 0 || s->size > size - from || memcmp(text + from, s->text, s->size) != 0)
                continue;
            if (best == NULL || s->size > best->size) best = s;
        }
    }
    *at = from;
    return best;
}

static fs_status encode_plain(const tok *self, const char *text, size_t size, tok_ids *out)
{
    if (self->kind == TOK_BPE) return tok_bpe_encode(&self->bpe, text, size, out);
    return tok_wordpiece_encode(&self->wordpiece, &self->index, text, size, out);
}

fs_status tok_encode(const tok *self, const char *text, size_t size, tok_ids *out)
{
    for (size_t from = 0; from < size;) {
        size_t at;
        const special *found = next_special(self, text, size, from, &at);
        if (at > from) FS_TRY(encode_plain(self, text + from, at - from, out));
        if (found == NULL) break;
        FS_TRY(tok_ids_push(out, found->id));
        from = at + found->size;
    }
    return FS_OK;
}

fs_status tok_encode_input(const tok *self, const char *text, size_t size, size_t max, tok_ids *out)
{
    size_t before = out->count;
    size_t specials = self->kind == TOK_WORDPIECE ? 2 : 0;
    if (max > 0 && max < specials)
        return fs_fail(FS_ECONFIG, "%zu positions have no room for [CLS] and [SEP]", max);
    if (specials > 0) FS_TRY(tok_ids_push(out, tok_special_id(self, TOK_SPECIAL_FIRST)));
    FS_TRY(tok_encode(self, text, size, out));
    if (max > 0 && out->count - before > max - specials / 2)
        out->count = before + max - specials / 2;
    return specials > 0 ? tok_ids_push(out, tok_special_id(self, TOK_SPECIAL_LAST)) : FS_OK;
}

size_t tok_vocab_size(const tok *self)
{
    return self->count;
}

const char *tok_piece(const tok *self, int32_t id)
{
    return id < 0 || (size_t)id >= self->count ? NULL : self->pieces[id];
}

int32_t tok_special_id(const tok *self, tok_special which)
{
    return self->specials[which].size == 0 ? -1 : self->specials[which].id;
}
