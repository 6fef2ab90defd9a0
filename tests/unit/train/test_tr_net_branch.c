/* A second pass that begins at another one's state: it computes nothing below, and the gradients of
 * both go down as one sum. */
#include "net_fixture.h"

#include <math.h>

typedef struct branch_case {
    fs_model_kind kind;
    fs_task_kind task;
    tr_head head;
} branch_case;

static const branch_case cases[] = {
    {FS_MODEL_BERT, FS_TASK_CLASSIFICATION, TR_HEAD_CLASSIFY},
    {FS_MODEL_BERT, FS_TASK_CLASSIFICATION, TR_HEAD_MASKED},
    {FS_MODEL_GPT2, FS_TASK_CLASSIFICATION, TR_HEAD_CLASSIFY},
    {FS_MODEL_GPT2, FS_TASK_LM, TR_HEAD_CAUSAL},
};
enum { CASES = sizeof cases / sizeof cases[0], LAYERS = 3 };

static const tr_pass with_dropout = {
    .dropout = 0.2f, .attention_dropout = 0.1f, .key = 4, .step = 9, .row_first = 30};

static void make(network *self, const branch_case *c)
{
    tiny_spec spec = tiny_spec_default(c->kind, c->task);
    spec.layers = LAYERS, spec.width = 12, spec.heads = 2, spec.vocab = 40, spec.positions = 9;
    spec.labels = c->task == FS_TASK_CLASSIFICATION ? 3 : 0;
    net_make(self, &spec, c->head, 2);
}

/* Ruins what a pass from block `layer` on must not read; a tied head reads the token table. */
static void ruin_below(const network *self, float *values, uint32_t layer)
{
    const fs_geometry *geometry = self->layout->geometry;
    for (size_t i = 0; i < geometry->slice_count; i++) {
        const fs_slice *slice = &geometry->slices[i];
        const tr_tensor *t = &self->layout->tensors[slice->tensor];
        const int table =
            slice->component == FS_EMBEDDING_POSITION || slice->component == FS_EMBEDDING_NORM;
        if (slice->layer >= 0 ? (uint32_t)slice->layer >= layer : !table) continue;
        for (size_t j = 0; j < (size_t)t->rows * t->cols; j++) values[t->first + j] = NAN;
    }
}

static void computes_nothing_below(void **state)
{
    for (size_t i = 0; i < CASES; i++) {
        network self;
        net_text text;
        tr_weights *ruined;
        tr_tape *branch;
        make(&self, &cases[i]);
        net_write(&text, &self, 6, 9, 5);
        assert_ok(tr_weights_new(&ruined, self.layout));
        assert_ok(tr_tape_new(&branch, self.layout, self.pool));
        const size_t n = net_logits(&self, &text.batch);
        float *whole = net_floats(n), *from = net_floats(n);
        assert_ok(tr_forward(self.tape, self.weights, &text.batch, &with_dropout, whole));
        for (uint32_t layer = 1; layer <= LAYERS; layer++) {
            memcpy(tr_weights_values(ruined), tr_weights_values(self.weights),
                   self.layout->floats * sizeof(float));
            ruin_below(&self, tr_weights_values(ruined), layer);
            tr_weights_pack(ruined, self.pool);
            memset(from, 0, n * sizeof *from);
            assert_ok(tr_forward_from(branch, ruined, self.tape, layer, from));
            assert_memory_equal(from, whole, n * sizeof *from);
        }
        free(whole);
        free(from);
        tr_tape_destroy(&branch);
        tr_weights_destroy(&ruined);
        net_unmake(&self);
    }
}

/* With the same weights in both, the gradients of a and of b join to that of a + b. */
static void check_joined(const branch_case *c, uint32_t layer, const uint8_t *wanted)
{
    network self;
    net_text text;
    tr_tape *branch;
    make(&self, c);
    net_write(&text, &self, 6, 9, 5);
    assert_ok(tr_tape_new(&branch, self.layout, self.pool));
    const size_t n = net_logits(&self, &text.batch);
    float *a = net_noise(n, 1), *b = net_noise(n, 2), *sum = net_floats(n), *logits = net_floats(n);
    for (size_t i = 0; i < n; i++) sum[i] = a[i] + b[i];
    float *expected = net_gradients(&self, &text.batch, &with_dropout, sum, wanted);
    float *grads = net_floats(self.layout->floats);
    assert_ok(tr_forward(self.tape, self.weights, &text.batch, &with_dropout, logits));
    assert_ok(tr_forward_from(branch, self.weights, self.tape, layer, logits));
    assert_ok(tr_backward(branch, self.weights, b, grads, wanted));
    assert_ok(tr_backward_joined(self.tape, self.weights, a, grads, wanted, branch));
    double largest = 0;
    for (size_t i = 0; i < self.layout->floats; i++)
        largest = fmax(largest, fabs((double)expected[i]));
    for (size_t i = 0; i < self.layout->floats; i++)
        assert_true(fabs((double)grads[i] - (double)expected[i]) < 1e-5 * largest);
    free(a), free(b), free(sum), free(logits), free(expected), free(grads);
    tr_tape_destroy(&branch);
    net_unmake(&self);
}

static void gradients_join(void **state)
{
    for (size_t i = 0; i < CASES; i++)
        for (uint32_t layer = 0; layer <= LAYERS; layer++) check_joined(&cases[i], layer, NULL);
}

/* Only tensors of one block are wanted: below, at and above the place where they join. */
static void gradients_of_few_tensors_join(void **state)
{
    const branch_case *c = &cases[3];
    network self;
    make(&self, c);
    uint8_t *wanted = calloc(self.layout->count, 1);
    assert_non_null(wanted);
    for (uint32_t block = 0; block < LAYERS; block++) {
        char name[64];
        memset(wanted, 0, self.layout->count);
        snprintf(name, sizeof name, "h.%u.mlp.c_fc.weight", (unsigned)block);
        wanted[tr_layout_find(self.layout, name)] = 1;
        for (uint32_t layer = 0; layer <= LAYERS; layer++) check_joined(c, layer, wanted);
    }
    memset(wanted, 0, self.layout->count);
    wanted[tr_layout_find(self.layout, "wpe.weight")] = 1;
    check_joined(c, 2, wanted);
    free(wanted);
    net_unmake(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(computes_nothing_below),
        cmocka_unit_test(gradients_join),
        cmocka_unit_test(gradients_of_few_tensors_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
