/* Every codec against its definition: published answers, every single and double flip of a codeword
 * against what the theory says, random errors against closed forms. */
#include "testing.h"

#include <math.h>

#include "coding.h"
#include "hsiao.h"
#include "rng.h"

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* One codeword of one codec. */
typedef struct fixture {
    fs_protect protect;
    fs_codec_param param[FS_PROTECT_MAX];
    fs_coding coding;
    size_t words;
    unsigned bits;       /* of a word */
    unsigned check_bits; /* of the codeword */
    uint32_t prepared[FS_CODEWORD_WORDS_MAX], stored[FS_CODEWORD_WORDS_MAX];
    uint8_t check[8];
    uint32_t read[FS_CODEWORD_WORDS_MAX], scratch[FS_CODEWORD_WORDS_MAX];
    fs_codec_report report;
} fixture;

static void setup(fixture *f, const char *name, fs_format_kind format, size_t words)
{
    *f = (fixture){.words = words};
    assert_ok(fs_protect_init_format(&f->protect, &name, 1, (fs_guard){0}, format));
    f->bits = fs_protect_format(&f->protect)->bits;
    f->check_bits = f->protect.codecs[0]->check_bits;
    f->coding = (fs_coding){&f->protect, f->param};
}

static void store(fixture *f, const uint32_t *words)
{
    memcpy(f->prepared, words, f->words * sizeof *words);
    fs_coding_prepare(&f->coding, f->prepared, f->words);
    memcpy(f->stored, f->prepared, sizeof f->stored);
    fs_coding_encode(&f->coding, f->stored, f->words, f->check);
}

static unsigned site_count(const fixture *f)
{
    return (unsigned)f->words * f->bits + f->check_bits;
}

static void flip(fixture *f, uint8_t *check, unsigned site)
{
    unsigned data = (unsigned)f->words * f->bits;
    if (site < data)
        f->read[site / f->bits] ^= 1u << (site % f->bits);
    else
        check[(site - data) / 8] ^= (uint8_t)(1u << ((site - data) % 8));
}

/* Reads the stored codeword with the given sites flipped; `hit` becomes the words before decoding.
 */
static void read_with(fixture *f, const unsigned *sites, unsigned count, uint32_t *hit)
{
    uint8_t check[8];
    memcpy(check, f->check, sizeof check);
    memcpy(f->read, f->stored, sizeof f->read);
    for (unsigned i = 0; i < count; i++) flip(f, check, sites[i]);
    memcpy(hit, f->read, sizeof f->read);
    f->report = (fs_codec_report){0};
    fs_coding_decode(&f->coding, f->read, f->words, check, f->prepared, f->scratch, &f->report);
}

static int reads_clean(const fixture *f)
{
    return memcmp(f->read, f->prepared, f->words * sizeof *f->read) == 0;
}

/* --- Published answers ------------------------------------------------------------------------ */

static void test_known_answers(void **state)
{
    static const struct {
        const char *name;
        fs_format_kind format;
        uint32_t word, stored, read;
    } answers[] = {
        {"mset", FS_FORMAT_FP32, 0x3e99999a, 0x3e999998, 0x3e999998},
        {"mset", FS_FORMAT_FP32, 0x3fc00000, 0x3fc00000, 0x3fc00000},
        {"mset", FS_FORMAT_FP32, 0x40200000, 0x40200003, 0x40200003},
        {"mset", FS_FORMAT_FP32, 0xba83126f, 0xba83126c, 0xba83126c},
        {"mset", FS_FORMAT_FP16, 0x34cd, 0x34cc, 0x34cc},
        {"cep", FS_FORMAT_FP32, 0x3e99999a, 0x3e9999d9, 0x3e999900},
        {"cep-3", FS_FORMAT_FP32, 0x3fc00000, 0x3fc000f0, 0x3fc00000},
        {"cep", FS_FORMAT_FP32, 0x40200000, 0x40200090, 0x40200000},
        {"cep", FS_FORMAT_FP32, 0xba83126f, 0xba83120f, 0xba831200},
        {"cep", FS_FORMAT_FP16, 0x34cd, 0x34cb, 0x34c0},
        {"cep-7", FS_FORMAT_FP32, 0x3e99999a, 0x3e99999d, 0x3e999990},
        {"cep-7", FS_FORMAT_FP32, 0x3fc00000, 0x3fc0000c, 0x3fc00000},
        {"cep-7", FS_FORMAT_FP32, 0x40200000, 0x4020000c, 0x40200000},
        {"cep-7", FS_FORMAT_FP32, 0xba83126f, 0xba83126f, 0xba831260},
        {"cep-7", FS_FORMAT_FP16, 0x34cd, 0x34ce, 0x34cc},
        {"cep-15", FS_FORMAT_FP32, 0x3e99999a, 0x3e999998, 0x3e999998},
        {"cep-15", FS_FORMAT_FP32, 0x3fc00000, 0x3fc00000, 0x3fc00000},
        {"cep-15", FS_FORMAT_FP32, 0x40200000, 0x40200000, 0x40200000},
        {"cep-15", FS_FORMAT_FP32, 0xba83126f, 0xba83126f, 0xba83126c},
        {"cep-15", FS_FORMAT_FP16, 0x34cd, 0x34cd, 0x34cc},
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        fixture f;
        uint32_t hit[FS_CODEWORD_WORDS_MAX];
        setup(&f, answers[i].name, answers[i].format, 1);
        store(&f, &answers[i].word);
        assert_int_equal(f.stored[0], answers[i].stored);
        read_with(&f, NULL, 0, hit);
        assert_int_equal(f.read[0], answers[i].read);
    }
    assert_int_equal(fs_format_narrow(fs_format_of(FS_FORMAT_FP16), bits_of(0.3f)), 0x34cd);
}

