#include "campaign_cases.h"

#include "buf.h"
#include "rng.h"

#define put(buf, ...) assert_ok(fs_buf_printf(buf, __VA_ARGS__))

static const char base[] = "campaign: bar\n"                                         /* 1 */
                           "seed: 5\n"                                               /* 2 */
                           "task: {kind: classification, model: bert, data: rows}\n" /* 3 */
                           "arms:\n"                                                 /* 4 */
                           "  - {name: unprotected}\n"                               /* 5 */
                           "  - {name: ep, protect: [ep]}\n"                         /* 6 */
                           "sweep:\n"                                                /* 7 */
                           "  - name: one\n"                                         /* 8 */
                           "    site: {parameters: all}\n"                           /* 9 */
                           "    amount: {count: 1}\n"                                /* 10 */
                           "    trials: 5\n"                                         /* 11 */
                           "    bits: all\n"                                         /* 12 */
                           "critical: {accuracy_drop: 0.1}\n";                       /* 13 */

static void the_example_of_the_manual(void **state)
{
    static const char text[] =
        "campaign: quickstart\nseed: 42\n"
        "task: {kind: classification, model: bert, data: rows, examples: 200}\n"
        "arms:\n  - {name: unprotected}\n"
        "  - {name: flipguard, model: bert-tuned, protect: [ep]}\n"
        "sweep:\n"
        "  - name: rates\n    site: {parameters: all}\n    amount: {rate: [0.001, 0.01]}\n"
        "    guard: [none, nonfinite-zero, threshold: 10]\n    trials: 200\n"
        "  - name: where\n"
        "    site: {parameters: [embedding, attention, mlp, layernorm], by: [layer, component]}\n"
        "    amount: {count: 1}\n    bits: [sign, exponent, mantissa, 30, [24, 23]]\n"
        "    stop: {half_width: 0.02, confidence: 0.95, at_most: 2000}\n"
        "critical: {accuracy_drop: 0.05}\n";
    fs_campaign *c = NULL;
    (void)state;
    assert_ok(fixture_parse(&c, dir, text));
    assert_string_equal(c->name, "quickstart");
    assert_int_equal(c->seed, 42);
    assert_int_equal(c->task.examples, 200);
    assert_int_equal(c->arm_count, 2);
    assert_string_equal(c->arms[0].model, c->task.model);
    assert_string_equal(strrchr(c->arms[1].model, '/'), "/bert-tuned");
    assert_string_equal(strrchr(c->task.data, '/'), "/rows.tsv");
    assert_string_equal(c->arms[1].protect[0], "ep");
    const fs_sweep *rates = &c->sweeps[0], *where = &c->sweeps[1];
    assert_int_equal(rates->amount_kind, FS_AMOUNT_RATE);
    assert_int_equal(rates->amount_count, 2);
    assert_int_equal(rates->guard_count, 3);
    assert_int_equal(rates->guards[2].kind, FS_GUARD_THRESHOLD);
    assert_true(rates->guards[2].threshold == 10.0f);
    assert_int_equal(where->by, FS_BY_LAYER | FS_BY_COMPONENT);
    assert_int_equal(where->set, fs_component_parse("all") & ~fs_component_parse("head"));
    assert_int_equal(where->trials, 2000);
    assert_int_equal(where->bits_count, 5);
    assert_int_equal(where->bits[3].bits, 0x40000000);
    assert_int_equal(where->bits[4].bits, 0x01800000);
    assert_string_equal(where->bits[4].name, "23+24");
    fs_campaign_destroy(&c);
    fs_campaign_destroy(&c);
}

