/* The vector backward kernels, over nn_kernels_v16.h; nn_backward_reference.c does the same one
 * element at a time and explains it. A row's last lanes are loaded as +0 and never stored. */

V16_INLINE v16 gelu_erf_back(v16 dy, v16 x)
{
    v16 bell;
    v16 phi = phi_one(x, &bell);
    return v16_mul(dy, v16_fma(v16_mul(v16_set1(NN_INV_SQRT2PI), x), bell, phi));
}

V16_INLINE v16 gelu_tanh_back(v16 dy, v16 x)
{
    v16 square = v16_mul(x, x), one = v16_set1(1);
    v16 slope = v16_fma(square, v16_set1(NN_GELU_B), v16_set1(NN_GELU_A));
    v16 e = exp_one(v16_mul(x, slope));
    v16 s = v16_div(one, v16_add(one, e));
    v16 other = v16_if_negative(x, v16_sub(one, s), v16_mul(e, s));
    v16 bump = v16_mul(x, v16_mul(s, other));
    slope = v16_fma(square, v16_set1(NN_GELU_B3), v16_set1(NN_GELU_A));
    return v16_mul(dy, v16_fnma(bump, slope, s));
}

/** Where x > 0 does not hold it is +0, or x if that is NaN. */
V16_INLINE v16 relu_back(v16 dy, v16 x)
{
    v16 zero = v16_set1(0);
    v16 other = v16_add(v16_max(zero, v16_min(zero, x)), zero);
    return v16_if_negative(v16_sub(zero, x), dy, other);
}

V16_INLINE v16 tanh_back(v16 dy, v16 y)
{
    return v16_mul(dy, v16_fnma(y, y, v16_set1(1)));
}

