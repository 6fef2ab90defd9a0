#include "fetch_source.h"

#include <stdio.h>
#include <string.h>

#include "file.h"

/** Writes "a/b"; a path that is too long is none. @return nonzero if something is there. */
static int is_at(char out[FS_PATH_BYTES_MAX], const char *dir, const char *name)
{
    int n = snprintf(out, FS_PATH_BYTES_MAX, "%s/%s", dir, name);
    return n > 0 && n < FS_PATH_BYTES_MAX && fs_file_exists(out);
}

static fs_status read_record(fetch_source *out, const char *path)
{
    FS_TRY(fetch_record_read(&out->record, path));
    out->has_record = 1;
    return FS_OK;
}

static fs_status find_model(fetch_source *out, const char *folder, const fetch_target *target)
{
    char mirror[FS_URL_BYTES_MAX + 128], path[FS_PATH_BYTES_MAX];
    const char *const places[] = {mirror, target->path, target->name, NULL}; /* NULL: itself */
    snprintf(mirror, sizeof mirror, "%s/resolve/%s", target->path, target->revision);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (places[i] == NULL)
            FS_TRY(fs_path_join(out->folder, "", folder));
        else if (!is_at(out->folder, folder, places[i]))
            continue;
        if (!is_at(path, out->folder, "config.json")) continue;
        return is_at(path, out->folder, FETCH_RECORD_NAME) ? read_record(out, path) : FS_OK;
    }
    return fs_fail(FS_ENOENT,
                   "%s holds no model %s: there is no config.json in %s, %s, %s nor in it", folder,
                   target->name, mirror, target->path, target->name);
}

/** @return nonzero if the record names all the data files that the target stands for. */
static int names_all(const fetch_record *record, const fetch_target *target)
{
    if (target->kind == FETCH_FILE) return fetch_record_find(record, target->name) != NULL;
    const fetch_member *members = target->known->members;
    for (size_t i = 0; i < FETCH_MEMBERS_MAX && members[i].output != NULL; i++)
        if (fetch_record_find(record, members[i].output) == NULL) return 0;
    return 1;
}

static fs_status find_data(fetch_source *out, const char *folder, const fetch_target *target)
{
    char name[FETCH_NAME_BYTES_MAX + 16], path[FS_PATH_BYTES_MAX];
    const char *file = fetch_target_file(target);
    FS_TRY(fs_path_join(out->folder, "", folder));
    snprintf(name, sizeof name, "%s.fetch.json", target->name);
    if (is_at(path, folder, name)) {
        FS_TRY(read_record(out, path));
        if (!names_all(&out->record, target))
            return fs_fail(FS_EFORMAT, "%s: does not name the files of %s", path, target->name);
        return FS_OK;
    }
    if (is_at(out->file, folder, target->path) || is_at(out->file, folder, file)) return FS_OK;
    return fs_fail(FS_ENOENT, "%s holds neither %s nor %s nor %s", folder, name, target->path,
                   file);
}

fs_status fetch_source_find(fetch_source *out, const char *folder, const fetch_target *target)
{
    *out = (fetch_source){.has_record = 0};
    if (!fs_dir_exists(folder)) return fs_fail(FS_ENOENT, "--from: %s is no folder", folder);
    return target->kind == FETCH_MODEL ? find_model(out, folder, target)
                                       : find_data(out, folder, target);
}
