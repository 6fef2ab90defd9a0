/* Mutated campaign texts: whatever the bytes, reading ends with a campaign or a clear error, and a
 * campaign that was read can be written and read again. */
#include "campaign_fixture.h"

#include "rng.h"

enum { ROUNDS = 6000, TEXT_BYTES_MAX = 8192 };

static const char *const seeds[] = {
    "campaign: quickstart\nseed: 42\n"
    "task: {kind: classification, model: bert, data: rows, examples: 200}\n"
    "arms:\n  - {name: unprotected}\n  - {name: flipguard, model: bert, protect: [ep]}\n"
    "sweep:\n  - name: rates\n    site: {parameters: all}\n    amount: {rate: [0.001, 0.01]}\n"
    "    guard: [none, nonfinite-zero, {threshold: 10}]\n    trials: 200\n"
    "  - name: where\n    site: {parameters: [embedding, mlp], by: [layer, component]}\n"
    "    amount: {count: 1}\n    bits: [sign, exponent, 30, [23, 24]]\n    kind: [flip, stuck0, "
    "{burst: 4}, value]\n"
    "    pattern: [element, {row: 8}, {column: all}]\n"
    "    stop: {half_width: 0.02, confidence: 0.95, at_most: 2000}\n"
    "critical: {accuracy_drop: 0.05}\n",
    "%YAML 1.1\n---\ncampaign: &n \"lm\"\nseed: 0\n"
    "task: {kind: language-model, model: gpt2, data: text, window: 8, stride: 4, recipe: hf}\n"
    "sweep:\n- &s {name: a, amount: {ber: [1.0e-6, 1e-5]}, trials: &t 3, site: {layers: [0, 2]}}\n"
    "- {name: *n, amount: {count: [0, 1]}, trials: *t}\ncritical: {perplexity_ratio: 1.5}\n...\n",
};

static const char *const pieces[] = {"{",
                                     "}",
                                     "[",
                                     "]",
                                     ": ",
                                     ", ",
                                     "\n",
                                     "- ",
                                     "&a ",
                                     "*a",
                                     "!!str ",
                                     "\"",
                                     "'",
                                     "|\n",
                                     ">\n",
                                     "? ",
                                     "#",
                                     "%TAG ! !\n",
                                     "---\n",
                                     "...\n",
                                     "\t",
                                     "~",
                                     "1e999",
                                     "-0",
                                     "0x1f",
                                     ".nan",
                                     "\\u0000",
                                     "\xef\xbb\xbf",
                                     "\xff",
                                     "\xe2\x80\xa8",
                                     "<<: ",
                                     "[[[[[[[[[[[[[[[[[",
                                     "18446744073709551616",
                                     "sweep",
                                     "bits: ",
                                     "pattern: {row: ",
                                     "kind: {burst: ",
                                     "by: ",
                                     "all",
                                     "none",
                                     "threshold"};

static size_t mutate(fs_rng *rng, char *text, size_t size)
{
    size_t at = (size_t)fs_rng_below(rng, size + 1);
    switch (fs_rng_below(rng, 5)) {
    case 0: /* flip a bit */
        if (at < size) text[at] = (char)(text[at] ^ (1 << fs_rng_below(rng, 8)));
        return size;
    case 1: { /* cut a run out */
        size_t n = (size_t)fs_rng_below(rng, 20);
        if (n > size - at) n = size - at;
        memmove(text + at, text + at + n, size - at - n);
        return size - n;
    }
    case 2: { /* put a piece in */
        const char *piece = pieces[fs_rng_below(rng, sizeof pieces / sizeof pieces[0])];
        size_t n = strlen(piece);
        if (size + n > TEXT_BYTES_MAX) return size;
        memmove(text + at + n, text + at, size - at);
        memcpy(text + at, piece, n);
        return size + n;
    }
    case 3: { /* double a run */
        size_t n = (size_t)fs_rng_below(rng, 60);
        if (n > size - at) n = size - at;
        if (size + n > TEXT_BYTES_MAX) return size;
        memmove(text + at + n, text + at, size - at);
        return size + n;
    }
    default: /* cut the end off */
        return fs_rng_below(rng, 8) == 0 ? at : size;
    }
}

static void check(const char *dir, const char *text, size_t size)
{
    char path[FS_PATH_BYTES_MAX];
    fs_campaign *a = NULL, *b = NULL;
    fs_buf out = {0};
    assert_ok(fs_path_join(path, dir, "c.yaml"));
    /* A copy of exact size, so that a sanitizer sees a read past its end. */
    char *exact = malloc(size + 1);
    memcpy(exact, text, size);
    exact = realloc(exact, size == 0 ? 1 : size);
    fs_status status = fs_campaign_parse(&a, exact, size, path);
    free(exact);
    if (status != FS_OK) {
        assert_null(a);
        assert_int_equal(fs_status_exit(status), 2);
        assert_detail("/c.yaml:");
        return;
    }
    assert_ok(fs_campaign_write(a, &out));
    assert_ok(fs_campaign_parse(&b, fs_buf_text(&out), out.size, path));
    fs_campaign_destroy(&a);
    fs_campaign_destroy(&b);
    fs_buf_free(&out);
}

static void mutated_texts_never_crash(void **state)
{
    char *dir = fixture_folder();
    static char text[TEXT_BYTES_MAX];
    fs_rng rng;
    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        fs_rng_init(&rng, 2025, round);
        const char *seed = seeds[round % (sizeof seeds / sizeof seeds[0])];
        size_t size = strlen(seed);
        memcpy(text, seed, size);
        check(dir, text, size);
        for (uint64_t n = 1 + fs_rng_below(&rng, 6); n > 0; n--) size = mutate(&rng, text, size);
        check(dir, text, size);
    }
    testing_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(mutated_texts_never_crash)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
