/** The parts of the campaign reader. Internal to campaign.c and campaign_*.c. */
#ifndef FS_CAMPAIGN_READ_H
#define FS_CAMPAIGN_READ_H

#include "campaign.h"
#include "yaml_reader.h"

#define FS_LATER "is not supported by this version yet"

/** An fs_yaml_read of one sweep; target: fs_sweep, zeroed. */
FS_MUST_CHECK fs_status fs__sweep_read(const fs_yaml_at *at, void *target);
/** An fs_yaml_read that accepts "fp32" alone; no target. */
FS_MUST_CHECK fs_status fs__dtype_read(const fs_yaml_at *at, void *target);

/** Finds the folder that `at` names for a campaign at `file`, and writes its absolute path. NULL
 * for `file`: the path is absolute and taken as it is, whatever lies there.
 * Errors: FS_ENOENT naming the places that were searched, FS_ECONFIG, FS_ELIMIT. */
FS_MUST_CHECK fs_status fs__model_find(const fs_yaml_at *at, const char *file,
                                       char out[FS_PATH_BYTES_MAX]);
/** Finds a data file in the same way. A path with a slash may be absent: planning needs no data. */
FS_MUST_CHECK fs_status fs__data_find(const fs_yaml_at *at, const char *file, fs_task_kind kind,
                                      char out[FS_PATH_BYTES_MAX]);

#endif
