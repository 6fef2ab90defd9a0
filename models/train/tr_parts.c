#include "tr_parts.h"

#include "assert.h"
#include "nn_backward.h"
#include "nn_gemm.h"
#include "nn_kernels.h"
#include "tr_packed.h"

int tr__wants(const tr_backward_pass *pass, int tensor)
{
    return tensor != TR_NONE && (pass->wanted == NULL || pass->wanted[tensor]);
}

int tr__wants_norm(const tr_backward_pass *pass, tr_norm norm)
{
    return norm != TR_NONE && (tr__wants(pass, norm) || tr__wants(pass, norm + 1));
}

int tr__wants_linear(const tr_backward_pass *pass, const tr_linear *linear)
{
    for (unsigned i = 0; i < linear->parts; i++) {
        if (tr__wants(pass, linear->weight[i]) || tr__wants(pass, linear->bias[i])) return 1;
    }
    return 0;
}

void tr__apply(const tr_weights *weights, const tr_linear *linear, float *y, const float *x,
               size_t rows)
{
    for (unsigned i = 0; i < linear->parts; i++) {
        const int bias = linear->bias[i];
        nn_gemm(y + i * linear->out, linear->parts * linear->out, x, linear->in,
                tr__forward_copy(weights, (uint32_t)linear->weight[i]),
                bias == TR_NONE ? NULL : tr__values(weights, (uint32_t)bias), rows, linear->out,
                linear->in);
    }
}

void tr__apply_backward(const tr_weights *weights, const tr_linear *linear, float *dx,
                        const float *dy, size_t rows, int onto)
{
    const size_t stride = linear->parts * linear->out;
    for (unsigned i = 0; i < linear->parts; i++) {
        const float *packed = tr__backward_copy(weights, (uint32_t)linear->weight[i]);
        if (onto || i > 0) {
            nn_gemm_onto(dx, linear->in, dy + i * linear->out, stride, packed, rows, linear->in,
                         linear->out);
        } else {
            nn_gemm(dx, linear->in, dy, stride, packed, NULL, rows, linear->in, linear->out);
        }
    }
}

void tr__normalise(const tr_tape *tape, const tr_weights *weights, tr_norm norm, float *out,
                   const float *x, size_t rows)
{
    nn_layernorm(out, x, tr__values(weights, (uint32_t)norm),
                 tr__values(weights, (uint32_t)norm + 1), rows, tape->plan.config->d_model,
                 (float)tape->plan.config->norm_eps);
}

void tr__normalise_backward(const tr_backward_pass *pass, tr_norm norm, float *d, const float *x,
                            size_t rows, float *part)
{
    const size_t width = pass->tape->plan.config->d_model;
    const int wanted = tr__wants_norm(pass, norm);
    nn_layernorm_backward(d, d, x, tr__values(pass->weights, (uint32_t)norm), wanted ? part : NULL,
                          wanted ? part + width : NULL, rows, width,
                          (float)pass->tape->plan.config->norm_eps);
}

void tr__activate(const tr_tape *tape, float *x, size_t n)
{
    switch (tape->plan.config->activation) {
    case FS_ACT_GELU_ERF:
        nn_gelu_erf(x, n);
        return;
    case FS_ACT_GELU_TANH:
        nn_gelu_tanh(x, n);
        return;
    case FS_ACT_RELU:
        nn_relu(x, n);
        return;
    }
    FS_ASSERT(0);
}

void tr__activate_backward(const tr_tape *tape, float *d, const float *x, size_t n)
{
    switch (tape->plan.config->activation) {
    case FS_ACT_GELU_ERF:
        nn_gelu_erf_backward(d, x, n);
        return;
    case FS_ACT_GELU_TANH:
        nn_gelu_tanh_backward(d, x, n);
        return;
    case FS_ACT_RELU:
        nn_relu_backward(d, x, n);
        return;
    }
    FS_ASSERT(0);
}

void tr__drop(const tr_tape *tape, uint32_t place, float *x, size_t row_first, size_t rows)
{
    const size_t width = tape->plan.config->d_model;
    const nn_dropout dropout = {.key = tape->pass.key,
                                .step = tape->pass.step,
                                .place = place,
                                .probability = tape->pass.dropout};
    nn_dropout_apply(&dropout, x, (tape->pass.row_first + row_first) * width, rows * width);
}

void tr__visit(const tr_tape *tape, tr_stage stage, uint32_t layer, float *values, size_t row_first,
               size_t rows, size_t cols)
{
    const tr_probe *probe = tape->pass.probe;
    if (probe == NULL) return;
    probe->visit(probe->context, stage, layer, values, (uint32_t)row_first, (uint32_t)rows,
                 (uint32_t)cols);
}
