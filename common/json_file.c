#include "json_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"

fs_status fs_json_parse(json_t **out, const char *path, const void *text, size_t size)
{
    *out = NULL;
    json_error_t error;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        return fs_fail(FS_EFORMAT, "%s:%d:%d: not valid JSON: %s", path, error.line, error.column,
                       error.text);
    }
    if (!json_is_object(root)) {
        json_decref(root);
        return fs_fail(FS_EFORMAT, "%s: not a JSON object", path);
    }
    *out = root;
    return FS_OK;
}

fs_status fs_json_file_read(json_t **out, const char *path, size_t bytes_max)
{
    *out = NULL;
    fs_buf text = {0};
    fs_status status = fs_file_read(&text, path, bytes_max);
    if (status == FS_OK) status = fs_json_parse(out, path, fs_buf_text(&text), text.size);
    fs_buf_free(&text);
    return status;
}

fs_status fs_json_file_write(json_t *root, const char *path, int digits)
{
    const size_t flags = (size_t)(JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(digits));
    char *text = root == NULL ? NULL : json_dumps(root, flags);
    json_decref(root);
    if (text == NULL) return fs_fail(FS_ENOMEM, "%s: no memory to write it", path);
    const size_t size = strlen(text);
    text[size] = '\n'; /* in place of the NUL, which is not written */
    fs_status status = fs_file_write_atomic(path, text, size + 1);
    free(text);
    return status;
}

/* A string of at most 48 bytes, cut between characters: jansson gives valid UTF-8 only. */
static const char *describe_string(const char *string, char out[64])
{
    size_t size = strlen(string), cut = size < 48 ? size : 48;
    while (cut > 0 && (string[cut] & 0xc0) == 0x80) cut--;
    snprintf(out, 64, "\"%.*s%s\"", (int)cut, string, cut < size ? "..." : "");
    return out;
}

const char *fs_json_describe(const json_t *value, char out[64])
{
    if (value == NULL) return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        return "null";
    case JSON_INTEGER:
        snprintf(out, 64, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return out;
    case JSON_REAL:
        snprintf(out, 64, "%.9g", json_real_value(value));
        return out;
    case JSON_STRING:
        return describe_string(json_string_value(value), out);
    }
    return "something else";
}