static void defaults(void **state)
{
    static const char text[] = "campaign: c\n"
                               "task: {kind: language-model, model: gpt2, data: text}\n"
                               "sweep:\n  - {name: s, amount: {ber: 1.0e-6}, trials: 3}\n";
    fs_campaign *c = NULL;
    (void)state;
    assert_ok(fixture_parse(&c, dir, text));
    assert_int_equal(c->seed, 0);
    assert_int_equal(c->task.examples, 0);
    assert_int_equal(c->task.window, 0);
    assert_int_equal(c->task.recipe, FS_RECIPE_AS_IS);
    assert_string_equal(strrchr(c->task.data, '/'), "/text.txt");
    assert_int_equal(c->arm_count, 1);
    assert_string_equal(c->arms[0].name, "unprotected");
    assert_int_equal(c->arms[0].protect_count, 0);
    const fs_sweep *s = &c->sweeps[0];
    assert_int_equal(s->set, fs_component_parse("all"));
    assert_int_equal(s->kind_count, 1);
    assert_int_equal(s->kinds[0].word, FS_FORM_FLIP);
    assert_int_equal(s->bits[0].bits, 0xffffffff);
    assert_int_equal(s->guards[0].kind, FS_GUARD_NONE);
    assert_true(c->critical.perplexity_ratio == 1.5 && c->critical.accuracy_drop == 0.05);
    fs_campaign_destroy(&c);
}

