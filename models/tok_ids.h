/** Growing a list of ids; shared by the tokenisers. */
#ifndef TOK_IDS_H
#define TOK_IDS_H

#include "tok.h"

/** Makes room for `extra` more ids. Errors: FS_ENOMEM; the list is as it was. */
FS_MUST_CHECK fs_status tok_ids_reserve(tok_ids *self, size_t extra);
FS_MUST_CHECK fs_status tok_ids_push(tok_ids *self, int32_t id);

#endif
