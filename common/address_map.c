#include "address_map.h"

#include <inttypes.h>
#include <stdlib.h>

enum { COLUMN_TENSOR, COLUMN_BASE, COLUMN_BYTES };

static const fs_csv_column columns[] = {{"tensor", 1}, {"base", 1}, {"bytes", 0}, {NULL, 0}};

/* Bytes [base, base + bytes); a tensor has at least one, and its last address fits 64 bits. */
typedef struct range {
    uint64_t base;
    uint64_t bytes;
    uint32_t tensor;
    size_t line;
} range;

struct fs_address_map {
    const fs_geometry *geometry;
    unsigned word_bytes;
    range *ranges; /* by base */
    size_t count;
};

static uint64_t last_of(const range *r)
{
    return r->base + (r->bytes - 1);
}

static fs_status read_range(fs_address_map *self, const fs_csv *csv)
{
    range *r = &self->ranges[self->count];
    uint64_t bytes;
    r->line = csv->line;
    if (fs_geometry_find(self->geometry, csv->field[COLUMN_TENSOR], &r->tensor) != FS_OK)
        return fs_wrap(FS_EFORMAT, "%s:%zu", csv->path, csv->line);
    const fs_tensor *tensor = &self->geometry->tensors[r->tensor];
    for (size_t i = 0; i < self->count; i++)
        if (self->ranges[i].tensor == r->tensor)
            return fs_csv_fail(csv, FS_EFORMAT, "tensor %s has its place in line %zu", tensor->name,
                               self->ranges[i].line);
    r->bytes = (uint64_t)tensor->rows * tensor->cols * self->word_bytes;
    FS_TRY(fs_csv_parse(csv, "base", csv->field[COLUMN_BASE], 1, UINT64_MAX, &r->base));
    if (r->base > UINT64_MAX - (r->bytes - 1))
        return fs_csv_fail(csv, FS_EFORMAT, "tensor %s of %" PRIu64 " bytes ends beyond 64 bits",
                           tensor->name, r->bytes);
    self->count++;
    const char *given = csv->field[COLUMN_BYTES];
    if (given == NULL || given[0] == '\0') return FS_OK;
    FS_TRY(fs_csv_parse(csv, "bytes", given, 1, UINT64_MAX, &bytes));
    if (bytes == r->bytes) return FS_OK;
    return fs_csv_fail(csv, FS_EFORMAT,
                       "tensor %s is of %u x %u words of %u bytes, %" PRIu64 " bytes, not %" PRIu64,
                       tensor->name, tensor->rows, tensor->cols, self->word_bytes, r->bytes, bytes);
}

static int compare(const void *a, const void *b)
{
    const range *x = a, *y = b;
    return (x->base > y->base) - (x->base < y->base);
}

static fs_status check_overlaps(const fs_address_map *self, const char *path)
{
    for (size_t i = 1; i < self->count; i++) {
        const range *a = &self->ranges[i - 1], *b = &self->ranges[i];
        if (last_of(a) < b->base) continue;
        const range *later = a->line > b->line ? a : b, *earlier = later == a ? b : a;
        return fs_fail(FS_EFORMAT, "%s:%zu: tensor %s overlaps %s of line %zu", path, later->line,
                       self->geometry->tensors[later->tensor].name,
                       self->geometry->tensors[earlier->tensor].name, earlier->line);
    }
    return FS_OK;
}

static fs_status read_all(fs_address_map *self, const char *path, const void *text, size_t size)
{
    fs_csv csv;
    int more;
    FS_TRY(fs_csv_open(&csv, path, text, size, columns));
    for (;;) {
        FS_TRY(fs_csv_next(&csv, &more));
        if (!more) break;
        FS_TRY(read_range(self, &csv));
    }
    if (self->count == 0) return fs_fail(FS_EFORMAT, "%s: maps no tensor", path);
    qsort(self->ranges, self->count, sizeof *self->ranges, compare);
    return check_overlaps(self, path);
}

fs_status fs_address_map_new(fs_address_map **out, const char *path, const void *text, size_t size,
                             const fs_geometry *geometry, const fs_format *format)
{
    *out = NULL;
    fs_address_map *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a map of addresses");
    self->geometry = geometry;
    self->word_bytes = format->bits / 8;
    /* A tensor is given once: one row more than there are tensors is refused before it is kept. */
    self->ranges = calloc(geometry->tensor_count + 1, sizeof *self->ranges);
    fs_status status = self->ranges == NULL ? fs_fail(FS_ENOMEM, "no memory for a map of addresses")
                                            : read_all(self, path, text, size);
    if (status != FS_OK)
        fs_address_map_destroy(&self);
    else
        *out = self;
    return status;
}

void fs_address_map_destroy(fs_address_map **self)
{
    if (*self == NULL) return;
    free((*self)->ranges);
    free(*self);
    *self = NULL;
}

int fs_address_map_find(const fs_address_map *self, uint64_t address, uint32_t *tensor,
                        uint64_t *element, unsigned *byte)
{
    size_t low = 0, high = self->count; /* the last range that begins at or below the address */
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (self->ranges[middle].base <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || address > last_of(&self->ranges[low - 1])) return 0;
    const range *r = &self->ranges[low - 1];
    *tensor = r->tensor;
    *element = (address - r->base) / self->word_bytes;
    *byte = (unsigned)((address - r->base) % self->word_bytes);
    return 1;
}
