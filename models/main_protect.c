#include "main_protect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coding.h"
#include "main.h"
#include "nn_cpu.h"
#include "redundancy.h"

enum { LIST_BYTES_MAX = FS_PROTECT_MAX * FS_NAME_BYTES_MAX, ROWS_MAX = FS_PROTECT_MAX + 2 };

/* One row of the document. */
typedef struct cost {
    fs_protection *protection;
    uint64_t redundant_bits;
    uint64_t altered;
    uint64_t lost;
    double square_sum; /* of errors */
    double max_error;
    uint32_t max_tensor;
    uint64_t max_index;
    double seconds[MAIN_PROTECT_REPETITIONS];
} cost;

typedef struct measurement {
    const nn_model *model;
    const fs_format *format;
    fs_protect whole;    /* the list */
    fs_fault_space *all; /* every value, for what is stored beside them */
    cost costs[ROWS_MAX];
    size_t count;
    double square_sum; /* of finite weights */
    uint64_t finite;
    /* Of one tensor: */
    uint32_t *clean;    /* bits of fp32 as in the file */
    uint32_t *prepared; /* [rows][padded] */
    uint32_t *stored;   /* [rows][padded] */
    uint8_t *checks;    /* [rows][check bytes] */
    fs_coding_room room;
} measurement;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double value_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

/* --- what is measured --- */

fs_status main_protect_parse(fs_protect *out, const char *list, fs_format_kind format)
{
    char text[LIST_BYTES_MAX];
    const char *names[FS_PROTECT_MAX];
    unsigned count = 0;
    if ((size_t)snprintf(text, sizeof text, "%s", list) >= sizeof text)
        return fs_fail(FS_EUSAGE, "--protect: the list is too long");
    char *rest = text;
    for (char *name; (name = strsep(&rest, ",")) != NULL;) {
        if (count == FS_PROTECT_MAX)
            return fs_fail(FS_EUSAGE, "--protect: more than %d protections", FS_PROTECT_MAX);
        names[count++] = name;
    }
    fs_status status = fs_protect_init_format(out, names, count, (fs_guard){0}, format);
    return status == FS_ECONFIG || status == FS_ELIMIT ? fs_wrap(FS_EUSAGE, "--protect %s", list)
                                                       : status;
}

static fs_status add_cost(measurement *self, const fs_codec *const *codecs, unsigned count)
{
    fs_protect protect = self->whole;
    for (unsigned i = 0; i < count; i++) protect.codecs[i] = codecs[i];
    protect.codec_count = count;
    cost *c = &self->costs[self->count++];
    const fs_geometry *geometry = nn_model_geometry(self->model);
    FS_TRY(fs_protection_new(&c->protection, &protect, geometry->tensor_count));
    c->redundant_bits = fs_check_sites(self->all, &protect);
    return self->format->kind == FS_FORMAT_INT8 ? fs_scales_new(&c->protection->scales, geometry)
                                                : FS_OK;
}

static fs_status add_costs(measurement *self)
{
    FS_TRY(add_cost(self, NULL, 0));
    for (unsigned i = 0; i < self->whole.codec_count; i++)
        FS_TRY(add_cost(self, &self->whole.codecs[i], 1));
    if (self->whole.codec_count < 2) return FS_OK;
    return add_cost(self, self->whole.codecs, self->whole.codec_count);
}

/* --- one tensor under one list --- */

typedef struct shape {
    uint32_t tensor;
    size_t rows, cols, padded, check_bytes;
} shape;

static shape shape_of(const measurement *self, const fs_protect *protect, uint32_t tensor)
{
    const fs_tensor *t = &nn_model_geometry(self->model)->tensors[tensor];
    return (shape){tensor, t->rows, t->cols, fs_coding_padded(protect, t->cols),
                   fs_coding_check_bytes(protect, t->cols)};
}

static void prepare(measurement *self, cost *c, const shape *s)
{
    const fs_coding coding = fs_protection_coding(c->protection, s->tensor);
    for (size_t r = 0; r < s->rows; r++) {
        uint32_t *row = self->prepared + r * s->padded;
        const size_t first = r * s->cols;
        memset(row, 0, s->padded * sizeof *row);
        fs_protection_narrow(c->protection, s->tensor, first, self->clean + first, row, s->cols);
        fs_coding_prepare(&coding, row, s->cols);
    }
}

