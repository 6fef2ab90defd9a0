/** What `run` and `serve` have in common: from a campaign file to an open store and a running loop.
 *
 * Results lie in an output folder, by default flipsweep-NAME in the current one. The live store is
 * there too, unless --state-dir names another place (an output folder on a network file system);
 * the output folder then holds a file `state-dir` that says where, so that every later command
 * needs the output folder only. Thread rule: one thread at a time. */
#ifndef COORD_CAMPAIGN_H
#define COORD_CAMPAIGN_H

#include "buf.h"
#include "campaign.h"
#include "limits.h"
#include "plan.h"
#include "store.h"

typedef struct coord_campaign {
    fs_campaign *campaign;
    fs_plan *plan;
    fs_buf text;                 /* effective campaign */
    char dir[FS_PATH_BYTES_MAX]; /* output folder */
    char state_dir[FS_PATH_BYTES_MAX];
    fs_store *store;
} coord_campaign;

/** Reads, plans, makes the folders, opens the store. `dir` and `state_dir` may be NULL. With
 * `simulate` no model is needed and the store is marked as simulated.
 * Errors: those of fs_campaign_read, fs_plan_new and fs_store_open; FS_ENOENT if weights or data
 * are missing. */
FS_MUST_CHECK fs_status coord_campaign_open(coord_campaign *out, const char *file, const char *dir,
                                            const char *state_dir, int simulate);
/** Closes what is open; idempotent. */
void coord_campaign_close(coord_campaign *self);

/** Writes the folder of the live store behind an output folder: itself, or what its `state-dir`
 * says. Errors: FS_EFORMAT for a damaged `state-dir`. */
FS_MUST_CHECK fs_status coord_state_dir(char *out, const char *dir);

/** An ipc:// endpoint that only this user reaches: in the store's folder, or in a fresh folder
 * below TMPDIR where that path is too long for a socket; `temporary` then names the folder to be
 * removed afterwards, else it is empty. Both hold FS_PATH_BYTES_MAX bytes. Errors: FS_EIO. */
FS_MUST_CHECK fs_status coord_private_endpoint(const char *state_dir, char *endpoint,
                                               char *temporary);
/** Removes what coord_private_endpoint left. */
void coord_private_endpoint_remove(const char *endpoint, const char *temporary);

#endif
