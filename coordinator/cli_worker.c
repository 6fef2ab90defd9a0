#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "file.h"

enum { ACCESS_BYTES_MAX = 1 << 16 };

static const char access_option[] = "--access";

/** Reads the endpoint from an access file; malloced. */
static fs_status read_endpoint(const char *path, char **out)
{
    fs_buf text = {0};
    fs_status status = fs_file_read(&text, path, ACCESS_BYTES_MAX);
    json_error_t error;
    json_t *root = status == FS_OK ? json_loadb(fs_buf_text(&text), text.size, 0, &error) : NULL;
    const char *endpoint = json_string_value(json_object_get(root, "endpoint"));
    if (status == FS_OK && root == NULL)
        status = fs_fail(FS_EFORMAT, "%s:%d: %s", path, error.line, error.text);
    else if (status == FS_OK && endpoint == NULL)
        status =
            fs_fail(FS_EFORMAT, "%s: no \"endpoint\"; `flipsweep serve` writes access files", path);
    if (status == FS_OK) {
        *out = strdup(endpoint);
        if (*out == NULL) status = fs_fail(FS_ENOMEM, "out of memory");
    }
    json_decref(root);
    fs_buf_free(&text);
    return status;
}

/** @return the file named by `--access FILE` or `--access=FILE` at argv[i], NULL if it is not that.
 * `*used` is how many arguments it takes. */
static const char *access_file(int argc, char **argv, int i, int *used)
{
    size_t n = sizeof access_option - 1;
    if (strncmp(argv[i], access_option, n) != 0) return NULL;
    *used = argv[i][n] == '=' ? 1 : 2;
    if (argv[i][n] == '=') return argv[i] + n + 1;
    return argv[i][n] == '\0' && i + 1 < argc ? argv[i + 1] : NULL;
}

static fs_status pass(int argc, char **argv)
{
    static char connect[] = "--connect";
    char *endpoint = NULL;
    char **arguments = calloc((size_t)argc + 2, sizeof *arguments);
    if (arguments == NULL) return fs_fail(FS_ENOMEM, "out of memory");
    int count = 0;
    fs_status status = FS_OK;
    for (int i = 1, used = 1; i < argc && status == FS_OK; i += used) {
        used = 1;
        const char *file = endpoint == NULL ? access_file(argc, argv, i, &used) : NULL;
        if (file == NULL) {
            used = 1;
            arguments[count++] = argv[i];
            continue;
        }
        status = read_endpoint(file, &endpoint);
        arguments[count++] = connect;
        arguments[count++] = endpoint;
    }
    if (status == FS_OK) status = cli_become("flipsweep-worker", count, arguments);
    free(arguments);
    free(endpoint);
    return status;
}

const fs_command cli_worker = {
    .name = "worker",
    .summary = "Serves a coordinator: runs trials on this machine.",
    .synopsis = "(--connect ENDPOINT | --access FILE)",
    .details = "--access takes the file access.json that `flipsweep serve` leaves in its results.\n"
               "All other options are those of flipsweep-worker; see flipsweep-worker --help.\n",
    .pass = pass,
};
