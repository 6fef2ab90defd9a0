/* Attention with dropout, and its gradient: every kernel against the plain loops, bit for bit, and
 * the plain loops against central differences in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "floats.h"
#include "nn_backward.h"
#include "nn_cpu.h"

static float *scratch_for(const nn_attention_shape *shape, uint32_t len_max)
{
    size_t bytes = nn_attention_backward_scratch(shape, len_max) * sizeof(float);
    float *scratch = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(scratch);
    memset(scratch, 0xff, bytes);
    return scratch;
}

static uint32_t longest_of(const uint32_t *off, uint32_t n_seq)
{
    uint32_t longest = 0;
    for (uint32_t s = 0; s < n_seq; s++) {
        if (off[s + 1] - off[s] > longest) longest = off[s + 1] - off[s];
    }
    return longest;
}

static void check_batch(const nn_attention_shape *shape, const uint32_t *off, uint32_t n_seq,
                        float probability, uint32_t odd)
{
    const size_t d = (size_t)shape->heads * shape->d_head, rows = off[n_seq];
    const uint32_t longest = longest_of(off, n_seq), positions = longest + 3;
    const nn_dropout dropout = {77, longest, 5, probability};
    guarded qkv = guarded_new(rows * 3 * d), dout = guarded_new(rows * d);
    guarded out = guarded_new(rows * d), dqkv = guarded_new(rows * 3 * d);
    guarded want = guarded_new(rows * d), dwant = guarded_new(rows * 3 * d);
    float *scratch = scratch_for(shape, longest);
    fill(qkv.at, qkv.n, d * 31 + longest, odd);
    fill(dout.at, dout.n, d * 37 + longest, odd);
    nn_attention_dropped_reference(want.at, qkv.at, off, n_seq, shape, &dropout, 9, positions,
                                   scratch);
    nn_attention_backward_reference(dwant.at, dout.at, qkv.at, off, n_seq, shape, &dropout, 9,
                                    positions, scratch);
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        memset(out.at, 0xff, out.n * sizeof(float));
        memset(dqkv.at, 0xff, dqkv.n * sizeof(float));
        nn_attention_dropped(out.at, qkv.at, off, n_seq, shape, &dropout, 9, positions, scratch);
        nn_attention_backward(dqkv.at, dout.at, qkv.at, off, n_seq, shape, &dropout, 9, positions,
                              scratch);
        size_t at = first_difference(out.at, want.at, out.n);
        size_t dat = first_difference(dqkv.at, dwant.at, dqkv.n);
        if (at < out.n || dat < dqkv.n) {
            fail_msg("%s, %u heads of %u, causal %d, p %g, longest %u: differs in row %zu or in "
                     "the gradient's row %zu, column %zu",
                     kernel_names[i], shape->heads, shape->d_head, shape->causal,
                     (double)probability, longest, at / d, dat / (3 * d), dat % (3 * d));
        }
    }
    free(scratch);
    guarded *all[] = {&qkv, &dout, &out, &dqkv, &want, &dwant};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) guarded_free(all[i]);
}

static void every_kernel_gives_the_reference_bits(void **state)
{
    static const uint32_t d_heads[] = {1, 3, 7, 16, 17, 64};
    static const uint32_t off[] = {0, 1, 3, 28, 29, 54, 63};
    for (uint32_t heads = 1; heads <= 7; heads += 3) {
        for (size_t i = 0; i < sizeof d_heads / sizeof d_heads[0]; i++) {
            for (int causal = 0; causal < 2; causal++) {
                nn_attention_shape shape = {heads, d_heads[i], causal, NN_ROWS_ALL};
                check_batch(&shape, off, 6, 0, i % 2 ? 300 : 0);
                check_batch(&shape, off, 6, 0.2f, i % 2 ? 0 : 300);
            }
        }
    }
}

static void every_length_gives_the_reference_bits(void **state)
{
    for (uint32_t len = 1; len <= 300; len += len < 52 ? 1 : 31) {
        const uint32_t off[] = {0, len};
        for (int causal = 0; causal < 2; causal++) {
            nn_attention_shape shape = {2, 5, causal, NN_ROWS_ALL};
            check_batch(&shape, off, 1, 0.1f, len % 3 == 0 ? 500 : 0);
        }
    }
    const uint32_t off[] = {0, 150};
    for (int causal = 0; causal < 2; causal++) {
        nn_attention_shape shape = {1, 64, causal, NN_ROWS_ALL};
        check_batch(&shape, off, 1, 0, 20);
    }
}

static void without_dropout_it_is_nn_attention(void **state)
{
    enum { D = 2 * 24, ROWS = 63 };
    static const uint32_t off[] = {0, 1, 3, 28, 29, 54, ROWS};
    static float qkv[ROWS * 3 * D], got[ROWS * D], want[ROWS * D];
    const nn_dropout none = {1, 2, 3, 0};
    fill(qkv, ROWS * 3 * D, 1, 100);
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        for (int causal = 0; causal < 2; causal++) {
            const nn_attention_shape shape = {2, 24, causal, NN_ROWS_ALL};
            float *scratch = scratch_for(&shape, 25);
            nn_attention_reference(want, qkv, off, 6, &shape, scratch);
            nn_attention_dropped(got, qkv, off, 6, &shape, &none, 100, 25, scratch);
            assert_int_equal(first_difference(got, want, ROWS * D), ROWS * D);
            nn_attention_dropped(got, qkv, off, 6, &shape, NULL, 0, 0, scratch);
            assert_int_equal(first_difference(got, want, ROWS * D), ROWS * D);
            free(scratch);
        }
    }
}

/* A pass over the whole batch, and one sequence at a time with its rows numbered on. */
static void a_batch_may_be_cut_into_runs(void **state)
{
    enum { D = 2 * 8, ROWS = 63, SEQUENCES = 6, POSITIONS = 25 };
    static const uint32_t off[] = {0, 1, 3, 28, 29, 54, ROWS};
    static float qkv[ROWS * 3 * D], dout[ROWS * D];
    static float whole[ROWS * 3 * D], cut[ROWS * 3 * D], out[ROWS * D], cut_out[ROWS * D];
    const nn_dropout dropout = {1, 2, 3, 0.3f};
    fill(qkv, ROWS * 3 * D, 1, 0);
    fill(dout, ROWS * D, 2, 0);
    for (int i = 0; i < 2 * KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i / 2]) != FS_OK) continue;
        const nn_attention_shape shape = {2, 8, i % 2, NN_ROWS_ALL};
        float *scratch = scratch_for(&shape, POSITIONS);
        nn_attention_dropped(out, qkv, off, SEQUENCES, &shape, &dropout, 40, POSITIONS, scratch);
        nn_attention_backward(whole, dout, qkv, off, SEQUENCES, &shape, &dropout, 40, POSITIONS,
                              scratch);
        for (uint32_t s = 0; s < SEQUENCES; s++) {
            if (s % 2 == 0) { /* The same arrays, from the middle of the offsets. */
                nn_attention_dropped(cut_out, qkv, off + s, 1, &shape, &dropout, 40, POSITIONS,
                                     scratch);
                nn_attention_backward(cut, dout, qkv, off + s, 1, &shape, &dropout, 40, POSITIONS,
                                      scratch);
                continue;
            }
            const uint32_t alone[] = {0, off[s + 1] - off[s]};
            const size_t row = off[s];
            nn_attention_dropped(cut_out + row * D, qkv + row * 3 * D, alone, 1, &shape, &dropout,
                                 40 + row, POSITIONS, scratch);
            nn_attention_backward(cut + row * 3 * D, dout + row * D, qkv + row * 3 * D, alone, 1,
                                  &shape, &dropout, 40 + row, POSITIONS, scratch);
        }
        assert_memory_equal(cut_out, out, sizeof out);
        assert_memory_equal(cut, whole, sizeof whole);
        free(scratch);
    }
}

