/** Text from a campaign, made safe for the page: JSON inside a script element, and HTML.
 *
 * Names, paths, events and model outputs are not trusted: no byte of them can end the element or
 * the string they stand in. Invalid UTF-8 becomes U+FFFD. Thread rule: reentrant. */
#ifndef REPORT_TEXT_H
#define REPORT_TEXT_H

#include <stddef.h>

#include "buf.h"
#include "status.h"

/** Appends a JSON string with its quotes. `<`, `>`, `&`, U+2028, U+2029, DEL and controls (NUL too,
 * where `size` spans one) are written \uXXXX, so the text may stand in a script element. */
FS_MUST_CHECK fs_status report_json_string(fs_buf *out, const char *text, size_t size);
/** Appends a JSON number with 9 significant digits, "null" if it is not finite. */
FS_MUST_CHECK fs_status report_json_number(fs_buf *out, double value);
/** Appends text for HTML content or a quoted attribute. Controls but line ends become U+FFFD. */
FS_MUST_CHECK fs_status report_html(fs_buf *out, const char *text);

#endif
