/* Where a campaign's models and data lie. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "campaign_read.h"
#include "file.h"
#include "utf8.h"

enum { PLACES_MAX = 5, HOME_LEVELS = 4 };

/** Folders in which a bare name is looked up, in order. */
typedef struct places {
    char dir[PLACES_MAX][FS_PATH_BYTES_MAX];
    size_t count;
} places;

static int is_model(const char *path)
{
    char config[FS_PATH_BYTES_MAX];
    return fs_path_join(config, path, "config.json") == FS_OK && fs_file_exists(config);
}

/** The tree that holds models/zoo: $FLIPSWEEP_HOME, else the nearest folder above the program. */
static int find_home(char out[FS_PATH_BYTES_MAX])
{
    const char *home = getenv("FLIPSWEEP_HOME");
    if (home != NULL && home[0] != '\0') return fs_path_join(out, "", home) == FS_OK;
    char path[FS_PATH_BYTES_MAX], probe[FS_PATH_BYTES_MAX];
    if (fs_path_sibling(path, "flipsweep") != FS_OK) return 0;
    for (int level = 0; level < HOME_LEVELS; level++) {
        if (fs_path_dir(out, path) != FS_OK) return 0;
        if (fs_path_join(probe, out, "models/zoo") == FS_OK && fs_dir_exists(probe)) return 1;
        if (fs_path_join(probe, out, "experiments/data") == FS_OK && fs_dir_exists(probe)) return 1;
        memcpy(path, out, FS_PATH_BYTES_MAX);
    }
    return 0;
}

static void add_place(places *self, const char *dir, const char *name)
{
    if (fs_path_join(self->dir[self->count], dir, name) == FS_OK) self->count++;
}

static fs_status find_places(places *self, const char *file)
{
    char home[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_dir(self->dir[0], file));
    self->count = 1;
    if (find_home(home)) {
        add_place(self, home, "models/zoo");
        add_place(self, home, "experiments/data");
    }
    const char *cache = getenv("FLIPSWEEP_CACHE"), *user = getenv("HOME");
    if (cache != NULL && cache[0] != '\0')
        add_place(self, "", cache);
    else if (user != NULL && user[0] != '\0')
        add_place(self, user, ".cache/flipsweep");
    return FS_OK;
}

/** Writes the absolute form of `path`, which the effective campaign will hold. */
static fs_status settle(const fs_yaml_at *at, const char *path, char out[FS_PATH_BYTES_MAX])
{
    char cwd[FS_PATH_BYTES_MAX];
    char *real = realpath(path, NULL);
    if (real != NULL) {
        fs_status status = fs_path_join(out, "", real);
        free(real);
        if (status != FS_OK) return fs_yaml_wrap(at, status);
    } else {
        if (getcwd(cwd, sizeof cwd) == NULL)
            return fs_yaml_fail(at, FS_EIO, "working directory: %s", strerror(errno));
        if (fs_path_join(out, cwd, path) != FS_OK) return fs_yaml_wrap(at, FS_ELIMIT);
    }
    for (const char *p = out; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return fs_yaml_fail(at, FS_ECONFIG, "its path contains a control character");
    if (!fs_utf8_valid(out, strlen(out)))
        return fs_yaml_fail(at, FS_ECONFIG, "its path is not UTF-8");
    return FS_OK;
}

static fs_status not_found(const fs_yaml_at *at, const char *name, const char *what,
                           const places *searched)
{
    char list[640] = "";
    size_t used = 0;
    for (size_t i = 0; i < searched->count; i++) {
        int n =
            snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : ", ", searched->dir[i]);
        if (n < 0 || (size_t)n >= sizeof list - used) break;
        used += (size_t)n;
    }
    return fs_yaml_fail(at, FS_ENOENT, "no %s '%.80s'; looked in %s", what, name, list);
}

/** A stored campaign's paths are absolute, and what they named may be gone. */
static fs_status take_as_written(const fs_yaml_at *at, const char *name,
                                 char out[FS_PATH_BYTES_MAX])
{
    if (name[0] != '/') return fs_yaml_fail(at, FS_ECONFIG, "is no absolute path");
    fs_status status = fs_path_join(out, "", name);
    return status == FS_OK ? FS_OK : fs_yaml_wrap(at, status);
}

fs_status fs__model_find(const fs_yaml_at *at, const char *file, char out[FS_PATH_BYTES_MAX])
{
    const char *name;
    char path[FS_PATH_BYTES_MAX], dir[FS_PATH_BYTES_MAX];
    FS_TRY(fs_yaml_text(at, &name));
    if (file == NULL) return take_as_written(at, name, out);
    if (strchr(name, '/') != NULL) {
        FS_TRY(fs_path_dir(dir, file));
        if (fs_path_join(path, dir, name) != FS_OK) return fs_yaml_wrap(at, FS_ELIMIT);
        if (!is_model(path))
            return fs_yaml_fail(at, FS_ENOENT, "no model at '%.400s': %s", path,
                                fs_dir_exists(path) ? "the folder has no config.json"
                                                    : "there is no such folder");
        return settle(at, path, out);
    }
    places searched;
    FS_TRY(find_places(&searched, file));
    for (size_t i = 0; i < searched.count; i++)
        if (fs_path_join(path, searched.dir[i], name) == FS_OK && is_model(path))
            return settle(at, path, out);
    return not_found(at, name, "model folder", &searched);
}

static int is_regular(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/** Looks for base, base.tsv and base.txt, the task's own kind first. */
static int find_file(const char *base, fs_task_kind kind, char out[FS_PATH_BYTES_MAX])
{
    static const char *const suffixes[2][3] = {{"", ".tsv", ".txt"}, {"", ".txt", ".tsv"}};
    for (size_t i = 0; i < 3; i++) {
        int n = snprintf(out, FS_PATH_BYTES_MAX, "%s%s", base, suffixes[kind == FS_TASK_LM][i]);
        if (n > 0 && n < FS_PATH_BYTES_MAX && is_regular(out)) return 1;
    }
    return 0;
}

fs_status fs__data_find(const fs_yaml_at *at, const char *file, fs_task_kind kind,
                        char out[FS_PATH_BYTES_MAX])
{
    const char *name;
    char base[FS_PATH_BYTES_MAX], path[FS_PATH_BYTES_MAX];
    FS_TRY(fs_yaml_text(at, &name));
    if (file == NULL) return take_as_written(at, name, out);
    if (strchr(name, '/') != NULL) {
        FS_TRY(fs_path_dir(path, file));
        if (fs_path_join(base, path, name) != FS_OK) return fs_yaml_wrap(at, FS_ELIMIT);
        if (find_file(base, kind, path)) return settle(at, path, out);
        if (fs_file_exists(base))
            return fs_yaml_fail(at, FS_ECONFIG, "'%.400s' is no regular file", base);
        return settle(at, base, out);
    }
    places searched;
    FS_TRY(find_places(&searched, file));
    for (size_t i = 0; i < searched.count; i++)
        if (fs_path_join(base, searched.dir[i], name) == FS_OK && find_file(base, kind, path))
            return settle(at, path, out);
    return not_found(at, name, "data file", &searched);
}