static fs_status learn_scales(measurement *self, cost *c, const shape *s)
{
    fs_scales *scales = c->protection->scales;
    if (scales == NULL) return FS_OK;
    for (size_t r = 0; r < s->rows; r++)
        if (!fs_scales_learn(scales, s->tensor, r, (float *)(void *)self->clean + r * s->cols))
            return fs_fail(FS_EFORMAT,
                           "tensor %s holds a value that is not finite: int8 has no word for it",
                           nn_model_geometry(self->model)->tensors[s->tensor].name);
    fs_scales_settle(scales, s->tensor);
    return FS_OK;
}

static void store(measurement *self, cost *c, const shape *s)
{
    const fs_protect *protect = &c->protection->protect;
    fs_codec_param *params = fs_protection_params(c->protection, s->tensor);
    prepare(self, c, s);
    for (size_t r = 0; r < s->rows && fs_protection_learns(c->protection); r++) {
        memcpy(self->room.read, self->prepared + r * s->padded, s->padded * sizeof(uint32_t));
        fs_coding_learn(protect, params, self->room.read, s->cols, self->room.check);
    }
    /* What was learnt may bound values: they are prepared again, as a model's are. */
    if (fs_protection_learns(c->protection)) prepare(self, c, s);
    const fs_coding coding = fs_protection_coding(c->protection, s->tensor);
    memcpy(self->stored, self->prepared, s->rows * s->padded * sizeof *self->stored);
    for (size_t r = 0; r < s->rows; r++)
        fs_coding_encode(&coding, self->stored + r * s->padded, s->cols,
                         self->checks + r * s->check_bytes);
}

static void decode_row(measurement *self, const cost *c, const shape *s, size_t r)
{
    const fs_coding coding = fs_protection_coding(c->protection, s->tensor);
    fs_codec_report report = {0};
    memcpy(self->room.read, self->stored + r * s->padded, s->padded * sizeof(uint32_t));
    fs_coding_decode(&coding, self->room.read, s->cols, self->checks + r * s->check_bytes,
                     self->prepared + r * s->padded, self->room.scratch, &report);
}

static void compare_row(measurement *self, cost *c, const shape *s, size_t r)
{
    fs_protection_widen(c->protection, s->tensor, r * s->cols, self->room.read, s->cols);
    for (size_t i = 0; i < s->cols; i++) {
        const uint32_t clean = self->clean[r * s->cols + i], read = self->room.read[i];
        if (read == clean) continue;
        c->altered++;
        const double before = value_of(clean), after = value_of(read);
        if (!isfinite(before)) continue;
        if (!isfinite(after)) {
            c->lost++;
            continue;
        }
        const double error = fabs(after - before);
        c->square_sum += error * error;
        if (error <= c->max_error) continue;
        c->max_error = error;
        c->max_tensor = s->tensor;
        c->max_index = r * s->cols + i;
    }
}

static fs_status measure_cost(measurement *self, cost *c, uint32_t tensor)
{
    const fs_protect *protect = &c->protection->protect;
    const shape s = shape_of(self, protect, tensor);
    FS_TRY(fs_coding_room_reserve(&self->room, protect, s.cols));
    self->prepared = malloc(s.rows * s.padded * sizeof *self->prepared);
    self->stored = malloc(s.rows * s.padded * sizeof *self->stored);
    self->checks = calloc(s.rows * s.check_bytes + 1, 1);
    fs_status status = FS_OK;
    if (self->prepared == NULL || self->stored == NULL || self->checks == NULL)
        status = fs_fail(FS_ENOMEM, "no memory for a tensor of %zu x %zu", s.rows, s.cols);
    if (status == FS_OK) status = learn_scales(self, c, &s);
    if (status == FS_OK) {
        store(self, c, &s);
        for (size_t r = 0; r < s.rows; r++) {
            decode_row(self, c, &s, r);
            compare_row(self, c, &s, r);
        }
        for (int k = 0; k < MAIN_PROTECT_REPETITIONS; k++) {
            const double start = now();
            for (size_t r = 0; r < s.rows; r++) decode_row(self, c, &s, r);
            c->seconds[k] += now() - start;
        }
    }
    free(self->prepared);
    free(self->stored);
    free(self->checks);
    return status;
}

