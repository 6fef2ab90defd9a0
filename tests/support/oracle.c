#include "oracle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"

typedef struct oracle {
    const tiny_model *model;
    uint32_t n, d;
    uint32_t layer;
    const oracle_hit *hit; /* NULL: none */
    double *x;             /* [n, d] */
} oracle;

/* Replaces the value that is to be hit, if it is in x: rows `ld` apart, all or (of one head) one.
 */
static void strike(const oracle *self, fs_stage stage, double *x, uint32_t ld)
{
    const oracle_hit *hit = self->hit;
    if (hit == NULL || hit->stage != stage || hit->layer != self->layer) return;
    x[hit->row * ld + hit->column] = hit->value;
}

static void strike_head(const oracle *self, fs_stage stage, uint32_t head, uint32_t row, double *p)
{
    const oracle_hit *hit = self->hit;
    if (hit != NULL && hit->head == head && hit->row == row) strike(self, stage, p, 0);
}

static const float *weight(const oracle *self, const char *stem, const char *leaf)
{
    char name[96];
    const int n = snprintf(name, sizeof name, "%s.%s", stem, leaf);
    FS_ASSERT(n > 0 && (size_t)n < sizeof name);
    return tiny_model_tensor(self->model, name)->values;
}

static double *zeros(size_t count)
{
    double *values = calloc(count, sizeof *values);
    FS_ASSERT(values != NULL);
    return values;
}

/* y [rows, out] = x [rows, in] W + b, W as torch's Linear or as Conv1D. */
static double *product(const float *w, const float *b, int conv, const double *x, uint32_t rows,
                       uint32_t in, uint32_t out)
{
    double *y = zeros((size_t)rows * out);
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t o = 0; o < out; o++) {
            double sum = (double)b[o];
            for (uint32_t i = 0; i < in; i++) {
                sum += x[r * in + i] * (double)(conv ? w[i * out + o] : w[o * in + i]);
            }
            y[r * out + o] = sum;
        }
    }
    return y;
}

static double *linear(const oracle *self, const char *stem, const double *x, uint32_t rows,
                      uint32_t in, uint32_t out)
{
    return product(weight(self, stem, "weight"), weight(self, stem, "bias"),
                   self->model->spec.kind == FS_MODEL_GPT2, x, rows, in, out);
}

static void normalise(const oracle *self, const float *gain, const float *bias, double *x,
                      uint32_t rows)
{
    const double eps = self->model->spec.kind == FS_MODEL_BERT ? 1e-12 : 1e-5;
    const uint32_t d = self->d;
    for (uint32_t r = 0; r < rows; r++) {
        double mean = 0, variance = 0;
        for (uint32_t i = 0; i < d; i++) mean += x[r * d + i] / d;
        for (uint32_t i = 0; i < d; i++) variance += pow(x[r * d + i] - mean, 2) / d;
        for (uint32_t i = 0; i < d; i++) {
            x[r * d + i] =
                (x[r * d + i] - mean) / sqrt(variance + eps) * (double)gain[i] + (double)bias[i];
        }
    }
}

static void layer_norm(const oracle *self, const char *stem, double *x, uint32_t rows)
{
    normalise(self, weight(self, stem, "weight"), weight(self, stem, "bias"), x, rows);
}

