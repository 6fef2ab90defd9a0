/* The faults of a trial, as a list that fs_fault_file_new reads. */
#include <inttypes.h>

#include "campaign.h"
#include "fault_file.h"

static void write_fault(FILE *out, const fs_geometry *geometry, const fs_fault *f)
{
    fprintf(out, "%s,%" PRIu64 ",%u,%s,\n", geometry->tensors[f->tensor].name, f->element, f->bit,
            fs_fault_kind_name((fs_fault_kind)f->kind));
}

static void write_check(FILE *out, const fs_geometry *geometry, const fs_protect *protect,
                        const fs_check_fault *f)
{
    const char *code = f->codec == FS_CHECK_SCALE ? "scale" : protect->codecs[f->codec]->name;
    fprintf(out, "%s,%" PRIu64 ",%u,%s,%s\n", geometry->tensors[f->tensor].name, f->element, f->bit,
            fs_fault_kind_name((fs_fault_kind)f->kind), code);
}

void fs_fault_file_write(FILE *out, const fs_geometry *geometry, const fs_protect *protect,
                         const fs_fault_list *faults, const fs_check_list *checks)
{
    fputs("tensor,index,bit,kind,code\n", out);
    for (size_t i = 0; i < faults->count; i++) write_fault(out, geometry, &faults->items[i]);
    for (size_t i = 0; i < checks->count; i++)
        write_check(out, geometry, protect, &checks->items[i]);
}
