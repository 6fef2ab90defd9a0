/* What a list holds for one of its trials. */
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "fault_file.h"

fs_status fs_fault_file_faults(const fs_fault_file *self, uint64_t trial, fs_fault_list *out)
{
    FS_ASSERT(trial < self->trials);
    const size_t count = (size_t)(self->first[trial + 1] - self->first[trial]);
    out->count = 0;
    if (count > out->capacity) {
        fs_fault *items = realloc(out->items, count * sizeof *items);
        if (items == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu faults", count);
        out->items = items;
        out->capacity = count;
    }
    if (count > 0)
        memcpy(out->items, self->faults + self->first[trial], count * sizeof *out->items);
    out->count = count;
    return FS_OK;
}

fs_status fs_fault_file_checks(const fs_fault_file *self, uint64_t trial, const fs_protect *protect,
                               fs_check_list *out)
{
    FS_ASSERT(trial < self->trials);
    const fs_check_fault *from = self->checks + self->check_first[trial];
    const size_t count = (size_t)(self->check_first[trial + 1] - self->check_first[trial]);
    out->count = 0;
    if (count > out->capacity) {
        fs_check_fault *items = realloc(out->items, count * sizeof *items);
        if (items == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu faults", count);
        out->items = items;
        out->capacity = count;
    }
    for (size_t i = 0; i < count; i++) {
        unsigned at = 0;
        const int scale = from[i].codec == FS_CHECK_SCALE;
        while (!scale && at < protect->codec_count &&
               protect->codecs[at] != fs_codec_at(from[i].codec))
            at++;
        if (scale ? protect->format != FS_FORMAT_INT8 : at == protect->codec_count) continue;
        out->items[out->count] = from[i];
        out->items[out->count++].codec = scale ? FS_CHECK_SCALE : (uint8_t)at;
    }
    fs_check_list_sort(out);
    return FS_OK;
}
