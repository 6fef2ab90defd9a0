#include "coord_campaign.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "file.h"
#include "log.h"

static const char state_file[] = "state-dir";
static const char bus_socket[] = "bus.sock";

enum { IPC_PREFIX_BYTES = 6 }; /* ipc:// */

/** Makes a path absolute, as other commands may run elsewhere. */
static fs_status absolute(char *out, const char *path)
{
    char here[FS_PATH_BYTES_MAX];
    if (path[0] == '/') return fs_path_join(out, "", path);
    if (getcwd(here, sizeof here) == NULL)
        return fs_fail(FS_EIO, "the current folder: %s", strerror(errno));
    return fs_path_join(out, here, path);
}

fs_status coord_state_dir(char *out, const char *dir)
{
    char path[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_join(path, dir, state_file));
    if (!fs_file_exists(path)) return fs_path_join(out, "", dir);
    fs_buf text = {0};
    fs_status status = fs_file_read(&text, path, FS_PATH_BYTES_MAX);
    if (status == FS_OK) {
        char *line = (char *)text.data;
        size_t length = line != NULL ? strcspn(line, "\n") : 0;
        if (length == 0 || line[0] != '/' || memchr(line, '\0', text.size) != NULL) {
            status = fs_fail(FS_EFORMAT, "%s: must hold one absolute path", path);
        } else {
            line[length] = '\0';
            status = fs_path_join(out, "", line);
        }
    }
    fs_buf_free(&text);
    return status;
}

static fs_status choose_folders(coord_campaign *self, const char *dir, const char *state_dir)
{
    char name[FS_NAME_BYTES_MAX + 16], path[FS_PATH_BYTES_MAX];
    snprintf(name, sizeof name, "flipsweep-%s", self->campaign->name);
    if ((dir != NULL && dir[0] == '\0') || (state_dir != NULL && state_dir[0] == '\0')) {
        return fs_fail(FS_EUSAGE, "the name of a results folder is empty");
    }
    FS_TRY(absolute(self->dir, dir != NULL ? dir : name));
    FS_TRY(fs_dir_make(self->dir));
    if (state_dir == NULL) return coord_state_dir(self->state_dir, self->dir);
    FS_TRY(absolute(self->state_dir, state_dir));
    FS_TRY(fs_dir_make(self->state_dir));
    char line[FS_PATH_BYTES_MAX + 1];
    int length = snprintf(line, sizeof line, "%s\n", self->state_dir);
    FS_TRY(fs_path_join(path, self->dir, state_file));
    return fs_file_write_atomic(path, line, (size_t)length);
}

/** Logs are full of addresses that were somebody else's: said once, not an error. */
static void tell_outside(const fs_plan *plan)
{
    for (uint32_t s = 0; s < plan->campaign->sweep_count; s++) {
        const fs_sweep *sweep = &plan->campaign->sweeps[s];
        const uint64_t outside = fs_plan_outside(plan, s);
        if (outside > 0)
            fs_info("sweep %s: %" PRIu64 " of %" PRIu64
                    " addresses lie in no tensor and hit nothing",
                    sweep->name, outside, sweep->source.faults);
    }
}

static fs_status open_all(coord_campaign *self, const char *file, const char *dir,
                          const char *state_dir, int simulate)
{
    FS_TRY(fs_campaign_read(&self->campaign, file));
    FS_TRY(fs_campaign_write(self->campaign, &self->text));
    FS_TRY(fs_plan_new(&self->plan, self->campaign));
    if (simulate) FS_TRY(fs_plan_mark_simulated(self->plan));
    if (!self->plan->has_fingerprint)
        return fs_fail(FS_ENOENT, "%s: %s", file,
                       self->plan->absent != NULL ? self->plan->absent : "weights are missing");
    tell_outside(self->plan);
    FS_TRY(choose_folders(self, dir, state_dir));
    return fs_store_open(&self->store, self->state_dir, FS_STORE_CREATE, self->plan,
                         fs_buf_text(&self->text));
}

fs_status coord_campaign_open(coord_campaign *out, const char *file, const char *dir,
                              const char *state_dir, int simulate)
{
    *out = (coord_campaign){0};
    fs_status status = open_all(out, file, dir, state_dir, simulate);
    if (status != FS_OK) coord_campaign_close(out);
    return status;
}

void coord_campaign_close(coord_campaign *self)
{
    if (self->store != NULL) fs_store_close(&self->store);
    fs_plan_destroy(&self->plan);
    fs_campaign_destroy(&self->campaign);
    fs_buf_free(&self->text);
}

static fs_status ipc_in(const char *dir, char *endpoint, int *fits)
{
    char path[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_join(path, dir, bus_socket));
    *fits = strlen(path) < sizeof((struct sockaddr_un *)0)->sun_path;
    if (*fits) snprintf(endpoint, FS_PATH_BYTES_MAX, "ipc://%.*s", FS_PATH_BYTES_MAX - 8, path);
    return FS_OK;
}

fs_status coord_private_endpoint(const char *state_dir, char *endpoint, char *temporary)
{
    int fits = 0;
    temporary[0] = '\0';
    FS_TRY(ipc_in(state_dir, endpoint, &fits));
    if (fits) return FS_OK;
    const char *base = getenv("TMPDIR");
    if (base == NULL || base[0] != '/' || strlen(base) > 64) base = "/tmp";
    FS_TRY(fs_path_join(temporary, base, "flipsweep-XXXXXX"));
    if (mkdtemp(temporary) == NULL) {
        int error = errno;
        fs_status status = fs_fail(FS_EIO, "%s: %s", temporary, strerror(error));
        temporary[0] = '\0';
        return status;
    }
    return ipc_in(temporary, endpoint, &fits);
}

void coord_private_endpoint_remove(const char *endpoint, const char *temporary)
{
    unlink(endpoint + IPC_PREFIX_BYTES);
    if (temporary[0] != '\0') rmdir(temporary);
}
