/* Where a campaign's models and data lie. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "campaign_read.h"
#include "file.h"
#include "names.h"
#include "utf8.h"

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
    FS_TRY(fs_path_dir(dir, file));
    fs_status status = fs_model_find(path, name, dir);
    return status == FS_OK ? settle(at, path, out) : fs_yaml_wrap(at, status);
}

fs_status fs__file_find(const fs_yaml_at *at, const char *name, const char *file,
                        char out[FS_PATH_BYTES_MAX])
{
    char path[FS_PATH_BYTES_MAX], dir[FS_PATH_BYTES_MAX];
    if (file == NULL) return take_as_written(at, name, out);
    FS_TRY(fs_path_dir(dir, file));
    fs_status status = fs_path_join(path, dir, name);
    return status == FS_OK ? settle(at, path, out) : fs_yaml_wrap(at, status);
}

fs_status fs__data_find(const fs_yaml_at *at, const char *file, fs_task_kind kind,
                        char out[FS_PATH_BYTES_MAX])
{
    const char *name;
    char path[FS_PATH_BYTES_MAX], dir[FS_PATH_BYTES_MAX];
    FS_TRY(fs_yaml_text(at, &name));
    if (file == NULL) return take_as_written(at, name, out);
    FS_TRY(fs_path_dir(dir, file));
    fs_status status = fs_data_find(path, name, dir, kind);
    if (status == FS_EFORMAT) status = FS_ECONFIG; /* the name is at fault here */
    return status == FS_OK ? settle(at, path, out) : fs_yaml_wrap(at, status);
}
