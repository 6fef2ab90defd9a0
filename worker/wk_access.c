#include "wk_access.h"

#include <jansson.h>

#include "file.h"

enum { ACCESS_BYTES_MAX = 1 << 16 };

fs_status wk_access_read(char out[FS_PATH_BYTES_MAX], const char *path)
{
    fs_buf text = {0};
    fs_status status = fs_file_read(&text, path, ACCESS_BYTES_MAX);
    json_error_t error;
    json_t *root = status == FS_OK ? json_loadb(fs_buf_text(&text), text.size, 0, &error) : NULL;
    const char *endpoint = json_string_value(json_object_get(root, "endpoint"));
    if (status == FS_OK && root == NULL) {
        status = fs_fail(FS_EFORMAT, "%s:%d: %s", path, error.line, error.text);
    } else if (status == FS_OK && endpoint == NULL) {
        status =
            fs_fail(FS_EFORMAT, "%s: no \"endpoint\"; `flipsweep serve` writes access files", path);
    } else if (status == FS_OK) {
        status = fs_path_join(out, "", endpoint);
    }
    json_decref(root);
    fs_buf_free(&text);
    return status;
}