/* 0.3 under D3P1 with each of its data bits flipped. */
static void test_cep_flips_of_0_3(void **state)
{
    static const uint32_t reads[] = {0x1e999900, 0x22999900, 0x3c199900, 0x3e899900};
    const uint32_t word = bits_of(0.3f);
    fixture f;
    uint32_t hit[FS_CODEWORD_WORDS_MAX];
    setup(&f, "cep", FS_FORMAT_FP32, 1);
    store(&f, &word);
    for (unsigned bit = 31; bit >= 20; bit--) {
        read_with(&f, &bit, 1, hit);
        assert_int_equal(f.read[0], reads[(31 - bit) / 3]);
    }
}

static void test_hsiao(void **state)
{
    assert_int_equal(fs_hsiao_check(1), 0x07);
    assert_int_equal(fs_hsiao_check(0x0123456789abcdefu), 0x56);
    assert_int_equal(fs_hsiao_check(0xffffffffffffffffu), 0x00);
    assert_int_equal(fs_hsiao_stored(0), 0xaa);
    /* Memory of all zeros or all ones is noticed. */
    uint64_t zeros = 0, ones = ~(uint64_t)0;
    assert_int_equal(fs_hsiao_decode(&zeros, 0x00), FS_HSIAO_DETECTED);
    assert_int_equal(fs_hsiao_decode(&ones, 0xff), FS_HSIAO_DETECTED);
}

/* --- Every single and double flip ------------------------------------------------------------- */

/* What a codeword hit at `sites` must read as, worked out bit by bit from the definition, without
 * the codec. */
typedef struct wanted {
    uint32_t words[FS_CODEWORD_WORDS_MAX];
    unsigned corrected, detected;
} wanted;

typedef void theory(const fixture *f, const uint32_t *hit, const unsigned *sites, unsigned count,
                    wanted *out);

static int bit(uint32_t word, unsigned n)
{
    return (int)(word >> n & 1);
}

static void top_of_three(const fixture *f, int a, int b, uint32_t hit, wanted *out)
{
    unsigned top = f->bits - 2;
    int major = bit(hit, top) + a + b >= 2;
    out->words[0] = (hit & ~(1u << top)) | (uint32_t)major << top;
    out->corrected = major != bit(hit, top);
}

static void theory_ep(const fixture *f, const uint32_t *hit, const unsigned *sites, unsigned count,
                      wanted *out)
{
    unsigned top = f->bits - 2;
    out->words[0] = hit[0] & ~(1u << top);
    out->corrected = (unsigned)bit(hit[0], top);
}

static void theory_mset(const fixture *f, const uint32_t *hit, const unsigned *sites,
                        unsigned count, wanted *out)
{
    top_of_three(f, bit(hit[0], 0), bit(hit[0], 1), hit[0], out);
}

static void theory_tmr(const fixture *f, const uint32_t *hit, const unsigned *sites, unsigned count,
                       wanted *out)
{
    int copies[2] = {bit(f->stored[0], f->bits - 2), bit(f->stored[0], f->bits - 2)};
    for (unsigned i = 0; i < count; i++)
        if (sites[i] >= f->bits) copies[sites[i] - f->bits] ^= 1;
    top_of_three(f, copies[0], copies[1], hit[0], out);
}

