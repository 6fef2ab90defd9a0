#include "report.h"

#include <stdlib.h>

#include "file.h"
#include "log.h"
#include "report_cells.h"
#include "report_meta.h"
#include "report_slots.h"
#include "report_tables.h"
#include "report_text.h"
#include "report_trials.h"
#include "summary.h"

static fs_status fill_cells(fs_buf *slot, fs_store *store, const summary *s)
{
    report_groups *groups = NULL;
    report_pair *pairs = NULL;
    fs_buf json = {0};
    fs_status status = report_pairs_new(&pairs, store, s);
    if (status == FS_OK) status = report_groups_new(&groups, s, pairs);
    if (status == FS_OK) status = report_cells_write(&json, s, groups, pairs);
    if (status == FS_OK) status = report_slots_pack(slot, json.data, json.size);
    report_groups_destroy(&groups);
    free(pairs);
    fs_buf_free(&json);
    return status;
}

static fs_status fill_trials(fs_buf *slot, report_sample *sample, fs_store *store, const summary *s)
{
    fs_buf json = {0};
    fs_status status = report_trials_write(&json, sample, store, s->plan, s->trials_done);
    if (status == FS_OK) status = report_slots_pack(slot, json.data, json.size);
    fs_buf_free(&json);
    return status;
}

static fs_status fill(fs_buf slots[REPORT_SLOT_COUNT], fs_store *store, const summary *s)
{
    report_sample sample;
    FS_TRY(report_html(&slots[REPORT_SLOT_TITLE], s->plan->campaign->name));
    FS_TRY(fs_buf_puts(&slots[REPORT_SLOT_TITLE], ": FlipSweep"));
    FS_TRY(report_tables_html(&slots[REPORT_SLOT_TABLES], s));
    FS_TRY(fill_cells(&slots[REPORT_SLOT_CELLS], store, s));
    FS_TRY(fill_trials(&slots[REPORT_SLOT_TRIALS], &sample, store, s));
    return report_meta_write(&slots[REPORT_SLOT_META], store, s, &sample, fs_store_dir(store));
}

static fs_status write_csv(const summary *s, const char *page_path)
{
    char folder[FS_PATH_BYTES_MAX], path[FS_PATH_BYTES_MAX];
    fs_buf csv = {0};
    fs_status status = fs_path_dir(folder, page_path);
    if (status == FS_OK) status = fs_path_join(path, folder, "cells.csv");
    if (status == FS_OK) status = report_tables_csv(&csv, s);
    if (status == FS_OK) status = fs_file_write_atomic(path, csv.data, csv.size);
    fs_buf_free(&csv);
    return status;
}

fs_status report_write_sized(fs_store *store, const fs_plan *plan, const char *out_path,
                             size_t *bytes)
{
    summary *s = NULL;
    fs_buf page = {0}, slots[REPORT_SLOT_COUNT] = {{0}};
    fs_status status = summary_new(&s, store, plan);
    if (status == FS_OK) status = fill(slots, store, s);
    if (status == FS_OK) {
        status =
            report_slots_fill(&page, (const char *)report_template, report_template_size, slots);
    }
    if (status == FS_OK) status = fs_file_write_atomic(out_path, page.data, page.size);
    if (status == FS_OK) status = write_csv(s, out_path);
    if (status == FS_OK) {
        *bytes = page.size;
        fs_info("%s: %.1f MB", out_path, (double)page.size / 1e6);
        if (page.size > REPORT_BYTES_WARN) {
            fs_warn("%s is large for a page; browsers may be slow to open it", out_path);
        }
    }
    for (int i = 0; i < REPORT_SLOT_COUNT; i++) fs_buf_free(&slots[i]);
    fs_buf_free(&page);
    summary_destroy(&s);
    return status;
}

fs_status report_write(fs_store *store, const fs_plan *plan, const char *out_path)
{
    size_t bytes;
    return report_write_sized(store, plan, out_path, &bytes);
}
