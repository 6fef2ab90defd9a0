#include "wk_leftovers.h"

#include <dirent.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "grow.h"
#include "log.h"
#include "outfile.h"

typedef struct leftover {
    char *path;
    struct timespec written;
} leftover;

typedef struct leftovers {
    leftover *items;
    size_t count, capacity;
} leftovers;

static int newer_first(const void *a, const void *b)
{
    const leftover *x = a, *y = b;
    if (x->written.tv_sec != y->written.tv_sec)
        return x->written.tv_sec > y->written.tv_sec ? -1 : 1;
    if (x->written.tv_nsec != y->written.tv_nsec)
        return x->written.tv_nsec > y->written.tv_nsec ? -1 : 1;
    return strcmp(x->path, y->path);
}

static int is_checkpoint(const char *name)
{
    const size_t size = strlen(name), ending = strlen(WK_CHECKPOINT_ENDING);
    return size > ending && strcmp(name + size - ending, WK_CHECKPOINT_ENDING) == 0;
}

/* Without memory the rest is not looked at. */
static void list(leftovers *self, const char *folder)
{
    char path[FS_PATH_BYTES_MAX];
    const struct dirent *entry;
    struct stat st;
    DIR *dir = opendir(folder);
    if (dir == NULL) return;
    while ((entry = readdir(dir)) != NULL) {
        if (!is_checkpoint(entry->d_name)) continue;
        if (fs_path_join(path, folder, entry->d_name) != FS_OK || stat(path, &st) != 0) continue;
        leftover *items = fs_grow(self->items, self->count, &self->capacity, sizeof *items);
        if (items == NULL) break;
        self->items = items;
        items[self->count] = (leftover){strdup(path), st.st_mtim};
        if (items[self->count].path == NULL) break;
        self->count++;
    }
    closedir(dir);
}

void wk_leftovers_sweep(const char *folder, size_t keep)
{
    leftovers all = {0};
    size_t removed = 0;
    fs_outfile_sweep_folder(folder);
    list(&all, folder);
    if (all.count > keep) qsort(all.items, all.count, sizeof *all.items, newer_first);
    for (size_t i = keep; i < all.count; i++) removed += unlink(all.items[i].path) == 0;
    if (removed > 0) fs_info("%s: %zu old checkpoints removed", folder, removed);
    for (size_t i = 0; i < all.count; i++) free(all.items[i].path);
    free(all.items);
}