static void theory_op(const fixture *f, const uint32_t *hit, const unsigned *sites, unsigned count,
                      wanted *out)
{
    out->words[0] = count == 1 ? 0 : hit[0];
    out->detected = count == 1;
}

/* The chunks of codecs.md, spelled out: highest and lowest data bit, parity bit. */
static const int chunks_32_3[][3] = {{31, 29, 7}, {28, 26, 6}, {25, 23, 5},
                                     {22, 20, 4}, {19, 17, 3}, {16, 14, 2},
                                     {13, 11, 1}, {10, 8, 0},  {-1, 0, 0}};
static const int chunks_32_7[][3] = {{31, 25, 3}, {24, 18, 2}, {17, 11, 1}, {10, 4, 0}, {-1, 0, 0}};
static const int chunks_32_15[][3] = {{31, 17, 1}, {16, 2, 0}, {-1, 0, 0}};
static const int chunks_16_3[][3] = {{15, 13, 3}, {12, 10, 2}, {9, 7, 1}, {6, 4, 0}, {-1, 0, 0}};
static const int chunks_16_7[][3] = {{15, 9, 1}, {8, 2, 0}, {-1, 0, 0}};
static const int chunks_16_15[][3] = {{15, 1, 0}, {-1, 0, 0}};

static void theory_cep(const fixture *f, const uint32_t *hit, const unsigned *sites, unsigned count,
                       wanted *out)
{
    const char *name = f->protect.codecs[0]->name;
    const int wide = f->bits == 32;
    const int(*chunks)[3] = strcmp(name, "cep-7") == 0    ? (wide ? chunks_32_7 : chunks_16_7)
                            : strcmp(name, "cep-15") == 0 ? (wide ? chunks_32_15 : chunks_16_15)
                                                          : (wide ? chunks_32_3 : chunks_16_3);
    uint32_t read = hit[0];
    for (; (*chunks)[0] >= 0; chunks++) {
        int ones = bit(hit[0], (unsigned)(*chunks)[2]);
        read &= ~(1u << (*chunks)[2]);
        for (int b = (*chunks)[1]; b <= (*chunks)[0]; b++) ones += bit(hit[0], (unsigned)b);
        for (int b = (*chunks)[1]; ones % 2 != 0 && b <= (*chunks)[0]; b++) read &= ~(1u << b);
        out->detected |= ones % 2 != 0;
    }
    out->words[0] = read;
}

/* Every single error is corrected, every double one detected; the policy decides what then is. */
static void theory_secded(const fixture *f, const uint32_t *hit, const unsigned *sites,
                          unsigned count, wanted *out)
{
    const char *name = f->protect.codecs[0]->name;
    int reload = strcmp(name, "secded-reload") == 0, zero = strcmp(name, "secded-zero") == 0;
    memcpy(out->words, count == 1 || reload ? f->prepared : hit, sizeof out->words);
    if (count == 2 && zero) memset(out->words, 0, sizeof out->words);
    out->corrected = count == 1 || reload;
    out->detected = count == 2 && !reload;
}

/* The same for those errors that lie in the top byte of a word or in the check byte. */
static void theory_secded_exponent(const fixture *f, const uint32_t *hit, const unsigned *sites,
                                   unsigned count, wanted *out)
{
    unsigned covered = 0, last = 0;
    for (unsigned i = 0; i < count; i++) {
        int inside = sites[i] >= 8 * f->bits || sites[i] % f->bits >= f->bits - 8;
        covered += (unsigned)inside;
        if (inside) last = sites[i];
    }
    memcpy(out->words, hit, sizeof out->words);
    if (covered == 1 && last < 8 * f->bits) out->words[last / f->bits] ^= 1u << (last % f->bits);
    out->corrected = covered == 1;
    out->detected = covered == 2;
}

static void theory_scrub(const fixture *f, const uint32_t *hit, const unsigned *sites,
                         unsigned count, wanted *out)
{
    memcpy(out->words, f->prepared, sizeof out->words);
    out->corrected = 1;
}

static void check_sites(fixture *f, theory *expect, const unsigned *sites, unsigned count)
{
    uint32_t hit[FS_CODEWORD_WORDS_MAX];
    wanted want = {{0}, 0, 0};
    read_with(f, sites, count, hit);
    expect(f, hit, sites, count, &want);
    if (memcmp(f->read, want.words, f->words * sizeof *f->read) != 0 ||
        f->report.corrected != want.corrected || f->report.detected != want.detected) {
        fail_msg("%s: sites %u %u: read %08x, wanted %08x; corrected %u %u, detected %u %u",
                 f->protect.codecs[0]->name, sites[0], count > 1 ? sites[1] : 0, f->read[0],
                 want.words[0], (unsigned)f->report.corrected, want.corrected,
                 (unsigned)f->report.detected, want.detected);
    }
}