static fs_status measure_tensor(measurement *self, uint32_t tensor)
{
    const fs_tensor *t = &nn_model_geometry(self->model)->tensors[tensor];
    const size_t values = (size_t)t->rows * t->cols;
    self->clean = malloc(values * sizeof *self->clean);
    if (self->clean == NULL) return fs_fail(FS_ENOMEM, "no memory for %s", t->name);
    for (size_t i = 0; i < values; i++) {
        self->clean[i] = nn_model_clean(self->model, tensor, i);
        const double value = value_of(self->clean[i]);
        if (!isfinite(value)) continue;
        self->square_sum += value * value;
        self->finite++;
    }
    fs_status status = FS_OK;
    for (size_t i = 0; i < self->count && status == FS_OK; i++)
        status = measure_cost(self, &self->costs[i], tensor);
    free(self->clean);
    return status;
}

/* --- the document --- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Those of a row that act on activations, which nothing here computes. */
static json_t *unmeasured_json(const fs_protect *protect)
{
    json_t *names = json_array();
    for (unsigned i = 0; i < protect->codec_count; i++)
        if (protect->codecs[i]->flags & FS_CODEC_ACTIVATIONS)
            json_array_append_new(names, json_string(protect->codecs[i]->name));
    return names;
}

static json_t *cost_json(const measurement *self, cost *c)
{
    const fs_geometry *g = nn_model_geometry(self->model);
    const double values = (double)g->values, redundant = (double)c->redundant_bits / values;
    const double rms = sqrt(self->square_sum / (double)self->finite);
    const double error = c->lost > 0 ? (double)NAN : sqrt(c->square_sum / (double)self->finite);
    qsort(c->seconds, MAIN_PROTECT_REPETITIONS, sizeof c->seconds[0], by_value);
    const double seconds = c->seconds[MAIN_PROTECT_REPETITIONS / 2];
    json_t *names = json_array();
    for (unsigned i = 0; i < c->protection->protect.codec_count; i++)
        json_array_append_new(names, json_string(c->protection->protect.codecs[i]->name));
    const int erred = c->lost == 0 && c->max_error > 0;
    const unsigned count = c->protection->protect.codec_count;
    json_t *unmeasured = unmeasured_json(&c->protection->protect);
    const double decode = count > 0 && json_array_size(unmeasured) == count ? (double)NAN : seconds;
    return json_pack(
        "{s:o, s:o, s:f, s:f, s:I, s:I, s:f, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "protect",
        names, "not_measured", unmeasured, "bits_per_value", self->format->bits + redundant,
        "redundant_bits_per_value", redundant, "redundant_bits", (json_int_t)c->redundant_bits,
        "altered", (json_int_t)c->altered, "altered_share", (double)c->altered / values, "lost",
        (json_int_t)c->lost, "rms_error", main_json_real(error), "rms_error_relative",
        main_json_real(error / rms), "max_error",
        main_json_real(c->lost > 0 ? (double)NAN : c->max_error), "max_error_tensor",
        erred ? json_string(g->tensors[c->max_tensor].name) : json_null(), "max_error_index",
        erred ? json_integer((json_int_t)c->max_index) : json_null(), "decode_ns_per_value",
        main_json_real(1e9 * decode / values), "decode_s_per_forward", main_json_real(decode));
}

static json_t *document_of(measurement *self)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < self->count; i++)
        json_array_append_new(rows, cost_json(self, &self->costs[i]));
    return json_pack("{s:s, s:s, s:i, s:I, s:o, s:o}", "dtype", self->format->name, "kernel",
                     nn_kernel_name(), "repetitions", MAIN_PROTECT_REPETITIONS, "values",
                     (json_int_t)nn_model_geometry(self->model)->values, "rms_weight",
                     main_json_real(sqrt(self->square_sum / (double)self->finite)), "rows", rows);
}

