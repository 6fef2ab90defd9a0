#include "fetch_headers.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { NUMBER_DIGITS_MAX = 19, HTTP_VERSION_BYTES = 5 /* "HTTP/" */ };

/** A value without the spaces around it; not terminated. */
typedef struct value {
    const char *text;
    size_t size;
} value;

void fetch_headers_init(fetch_headers *self, int resolve)
{
    *self = (fetch_headers){.resolve = resolve};
}

/** Forgets the response before. */
static void clear_response(fetch_headers *self)
{
    self->code = 0;
    self->newer = 0;
    self->length_known = self->range_known = self->total_known = 0;
    self->chunked = self->encoded = self->page = 0;
    self->length = self->range_first = self->range_last = self->range_total = 0;
    self->etag[0] = '\0';
    self->pause_s = 0;
}

void fetch_headers_next(fetch_headers *self, int home)
{
    self->home = home;
    if (!home) self->foreign = 1;
    clear_response(self);
}

static value trim(const char *text, size_t size)
{
    while (size > 0 && isspace((unsigned char)text[size - 1])) size--;
    while (size > 0 && isspace((unsigned char)text[0])) {
        text++;
        size--;
    }
    return (value){text, size};
}

/** Reads decimal digits at the start. @return how many there were, 0 for none or too many. */
static size_t read_number(const char *text, size_t size, uint64_t *out)
{
    size_t digits = 0;
    *out = 0;
    while (digits < size && isdigit((unsigned char)text[digits])) {
        if (digits == NUMBER_DIGITS_MAX) return 0;
        *out = 10 * *out + (uint64_t)(text[digits++] - '0');
    }
    return digits;
}

static int is_number(value v, uint64_t *out)
{
    return v.size > 0 && read_number(v.text, v.size, out) == v.size;
}

/** "bytes 100-199/1000", with "*" for a total that is not known. */
static void take_range(fetch_headers *self, value v)
{
    static const char unit[] = "bytes ";
    uint64_t first, last, total = 0;
    size_t at = sizeof unit - 1, n;
    if (v.size < at || strncasecmp(v.text, unit, at) != 0) return;
    n = read_number(v.text + at, v.size - at, &first);
    at += n;
    if (n == 0 || at >= v.size || v.text[at] != '-') return;
    at++;
    n = read_number(v.text + at, v.size - at, &last);
    at += n;
    if (n == 0 || at >= v.size || v.text[at] != '/') return;
    at++;
    int unknown = v.size - at == 1 && v.text[at] == '*';
    if (!unknown && !is_number((value){v.text + at, v.size - at}, &total)) return;
    if (last < first || (!unknown && last >= total)) return;
    self->range_known = 1;
    self->total_known = !unknown;
    self->range_first = first;
    self->range_last = last;
    self->range_total = total;
}

/** Keeps a strong ETag: a weak one ("W/...") does not say that the bytes are equal. */
static void take_etag(fetch_headers *self, value v)
{
    self->etag[0] = '\0';
    if (v.size < 2 || v.size >= sizeof self->etag || v.text[0] != '"') return;
    if (v.text[v.size - 1] != '"') return;
    for (size_t i = 1; i + 1 < v.size; i++)
        if ((unsigned char)v.text[i] <= 0x20 || (unsigned char)v.text[i] >= 0x7f ||
            v.text[i] == '"')
            return;
    memcpy(self->etag, v.text, v.size);
    self->etag[v.size] = '\0';
}

/** Copies `digits` hexadecimal digits, with or without quotes; leaves `out` for anything else. */
static void take_hex(value v, size_t digits, char *out)
{
    if (v.size == digits + 2 && v.text[0] == '"' && v.text[v.size - 1] == '"')
        v = (value){v.text + 1, digits};
    if (v.size != digits) return;
    for (size_t i = 0; i < digits; i++)
        if (!isxdigit((unsigned char)v.text[i])) return;
    for (size_t i = 0; i < digits; i++) out[i] = (char)tolower((unsigned char)v.text[i]);
    out[digits] = '\0';
}

static int value_is(value v, const char *word)
{
    return v.size == strlen(word) && strncasecmp(v.text, word, v.size) == 0;
}