static const mistake cases[] = {
    {1, "campain: bar", 1, "campain", "did you mean 'campaign'"},
    {1, "campaign: a b", 1, "campaign", "is no name"},
    {1, "seed: 1", 2, "seed", "given twice"},
    {2, "nothing: 1", 2, "nothing", "unknown key"},
    {2, "seed: -1", 2, "seed", "whole number"},
    {2, "seed: 010", 2, "seed", "whole number"},
    {2, "seed: \"5\"", 2, "seed", "in quotes"},
    {2, "seed: 18446744073709551616", 2, "seed", "too large"},
    {2, "seed:", 2, "seed", "is empty"},
    {2, "seed: [1]", 2, "seed", "is a list"},
    {2, "finetune: {}", 2, "finetune", "key 'data' is missing"},
    {2, "dtype: bf8", 2, "dtype", "did you mean 'bf16'"},
    {3, "task: bert", 3, "task", "a mapping"},
    {3, "task: {kind: classification, data: rows}", 3, "task", "'model' is missing"},
    {3, "task: {kind: classify, model: bert, data: rows}", 3, "task.kind", "'classify'"},
    {3, "task: {kind: classification, model: bart, data: rows}", 3, "task.model",
     "no model folder"},
    {3, "task: {kind: classification, model: ./bart, data: rows}", 3, "task.model",
     "no such folder"},
    {3, "task: {kind: classification, model: ./, data: rows}", 3, "task.model", "no config.json"},
    {3, "task: {kind: classification, model: bert, data: lines}", 3, "task.data", "no data file"},
    {3, "task: {kind: classification, model: bert, data: ./bert}", 3, "task.data", "regular file"},
    {3, "task: {kind: classification, model: bert, data: rows, window: 8}", 3, "task", "'window'"},
    {3, "task: {kind: classification, model: bert, data: rows, examples: 0}", 3, "task.examples",
     "from 1"},
    {3, "task: {kind: language-model, model: gpt2, data: text, window: 8, stride: 9}", 3, "task",
     "stride 9"},
    {3, "task: {kind: language-model, model: gpt2, data: text, recipe: raw}", 3, "task.recipe",
     "allowed: as-is, hf"},
    {3, "task: {kind: language-model, model: gpt2, data: text}", 13, "critical",
     "accuracy_drop is"},
    {4, "arms: []\nseeds:", 4, "arms", "empty"},
    {4, "armes:", 4, "armes", "did you mean 'arms'"},
    {5, "  - {nam: unprotected}", 5, "arms[0].nam", "did you mean 'name'"},
    {5, "  - {protect: none}", 5, "arms[0]", "'name' is missing"},
    {5, "  - {name: ep}", 6, "arms[1]", "taken by arms[0]"},
    {5, "  - {name: a, model: nowhere}", 5, "arms[0].model", "no model folder"},
    {6, "  - {name: ep, protect: [ep, ep]}", 6, "arms[1].protect[1]", "twice"},
    {6, "  - {name: ep, protect: epp}", 6, "arms[1].protect", "unknown protection"},
    {6, "  - {name: ep, protect: flipguard}", 6, "arms[1].protect", "self-correction"},
    {7, "sweep: {name: x, amount: {count: 1}, trials: 1}\nx:", 7, "sweep", "a list is wanted"},
    {8, "  - name: [one]", 8, "sweep[0].name", "is a list"},
    {8, "  - title: one", 8, "sweep[0].title", "unknown key"},
    {9, "    site: all", 9, "sweep[0].site", "a mapping"},
    {9, "    site: {parameters: weights}", 9, "sweep[0].site.parameters", "'weights' is unknown"},
    {9, "    site: {parameters: [mlp, mlp.upp]}", 9, "sweep[0].site.parameters[1]", "'mlp.up'"},
    {9, "    site: {parameters: []}", 9, "sweep[0].site.parameters", "empty"},
    {9, "    site: {activations: block.outs}", 9, "sweep[0].site.activations",
     "did you mean 'block.out'"},
    {9, "    site: {activations: all, by: group}", 9, "sweep[0].site", "not one of them"},
    {9, "    site: {gradients: all}", 8, "sweep[0]", "phase: finetune"},
    {9, "    site: {optimizer: adam}", 9, "sweep[0].site.optimizer", "adam.m"},
    {9, "    site: {layers: [0, 1, 0]}", 9, "sweep[0].site.layers[2]", "twice"},
    {9, "    site: {layers: 512}", 9, "sweep[0].site.layers", "from 0 to 511"},
    {9, "    site: {layers: -1}", 9, "sweep[0].site.layers", "whole number"},
    {9, "    site: {by: [layer, layer]}", 9, "sweep[0].site.by[1]", "twice"},
    {9, "    site: {by: [group, component]}", 9, "sweep[0].site.by", "exclude"},
    {9, "    site: {by: layers}", 9, "sweep[0].site.by", "did you mean 'layer'"},
    {10, "    amount: 1", 10, "sweep[0].amount", "a mapping"},
    {10, "    amount: {}", 10, "sweep[0].amount", "one of"},
    {10, "    amount: {count: 1, rate: 0.1}", 10, "sweep[0].amount.rate", "one kind of amount"},
    {10, "    amount: {count: 1.5}", 10, "sweep[0].amount.count", "whole number"},
    {10, "    amount: {count: 1e3}", 10, "sweep[0].amount.count", "whole number"},
    {10, "    amount: {count: [1, 2, 1]}", 10, "sweep[0].amount.count[2]", "twice"},
    {10, "    amount: {rate: 1.01}", 10, "sweep[0].amount.rate", "from 0 to 1"},
    {10, "    amount: {rate: -0.1}", 10, "sweep[0].amount.rate", "from 0 to 1"},
    {10, "    amount: {rate: .nan}", 10, "sweep[0].amount.rate", "is no number"},
    {10, "    amount: {rate: .inf}", 10, "sweep[0].amount.rate", "is no number"},
    {10, "    amount: {rate: [0.1, 1.0e-1]}", 10, "sweep[0].amount.rate[1]", "twice"},
    {10, "    amount: {percent: 1}", 10, "sweep[0].amount.percent", "unknown key"},
    {10, "    amont: {count: 1}", 10, "sweep[0].amont", "did you mean 'amount'"},
    {11, "    trials: 0", 11, "sweep[0].trials", "from 1"},
    {11, "    trials: 1099511627777", 11, "sweep[0].trials", "1099511627776"},
    {11, "    trials: many", 11, "sweep[0].trials", "'many'"},
    {11, "    kind: flip", 8, "sweep[0]", "one of 'trials' and 'stop'"},
    {11, "    trials: 5\n    stop: {half_width: 0.1, at_most: 9}", 8, "sweep[0]", "exclude"},
    {11, "    stop: {half_width: 0.1}", 11, "sweep[0].stop", "'at_most' is missing"},
    {11, "    stop: {at_most: 10}", 11, "sweep[0].stop", "'half_width' is missing"},
    {11, "    stop: {half_width: 0, at_most: 10}", 11, "sweep[0].stop.half_width", "above 0"},
    {11, "    stop: {half_width: 0.1, at_most: 10, confidence: 1}", 11, "sweep[0].stop.confidence",
     "from 0.5"},
    {11, "    trials: 5\n    kind: burst", 12, "sweep[0].kind", "{burst: 4}"},
    {11, "    trials: 5\n    kind: {burst: 1}", 12, "sweep[0].kind.burst", "from 2 to 32"},
    {11, "    trials: 5\n    kind: {burst: 33}", 12, "sweep[0].kind.burst", "from 2 to 32"},
    {11, "    trials: 5\n    kind: {bursts: 3}", 12, "sweep[0].kind.bursts",
     "did you mean 'burst'"},
    {11, "    trials: 5\n    kind: {}", 12, "sweep[0].kind", "'burst' is missing"},
    {11, "    trials: 5\n    kind: [{burst: 3}, {burst: 2}, {burst: 3}]", 12, "sweep[0].kind[2]",
     "'burst:3' is given twice"},
    {11, "    trials: 5\n    pattern: rows", 12, "sweep[0].pattern", "allowed: element"},
    {11, "    trials: 5\n    pattern: row", 12, "sweep[0].pattern", "{row: 8} or {column: all}"},
    {11, "    trials: 5\n    pattern: {row: 1}", 12, "sweep[0].pattern.row", "from 2 to 65536"},
    {11, "    trials: 5\n    pattern: {column: 65537}", 12, "sweep[0].pattern.column",
     "from 2 to 65536"},
    {11, "    trials: 5\n    pattern: {row: every}", 12, "sweep[0].pattern.row", "'every'"},
    {11, "    trials: 5\n    pattern: {row: 2, column: 2}", 12, "sweep[0].pattern.column",
     "two patterns"},
    {11, "    trials: 5\n    pattern: {}", 12, "sweep[0].pattern", "one of 'row', 'column'"},
    {11, "    trials: 5\n    pattern: {diagonal: 2}", 12, "sweep[0].pattern.diagonal",
     "unknown key"},
    {11, "    trials: 5\n    pattern: []", 12, "sweep[0].pattern", "empty"},
    {11, "    trials: 5\n    pattern: [{row: all}, element, {row: all}]", 12, "sweep[0].pattern[2]",
     "'row:all' is given twice"},
    {10, "    amount: {ber: 0.1}\n    kind: [flip, value]", 8, "sweep[0]", "whole words"},
    {11, "    trials: 5\n    kind: [flip, flop]", 12, "sweep[0].kind[1]", "did you mean 'flip'"},
    {11, "    trials: 5\n    kind: [flip, flip]", 12, "sweep[0].kind[1]", "twice"},
    {11, "    trials: 5\n    dtype: int8", 12, "sweep[0].dtype", "belongs to an arm"},
    {11, "    trials: 5\n    phase: finetune", 1, "", "'finetune' is missing"},
    {11, "    trials: 5\n    phase: tuning", 12, "sweep[0].phase", "inference, finetune"},
    {11, "    trials: 5\n    persistence: transient", 8, "sweep[0]", "is not of parameters"},
    {11, "    trials: 5\n    persistence: once", 12, "sweep[0].persistence", "transient"},
    {11, "    trials: 5\n    metadata: true", 12, "sweep[0].metadata", "not supported"},
    {11, "    trials: 5\n    guard: zero", 12, "sweep[0].guard", "nonfinite-zero"},
    {11, "    trials: 5\n    guard: threshold:10", 12, "sweep[0].guard", "{threshold: 10}"},
    {11, "    trials: 5\n    guard: {threshold: 0}", 12, "sweep[0].guard.threshold", "positive"},
    {11, "    trials: 5\n    guard: [none, none]", 12, "sweep[0].guard[1]", "twice"},
    {11, "    trials: 5\n    guard: {limit: 1}", 12, "sweep[0].guard.limit", "unknown key"},
    {12, "    bits: 32", 12, "sweep[0].bits", "from 0 to 31"},
    {12, "    bits: exponents", 12, "sweep[0].bits", "did you mean 'exponent'"},
    {12, "    bits: [sign, 31]", 12, "sweep[0].bits[1]", "same bits as 'sign'"},
    {12, "    bits: [[23, 24, 23]]", 12, "sweep[0].bits[0][2]", "in this set already"},
    {12, "    bits: [[]]", 12, "sweep[0].bits[0]", "empty"},
    {12, "    bits: [[[1]]]", 12, "sweep[0].bits[0][0]", "is a list"},
    {12, "    bits: {from: 1}", 12, "sweep[0].bits", "is a mapping"},
    {13, "critical: {accuracy_drop: 1.5}", 13, "critical.accuracy_drop", "from 0 to 1"},
    {13, "critical: {accuracy_drop: 0}", 13, "critical.accuracy_drop", "above 0"},
    {13, "critical: {perplexity_ratio: 2}", 13, "critical", "perplexity_ratio is for"},
    {13, "critical: 0.05", 13, "critical", "a mapping"},
    {13, "critical: {accuracy_drop: 0.1}\n? [a]\n: b", 14, "", "a key is a list"},
};