static double activation(const oracle *self, double x)
{
    const tiny_spec *spec = &self->model->spec;
    const char *name = spec->activation;
    if (name == NULL) name = spec->kind == FS_MODEL_BERT ? "gelu" : "gelu_new";
    if (strcmp(name, "relu") == 0) return x > 0 ? x : 0;
    if (strcmp(name, "gelu") == 0) return 0.5 * x * (1 + erf(x / sqrt(2.0)));
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

/* One head's answer for row r: q, k, v are columns of rows of stride `ld`. */
static void attend(const oracle *self, uint32_t head, const double *q, const double *k,
                   const double *v, uint32_t ld, uint32_t r, double *out)
{
    const uint32_t width = self->d / self->model->spec.heads;
    const uint32_t seen = self->model->spec.kind == FS_MODEL_GPT2 ? r + 1 : self->n;
    double *p = zeros(seen), max = -INFINITY, sum = 0;
    for (uint32_t j = 0; j < seen; j++) {
        for (uint32_t i = 0; i < width; i++) p[j] += q[r * ld + i] * k[j * ld + i];
        p[j] /= sqrt(width);
    }
    strike_head(self, FS_STAGE_ATTENTION_SCORES, head, r, p);
    for (uint32_t j = 0; j < seen; j++) max = fmax(max, p[j]);
    for (uint32_t j = 0; j < seen; j++) sum += p[j] = exp(p[j] - max);
    for (uint32_t j = 0; j < seen; j++) p[j] /= sum;
    strike_head(self, FS_STAGE_ATTENTION_PROBS, head, r, p);
    for (uint32_t i = 0; i < width; i++) {
        out[i] = 0;
        for (uint32_t j = 0; j < seen; j++) out[i] += p[j] * v[j * ld + i];
    }
    free(p);
}

/* [n, d] from q, k, v with rows of stride ld. */
static double *attention(const oracle *self, const double *q, const double *k, const double *v,
                         uint32_t ld)
{
    double *context = zeros((size_t)self->n * self->d);
    const uint32_t heads = self->model->spec.heads, width = self->d / heads;
    for (uint32_t r = 0; r < self->n; r++) {
        for (uint32_t h = 0; h < heads; h++) {
            attend(self, h, q + h * width, k + h * width, v + h * width, ld, r,
                   context + r * self->d + h * width);
        }
    }
    strike(self, FS_STAGE_ATTENTION_CONTEXT, context, self->d);
    return context;
}

static double *mlp(const oracle *self, const char *up, const char *down, const double *x)
{
    const tiny_spec *spec = &self->model->spec;
    const uint32_t inner = spec->inner != 0 ? spec->inner : 4 * spec->width;
    double *hidden = linear(self, up, x, self->n, self->d, inner);
    for (size_t i = 0; i < (size_t)self->n * inner; i++) hidden[i] = activation(self, hidden[i]);
    strike(self, FS_STAGE_MLP_HIDDEN, hidden, inner);
    double *out = linear(self, down, hidden, self->n, inner, self->d);
    strike(self, FS_STAGE_MLP_OUT, out, self->d);
    free(hidden);
    return out;
}

/* x += y, and y is done with. */
static void add_free(oracle *self, double *y)
{
    for (size_t i = 0; i < (size_t)self->n * self->d; i++) self->x[i] += y[i];
    free(y);
}

static const char *named(char out[96], const char *stem, uint32_t layer, const char *rest)
{
    snprintf(out, 96, "%s.%u.%s", stem, layer, rest);
    return out;
}

static void bert_block(oracle *self, uint32_t layer)
{
    const uint32_t n = self->n, d = self->d;
    const char *stem = "encoder.layer";
    char a[96], b[96];
    double *q = linear(self, named(a, stem, layer, "attention.self.query"), self->x, n, d, d);
    double *k = linear(self, named(a, stem, layer, "attention.self.key"), self->x, n, d, d);
    double *v = linear(self, named(a, stem, layer, "attention.self.value"), self->x, n, d, d);
    strike(self, FS_STAGE_ATTENTION_Q, q, d);
    strike(self, FS_STAGE_ATTENTION_K, k, d);
    strike(self, FS_STAGE_ATTENTION_V, v, d);
    double *context = attention(self, q, k, v, d);
    double *out = linear(self, named(a, stem, layer, "attention.output.dense"), context, n, d, d);
    strike(self, FS_STAGE_ATTENTION_OUT, out, d);
    add_free(self, out);
    layer_norm(self, named(a, stem, layer, "attention.output.LayerNorm"), self->x, n);
    add_free(self, mlp(self, named(a, stem, layer, "intermediate.dense"),
                       named(b, stem, layer, "output.dense"), self->x));
    layer_norm(self, named(a, stem, layer, "output.LayerNorm"), self->x, n);
    free(q);
    free(k);
    free(v);
    free(context);
}

static double *copy(const oracle *self)
{
    double *x = zeros((size_t)self->n * self->d);
    memcpy(x, self->x, (size_t)self->n * self->d * sizeof *x);
    return x;
}

static void gpt2_block(oracle *self, uint32_t layer)
{
    const uint32_t n = self->n, d = self->d;
    char a[96], b[96];
    double *normed = copy(self);
    layer_norm(self, named(a, "h", layer, "ln_1"), normed, n);
    double *qkv = linear(self, named(a, "h", layer, "attn.c_attn"), normed, n, d, 3 * d);
    strike(self, FS_STAGE_ATTENTION_Q, qkv, 3 * d);
    strike(self, FS_STAGE_ATTENTION_K, qkv + d, 3 * d);
    strike(self, FS_STAGE_ATTENTION_V, qkv + 2 * d, 3 * d);
    double *context = attention(self, qkv, qkv + d, qkv + 2 * d, 3 * d);
    double *out = linear(self, named(a, "h", layer, "attn.c_proj"), context, n, d, d);
    strike(self, FS_STAGE_ATTENTION_OUT, out, d);
    add_free(self, out);
    free(normed);
    normed = copy(self);
    layer_norm(self, named(a, "h", layer, "ln_2"), normed, n);
    add_free(self, mlp(self, named(a, "h", layer, "mlp.c_fc"), named(b, "h", layer, "mlp.c_proj"),
                       normed));
    free(normed);
    free(qkv);
    free(context);
}

static void embed(oracle *self, const int32_t *ids)
{
    const int bert = self->model->spec.kind == FS_MODEL_BERT;
    const float *words =
        bert ? weight(self, "embeddings.word_embeddings", "weight") : weight(self, "wte", "weight");
    const float *places = bert ? weight(self, "embeddings.position_embeddings", "weight")
                               : weight(self, "wpe", "weight");
    for (uint32_t r = 0; r < self->n; r++) {
        for (uint32_t i = 0; i < self->d; i++) {
            double *x = &self->x[r * self->d + i];
            *x = (double)words[(uint32_t)ids[r] * self->d + i] + (double)places[r * self->d + i];
            if (bert) *x += (double)weight(self, "embeddings.token_type_embeddings", "weight")[i];
        }
    }
    if (bert) layer_norm(self, "embeddings.LayerNorm", self->x, self->n);
}

/* out [rows, columns] = x [rows, d] times the transpose of a [columns, d] table. */
static void project(const oracle *self, const float *table, const double *x, uint32_t rows,
                    uint32_t columns, double *out)
{
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++) {
            double sum = 0;
            for (size_t i = 0; i < self->d; i++) {
                sum += x[r * self->d + i] * (double)table[c * self->d + i];
            }
            out[r * columns + c] = sum;
        }
    }
}