enum { LEN = 11, HEADS = 2, D_HEAD = 6, D = HEADS * D_HEAD, POSITIONS = 13 };

/** sum(dout * attention(qkv)) by equation 1 in double; mask [LEN * HEADS * POSITIONS] multiplies
 * the probabilities. */
static double loss_of(const double *qkv, const float *dout, const float *mask, int causal)
{
    double loss = 0;
    for (size_t i = 0; i < LEN * HEADS; i++) {
        const size_t row = i / HEADS, head = i % HEADS, seen = causal ? row + 1 : LEN;
        const double *q = qkv + row * 3 * D + head * D_HEAD, *k = qkv + D + head * D_HEAD;
        double weights[LEN], sum = 0;
        for (size_t j = 0; j < seen; j++) {
            double dot = 0;
            for (size_t e = 0; e < D_HEAD; e++) dot += q[e] * k[j * 3 * D + e];
            sum += weights[j] = exp(dot / sqrt(D_HEAD));
        }
        for (size_t j = 0; j < seen; j++) {
            for (size_t e = 0; e < D_HEAD; e++) {
                loss += weights[j] / sum * (double)mask[i * POSITIONS + j] * k[j * 3 * D + D + e] *
                        (double)dout[row * D + head * D_HEAD + e];
            }
        }
    }
    return loss;
}

