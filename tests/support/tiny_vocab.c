#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "file.h"
#include "tiny_model.h"

enum { LETTERS = 26, PIECE_BYTES_MAX = 32 };

static fs_status write_file(const char *dir, const char *name, const char *text, size_t size)
{
    char path[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_join(path, dir, name));
    return tiny_file_write(path, text, size);
}

/* WordPiece: the specials that a tokeniser cannot do without come first, so that even a vocabulary
 * of three works; then letters alone and inside a word, digits, marks, pairs of letters. */
static void word_piece(char out[PIECE_BYTES_MAX], uint32_t id)
{
    static const char *const specials[] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};
    static const char marks[] = "0123456789.,!?'-";
    enum { SPECIALS = 5, MARKS = sizeof marks - 1 };
    if (id < SPECIALS) {
        snprintf(out, PIECE_BYTES_MAX, "%s", specials[id]);
        return;
    }
    id -= SPECIALS;
    if (id < 2 * LETTERS) {
        snprintf(out, PIECE_BYTES_MAX, "%s%c", id < LETTERS ? "" : "##", 'a' + (int)(id % LETTERS));
        return;
    }
    id -= 2 * LETTERS;
    if (id < MARKS) {
        snprintf(out, PIECE_BYTES_MAX, "%c", marks[id]);
        return;
    }
    id -= MARKS;
    if (id < 2 * LETTERS * LETTERS) {
        uint32_t pair = id / 2;
        snprintf(out, PIECE_BYTES_MAX, "%s%c%c", id % 2 == 0 ? "" : "##",
                 'a' + (int)(pair / LETTERS), 'a' + (int)(pair % LETTERS));
        return;
    }
    snprintf(out, PIECE_BYTES_MAX, "[unused%u]", id - 2 * LETTERS * LETTERS);
}

static fs_status write_wordpiece(const tiny_spec *spec, const char *dir)
{
    static const char config[] =
        "{\"do_lower_case\": true, \"tokenizer_class\": \"BertTokenizer\"}\n";
    fs_buf text = {0};
    fs_status status = FS_OK;
    for (uint32_t id = 0; status == FS_OK && id < spec->vocab; id++) {
        char piece[PIECE_BYTES_MAX];
        word_piece(piece, id);
        status = fs_buf_printf(&text, "%s\n", piece);
    }
    if (status == FS_OK) status = write_file(dir, "vocab.txt", fs_buf_text(&text), text.size);
    if (status == FS_OK) {
        status = write_file(dir, "tokenizer_config.json", config, sizeof config - 1);
    }
    fs_buf_free(&text);
    return status;
}

/* Byte-level BPE writes a byte as a printable character: itself where it is one, else the next
 * unused one from U+0100 on. Source: encoder.py of GPT-2, bytes_to_unicode. */
static void byte_piece(char out[PIECE_BYTES_MAX], unsigned byte)
{
    unsigned point = byte, next = 256;
    for (unsigned b = 0; b <= byte; b++) {
        int printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        if (printable) continue;
        if (b == byte) point = next;
        next++;
    }
    if (point < 0x80) {
        snprintf(out, PIECE_BYTES_MAX, "%c", (int)point);
    } else {
        snprintf(out, PIECE_BYTES_MAX, "%c%c", (int)(0xc0 | point >> 6),
                 (int)(0x80 | (point & 63)));
    }
}

/* The byte of an id below 256: what the test texts are made of comes first. */
static unsigned byte_of(uint32_t id)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyz \n.,0123456789";
    enum { FIRST = sizeof first - 1 };
    if (id < FIRST) return (unsigned char)first[id];
    uint32_t left = id - FIRST;
    for (unsigned byte = 0; byte < 256; byte++) {
        if (byte != 0 && strchr(first, (int)byte) != NULL) continue;
        if (left-- == 0) return byte;
    }
    return 0;
}

static fs_status write_bpe(const tiny_spec *spec, const char *dir)
{
    json_t *vocab = json_object();
    fs_buf merges = {0};
    fs_status status = fs_buf_puts(&merges, "#version: 0.2\n");
    for (uint32_t id = 0; status == FS_OK && id < spec->vocab; id++) {
        char piece[PIECE_BYTES_MAX];
        if (id < 256) {
            byte_piece(piece, byte_of(id));
        } else if (id < 256 + LETTERS * LETTERS) {
            int a = 'a' + (int)((id - 256) / LETTERS), b = 'a' + (int)((id - 256) % LETTERS);
            snprintf(piece, sizeof piece, "%c%c", a, b);
            status = fs_buf_printf(&merges, "%c %c\n", a, b);
        } else {
            snprintf(piece, sizeof piece, "<|unused%u|>", id);
        }
        if (json_object_set_new(vocab, piece, json_integer((json_int_t)id)) != 0) {
            status = fs_fail(FS_ENOMEM, "no memory for a vocabulary");
        }
    }
    char *text = json_dumps(vocab, JSON_COMPACT);
    if (text == NULL) status = fs_fail(FS_ENOMEM, "no memory for a vocabulary");
    if (status == FS_OK) status = write_file(dir, "vocab.json", text, strlen(text));
    if (status == FS_OK) status = write_file(dir, "merges.txt", fs_buf_text(&merges), merges.size);
    free(text);
    json_decref(vocab);
    fs_buf_free(&merges);
    return status;
}

fs_status tiny_vocab_write(const tiny_spec *spec, const char *dir)
{
    FS_TRY(fs_dir_make(dir));
    return spec->kind == FS_MODEL_BERT ? write_wordpiece(spec, dir) : write_bpe(spec, dir);
}

/* A word of one to six letters, of those that the vocabulary spells. */
static fs_status append_word(fs_buf *out, const tiny_spec *spec, uint64_t *state)
{
    uint32_t letters = spec->kind == FS_MODEL_GPT2 && spec->vocab < LETTERS ? spec->vocab : LETTERS;
    for (uint64_t n = 1 + tiny_random(state) % 6; n > 0; n--) {
        FS_TRY(fs_buf_printf(out, "%c", 'a' + (int)(tiny_random(state) % letters)));
    }
    return FS_OK;
}

static fs_status append_example(fs_buf *out, const tiny_spec *spec, uint64_t *state)
{
    /* A small byte vocabulary has no piece for a space or a line's end. */
    const int spaces = spec->kind == FS_MODEL_BERT || spec->vocab >= LETTERS + 2;
    for (uint64_t n = 1 + tiny_random(state) % 12; n > 0; n--) {
        FS_TRY(append_word(out, spec, state));
        if (spaces && n > 1) FS_TRY(fs_buf_puts(out, " "));
    }
    if (spec->task == FS_TASK_CLASSIFICATION) {
        return fs_buf_printf(out, "\t%u\n", (unsigned)(tiny_random(state) % spec->labels));
    }
    return spaces ? fs_buf_puts(out, "\n") : FS_OK;
}

fs_status tiny_model_write_data(const tiny_model *self, const char *path, uint32_t examples)
{
    fs_buf text = {0};
    uint64_t state = self->spec.seed ^ 0x6461746100000000u;
    fs_status status = FS_OK;
    if (self->spec.task == FS_TASK_CLASSIFICATION) {
        status = fs_buf_puts(&text, "sentence\tlabel\n");
    }
    for (uint32_t i = 0; status == FS_OK && i < examples; i++) {
        status = append_example(&text, &self->spec, &state);
    }
    if (status == FS_OK) status = tiny_file_write(path, text.data, text.size);
    fs_buf_free(&text);
    return status;
}
