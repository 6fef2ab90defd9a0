/** What a training command's options mean together: checked, completed, written down. */
#ifndef MAIN_PLAN_H
#define MAIN_PLAN_H

#include "main_learn.h"
#include "tr_optimiser.h"

typedef struct main_plan {
    fs_config config; /* from scratch its vocabulary comes later, from the tokeniser */
    tr_head head;
    uint32_t window; /* of running text */
    uint64_t steps;  /* set once the data is open */
} main_plan;

/** The files of a tokeniser that change ids, those that there may be. */
enum { MAIN_PLAN_TOKENISER_FILES = 4 };
extern const char *const main_plan_tokeniser_files[MAIN_PLAN_TOKENISER_FILES];

/** Errors: FS_EUSAGE for options that lack or contradict each other, those of tr_load_config. */
FS_MUST_CHECK fs_status main_plan_make(main_plan *out, const main_learn *options);
/** Everything that decides the result, by the options' names; files by their content. The caller
 * owns it. Errors: FS_ENOENT, FS_EIO, FS_ENOMEM. */
FS_MUST_CHECK fs_status main_plan_describe(json_t **out, const char *verb,
                                           const main_learn *options, const main_plan *plan);
/** @return pieces of a new vocabulary. */
uint32_t main_plan_vocab(const main_learn *options);
tr_schedule_kind main_plan_schedule(const main_learn *options);

#endif