static void take_stated(fetch_headers *self, value name, value v)
{
    uint64_t number;
    if (!self->home) return;
    if (value_is(name, "x-linked-etag")) take_hex(v, 64, self->linked_sha256);
    if (value_is(name, "x-repo-commit")) take_hex(v, 40, self->commit);
    if (value_is(name, "x-linked-size") && is_number(v, &number)) {
        self->linked_size_known = 1;
        self->linked_size = number;
    }
}

static void take_field(fetch_headers *self, value name, value v)
{
    static const char html[] = "text/html";
    uint64_t number;
    if (value_is(name, "content-length") && is_number(v, &number)) {
        self->length_known = 1;
        self->length = number;
    } else if (value_is(name, "content-range")) {
        take_range(self, v);
    } else if (value_is(name, "etag")) {
        take_etag(self, v);
    } else if (value_is(name, "transfer-encoding")) {
        self->chunked = value_is(v, "chunked");
    } else if (value_is(name, "content-encoding")) {
        self->encoded = !value_is(v, "identity");
    } else if (value_is(name, "content-type")) {
        self->page = v.size >= sizeof html - 1 && strncasecmp(v.text, html, sizeof html - 1) == 0;
    } else if (value_is(name, "retry-after") && is_number(v, &number)) {
        self->pause_s = number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
    } else {
        take_stated(self, name, v);
    }
}

/** "HTTP/1.1 200 OK" */
static void take_status(fetch_headers *self, const char *line, size_t size)
{
    const char *space = memchr(line, ' ', size);
    uint64_t code = 0;
    clear_response(self); /* an informational response may have come before */
    self->newer = line[HTTP_VERSION_BYTES] >= '2';
    if (space == NULL) return;
    value v = trim(space, size - (size_t)(space - line));
    if (read_number(v.text, v.size, &code) == 3) self->code = (long)code;
}

int fetch_headers_line(fetch_headers *self, const char *line, size_t size)
{
    self->bytes += size;
    if (self->bytes > FS_HTTP_HEADER_BYTES_MAX) return 0;
    if (size > HTTP_VERSION_BYTES && memcmp(line, "HTTP/", HTTP_VERSION_BYTES) == 0) {
        take_status(self, line, size);
        return 1;
    }
    const char *colon = memchr(line, ':', size);
    if (colon == NULL) return 1;
    size_t name_size = (size_t)(colon - line);
    take_field(self, (value){line, name_size}, trim(colon + 1, size - name_size - 1));
    return 1;
}

fs_status fetch_headers_reply(const fetch_headers *self, fetch_reply *out)
{
    out->code = self->code;
    if (self->page)
        return fs_fail(FS_EFORMAT, "the server sends a web page instead of a file; a file's URL "
                                   "at a server of HuggingFace's style has /resolve/ in it");
    if (self->encoded) return fs_fail(FS_EPROTO, "the server compresses what was not asked for");
    if (self->code == 206 && !self->range_known)
        return fs_fail(FS_EPROTO, "the server sends a part of the file and does not say which");
    out->bounded = self->length_known || self->chunked || self->newer;
    out->first = self->code == 206 ? self->range_first : 0;
    out->size_known = self->code == 206 ? self->total_known : self->length_known;
    out->size = self->code == 206 ? self->range_total : self->length;
    if (!out->size_known && self->linked_size_known) {
        out->size_known = 1;
        out->size = self->linked_size;
    }
    if (self->linked_size_known && out->size != self->linked_size) {
        out->again = 1;
        return fs_fail(FS_EPROTO,
                       "the server states a size of %llu bytes and then one of %llu bytes",
                       (unsigned long long)self->linked_size, (unsigned long long)out->size);
    }
    memcpy(out->etag, self->etag, sizeof out->etag);
    memcpy(out->commit, self->commit, sizeof out->commit);
    memcpy(out->sha256, self->linked_sha256, sizeof out->sha256);
    if (out->sha256[0] == '\0' && self->resolve && !self->foreign)
        take_hex((value){self->etag, strlen(self->etag)}, 64, out->sha256);
    return FS_OK;
}
