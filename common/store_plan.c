/* What a store says about its campaign: identity, effective text, cells, and the configurations of
 * its models, so that status and report need neither models nor data. */
#include "store_impl.h"

#include "assert.h"
#include "config.h"
#include "hash.h"

static fs_status put_meta(fs_store *self, MDB_txn *txn, const char *name, const void *data,
                          size_t size)
{
    fs_store_key key = fs_store__key_text(name);
    return fs_store__put(self, txn, FS_DB_META, &key, data, size);
}

static fs_status config_encode(const fs_config *config, fs_buf *out)
{
    uint64_t eps;
    memcpy(&eps, &config->norm_eps, sizeof eps);
    const uint64_t words[] = {config->kind,
                              config->task,
                              config->activation,
                              config->vocab,
                              config->positions,
                              config->segments,
                              config->d_model,
                              config->layers,
                              config->heads,
                              config->d_ff,
                              config->labels,
                              config->tied != 0,
                              eps};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        FS_TRY(fs_store__put_u64(out, words[i]));
    return FS_OK;
}

static fs_status models_encode(const fs_plan *plan, fs_buf *out)
{
    FS_TRY(fs_store__put_u64(out, plan->model_count));
    FS_TRY(fs_buf_append(out, plan->data_hash.bytes, FS_HASH_BYTES));
    for (size_t i = 0; i < plan->model_count; i++) {
        FS_TRY(config_encode(&plan->models[i].geometry->config, out));
        FS_TRY(fs_buf_append(out, plan->models[i].hash.bytes, FS_HASH_BYTES));
    }
    return FS_OK;
}

static fs_status cells_write(fs_store *self, MDB_txn *txn, const fs_plan *plan, fs_buf *value)
{
    for (size_t i = 0; i < plan->cell_count; i++) {
        fs_store_key key = fs_store__key_u32((uint32_t)i);
        fs_buf_clear(value);
        FS_TRY(fs_store__put_u64(value, plan->cells[i].trials));
        FS_TRY(fs_store__put_text(value, plan->cells[i].id, FS_CELL_ID_BYTES_MAX));
        FS_TRY(fs_store__put(self, txn, FS_DB_PLAN, &key, value->data, value->size));
    }
    return FS_OK;
}

fs_status fs_store__plan_write(fs_store *self, MDB_txn *txn, const fs_plan *plan,
                               const char *campaign_text)
{
    fs_buf value = {0};
    fs_status status = models_encode(plan, &value);
    if (status == FS_OK) status = put_meta(self, txn, FS_STORE_KEY_MODELS, value.data, value.size);
    if (status == FS_OK) status = cells_write(self, txn, plan, &value);
    fs_buf_free(&value);
    FS_TRY(status);
    FS_TRY(put_meta(self, txn, FS_STORE_KEY_FINGERPRINT, plan->fingerprint.bytes, FS_HASH_BYTES));
    FS_TRY(put_meta(self, txn, FS_STORE_KEY_IDENTITY, plan->identity, strlen(plan->identity)));
    FS_TRY(put_meta(self, txn, FS_STORE_KEY_CAMPAIGN, campaign_text, strlen(campaign_text)));
    return put_meta(self, txn, FS_STORE_KEY_FORMAT, FS_STORE_FORMAT, strlen(FS_STORE_FORMAT));
}

/* Copies a text of the store, which has no NUL at its end. */
static fs_status stored_identity(fs_store *self, MDB_txn *txn, fs_buf *out)
{
    const uint8_t *data;
    size_t size;
    fs_store_key key = fs_store__key_text(FS_STORE_KEY_IDENTITY);
    FS_TRY(fs_store__get(self, txn, FS_DB_META, &key, &data, &size));
    return fs_buf_append(out, data, size);
}

static fs_status refuse(fs_store *self, MDB_txn *txn, const fs_plan *plan)
{
    fs_buf before = {0}, difference = {0};
    fs_status status = stored_identity(self, txn, &before);
    if (status == FS_OK)
        status = fs_identity_difference(plan->identity, fs_buf_text(&before), &difference);
    if (status == FS_OK)
        status = fs_fail(FS_EREFUSED,
                         "%s: holds results of another campaign: %s; give another folder with "
                         "--out, or restore what was changed",
                         self->dir, fs_buf_text(&difference));
    fs_buf_free(&before);
    fs_buf_free(&difference);
    return status;
}

fs_status fs_store__plan_compare(fs_store *self, MDB_txn *txn, const fs_plan *plan)
{
    const uint8_t *data;
    size_t size;
    fs_store_key key = fs_store__key_text(FS_STORE_KEY_FINGERPRINT);
    FS_TRY(fs_store__get(self, txn, FS_DB_META, &key, &data, &size));
    if (size != FS_HASH_BYTES)
        return fs_fail(FS_ECORRUPT, "%s: the fingerprint has %zu bytes", self->dir, size);
    if (plan->has_fingerprint && memcmp(data, plan->fingerprint.bytes, FS_HASH_BYTES) == 0)
        return FS_OK;
    return refuse(self, txn, plan);
}