static void errors_name_file_line_and_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) refuse(base, &cases[i]);
    fs_campaign *c = NULL;
    assert_ok(fixture_parse(&c, dir, base));
    fs_campaign_destroy(&c);
}

static void lists_end_at_their_limits(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        fs_buf text = {0};
        put(&text, "campaign: c\ntask: {kind: classification, model: bert, data: rows}\n"
                   "sweep: [{name: s, amount: {count: 1}, trials: 1}]\narms: [");
        for (int i = 0; i < FS_ARMS_MAX + over; i++) put(&text, "{name: a%d}, ", i);
        put(&text, "]\n");
        fs_campaign *c = NULL;
        assert_status(fixture_parse(&c, dir, fs_buf_text(&text)), over ? FS_ELIMIT : FS_OK);
        fs_campaign_destroy(&c);
        fs_buf_free(&text);
    }
    for (int over = 0; over < 2; over++) {
        fs_buf line = {0};
        put(&line, "    amount: {count: [");
        for (int i = 0; i < FS_AXIS_MAX + over; i++) put(&line, "%d, ", i);
        put(&line, "]}");
        char *text = with_line(base, 10, fs_buf_text(&line));
        fs_campaign *c = NULL;
        assert_status(fixture_parse(&c, dir, text), over ? FS_ELIMIT : FS_OK);
        fs_campaign_destroy(&c);
        fs_buf_free(&line);
        free(text);
    }
}

