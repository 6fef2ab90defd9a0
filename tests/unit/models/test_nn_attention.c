/* Attention by every kernel against the plain loops, bit for bit, and the plain loops against a
 * computation in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "floats.h"
#include "nn_attention.h"
#include "nn_cpu.h"

static float *scratch_for(const nn_attention_shape *shape, uint32_t len_max)
{
    size_t bytes = nn_attention_scratch(shape, len_max) * sizeof(float);
    float *scratch = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(scratch);
    memset(scratch, 0xff, bytes);
    return scratch;
}

static size_t rows_out(const nn_attention_shape *shape, const uint32_t *off, uint32_t n_seq)
{
    return shape->rows == NN_ROWS_ALL ? off[n_seq] : n_seq;
}

static void check_batch(const nn_attention_shape *shape, const uint32_t *off, uint32_t n_seq,
                        uint32_t odd)
{
    const size_t d = (size_t)shape->heads * shape->d_head;
    uint32_t longest = 0;
    for (uint32_t s = 0; s < n_seq; s++) {
        if (off[s + 1] - off[s] > longest) longest = off[s + 1] - off[s];
    }
    guarded qkv = guarded_new(off[n_seq] * 3 * d);
    guarded out = guarded_new(rows_out(shape, off, n_seq) * d), want = guarded_new(out.n);
    float *scratch = scratch_for(shape, longest);
    fill(qkv.at, qkv.n, d * 31 + longest, odd);
    nn_attention_reference(want.at, qkv.at, off, n_seq, shape, scratch);
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        memset(out.at, 0xff, out.n * sizeof(float));
        nn_attention(out.at, qkv.at, off, n_seq, shape, scratch);
        size_t at = first_difference(out.at, want.at, out.n);
        if (at < out.n) {
            fail_msg("%s, %u heads of %u, causal %d, rows %d, longest %u: row %zu is %a, not %a",
                     kernel_names[i], shape->heads, shape->d_head, shape->causal, (int)shape->rows,
                     longest, at / d, (double)out.at[at], (double)want.at[at]);
        }
    }
    free(scratch);
    guarded_free(&qkv);
    guarded_free(&out);
    guarded_free(&want);
}

static void every_kernel_gives_the_reference_bits(void **state)
{
    static const uint32_t d_heads[] = {1, 3, 7, 16, 17, 64};
    static const uint32_t off[] = {0, 1, 3, 28, 29, 54, 63};
    for (uint32_t heads = 1; heads <= 16; heads += 3) {
        for (size_t i = 0; i < sizeof d_heads / sizeof d_heads[0]; i++) {
            for (int kind = 0; kind < 6; kind++) {
                nn_attention_shape shape = {heads, d_heads[i], kind % 2, (nn_rows)(kind / 2)};
                check_batch(&shape, off, 6, i % 2 ? 300 : 0);
            }
        }
    }
}

static void every_length_gives_the_reference_bits(void **state)
{
    for (uint32_t len = 1; len <= 300; len += len < 52 ? 1 : 31) {
        const uint32_t off[] = {0, len};
        for (int kind = 0; kind < 6; kind++) {
            nn_attention_shape shape = {2, 5, kind % 2, (nn_rows)(kind / 2)};
            check_batch(&shape, off, 1, len % 3 == 0 ? 500 : 0);
        }
    }
    const uint32_t off[] = {0, 300};
    for (int kind = 0; kind < 2; kind++) {
        nn_attention_shape shape = {1, 64, kind, NN_ROWS_ALL};
        check_batch(&shape, off, 1, 0);
    }
}

/* Rows after i are set to NaN and Inf, and row i must not notice. */
static void a_causal_row_never_sees_the_future(void **state)
{
    enum { LEN = 45, D_HEAD = 16, D = 2 * D_HEAD };
    const nn_attention_shape shape = {2, D_HEAD, 1, NN_ROWS_ALL};
    const uint32_t off[] = {0, LEN};
    static float qkv[LEN * 3 * D], poisoned[LEN * 3 * D], want[LEN * D], got[LEN * D];
    float *scratch = scratch_for(&shape, LEN);
    fill(qkv, LEN * 3 * D, 5, 0);
    for (int i = 0; i < KERNELS; i++) {
        if (nn_kernel_choose(kernel_names[i]) != FS_OK) continue;
        nn_attention(want, qkv, off, 1, &shape, scratch);
        for (size_t row = 0; row + 1 < LEN; row++) {
            memcpy(poisoned, qkv, sizeof qkv);
            for (size_t j = (row + 1) * 3 * D; j < LEN * 3 * D; j++) {
                poisoned[j] = j % 2 ? INFINITY : NAN;
            }
            nn_attention(got, poisoned, off, 1, &shape, scratch);
            assert_memory_equal(got, want, (row + 1) * D * sizeof(float));
        }
    }
    free(scratch);
}

