#include "wk_map.h"

#include <stdlib.h>
#include <string.h>

fs_status wk_map_init(wk_map *self, const fs_geometry *geometry, const dataset *data)
{
    const fs_config *config = &geometry->config;
    *self = (wk_map){.geometry = geometry, .data = data};
    self->layer = calloc(config->layers, 1);
    self->token_read = calloc(config->vocab, 1);
    self->token_hit = calloc(config->vocab, 1);
    self->position_hit = calloc(config->positions, 1);
    if (!self->layer || !self->token_read || !self->token_hit || !self->position_hit)
        return fs_fail(FS_ENOMEM, "no memory for a trial");
    self->longest = dataset_reads(data, self->token_read);
    return FS_OK;
}

void wk_map_free(wk_map *self)
{
    free(self->layer);
    free(self->token_read);
    free(self->token_hit);
    free(self->position_hit);
    *self = (wk_map){0};
}

static void set_outside_layers(wk_map *self, fs_component component, uint64_t row)
{
    const fs_config *config = &self->geometry->config;
    switch (component) {
    case FS_EMBEDDING_TOKEN:
        self->token_hit[row] = 1;
        self->embedding_some |= self->token_read[row];
        if (config->task == FS_TASK_LM && config->tied) self->head = 1;
        break;
    case FS_EMBEDDING_POSITION:
        self->position_hit[row] = 1;
        self->embedding_some |= row < self->longest;
        break;
    case FS_EMBEDDING_SEGMENT:
        self->embedding |= row == 0;
        break; /* all text is segment 0 */
    case FS_EMBEDDING_NORM:
        self->embedding = 1;
        break;
    default:
        self->head = 1;
    }
}

void wk_map_set(wk_map *self, const wk_injection *injection)
{
    const fs_config *config = &self->geometry->config;
    memset(self->layer, 0, config->layers);
    memset(self->token_hit, 0, config->vocab);
    memset(self->position_hit, 0, config->positions);
    self->embedding = self->embedding_some = self->head = 0;
    for (size_t i = 0; i < injection->count; i++) {
        const wk_change *change = &injection->changes[i];
        const fs_slice *slice = &self->geometry->slices[change->slice];
        uint64_t row = change->element / self->geometry->tensors[change->tensor].cols;
        if (slice->layer >= 0)
            self->layer[slice->layer] = 1;
        else
            set_outside_layers(self, slice->component, row);
    }
}

int wk_map_embeds(const wk_map *self, uint32_t input)
{
    const dataset *data = self->data;
    uint32_t first = data->off[input], length = data->off[input + 1] - first;
    if (self->embedding) return 1;
    for (uint32_t i = 0; self->embedding_some && i < length; i++) {
        if (self->token_hit[data->ids[first + i]] || self->position_hit[i]) return 1;
    }
    return 0;
}
