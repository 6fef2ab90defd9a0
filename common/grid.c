#include "grid.h"

#include <math.h>
#include <stdlib.h>

#include "assert.h"

/* Values of one copy. */
static uint64_t each(const fs_grid *self)
{
    if (self->lower) return (uint64_t)self->rows * ((uint64_t)self->rows + 1) / 2;
    return (uint64_t)self->rows * self->cols;
}

uint64_t fs_grid_values(const fs_grid *self)
{
    FS_ASSERT(!self->lower || self->rows == self->cols);
    return self->copies * each(self);
}

/* The row of a triangle's n-th value, row r holding r + 1 of them. */
static uint64_t row_of_triangle(uint64_t n)
{
    uint64_t row = (uint64_t)((sqrt(8.0 * (double)n + 1) - 1) / 2);
    while (row * (row + 1) / 2 > n) row--;
    while ((row + 1) * (row + 2) / 2 <= n) row++;
    return row;
}

fs_grid_at fs_grid_find(const fs_grid *self, uint64_t n)
{
    const uint64_t size = each(self), copy = n / size, local = n % size;
    const uint64_t row = self->lower ? row_of_triangle(local) : local / self->cols;
    const uint64_t col = local - (self->lower ? row * (row + 1) / 2 : row * self->cols);
    FS_ASSERT(copy < self->copies);
    return (fs_grid_at){(uint32_t)copy, (uint32_t)row, (uint32_t)col};
}

uint64_t fs_grid_number(const fs_grid *self, fs_grid_at at)
{
    FS_ASSERT(at.copy < self->copies && at.row < self->rows && at.col < self->cols);
    FS_ASSERT(!self->lower || at.col <= at.row);
    const uint64_t row = at.row, before = self->lower ? row * (row + 1) / 2 : row * self->cols;
    return at.copy * each(self) + before + at.col;
}

fs_status fs_grids_init(fs_grids *self, size_t count_max)
{
    *self = (fs_grids){.items = malloc((count_max + 1) * sizeof *self->items),
                       .first = calloc(count_max + 1, sizeof *self->first)};
    if (self->items != NULL && self->first != NULL) return FS_OK;
    fs_grids_free(self);
    return fs_fail(FS_ENOMEM, "no memory for %zu grids", count_max);
}

void fs_grids_free(fs_grids *self)
{
    free(self->items);
    free(self->first);
    *self = (fs_grids){0};
}

void fs_grids_add(fs_grids *self, fs_grid grid)
{
    self->items[self->count] = grid;
    self->first[self->count + 1] = self->first[self->count] + fs_grid_values(&grid);
    self->count++;
}

void fs_grids_trim(fs_grids *self)
{
    fs_grid *items = realloc(self->items, (self->count + 1) * sizeof *items);
    uint64_t *first = realloc(self->first, (self->count + 1) * sizeof *first);
    if (items != NULL) self->items = items;
    if (first != NULL) self->first = first;
}

uint64_t fs_grids_values(const fs_grids *self)
{
    return self->count == 0 ? 0 : self->first[self->count];
}

size_t fs_grids_find(const fs_grids *self, uint64_t n, size_t hint)
{
    FS_ASSERT(n < fs_grids_values(self));
    if (hint < self->count && n >= self->first[hint] && n < self->first[hint + 1]) return hint;
    size_t low = 0, high = self->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (self->first[middle] <= n)
            low = middle;
        else
            high = middle;
    }
    return low;
}