/* The same sequence alone, and at every place of a batch whose others are full of NaN. */
static void a_rows_bits_do_not_depend_on_the_batch(void **state)
{
    enum { LEN = 13, OTHERS = 4, D = 3 * 8 };
    const uint32_t lens[OTHERS] = {1, 30, 7, 25};
    for (int kind = 0; kind < 6; kind++) {
        const nn_attention_shape shape = {3, 8, kind % 2, (nn_rows)(kind / 2)};
        const uint32_t alone[] = {0, LEN};
        float sequence[LEN * 3 * D], want[LEN * D];
        float *scratch = scratch_for(&shape, 30);
        fill(sequence, LEN * 3 * D, 11, 0);
        nn_attention(want, sequence, alone, 1, &shape, scratch);
        for (uint32_t place = 0; place <= OTHERS; place++) {
            uint32_t off[OTHERS + 2] = {0};
            for (uint32_t s = 0, other = 0; s <= OTHERS; s++) {
                off[s + 1] = off[s] + (s == place ? LEN : lens[other]);
                other += s != place;
            }
            guarded qkv = guarded_new(off[OTHERS + 1] * 3 * D);
            guarded got = guarded_new(off[OTHERS + 1] * D);
            for (size_t j = 0; j < qkv.n; j++) qkv.at[j] = NAN;
            memcpy(qkv.at + off[place] * 3 * D, sequence, sizeof sequence);
            nn_attention(got.at, qkv.at, off, OTHERS + 1, &shape, scratch);
            size_t row = shape.rows == NN_ROWS_ALL ? off[place] : place;
            size_t rows = shape.rows == NN_ROWS_ALL ? LEN : 1;
            assert_memory_equal(got.at + row * D, want, rows * D * sizeof(float));
            guarded_free(&qkv);
            guarded_free(&got);
        }
        free(scratch);
    }
}

/** Equation 1 in double, of row `row` and head `h`, element `e`. */
static double attention_in_double(const float *qkv, size_t d, size_t d_head, size_t h, size_t row,
                                  size_t seen, size_t e)
{
    double sum = 0, weighted = 0;
    for (size_t j = 0; j < seen; j++) {
        double dot = 0;
        for (size_t i = 0; i < d_head; i++) {
            dot += (double)qkv[row * 3 * d + h * d_head + i] *
                   (double)qkv[j * 3 * d + d + h * d_head + i];
        }
        double weight = exp(dot / sqrt((double)d_head));
        sum += weight;
        weighted += weight * (double)qkv[j * 3 * d + 2 * d + h * d_head + e];
    }
    return weighted / sum;
}

static void the_reference_is_equation_1(void **state)
{
    enum { LEN = 40, HEADS = 3, D_HEAD = 24, D = HEADS * D_HEAD };
    static float qkv[LEN * 3 * D], got[LEN * D];
    const uint32_t off[] = {0, LEN};
    fill(qkv, LEN * 3 * D, 3, 0);
    for (int causal = 0; causal < 2; causal++) {
        const nn_attention_shape shape = {HEADS, D_HEAD, causal, NN_ROWS_ALL};
        float *scratch = scratch_for(&shape, LEN);
        nn_attention_reference(got, qkv, off, 1, &shape, scratch);
        for (size_t row = 0; row < LEN; row++) {
            for (size_t i = 0; i < D; i++) {
                double want = attention_in_double(qkv, D, D_HEAD, i / D_HEAD, row,
                                                  causal ? row + 1 : LEN, i % D_HEAD);
                assert_true(fabs(want - (double)got[row * D + i]) < 2e-6);
            }
        }
        free(scratch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_gives_the_reference_bits),
        cmocka_unit_test(every_length_gives_the_reference_bits),
        cmocka_unit_test(a_causal_row_never_sees_the_future),
        cmocka_unit_test(a_rows_bits_do_not_depend_on_the_batch),
        cmocka_unit_test(the_reference_is_equation_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