static void test_every_single_and_double(void **state)
{
    static const struct {
        const char *name;
        theory *expect;
        unsigned words[FS_FORMAT_COUNT]; /* of a codeword; 0: not for the format */
    } codecs[] = {
        {"ep", theory_ep, {1, 1, 1, 0}},
        {"mset", theory_mset, {1, 1, 1, 0}},
        {"cep", theory_cep, {1, 1, 1, 0}},
        {"cep-3", theory_cep, {1, 1, 1, 0}},
        {"cep-7", theory_cep, {1, 1, 1, 0}},
        {"cep-15", theory_cep, {1, 1, 1, 0}},
        {"op", theory_op, {1, 1, 1, 1}},
        {"secded", theory_secded, {2, 4, 4, 8}},
        {"secded-zero", theory_secded, {2, 4, 4, 8}},
        {"secded-reload", theory_secded, {2, 4, 4, 8}},
        {"secded-exponent", theory_secded_exponent, {8, 8, 8, 8}},
        {"tmr-exponent", theory_tmr, {1, 1, 1, 0}},
        {"scrub", theory_scrub, {5, 5, 5, 5}},
    };
    fs_rng rng;
    fs_rng_init(&rng, 72, 64);
    for (size_t c = 0; c < sizeof codecs / sizeof codecs[0]; c++) {
        for (int kind = 0; kind < FS_FORMAT_COUNT; kind++) {
            fixture f;
            uint32_t words[FS_CODEWORD_WORDS_MAX];
            if (codecs[c].words[kind] == 0) continue;
            setup(&f, codecs[c].name, (fs_format_kind)kind, codecs[c].words[kind]);
            for (size_t i = 0; i < f.words; i++) words[i] = fs_rng_u32(&rng) >> (32 - f.bits);
            store(&f, words);
            for (unsigned a = 0; a < site_count(&f); a++) {
                const unsigned one[] = {a};
                check_sites(&f, codecs[c].expect, one, 1);
                for (unsigned b = a + 1; b < site_count(&f); b++) {
                    const unsigned two[] = {a, b};
                    check_sites(&f, codecs[c].expect, two, 2);
                }
            }
        }
    }
}

/* Beyond what it promises: triples that are taken for a single, quadruples that are not seen. */
static void test_secded_triples_and_quadruples(void **state)
{
    fixture f;
    const uint32_t words[] = {0x3e99999a, 0xba83126f};
    uint64_t triples = 0, wrong = 0, quadruples = 0, silent = 0;
    uint8_t column[72];
    setup(&f, "secded", FS_FORMAT_FP32, 2);
    store(&f, words);
    for (unsigned a = 0; a < 72; a++) {
        column[a] = (uint8_t)(a < 64 ? fs_hsiao_check((uint64_t)1 << a) : 1u << (a - 64));
        for (unsigned b = 0; b < a; b++) {
            for (unsigned c = 0; c < b; c++) {
                const unsigned sites[] = {a, b, c};
                uint32_t hit[FS_CODEWORD_WORDS_MAX];
                read_with(&f, sites, 3, hit);
                triples++;
                wrong += f.report.corrected == 1;
                assert_false(f.report.corrected == 1 && reads_clean(&f));
                for (unsigned d = 0; d < c; d++) {
                    quadruples++;
                    silent += (column[a] ^ column[b] ^ column[c] ^ column[d]) == 0;
                }
            }
        }
    }
    assert_int_equal(triples, 59640);
    assert_int_equal(wrong, 33584);
    assert_int_equal(quadruples, 1028790);
    assert_true(fabs((double)silent / (double)quadruples - 0.00816) < 5e-6);
}

/* --- Bounds ----------------------------------------------------------------------------------- */

static void learn(fixture *f, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t word = bits_of(values[i]);
        fs_coding_prepare(&f->coding, &word, 1);
        fs_coding_learn(&f->protect, f->param, &word, 1, f->check);
    }
}

static void expect_range(fixture *f, uint32_t word, uint32_t want, unsigned detected)
{
    fs_codec_report report = {0};
    uint32_t read = word;
    fs_coding_decode(&f->coding, &read, 1, f->check, NULL, NULL, &report);
    assert_int_equal(read, want);
    assert_int_equal(report.detected, detected);
    assert_int_equal(report.corrected + report.left, 0);
}

