#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "hash.h"
#include "main.h"
#include "main_protect.h"
#include "names.h"
#include "nn_model.h"
#include "safetensors.h"

typedef struct inspect_values {
    int json;
    const char *protect;
    const char *dtype;
} inspect_values;

static const fs_option inspect_options[] = {
    {"json", 0, NULL, FS_OPTION_FLAG, offsetof(inspect_values, json), "print one JSON document", 0,
     0},
    {"protect", 0, "LIST", FS_OPTION_TEXT, offsetof(inspect_values, protect),
     "what storing it under these protections costs: names with commas between them, in the order "
     "of decoding",
     0, 0},
    {"dtype", 0, "NAME", FS_OPTION_TEXT, offsetof(inspect_values, dtype),
     "with --protect, the storage format: fp32, fp16, bf16 or int8 (default: fp32)", 0, 0},
    {0},
};

/* The buckets of the paper's weight histogram, (lower, upper], with the ends that it leaves out. */
static const struct bucket {
    const char *text;
    double upper;
} buckets[] = {
    {"up to 2^-32", 0x1p-32},      {"(2^-32, 2^-8]", 0x1p-8},        {"(2^-8, 2^-4]", 0x1p-4},
    {"(2^-4, 2^-2]", 0x1p-2},      {"(2^-2, 2^-1]", 0x1p-1},         {"(2^-1, 2]", 2},
    {"above 2", (double)INFINITY}, {"NaN or infinite", (double)NAN},
};

enum { BUCKETS = sizeof buckets / sizeof buckets[0] };

/** What a model folder holds. */
typedef struct inspection {
    const char *dir;
    fs_geometry *geometry;
    uint64_t components[FS_COMPONENT_COUNT]; /* values */
    int weights;                             /* nonzero: what follows is known */
    uint64_t counts[BUCKETS];
    uint64_t above_two; /* |w| >= 2, NaN and infinite: the top exponent bit is set */
    const char *dtype;
    char hash[FS_HASH_HEX_BYTES];
    const char *protect; /* NULL: not asked for */
    const char *protect_dtype;
    json_t *protections; /* what they cost; NULL: not asked for */
} inspection;

static size_t bucket_of(float value)
{
    double magnitude = fabs((double)value);
    if (!isfinite(magnitude)) return BUCKETS - 1;
    size_t i = 0;
    while (magnitude > buckets[i].upper) i++;
    return i;
}

static void count_values(inspection *self, const nn_model *model)
{
    const fs_geometry *g = nn_model_geometry(model);
    for (size_t t = 0; t < g->tensor_count; t++) {
        uint64_t values = (uint64_t)g->tensors[t].rows * g->tensors[t].cols;
        for (uint64_t i = 0; i < values; i++) {
            uint32_t bits = nn_model_clean(model, (uint32_t)t, i);
            float value;
            memcpy(&value, &bits, sizeof value);
            self->counts[bucket_of(value)]++;
            self->above_two += bits >> 30 & 1;
        }
    }
}

static fs_status read_dtype(inspection *self)
{
    static const char *const names[] = {
        [FS_F32] = "F32", [FS_F16] = "F16",     [FS_BF16] = "BF16",
        [FS_I64] = "I64", [FS_OTHER] = "other",
    };
    fs_safetensors *file = NULL;
    FS_TRY(fs_safetensors_open(&file, self->dir));
    for (size_t i = 0; i < fs_safetensors_count(file); i++) {
        const fs_tensor_view *tensor = fs_safetensors_at(file, i);
        if (tensor->dtype == FS_I64 || tensor->dtype == FS_OTHER) continue; /* buffers */
        if (self->dtype != NULL && strcmp(self->dtype, names[tensor->dtype]) != 0)
            self->dtype = "mixed";
        else
            self->dtype = names[tensor->dtype];
    }
    fs_safetensors_close(&file);
    return FS_OK;
}

static fs_status read_weights(inspection *self)
{
    fs_hash hash;
    nn_model *model = NULL;
    FS_TRY(nn_model_open(&model, self->dir, NULL));
    count_values(self, model);
    fs_status status = FS_OK;
    if (self->protect != NULL)
        status =
            main_protect_measure(&self->protections, model, self->protect, self->protect_dtype);
    nn_model_close(&model);
    FS_TRY(status);
    FS_TRY(read_dtype(self));
    FS_TRY(fs_model_hash(&hash, self->dir));
    fs_hash_hex(&hash, self->hash);
    self->weights = 1;
    return FS_OK;
}

static fs_status inspect(inspection *self)
{
    fs_config config;
    FS_TRY(fs_config_read(&config, self->dir));
    FS_TRY(fs_geometry_new(&self->geometry, &config));
    for (size_t i = 0; i < self->geometry->slice_count; i++)
        self->components[self->geometry->slices[i].component] += self->geometry->slices[i].values;
    if (fs_safetensors_present(self->dir)) return read_weights(self);
    if (self->protect == NULL) return FS_OK;
    return fs_fail(FS_ENOENT, "%s: --protect needs weights, and there are none", self->dir);
}

static const char *type_name(const fs_config *config)
{
    return config->kind == FS_MODEL_BERT ? "bert" : "gpt2";
}

static const char *task_name(const fs_config *config)
{
    return config->task == FS_TASK_CLASSIFICATION ? "classification" : "language-model";
}

