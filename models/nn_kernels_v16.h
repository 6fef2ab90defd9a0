/* The vector kernels, over the v16 that was included before; nn_kernels_reference.c does the same
 * one element at a time and explains it. A row's last lanes go through the same code, loaded as
 * +0 and never stored. */

V16_INLINE v16 expm1_small(v16 r)
{
    v16 p = v16_fma(v16_set1(NN_EXPM1_C6), r, v16_set1(NN_EXPM1_C5));
    p = v16_fma(p, r, v16_set1(NN_EXPM1_C4));
    p = v16_fma(p, r, v16_set1(NN_EXPM1_C3));
    p = v16_fma(p, r, v16_set1(NN_EXPM1_C2));
    return v16_fma(p, v16_mul(r, r), r);
}

V16_INLINE v16 reduce(v16 x, v16 *magic_sum)
{
    *magic_sum = v16_fma(x, v16_set1(NN_LOG2E), v16_set1(NN_MAGIC));
    v16 n = v16_sub(*magic_sum, v16_set1(NN_MAGIC));
    return v16_fma(n, v16_set1(-NN_LN2_LO), v16_fma(n, v16_set1(-NN_LN2_HI), x));
}

V16_INLINE v16 exp_one(v16 x)
{
    v16 magic_sum;
    x = v16_min(v16_set1(NN_EXP_MAX), v16_max(v16_set1(NN_EXP_MIN), x));
    v16 r = reduce(x, &magic_sum);
    return v16_scale(v16_add(expm1_small(r), v16_set1(1)), magic_sum, NN_MAGIC);
}

V16_INLINE v16 tanh_one(v16 x)
{
    v16 magic_sum;
    v16 z = v16_min(v16_set1(NN_TANH_MAX), v16_abs(x));
    v16 m = expm1_small(reduce(v16_add(z, z), &magic_sum));
    v16 power = v16_scale(v16_set1(1), magic_sum, NN_MAGIC);
    v16 e = v16_fma(power, m, v16_sub(power, v16_set1(1)));
    return v16_copysign(v16_div(e, v16_add(e, v16_set1(2))), x);
}

V16_INLINE v16 phi_one(v16 x, v16 *bell)
{
    v16 z = v16_min(v16_set1(NN_PHI_MAX), v16_abs(x));
    v16 square = v16_mul(z, z);
    v16 lost = v16_fms(z, z, square);
    v16 e = exp_one(v16_mul(v16_set1(-0.5f), square));
    e = v16_fma(e, v16_mul(v16_set1(-0.5f), lost), e);
    v16 t = v16_div(v16_set1(1), v16_fma(v16_set1(NN_PHI_P), z, v16_set1(1)));
    v16 p = v16_fma(v16_set1(NN_PHI_T9), t, v16_set1(NN_PHI_T8));
    p = v16_fma(p, t, v16_set1(NN_PHI_T7));
    p = v16_fma(p, t, v16_set1(NN_PHI_T6));
    p = v16_fma(p, t, v16_set1(NN_PHI_T5));
    p = v16_fma(p, t, v16_set1(NN_PHI_T4));
    p = v16_fma(p, t, v16_set1(NN_PHI_T3));
    p = v16_fma(p, t, v16_set1(NN_PHI_T2));
    p = v16_fma(p, t, v16_set1(NN_PHI_T1));
    v16 tail = v16_mul(v16_mul(p, t), e);
    *bell = e;
    return v16_if_negative(x, tail, v16_sub(v16_set1(1), tail));
}

V16_INLINE v16 gelu_erf_one(v16 x)
{
    v16 bell;
    return v16_mul(x, phi_one(x, &bell));
}

V16_INLINE v16 gelu_tanh_one(v16 x)
{
    v16 slope = v16_fma(v16_mul(x, x), v16_set1(NN_GELU_B), v16_set1(NN_GELU_A));
    return v16_div(x, v16_add(v16_set1(1), exp_one(v16_mul(x, slope))));
}

V16_INLINE v16 relu_one(v16 x)
{
    return v16_max(v16_set1(0), x);
}

