#include "testing.h"

#include <math.h>

#include "buf.h"
#include "rng.h"
#include "tiny_model.h"
#include "tr_order.h"
#include "tr_source.h"

enum { LETTERS = 26, SPECIALS = 5, WORDS = LETTERS * LETTERS * LETTERS };
enum { PAD, UNKNOWN, FIRST, LAST, MASK }; /* ids, as the vocabulary has them */

/* A tokeniser to which each word of three letters is a token: word n has the id SPECIALS + n. */
static char *folder;
static tok *tokeniser;
static fs_config config;

static const char *path_of(const char *name)
{
    static char path[FS_PATH_BYTES_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put_word(fs_buf *text, int n)
{
    assert_ok(fs_buf_printf(text, "%c%c%c", 'a' + n / LETTERS / LETTERS,
                            'a' + n / LETTERS % LETTERS, 'a' + n % LETTERS));
}

static int setup(void **state)
{
    fs_buf text = {0};
    folder = testing_folder();
    if (folder == NULL) return 1;
    assert_ok(fs_buf_puts(&text, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"));
    for (int i = 0; i < WORDS; i++) {
        put_word(&text, i);
        assert_ok(fs_buf_puts(&text, "\n"));
    }
    assert_ok(tiny_file_write(path_of("vocab.txt"), text.data, text.size));
    fs_buf_free(&text);
    assert_ok(tok_open(&tokeniser, folder));
    config = (fs_config){.kind = FS_MODEL_BERT,
                         .task = FS_TASK_CLASSIFICATION,
                         .vocab = SPECIALS + WORDS,
                         .positions = 128,
                         .labels = 3};
    return 0;
}

static int teardown(void **state)
{
    tok_close(&tokeniser);
    testing_remove(folder);
    return 0;
}

static fs_status open_status(tr_source **out, const char *text, size_t size,
                             const tr_source_options *options)
{
    assert_ok(tiny_file_write(path_of("data"), text, size));
    return tr_source_open(out, path_of("data"), &config, tokeniser, options);
}

static tr_source *open_text(const fs_buf *text, const tr_source_options *options)
{
    tr_source *source = NULL;
    assert_ok(open_status(&source, fs_buf_text(text), text->size, options));
    return source;
}

/* Example i: word i, 1 + i % 7 times, label i % 3. */
static fs_buf rows_text(int count)
{
    fs_buf text = {0};
    assert_ok(fs_buf_puts(&text, "sentence\tlabel\n"));
    for (int i = 0; i < count; i++) {
        for (int k = 0; k <= i % 7; k++) {
            put_word(&text, i);
            assert_ok(fs_buf_puts(&text, " "));
        }
        assert_ok(fs_buf_printf(&text, "\t%d\n", i % 3));
    }
    return text;
}

/* Documents of the words 0, 1, 2, ..., each once; document i has 1 + 37 i % 300 words. The words of
 * document i end before ends[i]. */
static fs_buf documents_text(int count, int *ends)
{
    fs_buf text = {0};
    int word = 0;
    for (int i = 0; i < count; i++) {
        const int words = 1 + 37 * i % 300;
        for (int k = 0; k < words; k++, word++) {
            put_word(&text, word);
            assert_ok(fs_buf_puts(&text, k + 1 == words ? "\n" : k % 11 == 10 ? "\n" : " "));
        }
        if (ends != NULL) ends[i] = word;
        for (int k = 0; k <= i % 3; k++) assert_ok(fs_buf_puts(&text, "\n"));
    }
    assert_true(word <= WORDS);
    return text;
}

/* Classification */

static void check_row(const tr_batch *batch, uint32_t i, uint8_t *seen)
{
    const uint32_t first = batch->tokens.off[i], end = batch->tokens.off[i + 1];
    const int32_t *ids = batch->tokens.ids;
    const int example = ids[first + 1] - SPECIALS;
    assert_in_range(example, 0, WORDS - 1);
    assert_int_equal(end - first, 1 + example % 7 + 2);
    assert_int_equal(ids[first], FIRST);
    assert_int_equal(ids[end - 1], LAST);
    for (uint32_t k = first + 1; k + 1 < end; k++) assert_int_equal(ids[k], SPECIALS + example);
    assert_int_equal(batch->targets[i], example % 3);
    seen[example]++;
}

static void check_epoch(tr_source *source, uint64_t epoch, uint32_t examples, uint32_t batch_size)
{
    const uint64_t steps = tr_source_epoch_steps(source);
    uint8_t *seen = calloc(examples, 1);
    assert_non_null(seen);
    assert_int_equal(steps, (examples + batch_size - 1) / batch_size);
    for (uint64_t k = 0; k < steps; k++) {
        tr_batch batch;
        assert_ok(tr_source_batch(source, epoch * steps + k, &batch));
        const uint32_t rest = examples - (uint32_t)k * batch_size;
        assert_int_equal(batch.tokens.n_seq, rest < batch_size ? rest : batch_size);
        assert_int_equal(batch.outputs, batch.tokens.n_seq);
        assert_null(batch.rows);
        assert_int_equal(batch.tokens.off[0], 0);
        for (uint32_t i = 0; i < batch.tokens.n_seq; i++) check_row(&batch, i, seen);
    }
    for (uint32_t i = 0; i < examples; i++) assert_int_equal(seen[i], 1);
    free(seen);
}

static void test_every_row_once_an_epoch(void **state)
{
    fs_buf text = rows_text(203);
    const uint32_t sizes[] = {1, 2, 8, 29, 203, 1000}; /* 203 = 7 * 29 */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const tr_source_options options = {TR_HEAD_CLASSIFY, 5, sizes[i], 0, 0};
        tr_source *source = open_text(&text, &options);
        assert_int_equal(tr_source_examples(source), 203);
        uint64_t tokens = 0;
        for (int k = 0; k < 203; k++) tokens += (uint64_t)(1 + k % 7 + 2);
        assert_int_equal(tr_source_tokens(source), tokens);
        for (uint64_t epoch = 0; epoch < 3; epoch++) check_epoch(source, epoch, 203, sizes[i]);
        tr_source_close(&source);
        assert_null(source);
    }
    fs_buf_free(&text);
}

/** The numbers of examples as an epoch shows them. */
static void order_of(tr_order *order, uint64_t epoch, uint32_t count, uint32_t *out)
{
    const uint64_t steps = tr_order_epoch_steps(order);
    uint32_t seen = 0;
    for (uint64_t k = 0; k < steps; k++) {
        const uint32_t *examples;
        const uint32_t n = tr_order_batch(order, epoch * steps + k, &examples);
        memcpy(out + seen, examples, n * sizeof *out);
        seen += n;
    }
    assert_int_equal(seen, count);
}

static void test_orders_differ(void **state)
{
    enum { COUNT = 500, ORDERS = 6 };
    static uint32_t lengths[COUNT], orders[ORDERS][COUNT];
    for (int i = 0; i < COUNT; i++) lengths[i] = 7;
    for (int i = 0; i < ORDERS; i++) {
        tr_order *order;
        assert_ok(tr_order_new(&order, lengths, COUNT, 9, (uint64_t)i / 3));
        order_of(order, (uint64_t)i % 3, COUNT, orders[i]);
        tr_order_destroy(&order);
    }
    /* Two random orders have one example in the same place on average; 12 would be a rare chance
     * (Poisson: 8e-10). */
    for (int a = 0; a < ORDERS; a++) {
        for (int b = 0; b < a; b++) {
            int same = 0;
            for (int i = 0; i < COUNT; i++) same += orders[a][i] == orders[b][i];
            assert_true(same < 12);
        }
    }
}

/* Each of the 24 orders of four examples comes about as often: chi squared with 23 degrees of
 * freedom is below 60 but for 3.6e-5. */
static void test_orders_are_equally_likely(void **state)
{
    enum { EPOCHS = 4800 };
    const uint32_t lengths[4] = {1, 1, 1, 1};
    int times[256] = {0}, kinds = 0;
    double chi = 0;
    tr_order *order;
    assert_ok(tr_order_new(&order, lengths, 4, 1, 11));
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        uint32_t seen[4];
        order_of(order, epoch, 4, seen);
        times[seen[0] << 6 | seen[1] << 4 | seen[2] << 2 | seen[3]]++;
    }
    tr_order_destroy(&order);
    for (int i = 0; i < 256; i++) {
        kinds += times[i] > 0;
        if (times[i] > 0) chi += pow(times[i] - EPOCHS / 24.0, 2) / (EPOCHS / 24.0);
    }
    assert_int_equal(kinds, 24);
    assert_true(chi < 60);
}

/* Within a window two batches share at most the length at which they were parted, and the batches
 * do not come by length. */
static void test_batches_of_one_length(void **state)
{
    enum { COUNT = 4 * 3 * TR_ORDER_WINDOW + 3, BATCH = 4 };
    static uint32_t lengths[COUNT];
    uint32_t least[TR_ORDER_WINDOW], most[TR_ORDER_WINDOW];
    fs_rng rng;
    fs_rng_init(&rng, 3, 4);
    for (int i = 0; i < COUNT; i++) lengths[i] = 1 + (uint32_t)fs_rng_below(&rng, 1000);
    tr_order *order;
    assert_ok(tr_order_new(&order, lengths, COUNT, BATCH, 1));
    for (uint64_t window = 0; window < 3; window++) {
        int rising = 0;
        for (uint32_t b = 0; b < TR_ORDER_WINDOW; b++) {
            const uint32_t *examples;
            assert_int_equal(tr_order_batch(order, window * TR_ORDER_WINDOW + b, &examples), BATCH);
            least[b] = 1001;
            most[b] = 0;
            for (int i = 0; i < BATCH; i++) {
                const uint32_t length = lengths[examples[i]];
                if (length < least[b]) least[b] = length;
                if (length > most[b]) most[b] = length;
            }
            if (b > 0) rising += least[b] >= least[b - 1];
            for (uint32_t a = 0; a < b; a++)
                assert_true(most[a] <= least[b] || most[b] <= least[a]);
        }
        assert_in_range(rising, 16, 47); /* 31.5 on average, standard deviation 2.3 */
    }
    tr_order_destroy(&order);
}

/* Purity */

typedef struct kept {
    uint32_t sequences, outputs;
    uint64_t check;
} kept;

static kept keep(tr_source *source, uint64_t step)
{
    tr_batch b;
    assert_ok(tr_source_batch(source, step, &b));
    kept k = {b.tokens.n_seq, b.outputs, 14695981039346656037u};
    const uint32_t tokens = b.tokens.off[b.tokens.n_seq];
#define MIX(value) (k.check = (k.check ^ (uint64_t)(uint32_t)(value)) * 1099511628211u)
    for (uint32_t i = 0; i < tokens; i++) MIX(b.tokens.ids[i]);
    for (uint32_t i = 0; i <= b.tokens.n_seq; i++) MIX(b.tokens.off[i]);
    for (uint32_t i = 0; i < b.outputs; i++) MIX(b.targets[i]);
    for (uint32_t i = 0; b.rows != NULL && i < b.outputs; i++) MIX(b.rows[i]);
#undef MIX
    return k;
}

static void check_purity(const fs_buf *text, const tr_source_options *options)
{
    enum { STEPS = 400 };
    static kept expected[STEPS];
    tr_source *source = open_text(text, options);
    assert_true(3 * tr_source_epoch_steps(source) < STEPS);
    int same = 0;
    for (uint64_t k = 0; k < STEPS; k++) expected[k] = keep(source, k);
    for (int k = 1; k < STEPS; k++) same += expected[k].check == expected[k - 1].check;
    assert_true(same < STEPS / 10); /* one small batch may follow itself */
    tr_source_close(&source);
    source = open_text(text, options); /* after a restart, in any order */
    fs_rng rng;
    fs_rng_init(&rng, 9, 9);
    for (int i = 0; i < STEPS; i++) {
        const uint64_t step = fs_rng_below(&rng, STEPS);
        const kept got = keep(source, step);
        assert_memory_equal(&got, &expected[step], sizeof got);
    }
    assert_int_equal(keep(source, UINT64_MAX).sequences, keep(source, UINT64_MAX).sequences);
    tr_source_close(&source);
}

static void test_a_batch_depends_on_the_step_alone(void **state)
{
    fs_buf rows = rows_text(203), documents = documents_text(60, NULL);
    const tr_source_options classify = {TR_HEAD_CLASSIFY, 5, 2, 0, 0};
    const tr_source_options causal = {TR_HEAD_CAUSAL, 5, 3, 40, 0};
    const tr_source_options masked = {TR_HEAD_MASKED, 5, 3, 40, 0.15};
    check_purity(&rows, &classify);
    check_purity(&documents, &causal);
    check_purity(&documents, &masked);
    fs_buf_free(&rows);
    fs_buf_free(&documents);
}

/* Running text */

static void test_windows_cover_the_text(void **state)
{
    int ends[50];
    fs_buf text = documents_text(50, ends);
    const uint32_t total = (uint32_t)ends[49], window = 33;
    const tr_source_options options = {TR_HEAD_CAUSAL, 1, 4, window, 0};
    tr_source *source = open_text(&text, &options);
    const uint32_t last = total % window, windows = total / window + (last > 1);
    assert_int_equal(tr_source_examples(source), windows);
    assert_int_equal(tr_source_tokens(source), total - (last == 1));
    uint8_t *seen = calloc(windows, 1);
    assert_non_null(seen);
    for (uint64_t step = 0; step < tr_source_epoch_steps(source); step++) {
        tr_batch b;
        uint32_t output = 0;
        assert_ok(tr_source_batch(source, step, &b));
        for (uint32_t i = 0; i < b.tokens.n_seq; i++) {
            const uint32_t first = b.tokens.off[i], length = b.tokens.off[i + 1] - first;
            const uint32_t word = (uint32_t)b.tokens.ids[first] - SPECIALS;
            assert_int_equal(word % window, 0);
            assert_int_equal(length, total - word < window ? total - word : window);
            seen[word / window]++;
            for (uint32_t k = 0; k < length; k++)
                assert_int_equal(b.tokens.ids[first + k], SPECIALS + word + k);
            for (uint32_t k = 0; k + 1 < length; k++, output++) {
                assert_int_equal(b.rows[output], first + k);
                assert_int_equal(b.targets[output], SPECIALS + word + k + 1);
            }
        }
        assert_int_equal(b.outputs, output);
    }
    for (uint32_t i = 0; i < windows; i++) assert_int_equal(seen[i], 1);
    free(seen);
    tr_source_close(&source);
    fs_buf_free(&text);
}

/* What a masked epoch showed. */
typedef struct tally {
    uint32_t targets, hidden, replaced, left;
    uint8_t *seen;    /* [WORDS] how often a word of the text came */
    uint8_t *guessed; /* [WORDS] */
} tally;

/** One sequence: words first, first + 1, ... between [CLS] and [SEP], all of one document. */
static void check_sequence(const tr_batch *b, uint32_t i, uint32_t *output, const int *ends,
                           uint32_t window, tally *t)
{
    const uint32_t row = b->tokens.off[i], end = b->tokens.off[i + 1], count = end - row - 2;
    const uint32_t before = *output;
    const int32_t *ids = b->tokens.ids;
    assert_in_range(end - row, 3, window);
    assert_int_equal(ids[row], FIRST);
    assert_int_equal(ids[end - 1], LAST);
    /* The text: targets where there are any, what is seen elsewhere. */
    int32_t words[128];
    for (uint32_t k = 0; k < count; k++) words[k] = ids[row + 1 + k] - SPECIALS;
    for (; *output < b->outputs && b->rows[*output] < end; (*output)++) {
        const uint32_t at = b->rows[*output];
        assert_in_range(at, row + 1, end - 2);
        assert_true(*output == 0 || b->rows[*output - 1] < at);
        words[at - row - 1] = b->targets[*output] - SPECIALS;
        t->hidden += ids[at] == MASK;
        t->left += ids[at] == b->targets[*output];
        t->replaced += ids[at] != MASK && ids[at] != b->targets[*output];
        t->guessed[b->targets[*output] - SPECIALS]++;
    }
    assert_true(*output > before);
    t->targets += *output - before;
    for (uint32_t k = 0; k < count; k++) {
        assert_int_equal(words[k], words[0] + (int32_t)k);
        t->seen[words[k]]++;
    }
    int document = 0;
    while (ends[document] <= words[0]) document++;
    assert_true(words[count - 1] < ends[document]);
}

static tally check_masked_epoch(tr_source *source, uint64_t epoch, const int *ends, uint32_t window,
                                int words)
{
    tally t = {.seen = calloc(WORDS, 1), .guessed = calloc(WORDS, 1)};
    const uint64_t steps = tr_source_epoch_steps(source);
    assert_true(t.seen != NULL && t.guessed != NULL);
    for (uint64_t k = 0; k < steps; k++) {
        tr_batch b;
        uint32_t output = 0;
        assert_ok(tr_source_batch(source, epoch * steps + k, &b));
        for (uint32_t i = 0; i < b.tokens.n_seq; i++)
            check_sequence(&b, i, &output, ends, window, &t);
        assert_int_equal(output, b.outputs);
    }
    for (int i = 0; i < words; i++) assert_int_equal(t.seen[i], 1);
    return t;
}

/** @return standard deviations between what was counted and n trials of probability p. */
static double deviation(double counted, double n, double p)
{
    return fabs(counted - n * p) / sqrt(n * p * (1 - p));
}

static void test_masks(void **state)
{
    enum { DOCUMENTS = 115, EPOCHS = 8 };
    static int ends[DOCUMENTS];
    static uint8_t guessed[EPOCHS][WORDS];
    fs_buf text = documents_text(DOCUMENTS, ends);
    const int words = ends[DOCUMENTS - 1];
    const tr_source_options options = {TR_HEAD_MASKED, 21, 6, 128, 0.15};
    tr_source *source = open_text(&text, &options);
    double targets = 0, hidden = 0, replaced = 0, left = 0;
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        tally t = check_masked_epoch(source, epoch, ends, 128, words);
        targets += t.targets;
        hidden += t.hidden;
        replaced += t.replaced;
        left += t.left;
        memcpy(guessed[epoch], t.guessed, WORDS);
        free(t.seen);
        free(t.guessed);
    }
    /* About 136,000 tokens; a document of a few words adds a target that chance did not choose. */
    assert_true(words > 16000);
    assert_true(deviation(targets, (double)words * EPOCHS, 0.15) < 5);
    assert_true(deviation(hidden, targets, 0.8) < 5);
    assert_true(deviation(replaced, targets, 0.1) < 5);
    assert_true(deviation(left, targets, 0.1) < 5);
    /* Two epochs' masks are independent: both choose a token with 0.15 squared. */
    double both = 0;
    for (int epoch = 1; epoch < EPOCHS; epoch++)
        for (int i = 0; i < words; i++) both += guessed[epoch][i] && guessed[epoch - 1][i];
    assert_true(deviation(both, (double)words * (EPOCHS - 1), 0.15 * 0.15) < 5);
    tr_source_close(&source);
    fs_buf_free(&text);
}

/* With hardly a chance to be chosen, one token of each sequence is, any of them. */
static void test_one_target_at_least(void **state)
{
    enum { DOCUMENTS = 115 };
    static int ends[DOCUMENTS];
    fs_buf text = documents_text(DOCUMENTS, ends);
    const tr_source_options options = {TR_HEAD_MASKED, 2, 6, 12, 1e-12};
    tr_source *source = open_text(&text, &options);
    tally t = check_masked_epoch(source, 0, ends, 12, ends[DOCUMENTS - 1]);
    assert_int_equal(t.targets, tr_source_examples(source));
    assert_true(deviation(t.hidden, t.targets, 0.8) < 5);
    free(t.seen);
    free(t.guessed);
    tr_source_close(&source);
    fs_buf_free(&text);
}

/** Sequences of masked text as "word word|word|...", by the words' letters, in the text's order. */
static void expect_sequences(const char *text, uint32_t window, const char *expected)
{
    fs_buf got = {0};
    const tr_source_options options = {TR_HEAD_MASKED, 1, 1000, window, 1.0};
    tr_source *source = NULL;
    tr_batch b;
    assert_ok(open_status(&source, text, strlen(text), &options));
    assert_ok(tr_source_batch(source, 0, &b));
    /* One batch, in random order: sorted by first target. */
    uint32_t output = 0, sequences = b.tokens.n_seq;
    int32_t last = -1;
    for (uint32_t n = 0; n < sequences; n++) {
        uint32_t best = UINT32_MAX;
        for (uint32_t i = 0, at = 0; i < sequences; i++) {
            if (b.targets[at] > last && (best == UINT32_MAX || b.targets[at] < b.targets[best]))
                best = at;
            while (at < b.outputs && b.rows[at] < b.tokens.off[i + 1]) at++;
        }
        last = b.targets[best];
        for (uint32_t i = best; i == best || (i < b.outputs && b.rows[i] == b.rows[i - 1] + 1); i++)
            assert_ok(fs_buf_printf(&got, "%s%s",
                                    i > best ? " "
                                    : n > 0  ? "|"
                                             : "",
                                    tok_piece(tokeniser, b.targets[i])));
        output++;
    }
    assert_int_equal(output, sequences);
    assert_string_equal(fs_buf_text(&got), expected);
    tr_source_close(&source);
    fs_buf_free(&got);
}

static void test_documents(void **state)
{
    expect_sequences("aaa\naab\n\naac\n", 10, "aaa aab|aac");
    expect_sequences("\n\n\naaa\n\n\n\naab\n\n", 10, "aaa|aab");
    expect_sequences("aaa\r\n\r\naab\r\naac", 10, "aaa|aab aac");
    expect_sequences("aaa\n \naab", 10, "aaa aab"); /* a line with a space is not blank */
    /* As few as fit, of even length. */
    expect_sequences("aaa aab aac aad aae", 6, "aaa aab|aac aad aae");
    expect_sequences("aaa aab aac aad", 6, "aaa aab aac aad");
    expect_sequences("aaa aab aac", 3, "aaa|aab|aac");
    /* Documents of no tokens are none. */
    expect_sequences("aaa\n\n\t \n\naab", 10, "aaa|aab");
}

/* Special tokens that the text itself holds are never to be guessed. */
static void test_special_tokens_in_the_text(void **state)
{
    const char *text = "aaa [SEP] aab [MASK] aac [UNK] zzzz [PAD] aad [CLS]\n\n[SEP]\n\naae\n";
    const tr_source_options options = {TR_HEAD_MASKED, 1, 8, 20, 1.0};
    tr_source *source = NULL;
    tr_batch b;
    assert_ok(open_status(&source, text, strlen(text), &options));
    assert_int_equal(tr_source_examples(source), 2);
    for (uint64_t epoch = 0; epoch < 10; epoch++) {
        assert_ok(tr_source_batch(source, epoch, &b));
        assert_int_equal(b.outputs, 5);
        int32_t sum = 0;
        for (uint32_t i = 0; i < 5; i++) sum += b.targets[i] - SPECIALS;
        assert_int_equal(sum, 0 + 1 + 2 + 3 + 4);
    }
    tr_source_close(&source);
}

/* Errors */

static void expect_error(const char *text, size_t size, const tr_source_options *options,
                         fs_status code, const char *detail)
{
    tr_source *source = NULL;
    assert_status(open_status(&source, text, size, options), code);
    assert_detail(detail);
    assert_null(source);
}

static void test_bad_rows(void **state)
{
    const tr_source_options o = {TR_HEAD_CLASSIFY, 1, 4, 0, 0};
    expect_error("", 0, &o, FS_EFORMAT, "data: empty");
    expect_error("s\tl\n", 4, &o, FS_EFORMAT, "data: only a header line");
    expect_error("s\tl\naaa\t1\naab\t3\n", 16, &o, FS_EFORMAT,
                 "data:3: label 3: the model has labels 0 to 2");
    expect_error("s\tl\naaa\t1\na\xff\t1\n", 15, &o, FS_EFORMAT, "data:3: not UTF-8");
    expect_error("s\tl\naaa 1\n", 10, &o, FS_EFORMAT, "data:2: no tab");
    const tr_source_options none = {TR_HEAD_CLASSIFY, 1, 0, 0, 0};
    expect_error("s\tl\naaa\t1\n", 10, &none, FS_EUSAGE, "a batch of no sequences");
    tr_source *source = NULL;
    assert_status(tr_source_open(&source, path_of("none"), &config, tokeniser, &o), FS_ENOENT);
}

static void test_bad_text(void **state)
{
    const tr_source_options causal = {TR_HEAD_CAUSAL, 1, 4, 16, 0};
    const tr_source_options masked = {TR_HEAD_MASKED, 1, 4, 16, 0.15};
    expect_error("", 0, &causal, FS_EFORMAT, "data: empty");
    expect_error("", 0, &masked, FS_EFORMAT, "data: empty");
    expect_error("aaa\n\naab \xc3\n", 12, &masked, FS_EFORMAT, "data:3: not UTF-8 text");
    expect_error("aaa\naab\0\n", 9, &causal, FS_EFORMAT, "data:2: not UTF-8 text");
    expect_error(" \n\n", 3, &masked, FS_EUSAGE, "data: too short");
    expect_error("[SEP]\n", 6, &masked, FS_EUSAGE, "data: too short");
    expect_error("aaa", 3, &causal, FS_EUSAGE, "data: too short");
    /* The tokeniser has more than the model. */
    config.vocab = SPECIALS + 2;
    expect_error("aaa aab aac", 11, &causal, FS_EFORMAT, "data: token id 7 is beyond");
    expect_error("aaa aab aac", 11, &masked, FS_EFORMAT, "data: token id 7 is beyond");
    config.vocab = SPECIALS + WORDS;
}

static void test_bad_options(void **state)
{
    static const struct {
        tr_source_options options;
        const char *detail;
    } cases[] = {
        {{TR_HEAD_CAUSAL, 1, 4, 1, 0}, "a window of 1 tokens; at least 2"},
        {{TR_HEAD_CAUSAL, 1, 4, 129, 0}, "a window of 129 tokens; the model has 128 positions"},
        {{TR_HEAD_MASKED, 1, 4, 2, 0.15}, "a window of 2 tokens; at least 3"},
        {{TR_HEAD_MASKED, 1, 4, 129, 0.15}, "the model has 128 positions"},
        {{TR_HEAD_MASKED, 1, 4, 16, 0}, "is not in (0, 1]"},
        {{TR_HEAD_MASKED, 1, 4, 16, 1.01}, "is not in (0, 1]"},
        {{TR_HEAD_MASKED, 1, 4, 16, NAN}, "is not in (0, 1]"},
        {{TR_HEAD_CAUSAL, 1, 0, 16, 0}, "a batch of no sequences"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_error("aaa aab aac\n", 12, &cases[i].options, FS_EUSAGE, cases[i].detail);
}

static void test_a_vocabulary_without_mask(void **state)
{
    static const char vocabulary[] = "[UNK]\n[CLS]\n[SEP]\naaa\n";
    const tr_source_options options = {TR_HEAD_MASKED, 1, 4, 16, 0.15};
    char *other = testing_folder(), path[FS_PATH_BYTES_MAX];
    tok *bare;
    tr_source *source = NULL;
    assert_non_null(other);
    snprintf(path, sizeof path, "%s/vocab.txt", other);
    assert_ok(tiny_file_write(path, vocabulary, sizeof vocabulary - 1));
    assert_ok(tiny_file_write(path_of("data"), "aaa aaa\n", 8));
    assert_ok(tok_open(&bare, other));
    assert_status(tr_source_open(&source, path_of("data"), &config, bare, &options),
                  FS_EUNSUPPORTED);
    assert_detail("no [MASK]");
    tok_close(&bare);
    testing_remove(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_once_an_epoch),
        cmocka_unit_test(test_orders_differ),
        cmocka_unit_test(test_orders_are_equally_likely),
        cmocka_unit_test(test_batches_of_one_length),
        cmocka_unit_test(test_a_batch_depends_on_the_step_alone),
        cmocka_unit_test(test_windows_cover_the_text),
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_one_target_at_least),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_special_tokens_in_the_text),
        cmocka_unit_test(test_bad_rows),
        cmocka_unit_test(test_bad_text),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_a_vocabulary_without_mask),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
