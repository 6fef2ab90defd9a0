/** The report's numbers without script: HTML tables, and all cells as CSV.
 *
 * Thread rule: reentrant. */
#ifndef REPORT_TABLES_H
#define REPORT_TABLES_H

#include "buf.h"
#include "summary.h"

enum { REPORT_TABLE_ROWS_MAX = 1000 }; /* rows of the HTML table; the CSV has all */

/** Appends a sentence on how complete the campaign is and a table of its cells. */
FS_MUST_CHECK fs_status report_tables_html(fs_buf *out, const summary *s);
/** Appends RFC 4180 text, one line a cell, numbers that read back to the same. A field that a
 * spreadsheet would take for a formula gets a leading apostrophe. */
FS_MUST_CHECK fs_status report_tables_csv(fs_buf *out, const summary *s);

#endif
