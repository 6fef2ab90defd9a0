#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "assert.h"
#include "file.h"
#include "store_impl.h"

/* The folder's own entry must survive a power loss too, or the store is gone with it. */
static fs_status sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fs_fail(FS_EIO, "%s: %s", path, strerror(errno));
    int rc = fsync(fd);
    int error = errno;
    close(fd);
    if (rc != 0 && error != EINVAL) return fs_fail(FS_EIO, "%s: fsync: %s", path, strerror(error));
    return FS_OK;
}

static fs_status sync_folders(const char *dir)
{
    char parent[FS_PATH_BYTES_MAX];
    FS_TRY(sync_folder(dir));
    FS_TRY(fs_path_dir(parent, dir));
    return sync_folder(parent);
}

static fs_status writer_init(fs_store *self, const fs_plan *plan)
{
    self->cell_count = plan->cell_count;
    self->planned = calloc(plan->cell_count + 1, sizeof *self->planned);
    self->slot = calloc(plan->cell_count + 1, sizeof *self->slot);
    if (self->planned == NULL || self->slot == NULL)
        return fs_fail(FS_ENOMEM, "no memory for %zu cells", plan->cell_count);
    for (size_t i = 0; i < plan->cell_count; i++) self->planned[i] = plan->cells[i].trials;
    return FS_OK;
}

static fs_status initialise(fs_store *self, const fs_plan *plan, const char *campaign_text)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(self->env, NULL, 0, &txn);
    if (rc != 0) return fs_store__error(self, rc, "begin");
    fs_status status = fs_store__plan_write(self, txn, plan, campaign_text);
    if (status != FS_OK) {
        mdb_txn_abort(txn);
        return status;
    }
    rc = mdb_txn_commit(txn);
    if (rc != 0) return fs_store__error(self, rc, "commit");
    return sync_folders(self->dir);
}

/* A store without a result belongs to nobody: a campaign that could not start, for a broken data
 * file say, must not lock its folder once the file is mended. */
static int holds_results(fs_store *self, MDB_txn *txn)
{
    static const int kept[] = {FS_DB_TRIALS, FS_DB_ATTEMPTS, FS_DB_QUARANTINE};
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        MDB_stat stat;
        if (mdb_stat(txn, self->dbi[kept[i]], &stat) != 0 || stat.ms_entries > 0) return 1;
    }
    return 0;
}

/* Empties every database, in one transaction with the new campaign's plan. */
static fs_status start_over(fs_store *self, const fs_plan *plan, const char *campaign_text)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(self->env, NULL, 0, &txn);
    if (rc != 0) return fs_store__error(self, rc, "begin");
    for (int i = 0; i < FS_DB_COUNT && rc == 0; i++) rc = mdb_drop(txn, self->dbi[i], 0);
    fs_status status = rc == 0 ? fs_store__plan_write(self, txn, plan, campaign_text)
                               : fs_store__error(self, rc, "empty");
    if (status != FS_OK) {
        mdb_txn_abort(txn);
        return status;
    }
    rc = mdb_txn_commit(txn);
    return rc == 0 ? FS_OK : fs_store__error(self, rc, "commit");
}

/* Reads or writes what the store says about its campaign. */
static fs_status open_campaign(fs_store *self, const fs_plan *plan, const char *campaign_text)
{
    MDB_txn *txn;
    const uint8_t *format;
    size_t size;
    fs_store_key key = fs_store__key_text(FS_STORE_KEY_FORMAT);
    FS_TRY(fs_store__read_begin(self, &txn));
    fs_status status = fs_store__get(self, txn, FS_DB_META, &key, &format, &size);
    if (status == FS_OK) {
        size_t want = strlen(FS_STORE_FORMAT);
        int readable = size == want && memcmp(format, FS_STORE_FORMAT, want) == 0;
        if (!readable)
            status = fs_fail(FS_EREFUSED, "%s: has the format \"%.*s\", this program writes \"%s\"",
                             self->dir, (int)(size > 64 ? 64 : size), (const char *)format,
                             FS_STORE_FORMAT);
        else if (plan != NULL)
            status = fs_store__plan_compare(self, txn, plan);
        int free_to_take = readable && status == FS_EREFUSED && self->mode == FS_STORE_CREATE &&
                           plan->has_fingerprint && !holds_results(self, txn);
        mdb_txn_abort(txn);
        return free_to_take ? start_over(self, plan, campaign_text) : status;
    }
    mdb_txn_abort(txn);
    if (status != FS_ENOENT) return status;
    if (self->mode == FS_STORE_READ)
        return fs_fail(FS_ENOENT, "%s: holds no campaign yet", self->dir);
    return initialise(self, plan, campaign_text);
}

