/* What a store says about its campaign: identity, effective text, cells, and the configurations of
 * its models, so that status and report need neither models nor data. */
#include "store_impl.h"

#include <stdlib.h>

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

/* Says in which line the plan differs from the stored identity. */
static fs_status refuse(fs_store *self, MDB_txn *txn, const fs_plan *plan, const char *what,
                        const char *advice)
{
    fs_buf before = {0}, difference = {0};
    fs_status status = stored_identity(self, txn, &before);
    if (status == FS_OK)
        status = fs_identity_difference(plan->identity, fs_buf_text(&before), &difference);
    if (status == FS_OK)
        status = fs_fail(FS_EREFUSED, "%s: %s: %s; %s", self->dir, what, fs_buf_text(&difference),
                         advice);
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
    return refuse(self, txn, plan, "holds results of another campaign",
                  "give another folder with --out, or restore what was changed");
}

/* Rebuilding the plan. */

/* The models as stored. */
typedef struct known_models {
    fs_plan_known known;
    fs_config *configs;
    fs_hash *hashes;
} known_models;

static void known_free(known_models *self)
{
    free(self->configs);
    free(self->hashes);
    *self = (known_models){0};
}

static void config_decode(fs_store_reader *in, fs_config *out)
{
    out->kind = (fs_model_kind)fs_store__get_u64(in);
    out->task = (fs_task_kind)fs_store__get_u64(in);
    out->activation = (fs_activation)fs_store__get_u64(in);
    uint32_t *const numbers[] = {&out->vocab,  &out->positions, &out->segments, &out->d_model,
                                 &out->layers, &out->heads,     &out->d_ff,     &out->labels};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = (uint32_t)fs_store__get_u64(in);
    out->tied = fs_store__get_u64(in) != 0;
    uint64_t eps = fs_store__get_u64(in);
    memcpy(&out->norm_eps, &eps, sizeof eps);
}

static void hash_decode(fs_store_reader *in, fs_hash *out)
{
    if ((size_t)(in->end - in->at) < FS_HASH_BYTES) in->bad = 1;
    if (in->bad) return;
    memcpy(out->bytes, in->at, FS_HASH_BYTES);
    in->at += FS_HASH_BYTES;
}

static fs_status models_decode(fs_store *self, const uint8_t *data, size_t size, known_models *out)
{
    fs_store_reader in = {data, data + size, 0};
    uint64_t count = fs_store__get_u64(&in);
    hash_decode(&in, &out->known.data_hash);
    if (count > FS_ARMS_MAX) in.bad = 1;
    if (in.bad) return fs_fail(FS_ECORRUPT, "%s: the stored models are damaged", self->dir);
    out->configs = calloc(count + 1, sizeof *out->configs);
    out->hashes = calloc(count + 1, sizeof *out->hashes);
    if (out->configs == NULL || out->hashes == NULL)
        return fs_fail(FS_ENOMEM, "no memory for a plan");
    for (size_t i = 0; i < count; i++) {
        config_decode(&in, &out->configs[i]);
        hash_decode(&in, &out->hashes[i]);
    }
    if (in.bad || in.at != in.end)
        return fs_fail(FS_ECORRUPT, "%s: the stored models are damaged", self->dir);
    out->known.configs = out->configs;
    out->known.hashes = out->hashes;
    out->known.model_count = count;
    return FS_OK;
}

static fs_status models_read(fs_store *self, known_models *out)
{
    fs_buf text = {0};
    fs_status status = fs_store__meta(self, FS_STORE_KEY_MODELS, &text);
    if (status == FS_OK) status = models_decode(self, text.data, text.size, out);
    fs_buf_free(&text);
    return status;
}

/* A simulated campaign has no results of its models and says so in a last line; its fingerprint is
 * not that of the models, so the stored one is taken over. */
static int same_identity(const char *planned, const char *stored)
{
    static const char simulated[] = "simulated: yes\n";
    size_t size = strlen(planned);
    if (strncmp(planned, stored, size) != 0) return 0;
    return stored[size] == '\0' || strcmp(stored + size, simulated) == 0;
}

/* The plan must be the one that was run; then it gets the stored fingerprint. */
static fs_status settle_plan(fs_store *self, MDB_txn *txn, fs_plan *plan)
{
    const uint8_t *data;
    size_t size;
    fs_buf stored = {0};
    fs_store_key key = fs_store__key_text(FS_STORE_KEY_FINGERPRINT);
    FS_TRY(fs_store__get(self, txn, FS_DB_META, &key, &data, &size));
    if (size != FS_HASH_BYTES)
        return fs_fail(FS_ECORRUPT, "%s: the fingerprint has %zu bytes", self->dir, size);
    fs_status status = stored_identity(self, txn, &stored);
    int same = status == FS_OK && same_identity(plan->identity, fs_buf_text(&stored));
    fs_buf_free(&stored);
    FS_TRY(status);
    if (!same)
        return refuse(self, txn, plan, "this program plans the stored campaign otherwise",
                      "use the version that ran it");
    memcpy(plan->fingerprint.bytes, data, FS_HASH_BYTES);
    return FS_OK;
}

static fs_status rebuild(fs_store *self, const fs_plan_known *known, fs_campaign **campaign,
                         fs_plan **plan)
{
    fs_buf text = {0};
    MDB_txn *txn;
    fs_status status = fs_store_campaign(self, &text);
    if (status == FS_OK)
        status = fs_campaign_parse_stored(campaign, fs_buf_text(&text), text.size,
                                          "the stored campaign");
    fs_buf_free(&text);
    FS_TRY(status);
    FS_TRY(fs_plan_new_known(plan, *campaign, known));
    FS_TRY(fs_store__read_begin(self, &txn));
    status = settle_plan(self, txn, *plan);
    mdb_txn_abort(txn);
    return status;
}

fs_status fs_store_plan(fs_store *self, fs_campaign **campaign, fs_plan **plan)
{
    known_models models = {0};
    *campaign = NULL;
    *plan = NULL;
    fs_status status = models_read(self, &models);
    if (status == FS_OK) status = rebuild(self, &models.known, campaign, plan);
    known_free(&models);
    if (status == FS_OK) return FS_OK;
    fs_plan_destroy(plan);
    fs_campaign_destroy(campaign);
    return status;
}
