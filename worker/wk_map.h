/** Which parts of a model read a value that a trial's faults changed.
 *
 * Rows of embeddings that no input reads count for nothing: a trial that hits only those needs no
 * forward pass. Thread rule: one thread at a time. */
#ifndef WK_MAP_H
#define WK_MAP_H

#include "dataset.h"
#include "geometry.h"
#include "wk_inject.h"

typedef struct wk_map {
    const fs_geometry *geometry; /* borrowed */
    const dataset *data;         /* borrowed */
    uint8_t *layer;              /* [layers] blocks with a changed value */
    int embedding;               /* something that every input reads */
    int embedding_some;          /* rows of token or position embeddings that some input reads */
    int head;
    uint8_t *token_read;   /* [vocab] embedding rows that an input reads */
    uint32_t longest;      /* input, in tokens: so many rows of positions are read */
    uint8_t *token_hit;    /* [vocab] embedding rows with a changed value */
    uint8_t *position_hit; /* [positions] */
} wk_map;

/** Errors: FS_ENOMEM; free it all the same. */
FS_MUST_CHECK fs_status wk_map_init(wk_map *self, const fs_geometry *geometry, const dataset *data);
void wk_map_free(wk_map *self);
/** Replaces what it says by what an injection changed. */
void wk_map_set(wk_map *self, const wk_injection *injection);
/** @return nonzero if an input's embeddings are changed. */
int wk_map_embeds(const wk_map *self, uint32_t input);

#endif
