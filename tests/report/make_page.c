/* make_page OUTDIR: writes pages of invented stores through the program's own writer, which the
 * browser test opens, so that writer and reader cannot drift apart. */
#include <stdio.h>

#include "file.h"
#include "report.h"
#include "report_fixture.h"

static fs_status page(const char *folder, const char *file, const char *name, unsigned percent)
{
    char path[FS_PATH_BYTES_MAX];
    report_fixture *f = report_fixture_new(name, REPORT_TRIALS);
    for (uint32_t cell = 0; cell < REPORT_CELLS && percent > 0; cell++) {
        uint64_t trials = (cell == 0 ? REPORT_TRIALS - 1 : REPORT_TRIALS) * percent / 100;
        if (percent == 100 || cell < 4) report_fixture_run(f, cell, trials);
    }
    if (percent > 0) report_fixture_journal(f, "</script><img src=x onerror=alert(1)>\xff<!--");
    fs_status status = fs_path_join(path, folder, file);
    if (status == FS_OK) status = report_write(f->store, &f->base->plan, path);
    report_fixture_free(f);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 2) return fprintf(stderr, "usage: make_page OUTDIR\n"), 2;
    fs_status status = fs_dir_make(argv[1]);
    if (status == FS_OK) status = page(argv[1], "full.html", "</script><b>&\xc3\x28 \"x\"", 100);
    if (status == FS_OK) status = page(argv[1], "part.html", "part of it", 40);
    if (status == FS_OK) status = page(argv[1], "none.html", "nothing yet", 0);
    if (status != FS_OK) fprintf(stderr, "make_page: %s\n", fs_status_detail());
    return status == FS_OK ? 0 : 1;
}
