#include "yaml_reader.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "options.h"
#include "yaml_check.h"

enum { PATH_BYTES = 256, FIELDS_MAX = 64 };

struct fs_yaml {
    yaml_document_t document;
    int has_document;
    size_t visited;
    char path[FS_PATH_BYTES_MAX];
};

/* --- Loading ---------------------------------------------------------------------------------- */

static fs_status load(fs_yaml *self, const char *text, size_t size)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return fs_fail(FS_ENOMEM, "%s: out of memory", self->path);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    fs_status status = FS_OK;
    if (!yaml_parser_load(&parser, &self->document))
        status = fs__yaml_failure(&parser, text, self->path);
    else
        self->has_document = 1;
    yaml_parser_delete(&parser);
    if (status == FS_OK && yaml_document_get_root_node(&self->document) == NULL)
        status = fs_fail(FS_ECONFIG, "%s:1: the file is empty", self->path);
    return status;
}

fs_status fs_yaml_new(fs_yaml **out, const char *text, size_t size, const char *path)
{
    *out = NULL;
    if (strlen(path) >= FS_PATH_BYTES_MAX)
        return fs_fail(FS_ELIMIT, "path too long: %.80s...", path);
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        size -= 3;
    }
    FS_TRY(fs__yaml_check(text, size, path));
    fs_yaml *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "%s: out of memory", path);
    memcpy(self->path, path, strlen(path) + 1);
    fs_status status = load(self, text, size);
    if (status != FS_OK) {
        fs_yaml_destroy(&self);
        return status;
    }
    *out = self;
    return FS_OK;
}

void fs_yaml_destroy(fs_yaml **self)
{
    if (*self == NULL) return;
    if ((*self)->has_document) yaml_document_delete(&(*self)->document);
    free(*self);
    *self = NULL;
}

fs_yaml_at fs_yaml_root(fs_yaml *self)
{
    return (fs_yaml_at){.doc = self, .node = 1};
}

/* --- Messages --------------------------------------------------------------------------------- */

static const yaml_node_t *node_of(const fs_yaml_at *at)
{
    const yaml_node_t *node = yaml_document_get_node(&at->doc->document, at->node);
    FS_ASSERT(node != NULL);
    return node;
}

/** Appends the key path, from the root down. */
static void write_path(const fs_yaml_at *at, char out[PATH_BYTES])
{
    if (at->parent == NULL) return;
    write_path(at->parent, out);
    size_t used = strlen(out);
    if (at->key != NULL)
        snprintf(out + used, PATH_BYTES - used, "%s%s", used == 0 ? "" : ".", at->key);
    else
        snprintf(out + used, PATH_BYTES - used, "[%zu]", at->index);
}

fs_status(fs_yaml_fail)(const fs_yaml_at *at, fs_status code, const char *format, ...)
{
    char text[768], path[PATH_BYTES] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    write_path(at, path);
    return fs_fail(code, "%s:%zu: %s%s%s", at->doc->path, node_of(at)->start_mark.line + 1, path,
                   path[0] == '\0' ? "" : ": ", text);
}

fs_status fs_yaml_wrap(const fs_yaml_at *at, fs_status code)
{
    char detail[768];
    snprintf(detail, sizeof detail, "%s", fs_status_detail());
    return fs_yaml_fail(at, code, "%s", detail);
}

static const char *kind_name(const yaml_node_t *node)
{
    switch (node->type) {
    case YAML_MAPPING_NODE:
        return "a mapping";
    case YAML_SEQUENCE_NODE:
        return "a list";
    case YAML_SCALAR_NODE:
        return "a single value";
    case YAML_NO_NODE:
        break;
    }
    return "nothing";
}

static fs_status wrong_type(const fs_yaml_at *at, const char *wanted)
{
    return fs_yaml_fail(at, FS_ECONFIG, "is %s; %s is wanted", kind_name(node_of(at)), wanted);
}

/* --- Mappings and lists ----------------------------------------------------------------------- */

