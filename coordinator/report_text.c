#include "report_text.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "utf8.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* U+2028 and U+2029 end a line for older readers of script. */
static int is_line_separator(const char *at, size_t length)
{
    return length == 3 && memcmp(at, "\xe2\x80", 2) == 0 && ((uint8_t)at[2] & 0xfe) == 0xa8;
}

static fs_status json_character(fs_buf *out, const char *at, size_t length)
{
    const uint8_t c = (uint8_t)*at;
    if (length == 0) return fs_buf_puts(out, replacement);
    if (is_line_separator(at, length)) return fs_buf_printf(out, "\\u%04x", 0x2028 + (at[2] & 1));
    if (length > 1) return fs_buf_append(out, at, length);
    if (c < 0x20 || c == 0x7f || strchr("<>&\"\\", c) != NULL) {
        return fs_buf_printf(out, "\\u%04x", c);
    }
    return fs_buf_append(out, at, 1);
}

fs_status report_json_string(fs_buf *out, const char *text, size_t size)
{
    FS_TRY(fs_buf_puts(out, "\""));
    for (size_t i = 0; i < size;) {
        size_t length = text[i] == '\0' ? 1 : fs_utf8_length(text + i, size - i);
        FS_TRY(json_character(out, text + i, length));
        i += length == 0 ? 1 : length;
    }
    return fs_buf_puts(out, "\"");
}

fs_status report_json_number(fs_buf *out, double value)
{
    if (!isfinite(value)) return fs_buf_puts(out, "null");
    if (value == floor(value) && fabs(value) < 1e15) return fs_buf_printf(out, "%.0f", value + 0.0);
    return fs_buf_printf(out, "%.9g", value);
}

static fs_status html_character(fs_buf *out, const char *at, size_t length)
{
    const uint8_t c = (uint8_t)*at;
    if (length == 0) return fs_buf_puts(out, replacement);
    if (length > 1) return fs_buf_append(out, at, length);
    if (strchr("<>&\"'`", c) != NULL) return fs_buf_printf(out, "&#%u;", c);
    if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) return fs_buf_puts(out, replacement);
    return fs_buf_append(out, at, 1);
}

fs_status report_html(fs_buf *out, const char *text)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size;) {
        size_t length = fs_utf8_length(text + i, size - i);
        FS_TRY(html_character(out, text + i, length));
        i += length == 0 ? 1 : length;
    }
    return FS_OK;
}
