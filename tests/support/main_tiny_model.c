/* tiny-model DIR [KEY=VALUE ...]: writes a small random model, for tests of whole programs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "tiny_model.h"

static const char usage[] =
    "usage: tiny-model DIR [KEY=VALUE ...]\n"
    "  kind=bert|gpt2|gpt2-classifier  layers= width= heads= vocab= positions= labels= inner=\n"
    "  activation=gelu|gelu_new|relu  dtype=F32|F16|BF16  shards= seed=\n"
    "  untied=0|1 no_prefix=0|1 old_names=0|1 buffers=0|1\n"
    "  data=N  also writes N examples to DIR/data.tsv or DIR/data.txt\n";

typedef struct request {
    tiny_spec spec;
    uint32_t examples;
} request;

static int set_kind(tiny_spec *spec, const char *value)
{
    if (strcmp(value, "bert") == 0)
        *spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    else if (strcmp(value, "gpt2") == 0)
        *spec = tiny_spec_default(FS_MODEL_GPT2, FS_TASK_LM);
    else if (strcmp(value, "gpt2-classifier") == 0)
        *spec = tiny_spec_default(FS_MODEL_GPT2, FS_TASK_CLASSIFICATION);
    else
        return 0;
    return 1;
}

static int set_number(request *self, const char *key, const char *value)
{
    char *end;
    unsigned long long number = strtoull(value, &end, 10);
    if (*value == '\0' || *end != '\0') return 0;
    tiny_spec *s = &self->spec;
    const struct {
        const char *key;
        uint32_t *out;
    } sizes[] = {{"layers", &s->layers},       {"width", &s->width},   {"heads", &s->heads},
                 {"vocab", &s->vocab},         {"labels", &s->labels}, {"inner", &s->inner},
                 {"positions", &s->positions}, {"shards", &s->shards}, {"data", &self->examples}};
    const struct {
        const char *key;
        int *out;
    } switches[] = {{"untied", &s->untied},
                    {"no_prefix", &s->no_prefix},
                    {"old_names", &s->old_names},
                    {"buffers", &s->buffers}};
    if (strcmp(key, "seed") == 0) {
        s->seed = number;
        return 1;
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (strcmp(key, sizes[i].key) != 0) continue;
        *sizes[i].out = (uint32_t)number;
        return number <= UINT32_MAX;
    }
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        if (strcmp(key, switches[i].key) != 0) continue;
        *switches[i].out = number != 0;
        return number <= 1;
    }
    return 0;
}

/* @return 0 if the argument is none of ours. */
static int set(request *self, const char *argument)
{
    static const char *const dtypes[] = {"F32", "F16", "BF16"};
    const char *equals = strchr(argument, '=');
    char key[32];
    if (equals == NULL || (size_t)(equals - argument) >= sizeof key) return 0;
    snprintf(key, sizeof key, "%.*s", (int)(equals - argument), argument);
    const char *value = equals + 1;
    if (strcmp(key, "kind") == 0) return set_kind(&self->spec, value);
    if (strcmp(key, "activation") == 0) {
        self->spec.activation = value;
        return 1;
    }
    if (strcmp(key, "dtype") != 0) return set_number(self, key, value);
    for (int i = 0; i < 3; i++) {
        if (strcmp(value, dtypes[i]) != 0) continue;
        self->spec.dtype = (tiny_dtype)i;
        return 1;
    }
    return 0;
}

static fs_status write_all(const request *self, const char *dir)
{
    tiny_model *model;
    char path[FS_PATH_BYTES_MAX];
    FS_TRY(tiny_model_new(&model, &self->spec));
    fs_status status = tiny_model_write(model, dir);
    if (status == FS_OK && self->examples > 0) {
        int lm = self->spec.task == FS_TASK_LM;
        status = fs_path_join(path, dir, lm ? "data.txt" : "data.tsv");
        if (status == FS_OK) status = tiny_model_write_data(model, path, self->examples);
    }
    tiny_model_destroy(&model);
    return status;
}

int main(int argc, char **argv)
{
    request wanted = {.spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION)};
    if (argc < 2) {
        fputs(usage, stderr);
        return 2;
    }
    /* kind= sets every other default: it counts wherever it stands. */
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 2; i < argc; i++) {
            if ((strncmp(argv[i], "kind=", 5) == 0) != (pass == 0)) continue;
            if (set(&wanted, argv[i])) continue;
            fprintf(stderr, "tiny-model: bad argument %s\n%s", argv[i], usage);
            return 2;
        }
    }
    if (write_all(&wanted, argv[1]) != FS_OK) {
        fprintf(stderr, "tiny-model: %s\n", fs_status_detail());
        return 1;
    }
    return 0;
}
