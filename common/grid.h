/** Values in rows and columns, as patterns of faults run through them.
 *
 * A slice of a tensor is a grid; so is a stage of one layer in the forward pass of one input, where
 * attention weights are several: a copy for each head. Values are numbered copy by copy, row by
 * row. Thread rule: reentrant. */
#ifndef FS_GRID_H
#define FS_GRID_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

typedef struct fs_grid {
    uint32_t copies;
    uint32_t rows; /* of each copy */
    uint32_t cols;
    uint32_t lower; /* nonzero: row r has columns 0..r only, as causal attention; rows == cols */
} fs_grid;

/** A value's place. */
typedef struct fs_grid_at {
    uint32_t copy;
    uint32_t row;
    uint32_t col;
} fs_grid_at;

/** Grids one behind the other, numbered through. */
typedef struct fs_grids {
    fs_grid *items;
    uint64_t *first; /* [count + 1] number of the first value of each */
    size_t count;
} fs_grids;

/** @return values of all copies. */
uint64_t fs_grid_values(const fs_grid *self);
/** The place of value n, below fs_grid_values(). */
fs_grid_at fs_grid_find(const fs_grid *self, uint64_t n);
/** @return the number of a value that the grid has. */
uint64_t fs_grid_number(const fs_grid *self, fs_grid_at at);

/** Makes room for `count_max` grids, and holds none yet. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_grids_init(fs_grids *self, size_t count_max);
void fs_grids_free(fs_grids *self);
/** Adds one behind the others; there must be room. */
void fs_grids_add(fs_grids *self, fs_grid grid);
/** Gives back the room that is not used. */
void fs_grids_trim(fs_grids *self);
/** @return values of all grids. */
uint64_t fs_grids_values(const fs_grids *self);
/** @return the index of the grid of value n, below fs_grids_values(); tried first: `hint`. */
size_t fs_grids_find(const fs_grids *self, uint64_t n, size_t hint);

#endif
