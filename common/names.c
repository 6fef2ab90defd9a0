#include "names.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"

/* The campaign's folder, $FLIPSWEEP_ZOO, two folders of each of two trees, the cache. */
enum { PLACES_MAX = 7, TREE_LEVELS = 4 };

static const char models_dir[] = "models/zoo", data_dir[] = "experiments/data";

typedef struct places {
    char dir[PLACES_MAX][FS_PATH_BYTES_MAX];
    size_t count;
} places;

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

fs_status fs_cache_dir(char out[FS_PATH_BYTES_MAX])
{
    const char *cache = variable("FLIPSWEEP_CACHE"), *xdg = variable("XDG_CACHE_HOME");
    const char *home = variable("HOME");
    if (cache != NULL) return fs_path_join(out, "", cache);
    /* The XDG specification: a relative path is to be ignored. */
    if (xdg != NULL && xdg[0] == '/') return fs_path_join(out, xdg, "flipsweep");
    if (home != NULL) return fs_path_join(out, home, ".cache/flipsweep");
    return fs_fail(FS_ENOENT, "no folder for the cache: none of FLIPSWEEP_CACHE, XDG_CACHE_HOME "
                              "and HOME is set");
}

static int is_part(const char *text, size_t size)
{
    if (size == 0 || size >= FS_REPO_NAME_BYTES_MAX) return 0;
    if (!isalnum((unsigned char)text[0]) && text[0] != '_') return 0;
    for (size_t i = 0; i < size; i++) {
        if (!isalnum((unsigned char)text[i]) && strchr("._-", text[i]) == NULL) return 0;
        if (i > 0 && text[i] == '.' && text[i - 1] == '.') return 0;
    }
    return 1;
}

int fs_repo_name_valid(const char *name, int owner)
{
    const char *slash = strchr(name, '/');
    if (!owner) return slash == NULL && is_part(name, strlen(name));
    return slash != NULL && is_part(name, (size_t)(slash - name)) &&
           is_part(slash + 1, strlen(slash + 1));
}

/* --- Places ----------------------------------------------------------------------------------- */

/** A place that is searched twice, or whose path is too long, is left out. */
static void add_place(places *self, const char *dir, const char *name)
{
    char *place = self->dir[self->count];
    fs_status status = name == NULL ? fs_path_join(place, "", dir) : fs_path_join(place, dir, name);
    if (status != FS_OK) return;
    for (size_t i = 0; i < self->count; i++)
        if (strcmp(self->dir[i], place) == 0) return;
    self->count++;
}

/** Finds the nearest folder above the program that holds a zoo. */
static int find_tree(char out[FS_PATH_BYTES_MAX])
{
    char path[FS_PATH_BYTES_MAX], probe[FS_PATH_BYTES_MAX];
    if (fs_path_sibling(path, "flipsweep") != FS_OK) return 0;
    for (int level = 0; level < TREE_LEVELS; level++) {
        if (fs_path_dir(out, path) != FS_OK) return 0;
        if (fs_path_join(probe, out, models_dir) == FS_OK && fs_dir_exists(probe)) return 1;
        if (fs_path_join(probe, out, data_dir) == FS_OK && fs_dir_exists(probe)) return 1;
        memcpy(path, out, FS_PATH_BYTES_MAX);
    }
    return 0;
}

/** Collects the folders in which a bare name is looked up. `kind_dir` is the tree's folder of what
 * is sought; the other one is no place for it. "." and ".." are paths, not names. */
static void find_places(places *self, const char *name, const char *base, const char *kind_dir)
{
    char dir[FS_PATH_BYTES_MAX];
    const char *zoo = variable("FLIPSWEEP_ZOO");
    self->count = 0;
    if (base != NULL) add_place(self, base, NULL);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return;
    if (zoo != NULL) add_place(self, zoo, NULL);
    if (find_tree(dir)) add_place(self, dir, kind_dir);
    add_place(self, FS_SOURCE_TREE, kind_dir);
    if (fs_cache_dir(dir) == FS_OK) add_place(self, dir, NULL);
}