/* --- Round trip --- */

static uint64_t pick(fs_rng *rng, uint64_t bound)
{
    return fs_rng_below(rng, bound);
}

/** Writes each word with probability 1/2, at least one, as a list. */
static void put_some(fs_buf *out, fs_rng *rng, const char *const *words, size_t count)
{
    size_t sure = pick(rng, count);
    put(out, "[");
    for (size_t i = 0; i < count; i++)
        if (i == sure || pick(rng, 2)) put(out, "%s, ", words[i]);
    put(out, "]");
}

static void put_sweep(fs_buf *out, fs_rng *rng, int index)
{
    static const char *const parameters[] = {
        "embedding", "attention.key", "mlp", "mlp.norm", "attention.norm", "final.norm", "head.lm"};
    static const char *const bits[] = {"all",
                                       "sign",
                                       "exponent",
                                       "mantissa",
                                       "0",
                                       "30",
                                       "[23, 24]",
                                       "[0, 2, 4, 5, 6, 31]",
                                       "[sign, 1, 2, 3]"};
    static const char *const guards[] = {"none", "nonfinite-zero", "{threshold: 10}",
                                         "{threshold: 0.1}", "{threshold: 3.3e7}"};
    static const char *const kinds[] = {"stuck1", "{burst: 2}",  "flip",
                                        "stuck0", "{burst: 32}", "{burst: 7}"};
    static const char *const patterns[] = {"element",       "{row: 2}",        "{row: all}",
                                           "{column: all}", "{column: 65536}", "{column: 3}"};
    static const char *const layers[] = {"2", "0", "1"};
    static const char *const by[] = {
        "none", "layer", "component", "group", "[component, layer]", "[layer, group]"};
    put(out, "  - name: s%d\n    site: {by: %s", index, by[pick(rng, 6)]);
    if (pick(rng, 2)) {
        put(out, ", parameters: ");
        put_some(out, rng, parameters, 7);
    }
    if (pick(rng, 2)) {
        put(out, ", layers: ");
        put_some(out, rng, layers, 3);
    }
    put(out, "}\n    amount: {%s: [", pick(rng, 2) ? "rate" : "ber");
    for (uint64_t n = 1 + pick(rng, 5); n > 0; n--)
        put(out, "%.*g, ", (int)(9 + n), fs_rng_unit(rng));
    put(out, "]}\n");
    if (pick(rng, 2)) {
        put(out, "    kind: ");
        put_some(out, rng, kinds, 6);
    }
    if (pick(rng, 2)) {
        put(out, "\n    pattern: ");
        put_some(out, rng, patterns, 6);
    }
    put(out, "\n    bits: ");
    put_some(out, rng, bits, 9);
    put(out, "\n    guard: ");
    put_some(out, rng, guards, 5);
    if (pick(rng, 2))
        put(out, "\n    trials: %u\n", 1 + (unsigned)pick(rng, 1000000));
    else
        put(out, "\n    stop: {half_width: %.17g, at_most: %u}\n", fs_rng_unit(rng) / 2,
            1 + (unsigned)pick(rng, 100000));
}