static fs_status open_checked(fs_store *self, const fs_plan *plan, const char *campaign_text)
{
    char data[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_join(data, self->dir, "data.mdb"));
    if (self->mode == FS_STORE_READ && !fs_file_exists(data))
        return fs_fail(FS_ENOENT, "%s: no campaign is stored here", self->dir);
    if (self->mode == FS_STORE_CREATE) {
        if (!plan->has_fingerprint)
            return fs_fail(FS_EREFUSED,
                           "%s: results need a campaign whose models and data are present",
                           self->dir);
        FS_TRY(fs_dir_make(self->dir));
        FS_TRY(writer_init(self, plan));
    }
    FS_TRY(fs_store__env_open(self));
    FS_TRY(fs_store__databases_open(self));
    return open_campaign(self, plan, campaign_text);
}

fs_status fs_store_open(fs_store **out, const char *dir, fs_store_mode mode, const fs_plan *plan,
                        const char *campaign_text)
{
    FS_ASSERT(mode == FS_STORE_READ || (plan != NULL && campaign_text != NULL));
    *out = NULL;
    fs_store *self = calloc(1, sizeof *self);
    if (self == NULL) return fs_fail(FS_ENOMEM, "no memory for a store");
    self->mode = mode;
    self->lock_fd = -1;
    fs_status status = fs_path_join(self->dir, "", dir);
    if (status == FS_OK) status = open_checked(self, plan, campaign_text);
    if (status != FS_OK) fs_store_close(&self);
    *out = self;
    return status;
}

void fs_store_close(fs_store **self)
{
    fs_store *store = *self;
    if (store == NULL) return;
    if (store->txn != NULL) {
        mdb_txn_abort(store->txn);
        store->txn = NULL;
    }
    fs_store__env_close(store);
    for (size_t i = 0; i < store->touched_capacity; i++) free(store->touched[i].ranges);
    free(store->touched);
    free(store->planned);
    free(store->slot);
    fs_buf_free(&store->scratch);
    free(store);
    *self = NULL;
}

const char *fs_store_dir(const fs_store *self)
{
    return self->dir;
}

fs_status fs_store__meta(fs_store *self, const char *name, fs_buf *out)
{
    MDB_txn *txn;
    const uint8_t *data;
    size_t size;
    fs_store_key key = fs_store__key_text(name);
    FS_TRY(fs_store__read_begin(self, &txn));
    fs_status status = fs_store__get(self, txn, FS_DB_META, &key, &data, &size);
    if (status == FS_ENOENT)
        status = fs_fail(FS_ECORRUPT, "%s: the store has no \"%s\"", self->dir, name);
    if (status == FS_OK) status = fs_buf_append(out, data, size);
    mdb_txn_abort(txn);
    return status;
}

fs_status fs_store_campaign(fs_store *self, fs_buf *out)
{
    return fs_store__meta(self, FS_STORE_KEY_CAMPAIGN, out);
}

fs_status fs_store_identity(fs_store *self, fs_buf *out)
{
    return fs_store__meta(self, FS_STORE_KEY_IDENTITY, out);
}

fs_status fs_store_fingerprint(fs_store *self, fs_hash *out)
{
    fs_buf text = {0};
    fs_status status = fs_store__meta(self, FS_STORE_KEY_FINGERPRINT, &text);
    if (status == FS_OK && text.size != sizeof out->bytes)
        status = fs_fail(FS_ECORRUPT, "%s: the fingerprint has %zu bytes", self->dir, text.size);
    if (status == FS_OK) memcpy(out->bytes, text.data, sizeof out->bytes);
    fs_buf_free(&text);
    return status;
}
