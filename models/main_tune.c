#include "main_tune.h"

#include <stdlib.h>

struct main_tuning {
    const tr_hooks *hooks;
    const tr_adapter *adapter;
};

fs_status main_tuning_new(main_tuning **out, const main_tune *options, tr_weights *weights,
                          tr_pool *pool, uint64_t seed)
{
    (void)weights, (void)pool, (void)seed;
    *out = NULL;
    if (options->lora == 0) return FS_OK;
    return fs_fail(FS_EUNSUPPORTED, "--lora is not supported yet");
}

void main_tuning_destroy(main_tuning **self)
{
    free(*self);
    *self = NULL;
}

const tr_hooks *main_tuning_hooks(const main_tuning *self)
{
    return self == NULL ? NULL : self->hooks;
}

const tr_adapter *main_tuning_adapter(const main_tuning *self)
{
    return self == NULL ? NULL : self->adapter;
}

fs_status main_tune_describe(const main_tune *options, json_t *out)
{
    (void)options, (void)out;
    return FS_OK;
}