static void random_campaign(fs_buf *out, fs_rng *rng)
{
    int lm = (int)pick(rng, 2);
    put(out, "campaign: c%u\nseed: %llu\n", (unsigned)pick(rng, 100),
        (unsigned long long)fs_rng_u64(rng));
    put(out, "task: {kind: %s, model: %s, data: %s", lm ? "language-model" : "classification",
        lm ? "gpt2" : "bert", lm ? "text" : "rows");
    if (pick(rng, 2)) put(out, ", examples: %u", 1 + (unsigned)pick(rng, 5000));
    if (lm && pick(rng, 2)) put(out, ", window: 8, stride: %u", 1 + (unsigned)pick(rng, 8));
    if (lm && pick(rng, 2)) put(out, ", recipe: hf");
    put(out, "}\n");
    if (pick(rng, 2)) put(out, "arms: [{name: a}, {name: b, protect: ep}]\n");
    put(out, "sweep:\n");
    for (int i = 0, n = 1 + (int)pick(rng, 4); i < n; i++) put_sweep(out, rng, i);
    if (pick(rng, 2))
        put(out, "critical: {%s: %.17g}\n", lm ? "perplexity_ratio" : "accuracy_drop",
            fs_rng_unit(rng) + lm);
}

static void assert_same_campaign(const fs_campaign *a, const fs_campaign *b)
{
    assert_string_equal(a->name, b->name);
    assert_true(a->seed == b->seed);
    /* Both were zeroed before reading, so that bytes compare. */
    assert_memory_equal(&a->task, &b->task, sizeof a->task);
    assert_memory_equal(&a->critical, &b->critical, sizeof a->critical);
    assert_int_equal(a->arm_count, b->arm_count);
    assert_int_equal(a->sweep_count, b->sweep_count);
    assert_memory_equal(a->arms, b->arms, a->arm_count * sizeof a->arms[0]);
    assert_memory_equal(a->sweeps, b->sweeps, a->sweep_count * sizeof a->sweeps[0]);
}

static void what_is_written_reads_back_equal(void **state)
{
    fs_rng rng;
    int accepted = 0;
    (void)state;
    fs_rng_init(&rng, 11, 0);
    for (int i = 0; i < 400; i++) {
        fs_campaign *a = NULL, *b = NULL;
        fs_buf text = {0}, first = {0}, second = {0};
        random_campaign(&text, &rng);
        if (fixture_parse(&a, dir, fs_buf_text(&text)) != FS_OK)
            fail_msg("%s\n%s", fs_status_detail(), fs_buf_text(&text));
        accepted++;
        assert_ok(fs_campaign_write(a, &first));
        assert_ok(fs_campaign_parse(&b, fs_buf_text(&first), first.size, "/elsewhere/x.yaml"));
        assert_same_campaign(a, b);
        assert_ok(fs_campaign_write(b, &second));
        assert_string_equal(fs_buf_text(&first), fs_buf_text(&second));
        fs_campaign_destroy(&a);
        fs_campaign_destroy(&b);
        fs_buf_free(&first);
        fs_buf_free(&second);
        fs_buf_free(&text);
    }
    assert_int_equal(accepted, 400);
}

