/* Dropout, runs that add up, frozen tensors, numbers that are none. */
#include "net_cases.h"

/* @return the largest difference of two arrays, relative to the largest element of the first. */
static double distance(const float *a, const float *b, size_t n)
{
    double worst = 0, scale = 1e-30;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
        scale = fmax(scale, fabs((double)a[i]));
    }
    return worst / scale;
}

static const tr_pass dropping = {.dropout = 0.1f, .attention_dropout = 0.2f, .key = 7, .step = 3};

/* Sequences [first, end) of a batch as a batch of its own. */
static tr_batch run_of(const net_text *text, uint32_t first, uint32_t end, uint32_t *off,
                       uint32_t *rows, uint32_t *answer_first)
{
    const tr_batch *whole = &text->batch;
    tr_batch run = {.tokens = {text->ids + text->off[first], off, end - first}};
    for (uint32_t s = first; s <= end; s++) off[s - first] = text->off[s] - text->off[first];
    *answer_first = first;
    run.outputs = end - first;
    if (whole->rows == NULL) return run;
    run.rows = rows;
    run.outputs = *answer_first = 0;
    for (uint32_t i = 0; i < whole->outputs; i++) {
        if (whole->rows[i] < text->off[first]) *answer_first = i + 1;
        if (whole->rows[i] < text->off[first] || whole->rows[i] >= text->off[end]) continue;
        rows[run.outputs++] = whole->rows[i] - text->off[first];
    }
    return run;
}

/* A batch is cut where nothing of it lies: the same answers, bit for bit, and, but for the sums of
 * LayerNorm's groups, the same gradients. */
static void adds_up_over_runs(void **state)
{
    static const uint32_t cuts[] = {0, 3, 4, 20};
    for (size_t c = 0; c < NET_CASES; c++) {
        network net;
        net_text text;
        net_make_case(&net, &text, &net_cases[c], 2);
        const size_t count = net_logits(&net, &text.batch), n = tr_logit_count(net.layout);
        float *dlogits = net_noise(count, 3), *spent = net_floats(count);
        float *logits = net_floats(count), *parts = net_floats(count);
        float *whole = net_gradients(&net, &text.batch, &dropping, dlogits, NULL);
        assert_ok(tr_forward(net.tape, net.weights, &text.batch, &dropping, logits));
        float *grads = net_floats(net.layout->floats);
        memcpy(spent, dlogits, count * sizeof *spent);
        for (unsigned i = 0; i < 3; i++) {
            uint32_t off[NET_SEQUENCES_MAX + 1], rows[NET_TOKENS_MAX], first;
            const tr_batch run = run_of(&text, cuts[i], cuts[i + 1], off, rows, &first);
            tr_pass pass = dropping;
            pass.row_first = text.off[cuts[i]];
            assert_ok(tr_forward(net.tape, net.weights, &run, &pass, parts + first * n));
            assert_ok(tr_backward(net.tape, net.weights, spent + first * n, grads, NULL));
        }
        assert_memory_equal(logits, parts, count * sizeof *logits);
        for (size_t i = 0; i < net.layout->count; i++) {
            const tr_tensor *t = &net.layout->tensors[i];
            const size_t size = (size_t)t->rows * t->cols;
            if (!(distance(whole + t->first, grads + t->first, size) < 1e-4)) {
                fail_msg("%s: gradient of %s", net_cases[c].name, t->name);
            }
        }
        free(dlogits), free(spent), free(logits), free(parts), free(whole), free(grads);
        net_unmake(&net);
    }
}

/* The logits' sum, weighted by `dlogits`. */
static double weighted(const network *net, const net_text *text, const tr_pass *pass,
                       const float *dlogits)
{
    const size_t n = net_logits(net, &text->batch);
    float *logits = net_floats(n);
    double sum = 0;
    assert_ok(tr_forward(net->tape, net->weights, &text->batch, pass, logits));
    for (size_t i = 0; i < n; i++) sum += (double)logits[i] * (double)dlogits[i];
    free(logits);
    return sum;
}

/* How the sum changes if a tensor moves along a direction, by fourth-order differences. */
static double slope(const network *net, const net_text *text, const tr_pass *pass,
                    const float *dlogits, const tr_tensor *t, const float *direction)
{
    static const struct {
        double at, weight;
    } points[4] = {{-2, 1}, {-1, -8}, {1, 8}, {2, -1}};
    const size_t n = (size_t)t->rows * t->cols;
    const double h = 0x1p-7;
    float *values = tr_weights_values(net->weights) + t->first, *kept = net_floats(n);
    double sum = 0;
    memcpy(kept, values, n * sizeof *kept);
    for (unsigned p = 0; p < 4; p++) {
        for (size_t i = 0; i < n; i++) {
            values[i] = (float)((double)kept[i] + points[p].at * h * (double)direction[i]);
        }
        tr_weights_pack(net->weights, net->pool);
        sum += points[p].weight * weighted(net, text, pass, dlogits);
    }
    memcpy(values, kept, n * sizeof *kept);
    tr_weights_pack(net->weights, net->pool);
    free(kept);
    return sum / (12 * h);
}

/* A random direction and the gradient's own, in equal parts. The caller frees it. */
static float *direction_of(const float *grads, size_t n, uint64_t seed)
{
    float *direction = net_noise(n, seed);
    double random = 0, own = 1e-30;
    for (size_t j = 0; j < n; j++) {
        random += pow((double)direction[j], 2);
        own += pow((double)grads[j], 2);
    }
    for (size_t j = 0; j < n; j++) {
        direction[j] = direction[j] / (float)sqrt(random) + grads[j] / (float)sqrt(own);
    }
    return direction;
}