static fs_status not_found(const char *name, const char *what, const places *searched)
{
    char list[640] = "";
    size_t used = 0;
    for (size_t i = 0; i < searched->count; i++) {
        int n =
            snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : ", ", searched->dir[i]);
        if (n < 0 || (size_t)n >= sizeof list - used) break;
        used += (size_t)n;
    }
    return fs_fail(FS_ENOENT, "no %s '%.80s'; looked in %s (`flipsweep fetch` fills the cache)",
                   what, name, list);
}

/* --- Models ----------------------------------------------------------------------------------- */

static int is_model(const char *path)
{
    char config[FS_PATH_BYTES_MAX];
    return fs_path_join(config, path, "config.json") == FS_OK && fs_file_exists(config);
}

/** Looks for OWNER/NAME where fetch leaves it. */
static int find_fetched(char out[FS_PATH_BYTES_MAX], const char *name)
{
    char cache[FS_PATH_BYTES_MAX];
    return fs_repo_name_valid(name, 1) && fs_cache_dir(cache) == FS_OK &&
           fs_path_join(out, cache, name) == FS_OK && is_model(out);
}

static fs_status find_model_path(char out[FS_PATH_BYTES_MAX], const char *name, const char *base)
{
    char path[FS_PATH_BYTES_MAX];
    if (base != NULL) {
        FS_TRY(fs_path_join(out, base, name));
        if (is_model(out)) return FS_OK;
    }
    if (find_fetched(out, name)) return FS_OK;
    if (base == NULL) return fs_fail(FS_ENOENT, "no model '%.400s' in the cache", name);
    FS_TRY(fs_path_join(path, base, name));
    return fs_fail(FS_ENOENT, "no model at '%.400s': %s%s", path,
                   fs_dir_exists(path) ? "the folder has no config.json"
                                       : "there is no such folder",
                   fs_repo_name_valid(name, 1) ? ", and the cache has no model of that name" : "");
}

fs_status fs_model_find(char out[FS_PATH_BYTES_MAX], const char *name, const char *base)
{
    places searched;
    if (name[0] == '\0') return fs_fail(FS_ENOENT, "the model's name is empty");
    if (strchr(name, '/') != NULL) return find_model_path(out, name, base);
    find_places(&searched, name, base, models_dir);
    for (size_t i = 0; i < searched.count; i++)
        if (fs_path_join(out, searched.dir[i], name) == FS_OK && is_model(out)) return FS_OK;
    return not_found(name, "model folder", &searched);
}

fs_status fs_model_argument(char out[FS_PATH_BYTES_MAX], const char *argument)
{
    int is_path = strchr(argument, '/') != NULL;
    if (!fs_file_exists(argument) && (!is_path || find_fetched(out, argument)))
        return fs_model_find(out, argument, ".");
    return fs_path_join(out, "", argument);
}

/* --- Data ------------------------------------------------------------------------------------- */

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

fs_status fs_data_find(char out[FS_PATH_BYTES_MAX], const char *name, const char *base,
                       fs_task_kind kind)
{
    char path[FS_PATH_BYTES_MAX];
    places searched;
    if (name[0] == '\0') return fs_fail(FS_ENOENT, "the data's name is empty");
    if (strchr(name, '/') != NULL) {
        FS_TRY(fs_path_join(path, base == NULL ? "" : base, name));
        if (find_file(path, kind, out)) return FS_OK;
        if (fs_file_exists(path)) return fs_fail(FS_EFORMAT, "'%.400s' is no regular file", path);
        return fs_path_join(out, "", path);
    }
    find_places(&searched, name, base, data_dir);
    for (size_t i = 0; i < searched.count; i++)
        if (fs_path_join(path, searched.dir[i], name) == FS_OK && find_file(path, kind, out))
            return FS_OK;
    return not_found(name, "data file", &searched);
}

fs_status fs_data_argument(char out[FS_PATH_BYTES_MAX], const char *argument, fs_task_kind kind)
{
    if (strchr(argument, '/') == NULL && !fs_file_exists(argument))
        return fs_data_find(out, argument, ".", kind);
    return fs_path_join(out, "", argument);
}
