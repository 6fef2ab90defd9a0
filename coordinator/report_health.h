/** Who delivered what: attempts summed by worker, the last events, quarantined trials, as JSON.
 *
 * Thread rule: one thread at a time. */
#ifndef REPORT_HEALTH_H
#define REPORT_HEALTH_H

#include <jansson.h>

#include "plan.h"
#include "store.h"

/** Makes the object. Texts are cleaned of invalid UTF-8. Errors: those of the store; FS_ENOMEM. */
FS_MUST_CHECK fs_status report_health_new(json_t **out, fs_store *store, const fs_plan *plan);
/** @return a JSON string of any bytes: what is not UTF-8 becomes U+FFFD. NULL: no memory. */
json_t *report_json_text(const char *text);

#endif