/** Quotes, line separators of Unicode and other characters that YAML treats in its own way. */
static void odd_paths_survive(void **state)
{
    static const char *const names[] = {"a \"b\" \\c",      "it's: {odd}, #x",
                                        "\xe2\x80\xa8line", "\xc2\x85nel\xc2\x80",
                                        "\xef\xbb\xbf-bom", "- x",
                                        "\xf0\x9f\x98\x80", " leading"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char folder[FS_PATH_BYTES_MAX], text[512];
        fs_campaign *a = NULL, *b = NULL;
        fs_buf out = {0};
        snprintf(folder, sizeof folder, "odd/%s/bert/config.json", names[i]);
        fixture_write(dir, folder, bert_config);
        snprintf(folder, sizeof folder, "%s/odd/%s/c.yaml", dir, names[i]);
        snprintf(text, sizeof text,
                 "campaign: c\ntask: {kind: classification, model: bert, data: ../../rows}\n"
                 "sweep: [{name: s, amount: {count: 0}, trials: 1}]\n");
        assert_ok(fs_campaign_parse(&a, text, strlen(text), folder));
        assert_non_null(strstr(a->task.model, names[i]));
        assert_ok(fs_campaign_write(a, &out));
        assert_ok(fs_campaign_parse(&b, fs_buf_text(&out), out.size, "x.yaml"));
        assert_string_equal(a->task.model, b->task.model);
        fs_campaign_destroy(&a);
        fs_campaign_destroy(&b);
        fs_buf_free(&out);
    }
}

static void names_are_looked_up_in_order(void **state)
{
    static const char text[] = "campaign: c\n"
                               "task: {kind: classification, model: zoo-only, data: set}\n"
                               "sweep: [{name: s, amount: {count: 0}, trials: 1}]\n";
    char zoo[FS_PATH_BYTES_MAX], cache[FS_PATH_BYTES_MAX];
    fs_campaign *c = NULL;
    (void)state;
    assert_ok(fs_path_join(zoo, dir, "zoo"));
    assert_ok(fs_path_join(cache, dir, "cache"));
    setenv("FLIPSWEEP_ZOO", zoo, 1);
    setenv("FLIPSWEEP_CACHE", cache, 1);
    assert_status(fixture_parse(&c, dir, text), FS_ENOENT);
    assert_detail("/zoo");
    assert_detail("/cache");
    fixture_write(dir, "cache/zoo-only/config.json", bert_config);
    fixture_write(dir, "cache/set.tsv", "h\n");
    assert_ok(fixture_parse(&c, dir, text));
    assert_non_null(strstr(c->task.model, "/cache/zoo-only"));
    fs_campaign_destroy(&c);
    fixture_write(dir, "zoo/zoo-only/config.json", bert_config);
    fixture_write(dir, "zoo/set", "h\n");
    assert_ok(fixture_parse(&c, dir, text));
    assert_non_null(strstr(c->task.model, "/zoo/zoo-only"));
    assert_non_null(strstr(c->task.data, "/zoo/set"));
    fs_campaign_destroy(&c);
    fixture_write(dir, "zoo-only/config.json", bert_config);
    assert_ok(fixture_parse(&c, dir, text));
    assert_null(strstr(c->task.model, "/zoo/"));
    fs_campaign_destroy(&c);
    unsetenv("FLIPSWEEP_ZOO");
    unsetenv("FLIPSWEEP_CACHE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_manual),
        cmocka_unit_test(defaults),
        cmocka_unit_test(errors_name_file_line_and_key),
        cmocka_unit_test(lists_end_at_their_limits),
        cmocka_unit_test(what_is_written_reads_back_equal),
        cmocka_unit_test(odd_paths_survive),
        cmocka_unit_test(names_are_looked_up_in_order),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
