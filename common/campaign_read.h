/** The parts of the campaign reader. Internal to campaign.c and campaign_*.c. */
#ifndef FS_CAMPAIGN_READ_H
#define FS_CAMPAIGN_READ_H

#include "campaign.h"
#include "yaml_reader.h"

#define FS_LATER           "is not supported by this version yet"
#define FS_DTYPE_ELSEWHERE "belongs to an arm: write it there, or once for all arms beside 'arms'"

/** An fs_yaml_read of one sweep; target: fs_sweep, zeroed. */
FS_MUST_CHECK fs_status fs__sweep_read(const fs_yaml_at *at, void *target);
/** The same of its `site`. */
FS_MUST_CHECK fs_status fs__site_read(const fs_yaml_at *at, void *target);
/** Of a class that is not drawn: reads the file's name, and the keys beside it. */
FS_MUST_CHECK fs_status fs__list_read(const fs_yaml_at *at, void *target);
extern const fs_yaml_field fs__list_fields[]; /* with an end */
/** Checks which of fs__list_fields were `given`, for any class. */
FS_MUST_CHECK fs_status fs__list_check(const fs_yaml_at *at, const fs_sweep *sweep, uint64_t given);
/** Finds and reads the files of a sweep that has any, for a campaign at `file` as in fs__data_find,
 * and settles its trials. Errors: FS_EREFUSED for a file that is not the one whose hash is given,
 * FS_ECONFIG for more trials than it has; those of fs_fault_source_read. */
FS_MUST_CHECK fs_status fs__list_settle(const fs_yaml_at *at, fs_sweep *sweep, const char *file);
/** A sweep without a site is of all parameters. */
void fs__site_default(fs_sweep *sweep);
/** Appends "none" or "[layer, component]". */
FS_MUST_CHECK fs_status fs__by_write(unsigned by, fs_buf *out);
/** The same of its `kind` and its `pattern`. */
FS_MUST_CHECK fs_status fs__kinds_read(const fs_yaml_at *at, void *target);
FS_MUST_CHECK fs_status fs__patterns_read(const fs_yaml_at *at, void *target);
/** Fills in their defaults, and refuses what no amount of this sweep can mean. */
FS_MUST_CHECK fs_status fs__forms_settle(const fs_yaml_at *at, fs_sweep *sweep);
/** Appends one of them as a campaign has it: "{burst: 4}", "{row: all}". */
FS_MUST_CHECK fs_status fs__kind_write(fs_form_kind kind, fs_buf *out);
FS_MUST_CHECK fs_status fs__pattern_write(fs_form_pattern pattern, fs_buf *out);

/** Finds the folder that `at` names for a campaign at `file`, and writes its absolute path. NULL
 * for `file`: the path is absolute and taken as it is, whatever lies there.
 * Errors: FS_ENOENT naming the places that were searched, FS_ECONFIG, FS_ELIMIT. */
FS_MUST_CHECK fs_status fs__model_find(const fs_yaml_at *at, const char *file,
                                       char out[FS_PATH_BYTES_MAX]);
/** Finds a data file in the same way. A path with a slash may be absent: planning needs no data. */
FS_MUST_CHECK fs_status fs__data_find(const fs_yaml_at *at, const char *file, fs_task_kind kind,
                                      char out[FS_PATH_BYTES_MAX]);

/** Finds a file by its path alone; it exists, or `file` is NULL. */
FS_MUST_CHECK fs_status fs__file_find(const fs_yaml_at *at, const char *name, const char *file,
                                      char out[FS_PATH_BYTES_MAX]);

/** Reads the section `finetune` of a campaign at `file`, as fs__data_find, and hashes its data if
 * they are there. Errors: FS_ECONFIG; FS_EREFUSED for data that are not those of data_hash; those
 * of reading them. */
FS_MUST_CHECK fs_status fs__finetune_read(const fs_yaml_at *at, const char *file, fs_task_kind kind,
                                          fs_finetune *out);
/** Appends a line for each key that decides a bit of a result, `start` before it. */
FS_MUST_CHECK fs_status fs__finetune_write(const fs_finetune *self, const char *start, fs_buf *out);

#endif