/* The state behind all layers; the caller frees x. */
static oracle encode(const tiny_model *model, const int32_t *ids, uint32_t n, const oracle_hit *hit)
{
    oracle self = {.model = model, .n = n, .d = model->spec.width, .hit = hit};
    self.x = zeros((size_t)n * self.d);
    embed(&self, ids);
    strike(&self, FS_STAGE_EMBEDDING_OUT, self.x, self.d);
    for (uint32_t l = 0; l < model->spec.layers; l++) {
        self.layer = l;
        if (model->spec.kind == FS_MODEL_BERT)
            bert_block(&self, l);
        else
            gpt2_block(&self, l);
        strike(&self, FS_STAGE_BLOCK_OUT, self.x, self.d);
    }
    self.layer = 0;
    return self;
}

void oracle_logits(const tiny_model *model, const int32_t *ids, uint32_t n, double *logits)
{
    oracle_logits_hit(model, ids, n, NULL, logits);
}

void oracle_logits_hit(const tiny_model *model, const int32_t *ids, uint32_t n,
                       const oracle_hit *hit, double *logits)
{
    const tiny_spec *spec = &model->spec;
    oracle self = encode(model, ids, n, hit);
    uint32_t columns = spec->task == FS_TASK_CLASSIFICATION ? spec->labels : spec->vocab;
    if (spec->kind == FS_MODEL_BERT) {
        double *pooled = linear(&self, "pooler.dense", self.x, 1, self.d, self.d);
        for (uint32_t i = 0; i < self.d; i++) pooled[i] = tanh(pooled[i]);
        double *out = linear(&self, "classifier", pooled, 1, self.d, spec->labels);
        memcpy(logits, out, spec->labels * sizeof *out);
        free(pooled);
        free(out);
    } else {
        layer_norm(&self, "ln_f", self.x, n);
        if (spec->task == FS_TASK_CLASSIFICATION) {
            project(&self, weight(&self, "score", "weight"), self.x + (size_t)(n - 1) * self.d, 1,
                    spec->labels, logits);
        } else {
            project(&self, weight(&self, spec->untied ? "lm_head" : "wte", "weight"), self.x, n,
                    spec->vocab, logits);
        }
    }
    strike(&self, FS_STAGE_LOGITS, logits, columns);
    free(self.x);
}

void oracle_masked_logits(const tiny_model *model, const oracle_masked *head, const int32_t *ids,
                          uint32_t n, double *logits)
{
    const uint32_t vocab = model->spec.vocab;
    oracle self = encode(model, ids, n, NULL);
    double *x = product(head->dense, head->dense_bias, 0, self.x, n, self.d, self.d);
    for (size_t i = 0; i < (size_t)n * self.d; i++) x[i] = activation(&self, x[i]);
    normalise(&self, head->gain, head->gain_bias, x, n);
    project(&self, weight(&self, "embeddings.word_embeddings", "weight"), x, n, vocab, logits);
    for (size_t i = 0; i < (size_t)n * vocab; i++) logits[i] += (double)head->bias[i % vocab];
    free(x);
    free(self.x);
}
