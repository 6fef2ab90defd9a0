/** The report: one HTML file of a store, which opens offline by double click.
 *
 * The page is the compiled-in template with five slots filled; its numbers are those of summary.h.
 * Equal stores give equal bytes. Thread rule: one thread at a time. Source: `report.md`. */
#ifndef REPORT_H
#define REPORT_H

#include <stddef.h>

#include "plan.h"
#include "store.h"

#define REPORT_FILE_NAME  "report.html"
#define REPORT_BYTES_WARN ((size_t)5 * 1000 * 1000)

/** Writes the page to `out_path` and cells.csv beside it, each atomically, says its size and warns
 * above REPORT_BYTES_WARN. Works on an unfinished store, beside a writer.
 * Errors: those of store and files; FS_ENOMEM. */
FS_MUST_CHECK fs_status report_write(fs_store *store, const fs_plan *plan, const char *out_path);
/** The same, and gives the page's size. */
FS_MUST_CHECK fs_status report_write_sized(fs_store *store, const fs_plan *plan,
                                           const char *out_path, size_t *bytes);

#endif