static fs_status enter(fs_yaml_at *out, const fs_yaml_at *parent, int node, const char *key,
                       size_t index)
{
    *out = (fs_yaml_at){.doc = parent->doc,
                        .node = node,
                        .parent = parent,
                        .key = key,
                        .index = index,
                        .depth = parent->depth + 1};
    if (out->depth > FS_YAML_DEPTH_MAX)
        return fs_yaml_fail(out, FS_ELIMIT, "nested deeper than %d", FS_YAML_DEPTH_MAX);
    if (++parent->doc->visited > FS_YAML_NODES_MAX)
        return fs_yaml_fail(out, FS_ELIMIT, "more than %d values, aliases expanded",
                            FS_YAML_NODES_MAX);
    return FS_OK;
}

static const char *field_key(const void *fields, size_t i)
{
    return ((const fs_yaml_field *)fields)[i].key;
}

static fs_status unknown_key(const fs_yaml_at *at, const yaml_node_t *node,
                             const fs_yaml_field *fields)
{
    char key[FS_YAML_SHOWN_BYTES], allowed[400] = "";
    fs__yaml_shown(key, (const char *)node->data.scalar.value, node->data.scalar.length);
    size_t used = 0;
    for (const fs_yaml_field *f = fields; f->key != NULL; f++) {
        if (f->read == NULL) continue;
        int n =
            snprintf(allowed + used, sizeof allowed - used, "%s%s", used == 0 ? "" : ", ", f->key);
        if (n < 0 || (size_t)n >= sizeof allowed - used) break;
        used += (size_t)n;
    }
    fs_yaml_at bad = *at;
    bad.parent = at;
    bad.key = key;
    bad.node = (int)(node - at->doc->document.nodes.start) + 1;
    const char *near = fs_options_nearest(key, field_key, fields);
    if (near != NULL)
        return fs_yaml_fail(&bad, FS_ECONFIG, "unknown key (did you mean '%s'?); allowed: %s", near,
                            allowed);
    return fs_yaml_fail(&bad, FS_ECONFIG, "unknown key; allowed: %s", allowed);
}

static fs_status read_pair(const fs_yaml_at *at, const yaml_node_pair_t *pair,
                           const fs_yaml_field *fields, uint64_t *seen, void *target)
{
    fs_yaml_at value = *at;
    value.node = pair->key;
    const yaml_node_t *key = node_of(&value);
    if (key->type != YAML_SCALAR_NODE)
        return fs_yaml_fail(&value, FS_ECONFIG, "a key is %s; a word is wanted", kind_name(key));
    size_t i = 0;
    while (fields[i].key != NULL && strcmp(fields[i].key, (char *)key->data.scalar.value) != 0) i++;
    if (fields[i].key == NULL || strlen(fields[i].key) != key->data.scalar.length)
        return unknown_key(at, key, fields);
    FS_ASSERT(i < FIELDS_MAX);
    /* A repeated key is reported where it is repeated; its value may be an alias to elsewhere. */
    FS_TRY(enter(&value, at, pair->key, fields[i].key, 0));
    if (*seen >> i & 1) return fs_yaml_fail(&value, FS_ECONFIG, "is given twice");
    if (fields[i].read == NULL) return fs_yaml_fail(&value, FS_ECONFIG, "%s", fields[i].refusal);
    *seen |= (uint64_t)1 << i;
    value.node = pair->value;
    return fields[i].read(&value, target);
}

fs_status fs_yaml_map(const fs_yaml_at *at, const fs_yaml_field *fields, uint64_t *seen,
                      void *target)
{
    const yaml_node_t *node = node_of(at);
    if (node->type != YAML_MAPPING_NODE) return wrong_type(at, "a mapping {key: value, ...}");
    uint64_t given = 0;
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
         p < node->data.mapping.pairs.top; p++)
        FS_TRY(read_pair(at, p, fields, &given, target));
    for (size_t i = 0; fields[i].key != NULL; i++)
        if (fields[i].required && !(given >> i & 1))
            return fs_yaml_fail(at, FS_ECONFIG, "key '%s' is missing", fields[i].key);
    if (seen != NULL) *seen = given;
    return FS_OK;
}

int fs_yaml_is_list(const fs_yaml_at *at)
{
    return node_of(at)->type == YAML_SEQUENCE_NODE;
}

int fs_yaml_is_map(const fs_yaml_at *at)
{
    return node_of(at)->type == YAML_MAPPING_NODE;
}