static void test_range(void **state)
{
    static const float weights[] = {0.5f, -1.25f, 0.0f, 2.5f, -0.0f, NAN, INFINITY};
    static const float gains[] = {0.75f, 0.5f, 1.25f};
    static const float losses[] = {-0.75f, -0.5f, -1.25f};
    for (int clip = 0; clip < 2; clip++) {
        fixture f;
        setup(&f, clip ? "range-clip" : "range", FS_FORMAT_FP32, 1);
        learn(&f, weights, 7);
        expect_range(&f, bits_of(2.5f), bits_of(2.5f), 0);
        expect_range(&f, bits_of(-1.25f), bits_of(-1.25f), 0);
        expect_range(&f, 0x80000000u, 0x80000000u, 0);
        expect_range(&f, bits_of(nextafterf(2.5f, 3)), clip ? bits_of(2.5f) : 0, 1);
        expect_range(&f, bits_of(nextafterf(-1.25f, -2)), clip ? bits_of(-1.25f) : 0, 1);
        expect_range(&f, bits_of(-INFINITY), clip ? bits_of(-1.25f) : 0, 1);
        expect_range(&f, 0x7f800001u, 0, 1);
        expect_range(&f, 0xffc00000u, 0, 1);
        /* Where 0 is outside, NaN and what lies beyond read as the bound next to it. */
        setup(&f, clip ? "range-clip" : "range", FS_FORMAT_FP32, 1);
        learn(&f, gains, 3);
        expect_range(&f, bits_of(1e20f), bits_of(clip ? 1.25f : 0.5f), 1);
        expect_range(&f, bits_of(-0.75f), bits_of(0.5f), 1);
        expect_range(&f, 0x7fc00000u, bits_of(0.5f), 1);
        setup(&f, clip ? "range-clip" : "range", FS_FORMAT_FP32, 1);
        learn(&f, losses, 3);
        expect_range(&f, bits_of(-1e20f), bits_of(clip ? -1.25f : -0.5f), 1);
        expect_range(&f, 0x7fc00000u, bits_of(-0.5f), 1);
    }
    fixture f;
    setup(&f, "range", FS_FORMAT_INT8, 1);
    for (int v = -5; v <= 100; v++) {
        uint32_t word = (uint32_t)v & 0xff;
        fs_coding_learn(&f.protect, f.param, &word, 1, f.check);
    }
    for (int v = -128; v < 128; v++)
        expect_range(&f, (uint32_t)v & 0xff, v >= -5 && v <= 100 ? (uint32_t)v & 0xff : 0,
                     v < -5 || v > 100);
}

/* --- Random errors against closed forms ------------------------------------------------------- */

/* @return the probability of an odd number of errors among n bits. */
static double odd(double p, int n)
{
    return (1 - pow(1 - 2 * p, n)) / 2;
}

static double none_of(double p, int n)
{
    return pow(1 - p, n);
}

/* Flips each of the codeword's bits with probability p. @return how many. */
static unsigned hit_randomly(fixture *f, fs_rng *rng, double p, uint8_t *check)
{
    const double log_miss = log1p(-p);
    unsigned count = 0;
    memcpy(f->read, f->stored, sizeof f->read);
    memcpy(check, f->check, sizeof f->check);
    for (double at = floor(log(fs_rng_unit(rng)) / log_miss); at < site_count(f);
         at += 1 + floor(log(fs_rng_unit(rng)) / log_miss)) {
        flip(f, check, (unsigned)at);
        count++;
    }
    return count;
}

/* What is counted in random codewords: reported, or read wrongly with nothing reported. */
typedef struct rates {
    double corrected, detected, silent, top;
} rates;

/* The share of each among 1e6 words must lie within five standard deviations of the closed form. */
static void check_rate(const char *name, const char *what, double p, uint64_t count, uint64_t n,
                       double want)
{
    double sigma = sqrt(want * (1 - want) / (double)n);
    if (fabs((double)count / (double)n - want) > 5 * sigma + 1.0 / (double)n)
        fail_msg("%s, ber %g: %s %g of codewords, closed form %g +- %g", name, p, what,
                 (double)count / (double)n, want, 5 * sigma);
}

