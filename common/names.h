/** Where models and data lie that are named: beside a campaign, in the zoo, in the cache.
 *
 * A name with a slash is a path; if nothing is there and it reads OWNER/NAME, the cache has the
 * last word. A bare name is looked up, in this order:
 *
 *   1. the folder that relative paths start from: NAME
 *   2. $FLIPSWEEP_ZOO, a folder of models and data: NAME
 *   3. the nearest tree above the program that has a zoo: models/zoo/NAME, experiments/data/NAME
 *   4. the tree that the program was built from, in the same two places
 *   5. the cache, filled by `flipsweep fetch`: NAME
 *
 * A model is a folder with a config.json; data is a file NAME, NAME.tsv or NAME.txt. A name says
 * where to look and no more: what a campaign means is settled by content hashes.
 * Thread rule: reentrant, as long as nobody changes the environment. Source: `cli.md`. */
#ifndef FS_NAMES_H
#define FS_NAMES_H

#include "config.h"
#include "limits.h"
#include "status.h"

/** Writes the cache's folder, which need not exist: $FLIPSWEEP_CACHE, else
 * $XDG_CACHE_HOME/flipsweep, else ~/.cache/flipsweep. Errors: FS_ENOENT if none of the variables
 * says where, FS_ELIMIT. */
FS_MUST_CHECK fs_status fs_cache_dir(char out[FS_PATH_BYTES_MAX]);

/** Finds a model's folder.
 * @param base  folder that relative paths start from; NULL: the name is no path, and only zoo and
 *              cache are searched
 * Errors: FS_ENOENT naming the places that were searched, FS_ELIMIT. */
FS_MUST_CHECK fs_status fs_model_find(char out[FS_PATH_BYTES_MAX], const char *name,
                                      const char *base);
/** Finds a data file in the same way; the task's own ending is tried first. A path that leads to
 * nothing is FS_OK and written as it is: who opens it will say so.
 * Errors: FS_ENOENT naming the places that were searched, FS_EFORMAT for what is no regular file,
 * FS_ELIMIT. */
FS_MUST_CHECK fs_status fs_data_find(char out[FS_PATH_BYTES_MAX], const char *name,
                                     const char *base, fs_task_kind kind);

/** The same for an argument of a command: what exists in the working directory is taken as it is,
 * whatever it is, and so is a path that leads to nothing. */
FS_MUST_CHECK fs_status fs_model_argument(char out[FS_PATH_BYTES_MAX], const char *argument);
FS_MUST_CHECK fs_status fs_data_argument(char out[FS_PATH_BYTES_MAX], const char *argument,
                                         fs_task_kind kind);

/** @return nonzero for "OWNER/NAME" or, with `owner` 0, for "NAME": letters, digits, '.', '_' and
 * '-', beginning with a letter, a digit or '_', no "..", each part shorter than
 * FS_REPO_NAME_BYTES_MAX. */
int fs_repo_name_valid(const char *name, int owner);

#endif