size_t fs_yaml_count(const fs_yaml_at *at)
{
    const yaml_node_t *node = node_of(at);
    if (node->type != YAML_SEQUENCE_NODE) return 1;
    return (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
}

fs_status fs_yaml_each(const fs_yaml_at *at, size_t count_max, fs_yaml_read *item, void *target)
{
    return fs_yaml_is_list(at) ? fs_yaml_list(at, count_max, item, target) : item(at, target);
}

fs_status fs_yaml_list(const fs_yaml_at *at, size_t count_max, fs_yaml_read *item, void *target)
{
    const yaml_node_t *node = node_of(at);
    if (node->type != YAML_SEQUENCE_NODE) return wrong_type(at, "a list");
    size_t count = fs_yaml_count(at);
    if (count == 0) return fs_yaml_fail(at, FS_ECONFIG, "the list is empty");
    if (count > count_max)
        return fs_yaml_fail(at, FS_ELIMIT, "has %zu items, at most %zu are allowed", count,
                            count_max);
    for (size_t i = 0; i < count; i++) {
        fs_yaml_at child;
        FS_TRY(enter(&child, at, node->data.sequence.items.start[i], NULL, i));
        FS_TRY(item(&child, target));
    }
    return FS_OK;
}

/* --- Scalars ---------------------------------------------------------------------------------- */

static fs_status scalar(const fs_yaml_at *at, const char *wanted, const yaml_node_t **out)
{
    const yaml_node_t *node = node_of(at);
    if (node->type != YAML_SCALAR_NODE) return wrong_type(at, wanted);
    const char *text = (const char *)node->data.scalar.value;
    int plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (node->data.scalar.length == 0 || (plain && strcmp(text, "~") == 0))
        return fs_yaml_fail(at, FS_ECONFIG, "is empty; %s is wanted", wanted);
    *out = node;
    return FS_OK;
}

fs_status fs_yaml_text(const fs_yaml_at *at, const char **out)
{
    const yaml_node_t *node;
    FS_TRY(scalar(at, "text", &node));
    if (strcmp((const char *)node->tag, YAML_STR_TAG) != 0)
        return fs_yaml_fail(at, FS_ECONFIG, "has the tag of another type; text is wanted");
    const char *text = (const char *)node->data.scalar.value;
    for (size_t i = 0; i < node->data.scalar.length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return fs_yaml_fail(at, FS_ECONFIG, "contains a control character");
    *out = text;
    return FS_OK;
}

fs_status fs_yaml_name(const fs_yaml_at *at, char out[FS_NAME_BYTES_MAX])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *text;
    char quoted[FS_YAML_SHOWN_BYTES];
    FS_TRY(fs_yaml_text(at, &text));
    size_t size = strlen(text);
    if (size >= FS_NAME_BYTES_MAX)
        return fs_yaml_fail(at, FS_ELIMIT, "has %zu bytes, at most %d are allowed", size,
                            FS_NAME_BYTES_MAX - 1);
    if (strspn(text, allowed) != size || strspn(text, letters) == 0)
        return fs_yaml_fail(at, FS_ECONFIG,
                            "'%s' is no name: letters, digits, '.', '_' and '-', the first one a "
                            "letter or a digit",
                            fs__yaml_shown(quoted, text, size));
    memcpy(out, text, size + 1);
    return FS_OK;
}

/** @return bytes of a decimal number at the start of text: [sign] digits [.digits] [e[sign]digits],
 * 0 if there is none or it has a needless leading zero, which elsewhere would make it octal. */
static size_t number_bytes(const char *text, int *whole)
{
    static const char digits[] = "0123456789";
    size_t i = text[0] == '-' || text[0] == '+', first = i;
    size_t n = strspn(text + i, digits);
    if (n > 1 && text[i] == '0') return 0;
    i += n;
    *whole = n > 0 && first == 0;
    if (text[i] == '.') {
        size_t fraction = strspn(text + i + 1, digits);
        *whole = 0;
        if (n + fraction == 0) return 0;
        i += 1 + fraction;
    } else if (n == 0) {
        return 0;
    }
    if (text[i] == 'e' || text[i] == 'E') {
        size_t sign = text[i + 1] == '-' || text[i + 1] == '+';
        size_t exponent = strspn(text + i + 1 + sign, digits);
        *whole = 0;
        if (exponent == 0) return 0;
        i += 1 + sign + exponent;
    }
    return i;
}

static fs_status number(const fs_yaml_at *at, const char *wanted, int must_be_whole,
                        const char **out)
{
    const yaml_node_t *node;
    char quoted[FS_YAML_SHOWN_BYTES];
    FS_TRY(scalar(at, wanted, &node));
    const char *text = (const char *)node->data.scalar.value, *tag = (const char *)node->tag;
    fs__yaml_shown(quoted, text, node->data.scalar.length);
    if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return fs_yaml_fail(at, FS_ECONFIG, "'%s' is text in quotes; %s is wanted", quoted, wanted);
    int fits = strcmp(tag, YAML_STR_TAG) == 0 || strcmp(tag, YAML_INT_TAG) == 0 ||
               (!must_be_whole && strcmp(tag, YAML_FLOAT_TAG) == 0);
    int whole = 0;
    size_t n = number_bytes(text, &whole);
    if (!fits || n != node->data.scalar.length || (must_be_whole && !whole))
        return fs_yaml_fail(at, FS_ECONFIG, "'%s' is no number; %s is wanted", quoted, wanted);
    *out = text;
    return FS_OK;
}

fs_status fs_yaml_u64(const fs_yaml_at *at, uint64_t least, uint64_t most, uint64_t *out)
{
    const char *text;
    char wanted[96];
    snprintf(wanted, sizeof wanted, "a whole number from %llu to %llu", (unsigned long long)least,
             (unsigned long long)most);
    FS_TRY(number(at, wanted, 1, &text));
    uint64_t value = 0;
    for (const char *p = text; *p != '\0'; p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return fs_yaml_fail(at, FS_ELIMIT, "is too large; %s is wanted", wanted);
        value = value * 10 + digit;
    }
    if (value < least || value > most)
        return fs_yaml_fail(at, FS_ECONFIG, "is %llu; %s is wanted", (unsigned long long)value,
                            wanted);
    *out = value;
    return FS_OK;
}

/* Of a number's text: all digits before an exponent are 0. */
static int writes_zero(const char *text)
{
    const char at = text[strcspn(text, "123456789eE")];
    return at == '\0' || at == 'e' || at == 'E';
}

fs_status fs_yaml_real(const fs_yaml_at *at, double least, double most, double *out)
{
    const char *text;
    char wanted[96];
    snprintf(wanted, sizeof wanted, "a number from %g to %g", least, most);
    FS_TRY(number(at, wanted, 0, &text));
    double value = strtod(text, NULL);
    if (fabs(value) < DBL_MIN && !writes_zero(text))
        return fs_yaml_fail(at, FS_ECONFIG, "is %.40s, too small to be told from 0; %s is wanted",
                            text, wanted);
    if (!isfinite(value) || value < least || value > most)
        return fs_yaml_fail(at, FS_ECONFIG, "is %.40s; %s is wanted", text, wanted);
    *out = value + 0.0; /* -0 becomes 0 */
    return FS_OK;
}

static const char *word_at(const void *words, size_t i)
{
    return ((const char *const *)words)[i];
}

fs_status fs_yaml_choice(const fs_yaml_at *at, const char *const *words, size_t *out)
{
    const char *text;
    char quoted[FS_YAML_SHOWN_BYTES], allowed[512] = "";
    FS_TRY(fs_yaml_text(at, &text));
    size_t used = 0;
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], text) == 0) {
            *out = i;
            return FS_OK;
        }
        int n =
            snprintf(allowed + used, sizeof allowed - used, "%s%s", i == 0 ? "" : ", ", words[i]);
        used = n < 0 || (size_t)n >= sizeof allowed - used ? sizeof allowed - 1 : used + (size_t)n;
    }
    fs__yaml_shown(quoted, text, strlen(text));
    const char *near = fs_options_nearest(quoted, word_at, words);
    if (near != NULL)
        return fs_yaml_fail(at, FS_ECONFIG, "'%s' is unknown (did you mean '%s'?); allowed: %s",
                            quoted, near, allowed);
    return fs_yaml_fail(at, FS_ECONFIG, "'%s' is unknown; allowed: %s", quoted, allowed);
}

int fs_yaml_is_word(const fs_yaml_at *at, const char *word)
{
    const yaml_node_t *node = node_of(at);
    return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           strcmp((const char *)node->data.scalar.value, word) == 0;
}

int fs_yaml_is_number(const fs_yaml_at *at)
{
    const yaml_node_t *node = node_of(at);
    int whole;
    return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           number_bytes((const char *)node->data.scalar.value, &whole) > 0;
}
