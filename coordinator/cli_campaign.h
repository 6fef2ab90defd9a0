/** What `run` and `serve` share: options, a campaign's results, and what is left behind when the
 * loop has ended. Thread rule: the main thread. */
#ifndef CLI_CAMPAIGN_H
#define CLI_CAMPAIGN_H

#include <stddef.h>

#include "coord_campaign.h"
#include "program.h"
#include "status.h"

/** The first member of either command's values. */
typedef struct cli_campaign {
    const char *out, *state_dir, *until;
    int json, no_report;
    int simulate; /* workers invent results: for checks, not listed in the help */
} cli_campaign;

/* Rows that both option tables have. clang-format would stand each value on a line. */
/* clang-format off */
#define CLI_CAMPAIGN_OPTIONS                                                                      \
    {"out", 'o', "DIR", FS_OPTION_TEXT, offsetof(cli_campaign, out),                              \
     "folder of the results (default: flipsweep-NAME)", 0, 0},                                    \
    {"state-dir", 0, "DIR", FS_OPTION_TEXT, offsetof(cli_campaign, state_dir),                    \
     "folder of the live store, on a local disk (default: the results')", 0, 0},                  \
    {"until", 0, "TIME", FS_OPTION_TEXT, offsetof(cli_campaign, until),                           \
     "finish what is leased and leave at HH:MM, YYYY-MM-DDTHH:MM, or after +N s, m or h", 0, 0},  \
    {"no-report", 0, NULL, FS_OPTION_FLAG, offsetof(cli_campaign, no_report),                     \
     "write no report.html when the campaign is complete", 0, 0},                                 \
    {"simulate", 0, NULL, FS_OPTION_FLAG, offsetof(cli_campaign, simulate), NULL, 0, 0}
/* clang-format on */

/** Runs the loop of a command; `values` are the command's. 0 for `until_ms`: to the end. */
typedef fs_status (*cli_campaign_loop)(const void *values, coord_campaign *campaign,
                                       uint64_t until_ms);

/** Opens the campaign of a file, runs the loop, writes the report if the campaign is complete, and
 * prints the status document with --json, also of a campaign that was stopped. `values` begins with
 * a cli_campaign.
 * @return how the loop ended. Errors: those of the campaign's files, store, report and status. */
FS_MUST_CHECK fs_status cli_campaign_run(const void *values, const char *file,
                                         cli_campaign_loop loop);

#endif