static json_t *components_json(const inspection *self)
{
    json_t *list = json_array();
    for (unsigned c = 0; c < FS_COMPONENT_COUNT; c++) {
        if (self->components[c] == 0) continue;
        json_t *row = json_object();
        json_object_set_new(row, "name", json_string(fs_component_name((fs_component)c)));
        json_object_set_new(row, "group",
                            json_string(fs_group_name(fs_component_group((fs_component)c))));
        json_object_set_new(row, "values", json_integer((json_int_t)self->components[c]));
        json_array_append_new(list, row);
    }
    return list;
}

static double share(const inspection *self, uint64_t count)
{
    return (double)count / (double)self->geometry->values;
}

static json_t *histogram_json(const inspection *self)
{
    if (!self->weights) return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < BUCKETS; i++) {
        json_t *row = json_object();
        json_object_set_new(row, "magnitude", json_string(buckets[i].text));
        json_object_set_new(row, "upper", main_json_real(buckets[i].upper));
        json_object_set_new(row, "count", json_integer((json_int_t)self->counts[i]));
        json_object_set_new(row, "share", main_json_real(share(self, self->counts[i])));
        json_array_append_new(list, row);
    }
    return list;
}

static fs_status print_json(const inspection *self)
{
    const fs_config *c = &self->geometry->config;
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {
        {"layers", c->layers},     {"heads", c->heads},   {"d_model", c->d_model},
        {"d_ff", c->d_ff},         {"vocab", c->vocab},   {"positions", c->positions},
        {"segments", c->segments}, {"labels", c->labels}, {"tensors", self->geometry->tensor_count},
    };
    json_t *root = json_object();
    if (root == NULL) return main_json_print(NULL);
    json_object_set_new(root, "model_type", json_string(type_name(c)));
    json_object_set_new(root, "task", json_string(task_name(c)));
    json_object_set_new(root, "parameters", json_integer((json_int_t)self->geometry->values));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_object_set_new(root, numbers[i].key, json_integer((json_int_t)numbers[i].value));
    json_object_set_new(root, "activation", json_string(fs_activation_name(c->activation)));
    json_object_set_new(root, "norm_eps", main_json_real(c->norm_eps));
    json_object_set_new(root, "tied", json_boolean(c->tied));
    json_object_set_new(root, "dtype",
                        self->dtype == NULL ? json_null() : json_string(self->dtype));
    json_object_set_new(root, "hash", self->weights ? json_string(self->hash) : json_null());
    json_object_set_new(root, "components", components_json(self));
    json_object_set_new(root, "magnitude_histogram", histogram_json(self));
    json_object_set_new(root, "above_two",
                        self->weights ? json_integer((json_int_t)self->above_two) : json_null());
    if (self->protections != NULL) json_object_set(root, "protections", self->protections);
    return main_json_print(root);
}

static fs_status print_text(const inspection *self)
{
    const fs_config *c = &self->geometry->config;
    printf("model       %s, %s\n", type_name(c), task_name(c));
    printf("shape       %u layers, %u heads, width %u, MLP %u, %s\n", c->layers, c->heads,
           c->d_model, c->d_ff, fs_activation_name(c->activation));
    printf("vocabulary  %u, positions %u", c->vocab, c->positions);
    if (c->labels > 0) printf(", labels %u", c->labels);
    printf("\nparameters  %" PRIu64 "\n\n", self->geometry->values);
    for (unsigned i = 0; i < FS_COMPONENT_COUNT; i++)
        if (self->components[i] > 0)
            printf("  %-20s %12" PRIu64 "  %6.2f %%\n", fs_component_name((fs_component)i),
                   self->components[i], 100 * share(self, self->components[i]));
    if (!self->weights) {
        printf("\nno weights in this folder\n");
        return FS_OK;
    }
    printf("\n  |w|                         count\n");
    for (size_t i = 0; i < BUCKETS; i++)
        printf("  %-20s %12" PRIu64 "  %7.4f %%\n", buckets[i].text, self->counts[i],
               100 * share(self, self->counts[i]));
    printf("\n%" PRIu64 " values have the top exponent bit set (|w| >= 2)\n", self->above_two);
    printf("dtype %s, hash %s\n", self->dtype == NULL ? "none" : self->dtype, self->hash);
    if (self->protections != NULL) main_protect_print(self->protections);
    return FS_OK;
}

static fs_status run(const void *values, const fs_arguments *arguments)
{
    const inspect_values *v = values;
    char dir[FS_PATH_BYTES_MAX];
    inspection self = {
        .dir = dir, .protect = v->protect, .protect_dtype = v->dtype != NULL ? v->dtype : "fp32"};
    if (v->dtype != NULL && v->protect == NULL)
        return fs_fail(FS_EUSAGE, "--dtype goes with --protect");
    FS_TRY(fs_model_argument(dir, arguments->items[0]));
    fs_status status = inspect(&self);
    if (status == FS_OK) status = v->json ? print_json(&self) : print_text(&self);
    json_decref(self.protections);
    fs_geometry_destroy(&self.geometry);
    return status;
}

const fs_command main_inspect = {
    .name = "inspect",
    .summary = "Shows a model's shape, components and weights.",
    .synopsis = "MODEL",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = inspect_options,
    .values_bytes = sizeof(inspect_values),
    .details =
        "MODEL is a HuggingFace folder, or a name that is looked up in the zoo and the cache.\n"
        "Without weights only the shape is shown.\n",
    .run = run,
};