static void the_gradient_is_the_central_difference(void **state)
{
    const uint32_t off[] = {0, LEN};
    const uint64_t row_first = 3;
    float qkv[LEN * 3 * D], dout[LEN * D], got[LEN * 3 * D], mask[LEN * HEADS * POSITIONS];
    double values[LEN * 3 * D];
    fill(qkv, LEN * 3 * D, 1, 0);
    fill(dout, LEN * D, 2, 0);
    for (int kind = 0; kind < 4; kind++) {
        const nn_attention_shape shape = {HEADS, D_HEAD, kind % 2, NN_ROWS_ALL};
        const nn_dropout dropout = {7, 8, 9, kind / 2 ? 0.4f : 0.0f};
        float *scratch = scratch_for(&shape, LEN);
        for (size_t i = 0; i < LEN * HEADS * POSITIONS; i++) mask[i] = 1;
        nn_dropout_apply_reference(&dropout, mask, row_first * HEADS * POSITIONS,
                                   LEN * HEADS * POSITIONS);
        nn_attention_backward_reference(got, dout, qkv, off, 1, &shape, &dropout, row_first,
                                        POSITIONS, scratch);
        for (size_t i = 0; i < LEN * 3 * D; i++) values[i] = (double)qkv[i];
        for (size_t i = 0; i < LEN * 3 * D; i++) {
            const double middle = values[i], step = 1e-5;
            values[i] = middle + step;
            double want = loss_of(values, dout, mask, shape.causal);
            values[i] = middle - step;
            want = (want - loss_of(values, dout, mask, shape.causal)) / (2 * step);
            values[i] = middle;
            assert_true(fabs((double)got[i] - want) < 1e-5);
        }
        free(scratch);
    }
}

/* Only row `row` has an upstream gradient: keys and values after it and all other queries get none,
 * and those that it attends to do. */
static void masked_elements_have_gradient_0(void **state)
{
    enum { ROWS = 45, WIDE = 2 * 16 };
    const nn_attention_shape shape = {2, 16, 1, NN_ROWS_ALL};
    const uint32_t off[] = {0, ROWS};
    static float qkv[ROWS * 3 * WIDE], dout[ROWS * WIDE], got[ROWS * 3 * WIDE];
    float *scratch = scratch_for(&shape, ROWS);
    fill(qkv, ROWS * 3 * WIDE, 5, 0);
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        for (size_t row = 1; row < ROWS; row++) {
            memset(dout, 0, sizeof dout);
            fill(dout + row * WIDE, WIDE, row, 0);
            nn_attention_backward(got, dout, qkv, off, 1, &shape, NULL, 0, 0, scratch);
            for (size_t j = 0; j < ROWS * 3 * WIDE; j++) {
                const size_t at = j / (3 * WIDE);
                const int query = j % (3 * WIDE) < WIDE;
                assert_int_equal(got[j] != 0, query ? at == row : at <= row);
            }
        }
    }
    free(scratch);
}

/* NaN and Inf after row i do not reach the gradient of its query, and NaN in queries and upstream
 * gradients before row i not that of its key and value. */
static void a_causal_gradient_never_sees_what_is_masked(void **state)
{
    enum { ROWS = 45, WIDE = 2 * 16 };
    const nn_attention_shape shape = {2, 16, 1, NN_ROWS_ALL};
    const uint32_t off[] = {0, ROWS};
    static float qkv[ROWS * 3 * WIDE], dout[ROWS * WIDE], want[ROWS * 3 * WIDE];
    static float poisoned[ROWS * 3 * WIDE], dpoisoned[ROWS * WIDE], got[ROWS * 3 * WIDE];
    float *scratch = scratch_for(&shape, ROWS);
    fill(qkv, ROWS * 3 * WIDE, 5, 0);
    fill(dout, ROWS * WIDE, 6, 0);
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        nn_attention_backward(want, dout, qkv, off, 1, &shape, NULL, 0, 0, scratch);
        for (size_t row = 1; row + 1 < ROWS; row++) {
            memcpy(poisoned, qkv, sizeof qkv);
            for (size_t j = (row + 1) * 3 * WIDE; j < ROWS * 3 * WIDE; j++) {
                poisoned[j] = j % 2 ? INFINITY : NAN;
            }
            nn_attention_backward(got, dout, poisoned, off, 1, &shape, NULL, 0, 0, scratch);
            for (size_t j = 0; j <= row; j++) {
                assert_memory_equal(got + j * 3 * WIDE, want + j * 3 * WIDE, WIDE * sizeof *got);
            }
            memcpy(poisoned, qkv, sizeof qkv);
            memcpy(dpoisoned, dout, sizeof dout);
            for (size_t j = 0; j < row * WIDE; j++) {
                poisoned[j / WIDE * 3 * WIDE + j % WIDE] = NAN;
                dpoisoned[j] = INFINITY;
            }
            nn_attention_backward(got, dpoisoned, poisoned, off, 1, &shape, NULL, 0, 0, scratch);
            assert_memory_equal(got + row * 3 * WIDE, want + row * 3 * WIDE,
                                (ROWS - row) * 3 * WIDE * sizeof *got);
        }
    }
    free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_gives_the_reference_bits),
        cmocka_unit_test(every_length_gives_the_reference_bits),
        cmocka_unit_test(without_dropout_it_is_nn_attention),
        cmocka_unit_test(a_batch_may_be_cut_into_runs),
        cmocka_unit_test(the_gradient_is_the_central_difference),
        cmocka_unit_test(masked_elements_have_gradient_0),
        cmocka_unit_test(a_causal_gradient_never_sees_what_is_masked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
