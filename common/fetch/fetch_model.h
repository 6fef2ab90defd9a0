/** The files of a model, in the order in which mistakes cost least: config.json, the tokeniser, the
 * weights; then a look at all of them together. Thread rule: one thread. */
#ifndef FETCH_MODEL_H
#define FETCH_MODEL_H

#include "fetch_file.h"
#include "fetch_target.h"

/** Where a model's files come from. */
typedef struct fetch_model_source {
    const fetch_target *target;
    const char *folder;        /* copied from here; NULL: asked for at the target's server */
    const fetch_record *noted; /* what the folder's own record says; NULL: nothing */
    const char *sha256;        /* of model.safetensors; NULL: what is known by the short name */
} fetch_model_source;

enum { FETCH_NOTE_BYTES_MAX = 512 };

/** Brings all files of a BERT or GPT-2 into the session's staging folder and checks that they make
 * a model. `note` says what a user should know, "" for nothing.
 * Errors: FS_ENOENT, FS_EUNSUPPORTED and FS_EFORMAT naming the model and what is wrong with it,
 * those of fetch_file. */
FS_MUST_CHECK fs_status fetch_model(fetch_session *session, const fetch_model_source *source,
                                    char note[FETCH_NOTE_BYTES_MAX]);

#endif
