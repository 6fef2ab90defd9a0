/** What `run` and `serve` leave behind when their loop has ended. Thread rule: the main thread. */
#ifndef CLI_CONCLUDE_H
#define CLI_CONCLUDE_H

#include "coord_campaign.h"
#include "status.h"

/** Writes the report of a complete campaign if `report` is nonzero, and prints the status document
 * if `json` is nonzero, also of a campaign that was stopped. `ended` is how the loop ended.
 * @return `ended` with its text if all goes well. Errors: those of store, report and status. */
FS_MUST_CHECK fs_status cli_conclude(const coord_campaign *campaign, int report, int json,
                                     fs_status ended);

#endif