static void check_closed_form(const char *name, size_t words, double p, rates want)
{
    enum { WORDS = 1000000 };
    const uint64_t n = WORDS / words;
    uint64_t corrected = 0, detected = 0, silent = 0, top = 0;
    fixture f;
    fs_rng rng;
    setup(&f, name, FS_FORMAT_FP32, words);
    fs_rng_init(&rng, 1000000, (uint64_t)(p * 1e6));
    for (uint64_t i = 0; i < n; i++) {
        uint32_t random[FS_CODEWORD_WORDS_MAX];
        uint8_t check[8];
        for (size_t w = 0; w < words; w++) random[w] = fs_rng_u32(&rng);
        store(&f, random);
        if (hit_randomly(&f, &rng, p, check) == 0) continue;
        f.report = (fs_codec_report){0};
        fs_coding_decode(&f.coding, f.read, words, check, f.prepared, f.scratch, &f.report);
        corrected += f.report.corrected;
        detected += f.report.detected;
        silent += f.report.detected == 0 && !reads_clean(&f);
        top += bit(f.read[0] ^ f.prepared[0], 30) != 0;
    }
    check_rate(name, "corrected", p, corrected, n, want.corrected);
    check_rate(name, "detected", p, detected, n, want.detected);
    if (want.silent >= 0) check_rate(name, "silently wrong", p, silent, n, want.silent);
    if (want.top >= 0) check_rate(name, "wrong top bit", p, top, n, want.top);
}

/* Chunks of n bits and a parity bit, `chunks` of them. */
static rates cep_rates(double p, int n, int chunks)
{
    const double is_odd = odd(p, n + 1), clean = none_of(p, n + 1);
    rates r = {0, 1 - pow(1 - is_odd, chunks), 0, -1};
    /* Nothing is odd, and not every chunk is clean. */
    r.silent = pow(1 - is_odd, chunks) - pow(clean, chunks);
    return r;
}

static void test_random_errors(void **state)
{
    static const double bers[] = {1e-4, 1e-3, 1e-2};
    for (size_t i = 0; i < 3; i++) {
        const double p = bers[i];
        /* Two of three copies wrong; the decoder acts where exactly the copies disagree with it. */
        const double two = 3 * p * p * (1 - p) + p * p * p;
        const double acts = p * (1 - p) * (1 - p) + p * p * (1 - p);
        check_closed_form("ep", 1, p, (rates){p, 0, 1 - none_of(p, 31), 0});
        check_closed_form("mset", 1, p, (rates){acts, 0, -1, two});
        check_closed_form("tmr-exponent", 1, p, (rates){acts, 0, -1, two});
        check_closed_form("cep", 1, p, cep_rates(p, 3, 8));
        check_closed_form("cep-7", 1, p, cep_rates(p, 7, 4));
        check_closed_form("cep-15", 1, p, cep_rates(p, 15, 2));
        check_closed_form("op", 1, p, (rates){0, odd(p, 32), 1 - odd(p, 32) - none_of(p, 32), -1});
    }
}

/* SECDED fails exactly where two bits or more of a codeword are hit: whatever it then does, it is
 * detected or wrong. */
static void test_random_errors_of_secded(void **state)
{
    static const double bers[] = {1e-4, 1e-3, 1e-2};
    enum { CODEWORDS = 500000 };
    for (size_t i = 0; i < 3; i++) {
        const double p = bers[i];
        const double clean = none_of(p, 72), single = 72 * p * none_of(p, 71);
        uint64_t right = 0, failed = 0;
        fixture f;
        fs_rng rng;
        setup(&f, "secded", FS_FORMAT_FP32, 2);
        fs_rng_init(&rng, 64, i);
        for (int w = 0; w < CODEWORDS; w++) {
            const uint32_t random[] = {fs_rng_u32(&rng), fs_rng_u32(&rng)};
            uint8_t check[8];
            store(&f, random);
            if (hit_randomly(&f, &rng, p, check) == 0) continue;
            f.report = (fs_codec_report){0};
            fs_coding_decode(&f.coding, f.read, 2, check, NULL, NULL, &f.report);
            int good = f.report.detected == 0 && reads_clean(&f);
            right += (uint64_t)good;
            failed += (uint64_t)!good;
        }
        check_rate("secded", "mended", p, right, CODEWORDS, single);
        check_rate("secded", "failed", p, failed, CODEWORDS, 1 - clean - single);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_cep_flips_of_0_3),
        cmocka_unit_test(test_hsiao),
        cmocka_unit_test(test_every_single_and_double),
        cmocka_unit_test(test_secded_triples_and_quadruples),
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_random_errors),
        cmocka_unit_test(test_random_errors_of_secded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
