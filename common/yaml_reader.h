/** A YAML document with typed, bounded access and errors that name file, line and key.
 *
 * libyaml parses; this module refuses what a configuration file has no use for (several documents,
 * tags beyond the core ones, bytes that are not UTF-8, deep nesting, a flood of nodes or anchors)
 * and reads values strictly: a number is a plain decimal number, never an octal, a date or text in
 * quotes, and a key is given once. A reader walks the document with a cursor that lives on its
 * stack; the chain of cursors is the path that messages print, as "sweep[1].amount.rate".
 * Source: YAML 1.1 by libyaml 0.2.5. Thread rule: one thread at a time. */
#ifndef FS_YAML_READER_H
#define FS_YAML_READER_H

#include <stddef.h>
#include <stdint.h>

#include "limits.h"
#include "status.h"

enum { FS_YAML_ANCHORS_MAX = 256 /* libyaml compares each anchor with all before it */ };

typedef struct fs_yaml fs_yaml;

/** A place in a document. Plain data; `parent` and `key` must outlive it. */
typedef struct fs_yaml_at {
    fs_yaml *doc;
    int node;                        /* libyaml's number of it */
    const struct fs_yaml_at *parent; /* NULL at the root */
    const char *key;                 /* under a mapping, else NULL */
    size_t index;                    /* in a list */
    unsigned depth;
} fs_yaml_at;

/** Reads one value into the caller's struct. */
typedef fs_status fs_yaml_read(const fs_yaml_at *at, void *target);

/** A key of a mapping. */
typedef struct fs_yaml_field {
    const char *key;     /* NULL ends the table */
    fs_yaml_read *read;  /* NULL: known but refused */
    const char *refusal; /* then why */
    int required;
} fs_yaml_field;

/** Parses text. `path` names it in messages.
 * Errors: FS_ECONFIG and FS_ELIMIT naming file and line; FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_yaml_new(fs_yaml **out, const char *text, size_t size, const char *path);
/** Frees; nulls; idempotent. Cursors and borrowed texts end here. */
void fs_yaml_destroy(fs_yaml **self);
fs_yaml_at fs_yaml_root(fs_yaml *self);

/** Records "FILE:LINE: key.path: message" and returns `code`. */
fs_status fs_yaml_fail(const fs_yaml_at *at, fs_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#if defined(__clang_analyzer__) /* as in status.h */
#define fs_yaml_fail(at, code, ...) ((void)(fs_yaml_fail)((at), (code), __VA_ARGS__), (code))
#endif
/** Puts file, line and key before the detail that another module recorded; returns `code`. */
fs_status fs_yaml_wrap(const fs_yaml_at *at, fs_status code);

/** Reads a mapping: each key's reader in the order of the file.
 * @param seen  bit i is set where fields[i] was given; may be NULL
 * Errors: FS_ECONFIG for another type, an unknown key (with the nearest known one), a key given
 * twice, a refused or a missing one; those of the readers. */
FS_MUST_CHECK fs_status fs_yaml_map(const fs_yaml_at *at, const fs_yaml_field *fields,
                                    uint64_t *seen, void *target);
/** Reads each item of a list of 1..count_max; anything else counts as a list of one. */
FS_MUST_CHECK fs_status fs_yaml_each(const fs_yaml_at *at, size_t count_max, fs_yaml_read *item,
                                     void *target);
/** The same, for values that must be written as a list. */
FS_MUST_CHECK fs_status fs_yaml_list(const fs_yaml_at *at, size_t count_max, fs_yaml_read *item,
                                     void *target);
int fs_yaml_is_list(const fs_yaml_at *at);
int fs_yaml_is_map(const fs_yaml_at *at);
/** @return items of a list, 1 for anything else. */
size_t fs_yaml_count(const fs_yaml_at *at);

/** Text of 1 byte or more without control characters; borrowed until the document ends. */
FS_MUST_CHECK fs_status fs_yaml_text(const fs_yaml_at *at, const char **out);
/** A name: letters, digits, '.', '_' and '-', the first one a letter or a digit. */
FS_MUST_CHECK fs_status fs_yaml_name(const fs_yaml_at *at, char out[FS_NAME_BYTES_MAX]);
/** A whole number in decimal digits, least..most. */
FS_MUST_CHECK fs_status fs_yaml_u64(const fs_yaml_at *at, uint64_t least, uint64_t most,
                                    uint64_t *out);
/** A decimal number, least..most; never NaN, Inf or -0. */
FS_MUST_CHECK fs_status fs_yaml_real(const fs_yaml_at *at, double least, double most, double *out);
/** One of `words`, a list that ends with NULL. */
FS_MUST_CHECK fs_status fs_yaml_choice(const fs_yaml_at *at, const char *const *words, size_t *out);
/** @return nonzero for a scalar that is exactly this word, written without quotes. */
int fs_yaml_is_word(const fs_yaml_at *at, const char *word);
/** @return nonzero for a plain scalar that looks like a number. */
int fs_yaml_is_number(const fs_yaml_at *at);

#endif