#define ELEMENTWISE(name)                                                                          \
    static void name##_all(float *x, size_t n)                                                     \
    {                                                                                              \
        size_t i = 0;                                                                              \
        for (; i + 16 <= n; i += 16) v16_store(x + i, name##_one(v16_load(x + i)));                \
        if (i < n) v16_store_n(x + i, name##_one(v16_load_n(x + i, n - i)), n - i);                \
    }
ELEMENTWISE(exp)
ELEMENTWISE(tanh)
ELEMENTWISE(gelu_erf)
ELEMENTWISE(gelu_tanh)
ELEMENTWISE(relu)
#undef ELEMENTWISE

static void add_all(float *out, const float *a, const float *b, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(out + i, v16_add(v16_load(a + i), v16_load(b + i)));
    if (i < n) {
        v16 sum = v16_add(v16_load_n(a + i, n - i), v16_load_n(b + i, n - i));
        v16_store_n(out + i, sum, n - i);
    }
}

static void softmax_all(float *x, size_t n, float factor)
{
    const size_t whole = n / 16 * 16, rest = n - whole;
    const v16 lowest = v16_set1(-INFINITY), f = v16_set1(factor);
    v16 tops = lowest, sums = v16_set1(0);
    for (size_t i = 0; i < whole; i += 16) tops = v16_max(v16_mul(f, v16_load(x + i)), tops);
    if (rest > 0) {
        v16 last = v16_mul(f, v16_load_n(x + whole, rest));
        tops = v16_max(v16_first_n(last, lowest, rest), tops);
    }
    const v16 top = v16_set1(v16_top(tops));
    for (size_t i = 0; i < whole; i += 16) {
        v16 e = exp_one(v16_sub(v16_mul(f, v16_load(x + i)), top));
        sums = v16_add(sums, e);
        v16_store(x + i, e);
    }
    if (rest > 0) {
        v16 e = exp_one(v16_sub(v16_mul(f, v16_load_n(x + whole, rest)), top));
        sums = v16_add(sums, v16_first_n(e, v16_set1(0), rest));
        v16_store_n(x + whole, e, rest);
    }
    const v16 sum = v16_set1(v16_sum(sums));
    for (size_t i = 0; i < whole; i += 16) v16_store(x + i, v16_div(v16_load(x + i), sum));
    if (rest > 0) v16_store_n(x + whole, v16_div(v16_load_n(x + whole, rest), sum), rest);
}

/** A row's mean, and 1 / its standard deviation. */
V16_INLINE void statistics(const float *x, size_t d, float eps, v16 *mean, v16 *scaling)
{
    const size_t whole = d / 16 * 16, rest = d - whole;
    v16 sums = v16_set1(0), squares = v16_set1(0);
    for (size_t i = 0; i < whole; i += 16) sums = v16_add(sums, v16_load(x + i));
    if (rest > 0) sums = v16_add(sums, v16_load_n(x + whole, rest));
    *mean = v16_set1(v16_sum(sums) / (float)d);
    for (size_t i = 0; i < whole; i += 16) {
        v16 centred = v16_sub(v16_load(x + i), *mean);
        squares = v16_fma(centred, centred, squares);
    }
    if (rest > 0) {
        v16 centred = v16_sub(v16_load_n(x + whole, rest), *mean);
        centred = v16_first_n(centred, v16_set1(0), rest);
        squares = v16_fma(centred, centred, squares);
    }
    *scaling = v16_set1(1.0f / sqrtf(v16_sum(squares) / (float)d + eps));
}

static void layernorm_row(float *out, const float *x, const float *gain, const float *bias,
                          size_t d, float eps)
{
    const size_t whole = d / 16 * 16, rest = d - whole;
    v16 mean, scaling;
    statistics(x, d, eps, &mean, &scaling);
    for (size_t i = 0; i < whole; i += 16) {
        v16 unit = v16_mul(v16_sub(v16_load(x + i), mean), scaling);
        v16_store(out + i, v16_fma(unit, v16_load(gain + i), v16_load(bias + i)));
    }
    if (rest > 0) {
        v16 unit = v16_mul(v16_sub(v16_load_n(x + whole, rest), mean), scaling);
        unit = v16_fma(unit, v16_load_n(gain + whole, rest), v16_load_n(bias + whole, rest));
        v16_store_n(out + whole, unit, rest);
    }
}

static void layernorm_all(float *out, const float *x, const float *gain, const float *bias,
                          size_t rows, size_t d, float eps)
{
    for (size_t row = 0; row < rows; row++) {
        layernorm_row(out + row * d, x + row * d, gain, bias, d, eps);
    }
}
