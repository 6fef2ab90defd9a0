#include "tr_load.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "safetensors.h"

enum { NAME_BYTES_MAX = 160 };

fs_status tr_load_config(fs_config *out, const char *dir, tr_head head, uint32_t labels)
{
    int classifies;
    FS_TRY(fs_config_read_base(out, dir, &classifies));
    if (head == TR_HEAD_CLASSIFY) {
        if (classifies && labels != 0 && labels != out->labels) {
            return fs_fail(FS_EUSAGE, "%s: the model has %u labels, not %u", dir, out->labels,
                           labels);
        }
        if (!classifies) out->labels = labels == 0 ? 2 : labels;
        out->task = FS_TASK_CLASSIFICATION;
        out->tied = 0;
    } else if (out->kind == FS_MODEL_GPT2) {
        if (out->task == FS_TASK_CLASSIFICATION) out->tied = 1;
        out->task = FS_TASK_LM;
        out->labels = 0;
    }
    return FS_OK;
}

static int ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* @return nonzero for tensors that transformers too would draw anew. */
static int is_head(const char *name)
{
    static const char *const heads[] = {"bert.pooler.", "classifier.", "score.", "cls.",
                                        "lm_head."};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (strncmp(name, heads[i], strlen(heads[i])) == 0) return 1;
    return 0;
}

static const fs_tensor_view *find_either(const fs_safetensors *file, const char *name)
{
    const fs_tensor_view *found = fs_safetensors_find(file, name);
    static const char *const prefixes[] = {"bert.", "transformer."};
    for (size_t i = 0; found == NULL && i < sizeof prefixes / sizeof *prefixes; i++) {
        const size_t size = strlen(prefixes[i]);
        if (strncmp(name, prefixes[i], size) == 0) found = fs_safetensors_find(file, name + size);
    }
    return found;
}

/* Old BERT folders say gamma and beta; of a tied pair some writers keep the head's name. */
static const fs_tensor_view *find(const fs_safetensors *file, const fs_config *config,
                                  const char *name)
{
    const fs_tensor_view *found = find_either(file, name);
    static const char *const old[2][2] = {{"LayerNorm.weight", "LayerNorm.gamma"},
                                          {"LayerNorm.bias", "LayerNorm.beta"}};
    for (size_t i = 0; found == NULL && i < 2; i++) {
        char other[NAME_BYTES_MAX];
        if (!ends_with(name, old[i][0])) continue;
        snprintf(other, sizeof other, "%.*s%s", (int)(strlen(name) - strlen(old[i][0])), name,
                 old[i][1]);
        found = find_either(file, other);
    }
    if (found == NULL && config->tied && strcmp(name, "transformer.wte.weight") == 0)
        found = fs_safetensors_find(file, "lm_head.weight");
    return found;
}

static fs_status load(float *out, const tr_tensor *wanted, const fs_safetensors *file,
                      const fs_tensor_view *found)
{
    const char *path = fs_safetensors_path(file, found);
    const uint64_t count = (uint64_t)wanted->rows * wanted->cols;
    if (found->dtype != FS_F32 && found->dtype != FS_F16 && found->dtype != FS_BF16)
        return fs_fail(FS_EFORMAT, "%s: tensor %s must be F32, F16 or BF16", path, found->name);
    const int same = wanted->rank == 2 ? found->rank == 2 && found->shape[0] == wanted->rows &&
                                             found->shape[1] == wanted->cols
                                       : found->rank == 1 && found->shape[0] == wanted->cols;
    if (!same) {
        return fs_fail(FS_EFORMAT, "%s: tensor %s must have %u rows of %u values", path,
                       found->name, wanted->rows, wanted->cols);
    }
    fs_tensor_to_f32(out, found, 0, count);
    for (uint64_t i = 0; i < count; i++) {
        if (isfinite(out[i])) continue;
        return fs_fail(FS_EFORMAT,
                       "%s: tensor %s: element %llu is not finite, nothing can be "
                       "learned from there",
                       path, found->name, (unsigned long long)i);
    }
    return FS_OK;
}

fs_status tr_load_weights(tr_weights *weights, const char *dir, size_t *fresh)
{
    const tr_layout *layout = tr_weights_layout(weights);
    float *values = tr_weights_values(weights);
    fs_safetensors *file = NULL;
    *fresh = 0;
    FS_TRY(fs_safetensors_open(&file, dir));
    fs_status status = FS_OK;
    for (size_t i = 0; status == FS_OK && i < layout->count; i++) {
        const tr_tensor *wanted = &layout->tensors[i];
        if (!wanted->used) continue;
        const fs_tensor_view *found = find(file, &layout->geometry->config, wanted->name);
        if (found != NULL)
            status = load(values + wanted->first, wanted, file, found);
        else if (is_head(wanted->name))
            *fresh += 1;
        else
            status = fs_fail(FS_EFORMAT, "%s: the weights lack tensor %s", dir, wanted->name);
    }
    fs_safetensors_close(&file);
    return status;
}
