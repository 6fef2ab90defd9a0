/** Bounded reading of JSON files from outside, and writing of our own.
 *
 * Thread rule: reentrant. Source: RFC 8259; jansson bounds the nesting at 2048. */
#ifndef FS_JSON_FILE_H
#define FS_JSON_FILE_H

#include <jansson.h>
#include <stddef.h>

#include "status.h"

/** Parses JSON text of an object; `path` is for messages. The caller owns the result (json_decref).
 * Errors: FS_EFORMAT naming path, line and column for bad JSON, invalid UTF-8, a key given twice, a
 * document that is no object. */
FS_MUST_CHECK fs_status fs_json_parse(json_t **out, const char *path, const void *text,
                                      size_t size);
/** Reads and parses a file. Errors: those of fs_file_read and fs_json_parse. */
FS_MUST_CHECK fs_status fs_json_file_read(json_t **out, const char *path, size_t bytes_max);
/** Writes a document, keys sorted, whole or not at all. Takes `root` over; NULL says that there was
 * no memory to make it. @param digits of real numbers: 17 keep every bit, 15 what was written down
 * in decimal. Errors: FS_ENOMEM, those of fs_file_write_atomic. */
FS_MUST_CHECK fs_status fs_json_file_write(json_t *root, const char *path, int digits);
/** @return what a value is, for messages: "a string", "null", "-3". Writes to `out` if needed. */
const char *fs_json_describe(const json_t *value, char out[64]);

#endif