#define BACKWARD(name)                                                                             \
    static void name##_back_all(float *dy, const float *x, size_t n)                               \
    {                                                                                              \
        size_t i = 0;                                                                              \
        for (; i + 16 <= n; i += 16) {                                                             \
            v16_store(dy + i, name##_back(v16_load(dy + i), v16_load(x + i)));                     \
        }                                                                                          \
        if (i == n) return;                                                                        \
        v16 last = name##_back(v16_load_n(dy + i, n - i), v16_load_n(x + i, n - i));               \
        v16_store_n(dy + i, last, n - i);                                                          \
    }
BACKWARD(gelu_erf)
BACKWARD(gelu_tanh)
BACKWARD(relu)
BACKWARD(tanh)
#undef BACKWARD

static void column_sums_all(float *out, const float *x, size_t ldx, size_t rows, size_t cols)
{
    size_t col = 0;
    for (; col + 64 <= cols; col += 64) {
        const float *from = x + col;
        float *to = out + col;
        v16 a = v16_load(to), b = v16_load(to + 16), c = v16_load(to + 32), d = v16_load(to + 48);
        for (size_t row = 0; row < rows; row++, from += ldx) {
            a = v16_add(a, v16_load(from));
            b = v16_add(b, v16_load(from + 16));
            c = v16_add(c, v16_load(from + 32));
            d = v16_add(d, v16_load(from + 48));
        }
        v16_store(to, a);
        v16_store(to + 16, b);
        v16_store(to + 32, c);
        v16_store(to + 48, d);
    }
    for (; col < cols; col += 16) {
        const size_t n = cols - col < 16 ? cols - col : 16;
        v16 sum = v16_load_n(out + col, n);
        for (size_t row = 0; row < rows; row++) {
            sum = v16_add(sum, v16_load_n(x + row * ldx + col, n));
        }
        v16_store_n(out + col, sum, n);
    }
}

/** What a row of layernorm's gradient is made of, the same in every lane. */
typedef struct norm_row {
    v16 mean, scaling, plain, along;
} norm_row;

V16_INLINE v16 norm_unit(const norm_row *r, v16 x)
{
    return v16_mul(v16_sub(x, r->mean), r->scaling);
}

/** `n` lanes of dx, and of the parameters' gradients. */
V16_INLINE void norm_back(const norm_row *r, float *dx, const float *dy, const float *x,
                          const float *gain, float *dgain, float *dbias, size_t n)
{
    const v16 up = v16_load_n(dy, n), unit = norm_unit(r, v16_load_n(x, n));
    if (dgain != NULL) {
        v16_store_n(dgain, v16_fma(up, unit, v16_load_n(dgain, n)), n);
        v16_store_n(dbias, v16_add(v16_load_n(dbias, n), up), n);
    }
    v16 rest = v16_sub(v16_mul(up, v16_load_n(gain, n)), r->plain);
    v16_store_n(dx, v16_mul(r->scaling, v16_fnma(unit, r->along, rest)), n);
}

static void layernorm_back_row(float *dx, const float *dy, const float *x, const float *gain,
                               float *dgain, float *dbias, size_t d, float eps)
{
    norm_row r;
    v16 plain = v16_set1(0), along = v16_set1(0);
    statistics(x, d, eps, &r.mean, &r.scaling);
    for (size_t i = 0; i < d; i += 16) {
        const size_t n = d - i < 16 ? d - i : 16;
        const v16 g = v16_mul(v16_load_n(dy + i, n), v16_load_n(gain + i, n));
        const v16 unit = norm_unit(&r, v16_load_n(x + i, n));
        plain = v16_add(plain, g);
        along = v16_fma(g, v16_first_n(unit, v16_set1(0), n), along);
    }
    r.plain = v16_set1(v16_sum(plain) / (float)d);
    r.along = v16_set1(v16_sum(along) / (float)d);
    for (size_t i = 0; i < d; i += 16) {
        const size_t n = d - i < 16 ? d - i : 16;
        norm_back(&r, dx + i, dy + i, x + i, gain + i, dgain != NULL ? dgain + i : NULL,
                  dgain != NULL ? dbias + i : NULL, n);
    }
}

static void layernorm_back_all(float *dx, const float *dy, const float *x, const float *gain,
                               float *dgain, float *dbias, size_t rows, size_t d, float eps)
{
    for (size_t row = 0; row < rows * d; row += d) {
        layernorm_back_row(dx + row, dy + row, x + row, gain, dgain, dbias, d, eps);
    }
}

static void softmax_back_all(float *dp, const float *p, size_t n, float factor)
{
    v16 sums = v16_set1(0);
    for (size_t i = 0; i < n; i += 16) {
        const size_t lanes = n - i < 16 ? n - i : 16;
        sums = v16_fma(v16_load_n(dp + i, lanes), v16_load_n(p + i, lanes), sums);
    }
    const v16 along = v16_set1(v16_sum(sums)), f = v16_set1(factor);
    for (size_t i = 0; i < n; i += 16) {
        const size_t lanes = n - i < 16 ? n - i : 16;
        const v16 centred = v16_sub(v16_load_n(dp + i, lanes), along);
        const v16 ds = v16_mul(v16_mul(v16_load_n(p + i, lanes), centred), f);
        v16_store_n(dp + i, ds, lanes);
    }
}

enum { DROPOUT_NUMBERS = U64S_LANES * NN_DROPOUT_BLOCK };

/** The numbers of the U64S_LANES Philox blocks from `block` on. The high halves of the lanes hold
 * rubbish that nothing reads. */
V16_INLINE void dropout_numbers(uint16_t *numbers, const nn_mask *mask, uint64_t block)
{
    u64s x0 = u64s_add(u64s_load(u64s_order), u64s_set1(block)), x1 = u64s_set1(mask->counter[0]);
    u64s x2 = u64s_set1(mask->counter[1]), x3 = u64s_set1(mask->counter[2]);
    u64s k0 = u64s_set1(mask->key[0]), k1 = u64s_set1(mask->key[1]);
    for (int round = 0; round < 10; round++) {
        const u64s even = u64s_mul(x0, u64s_set1(0xd2511f53));
        const u64s odd = u64s_mul(x2, u64s_set1(0xcd9e8d57));
        x0 = u64s_xor(u64s_xor(u64s_high(odd), x1), k0);
        x2 = u64s_xor(u64s_xor(u64s_high(even), x3), k1);
        x1 = odd;
        x3 = even;
        k0 = u64s_add(k0, u64s_set1(0x9e3779b9));
        k1 = u64s_add(k1, u64s_set1(0xbb67ae85));
    }
    u64s_store_blocks(numbers, u64s_join(x0, x1), u64s_join(x2, x3));
}

static void dropout_all(const nn_mask *mask, float *x, uint64_t first, size_t n)
{
    uint16_t numbers[DROPOUT_NUMBERS + 16] = {0}; /* the last lanes read beyond */
    const v16 scale = v16_set1(mask->scale);
    const uint16_t *from = numbers + first % NN_DROPOUT_BLOCK;
    uint64_t block = first / NN_DROPOUT_BLOCK;
    size_t left = DROPOUT_NUMBERS - first % NN_DROPOUT_BLOCK;
    for (; n > 0; block += U64S_LANES) {
        dropout_numbers(numbers, mask, block);
        const size_t count = n < left ? n : left;
        for (size_t i = 0; i < count; i += 16) {
            const size_t lanes = count - i < 16 ? count - i : 16;
            const v16 scaled = v16_mul(v16_load_n(x + i, lanes), scale);
            v16_store_n(x + i, v16_drop(scaled, from + i, mask->threshold), lanes);
        }
        x += count;
        n -= count;
        from = numbers;
        left = DROPOUT_NUMBERS;
    }
}