static fs_status measure(measurement *self, const char *list, const char *dtype)
{
    self->format = fs_format_find(dtype);
    if (self->format == NULL)
        return fs_fail(FS_EUSAGE, "--dtype: \"%s\" is not one of fp32|fp16|bf16|int8", dtype);
    FS_TRY(main_protect_parse(&self->whole, list, self->format->kind));
    const fs_geometry *geometry = nn_model_geometry(self->model);
    FS_TRY(fs_fault_space_new(&self->all, geometry, fs_geometry_components(geometry), NULL, 0,
                              FS_BITS_ALL));
    FS_TRY(add_costs(self));
    for (uint32_t t = 0; t < nn_model_geometry(self->model)->tensor_count; t++)
        FS_TRY(measure_tensor(self, t));
    return FS_OK;
}

fs_status main_protect_measure(json_t **out, const nn_model *model, const char *list,
                               const char *dtype)
{
    measurement self = {.model = model};
    fs_status status = measure(&self, list, dtype);
    if (status == FS_OK) {
        *out = document_of(&self);
        if (*out == NULL) status = fs_fail(FS_ENOMEM, "no memory for a JSON document");
    }
    for (size_t i = 0; i < self.count; i++) fs_protection_destroy(&self.costs[i].protection);
    fs_fault_space_destroy(&self.all);
    fs_coding_room_free(&self.room);
    return status;
}

/* --- for people --- */

enum { TIME_BYTES = 16 };

static void write_time(const json_t *row, const char *key, const char *format, char *out)
{
    const json_t *value = json_object_get(row, key);
    snprintf(out, TIME_BYTES, "-");
    if (json_is_number(value))
        snprintf(out, TIME_BYTES, strcmp(format, "ns") == 0 ? "%.3f" : "%.3g",
                 json_number_value(value));
}

/* Each once: the first row of it holds it alone. */
static void print_unmeasured(const json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        const json_t *names = json_object_get(row, "not_measured");
        if (json_array_size(names) == 1 && json_array_size(json_object_get(row, "protect")) == 1)
            printf("%s: its cost is not measured here; it stores nothing and acts on activations, "
                   "in the forward pass\n",
                   json_string_value(json_array_get(names, 0)));
    }
}

static double real_of(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static void write_names(const json_t *row, char out[LIST_BYTES_MAX])
{
    size_t used = 0, i;
    json_t *name;
    snprintf(out, LIST_BYTES_MAX, "none");
    json_array_foreach(json_object_get(row, "protect"), i, name)
    {
        const int n = snprintf(out + used, LIST_BYTES_MAX - used, "%s%s", used > 0 ? "," : "",
                               json_string_value(name));
        if (n > 0) used += (size_t)n;
    }
}

void main_protect_print(const json_t *document)
{
    const json_t *rows = json_object_get(document, "rows");
    char names[LIST_BYTES_MAX];
    int width = (int)strlen("protection");
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        write_names(row, names);
        if ((int)strlen(names) > width) width = (int)strlen(names);
    }
    printf("\nstored as %s, nothing hit\n  %-*s  %10s  %14s  %12s  %9s  %9s  %9s  %9s  %10s\n",
           json_string_value(json_object_get(document, "dtype")), width, "protection", "bits/value",
           "redundant bits", "altered", "share", "RMS error", "max error", "ns/value", "s/forward");
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        char per_value[TIME_BYTES], per_forward[TIME_BYTES];
        write_names(row, names);
        write_time(row, "decode_ns_per_value", "ns", per_value);
        write_time(row, "decode_s_per_forward", "s", per_forward);
        printf("  %-*s  %10.5g  %14lld  %12lld  %7.3f %%  %9.3g  %9.3g  %9s  %10s\n", width, names,
               real_of(row, "bits_per_value"),
               (long long)json_integer_value(json_object_get(row, "redundant_bits")),
               (long long)json_integer_value(json_object_get(row, "altered")),
               100 * real_of(row, "altered_share"), real_of(row, "rms_error_relative"),
               real_of(row, "max_error"), per_value, per_forward);
    }
    printf("RMS error: relative to the RMS weight, %.4g; nan: a value is read as NaN or Inf\n"
           "time: to copy and decode all values once, one thread, median of %d; kernel %s\n",
           real_of(document, "rms_weight"), MAIN_PROTECT_REPETITIONS,
           json_string_value(json_object_get(document, "kernel")));
    print_unmeasured(rows);
}