/* The masks of the forward pass are those of the backward pass, in every place: along a random
 * direction of every tensor the gradient is the difference quotient of the dropped network. */
static void differentiates_through_dropout(void **state)
{
    for (size_t c = 0; c < NET_CASES; c++) {
        network net;
        net_text text;
        tr_pass pass = dropping;
        pass.dropout = 0.3f, pass.attention_dropout = 0.4f;
        net_make_case(&net, &text, &net_cases[c], 2);
        net_write(&text, &net, 4, 9, 8);
        float *dlogits = net_noise(net_logits(&net, &text.batch), 3);
        float *grads = net_gradients(&net, &text.batch, &pass, dlogits, NULL);
        for (size_t i = 0; i < net.layout->count; i++) {
            const tr_tensor *t = &net.layout->tensors[i];
            const size_t n = (size_t)t->rows * t->cols;
            if (!t->used) continue;
            float *direction = direction_of(grads + t->first, n, i);
            double along = 0, size = 0;
            for (size_t j = 0; j < n; j++) {
                along += (double)grads[t->first + j] * (double)direction[j];
                size += pow((double)grads[t->first + j], 2);
            }
            const double expected = slope(&net, &text, &pass, dlogits, t, direction);
            if (!(fabs(along - expected) < 1e-3 * sqrt(size) + 5e-2)) {
                fail_msg("%s: %s: %g, expected %g", net_cases[c].name, t->name, along, expected);
            }
            free(direction);
        }
        free(dlogits), free(grads);
        net_unmake(&net);
    }
}

/* Frozen tensors are not touched, wanted ones have the bits that they have among all. */
static void leaves_frozen_tensors_alone(void **state)
{
    uint64_t random = 1;
    for (size_t c = 0; c < NET_CASES; c++) {
        network net;
        net_text text;
        net_make_case(&net, &text, &net_cases[c], 2);
        net_write(&text, &net, 6, 20, 5);
        const size_t count = net.layout->count;
        float *dlogits = net_noise(net_logits(&net, &text.batch), 3);
        float *all = net_gradients(&net, &text.batch, &dropping, dlogits, NULL);
        uint8_t *wanted = malloc(count);
        assert_non_null(wanted);
        for (unsigned round = 0; round < count + 8; round++) {
            /* Each tensor alone, then random halves. */
            for (size_t i = 0; i < count; i++) {
                wanted[i] = round < count ? i == round : tiny_random(&random) % 2 == 0;
            }
            float *some = net_gradients(&net, &text.batch, &dropping, dlogits, wanted);
            for (size_t i = 0; i < count; i++) {
                const tr_tensor *t = &net.layout->tensors[i];
                const size_t n = (size_t)t->rows * t->cols;
                const float *now = some + t->first;
                if (wanted[i]) assert_memory_equal(now, all + t->first, n * sizeof *now);
                for (size_t j = 0; !wanted[i] && j < n; j++) assert_true(now[j] == 0);
            }
            free(some);
        }
        free(wanted), free(dlogits), free(all);
        net_unmake(&net);
    }
}

/* A token that is not a number spoils its sequences' answers and every weight's gradient, but no
 * other sequence's answers and no other token's embedding. */
static void lets_nan_flow_and_no_further(void **state)
{
    for (size_t c = 0; c < NET_CASES; c++) {
        network net;
        net_text text;
        net_make_case(&net, &text, &net_cases[c], 2);
        const int tied = net_cases[c].head == TR_HEAD_MASKED ||
                         (net_cases[c].head == TR_HEAD_CAUSAL && !net_cases[c].untied);
        if (tied) { /* there it is a class too */
            net_unmake(&net);
            continue;
        }
        const size_t d = net.layout->geometry->config.d_model, n = tr_logit_count(net.layout);
        for (uint32_t i = 0; i < text.off[20]; i++) {
            if (text.ids[i] == 298) text.ids[i] = 297;
        }
        const uint32_t first = text.off[4], end = text.off[5];
        text.ids[first] = 298;
        float *table = tr_weights_values(net.weights);
        table[298 * d + 3] = NAN;
        float *dlogits = net_noise(net_logits(&net, &text.batch), 3);
        float *logits = net_floats(net_logits(&net, &text.batch));
        assert_ok(tr_forward(net.tape, net.weights, &text.batch, &(tr_pass){0}, logits));
        for (size_t i = 0; i < text.batch.outputs; i++) {
            const uint32_t row = text.batch.rows != NULL ? text.rows[i] : text.off[i];
            for (size_t j = 0; j < n; j++) {
                assert_true(isnan(logits[i * n + j]) == (row >= first && row < end));
            }
        }
        float *grads = net_gradients(&net, &text.batch, &(tr_pass){0}, dlogits, NULL);
        for (size_t id = 0; id < 299; id++) {
            int spoilt = 0;
            for (uint32_t i = first; i < end; i++) spoilt |= text.ids[i] == (int32_t)id;
            for (size_t j = 0; j < d; j++) {
                assert_true((isnan(grads[id * d + j]) != 0) == spoilt);
            }
        }
        const tr_tensor *last = &net.layout->tensors[net.layout->count - 1];
        assert_true(isnan(grads[last->first]) || last->rank == 1);
        free(dlogits), free(logits), free(grads);
        net_unmake(&net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_up_over_runs),
        cmocka_unit_test(differentiates_through_dropout),
        cmocka_unit_test(leaves_frozen_tensors_alone),
        cmocka_unit_test(lets_nan_flow_and_no_further),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
