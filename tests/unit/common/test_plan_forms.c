/* Kinds and patterns of faults in plans: ids, keys, what is refused, what is expected. */
#include "campaign_cases.h"

#include <math.h>

#define HEAD "campaign: c\nseed: 9\ntask: {kind: classification, model: bert, data: rows}\n"

/* What version flipsweep-1 drew before kinds had forms, it draws for ever. */
static void old_campaigns_keep_their_faults(void **state)
{
    static const struct {
        const char *id;
        uint64_t draw_key, check_key;
        double check_rate;
        size_t faults;
        uint64_t checksum;
    } frozen[] = {
        {"r/a,kind=flip", 0xa4852a0841ead8e6, 0, 0, 7, 0x601bf6d5705dc1d5},
        {"r/a,kind=stuck1", 0x4f3d16d93226239f, 0, 0, 12, 0xc4e86172fe754507},
        {"r/b,kind=flip", 0xa4852a0841ead8e6, 0x2f9bab75d746170a, 0x1.47ae147ae147bp-12, 7,
         0x601bf6d5705dc1d5},
        {"r/b,kind=stuck1", 0x4f3d16d93226239f, 0x6a6a68c4e9aa5f46, 0x1.47ae147ae147bp-12, 12,
         0xc4e86172fe754507},
        {"b/a", 0xaedaabd668f8fcbb, 0, 0, 89, 0x742d3bfae9a8d28e},
        {"b/b", 0xaedaabd668f8fcbb, 0xedc0b4317c4cc4b2, 0x1.0624dd2f1a9fcp-10, 89,
         0x742d3bfae9a8d28e},
        {"c/a", 0xd7a322ef1813c68b, 0, 0, 7, 0x1d2ef81f01843a14},
        {"t/a", 0x6f25a3a32ca7b3ef, 0, 0, 0, 0},
    };
    planned p = plan_of(
        HEAD
        "arms: [{name: a}, {name: b, protect: secded}]\nsweep:\n"
        "  - {name: r, amount: {rate: 0.01}, trials: 4, kind: [flip, stuck1],"
        " site: {parameters: mlp}}\n"
        "  - {name: b, amount: {ber: 0.001}, trials: 4}\n"
        "  - {name: c, amount: {count: 7}, trials: 4, bits: exponent}\n"
        "  - {name: t, amount: {count: 7}, trials: 4, site: {activations: attention.scores}}\n");
    char hex[FS_HASH_HEX_BYTES];
    fs_hash_hex(&p.plan->fingerprint, hex);
    assert_string_equal(hex, "eec9bed0af1040a5fb112cc0d625a1428d751f28e01605b1a9cc4ac5793277dd");
    for (size_t i = 0; i < sizeof frozen / sizeof frozen[0]; i++) {
        const fs_cell *cell = cell_of(&p, frozen[i].id);
        fs_fault_list list = {0};
        assert_true(cell->draw_key == frozen[i].draw_key);
        assert_true(cell->check_keys.checks == frozen[i].check_key);
        assert_true(cell->check_rate == frozen[i].check_rate);
        if (frozen[i].faults == 0) continue;
        assert_ok(fs_cell_draw(&list, cell, 3));
        assert_int_equal(list.count, frozen[i].faults);
        assert_true(fs_fault_list_checksum(&list) == frozen[i].checksum);
        fs_fault_list_free(&list);
    }
    release(&p);
}

static const char forms[] =
    HEAD "arms: [{name: a}, {name: b, protect: ep}]\nsweep:\n"
         "  - {name: s, amount: {count: [1, 2]}, trials: 5, bits: [all, mantissa],\n"
         "     kind: [flip, {burst: 4}, value, stuck1],\n"
         "     pattern: [element, {row: 3}, {column: all}]}\n"
         "  - {name: t, amount: {rate: 0.02}, trials: 5, kind: {burst: 2}, pattern: {row: all}}\n";

static void ids_and_order(void **state)
{
    static const char *const ids[] = {
        "s/a,count=1,kind=flip,pattern=element,bits=all",
        "s/b,count=2,kind=burst:4,pattern=row:3,bits=mantissa",
        "s/b,count=1,kind=value,pattern=column:all,bits=all",
        "t/a",
        "t/b",
    };
    static const char *const kinds[] = {"flip", "burst:4", "value", "stuck1"};
    static const char *const patterns[] = {"element", "row:3", "column:all"};
    planned p = plan_of(forms);
    size_t at = 0;
    assert_int_equal(p.plan->cell_count, 2 * (2 * 4 * 3 * 2 + 1));
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) cell_of(&p, ids[i]);
    /* The order of a sweep: amount, kind, pattern, bits. */
    for (int amount = 1; amount <= 2; amount++)
        for (int k = 0; k < 4; k++)
            for (int n = 0; n < 3; n++)
                for (int b = 0; b < 2; b++, at++) {
                    char text[FS_FORM_TEXT_BYTES];
                    const fs_cell *cell = &p.plan->cells[at];
                    fs_form_kind_text(cell->form.kind, text);
                    assert_string_equal(text, kinds[k]);
                    fs_form_pattern_text(cell->form.pattern, text);
                    assert_string_equal(text, patterns[n]);
                    assert_true(cell->amount.value == amount);
                    assert_ptr_equal(cell->bits, &p.campaign->sweeps[0].bits[b]);
                }
    release(&p);
}

/* Each form has faults of its own, and all arms meet them. */
static void keys(void **state)
{
    planned p = plan_of(forms);
    const size_t half = (p.plan->cell_count - 2) / 2;
    for (size_t i = 0; i < half; i++) {
        const fs_cell *a = &p.plan->cells[i], *b = &p.plan->cells[i + half];
        fs_fault_list x = {0}, y = {0};
        assert_true(a->arm == 0 && b->arm == 1 && a->draw_key == b->draw_key);
        assert_true(a->pair == b->pair);
        for (size_t j = 0; j < i; j++) assert_true(a->draw_key != p.plan->cells[j].draw_key);
        for (uint64_t t = 0; t < 5; t++) {
            assert_ok(fs_cell_draw(&x, a, t));
            assert_ok(fs_cell_draw(&y, b, t));
            assert_true(x.count > 0 && x.count == y.count);
            assert_memory_equal(x.items, y.items, x.count * sizeof *x.items);
        }
        fs_fault_list_free(&x);
        fs_fault_list_free(&y);
    }
    release(&p);
}

static void effective_campaign(void **state)
{
    planned p = plan_of(forms), again = {0};
    fs_buf first = {0}, second = {0};
    assert_ok(fs_campaign_write(p.campaign, &first));
    assert_non_null(strstr(fs_buf_text(&first),
                           "    kind: [flip, {burst: 4}, value, stuck1]\n"
                           "    pattern: [element, {row: 3}, {column: all}]\n"));
    assert_ok(
        fs_campaign_parse(&again.campaign, fs_buf_text(&first), first.size, "/elsewhere/x.yaml"));
    assert_ok(fs_plan_new(&again.plan, again.campaign));
    assert_string_equal(p.plan->identity, again.plan->identity);
    assert_ok(fs_campaign_write(again.campaign, &second));
    assert_string_equal(fs_buf_text(&first), fs_buf_text(&second));
    fs_buf_free(&first);
    fs_buf_free(&second);
    release(&p);
    release(&again);
}

static void impossible_forms_are_refused(void **state)
{
    static const struct {
        const char *sweep;
        fs_status status;
        const char *says;
    } bad[] = {
        {"amount: {count: 1}, kind: {burst: 2}, bits: 30", FS_ECONFIG,
         "sweep s: kind burst:2 does not fit into bits 30 of fp32 words: it needs 2 that are "
         "adjacent"},
        {"amount: {count: 1}, kind: {burst: 9}, bits: exponent", FS_ECONFIG, "burst:9"},
        {"amount: {count: 1}, kind: [flip, {burst: 3}], bits: [all, [1, 2, 4, 5]]", FS_ECONFIG,
         "burst:3 does not fit into bits 1+2+4+5 of fp32"},
        {"amount: {rate: 1}, kind: value, pattern: {column: all}, site: {parameters: all}", FS_OK,
         ""},
        {"amount: {count: 1}, kind: {burst: 16}}]\narms: [{name: h, dtype: bf16}]\n#", FS_OK, ""},
        {"amount: {count: 1}, kind: {burst: 17}}]\narms: [{name: h, dtype: bf16}]\n#", FS_ECONFIG,
         "burst:17 does not fit into bits all of bf16 words"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[1024];
        planned p;
        snprintf(text, sizeof text, HEAD "sweep: [{name: s, trials: 1, %s}]\n", bad[i].sweep);
        assert_status(try_plan(&p, text), bad[i].status);
        if (bad[i].status == FS_OK)
            release(&p);
        else
            assert_detail(bad[i].says);
    }
}

/* A count reaches the number of places where a fault can start, and ends there. */
static void counts_end_at_the_starts(void **state)
{
    enum { VALUES = 2 * FIXTURE_WIDTH }; /* embedding.norm */
    static const struct {
        const char *kind, *bits;
        unsigned starts;
    } cases[] = {
        {"{burst: 4}", "all", 29}, {"{burst: 8}", "exponent", 1}, {"value", "all", 1},
        {"value", "mantissa", 1},  {"stuck1", "[[3, 5]]", 2},     {"{burst: 2}", "[[3, 4, 5]]", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (unsigned over = 0; over < 2; over++) {
            char text[1024];
            planned p;
            snprintf(text, sizeof text,
                     HEAD "sweep:\n  - {name: s, trials: 1, site: {parameters: embedding.norm},"
                          " amount: {count: %u}, kind: %s, bits: %s}\n",
                     VALUES * cases[i].starts + over, cases[i].kind, cases[i].bits);
            assert_status(try_plan(&p, text), over ? FS_ECONFIG : FS_OK);
            if (over) continue;
            fs_fault_list list = {0};
            const fs_cell *cell = &p.plan->cells[0];
            assert_int_equal(fs_cell_sites(cell), VALUES * cases[i].starts);
            assert_ok(fs_cell_draw(&list, cell, 0)); /* every bit that can be reached */
            assert_int_equal(list.count, VALUES * cell->space->bit_count);
            fs_fault_list_free(&list);
            release(&p);
        }
    }
}

/* A trial's list holds 2^28 bits, so 2^23 values of 32. */
static void lists_end_at_their_limit(void **state)
{
    static const char *const amounts[] = {"count: 8388608", "count: 8388609", "rate: 0.1",
                                          "count: 1"};
    static const char *const patterns[] = {"element", "element", "element", "{column: all}"};
    char config[sizeof bert_config + 16];
    const char *vocab = strstr(bert_config, "\"vocab_size\": 11");
    assert_non_null(vocab);
    snprintf(config, sizeof config, "%.*s\"vocab_size\": 16777216, \"num_labels\": 2}",
             (int)(vocab - bert_config), bert_config);
    fixture_write(dir, "large/config.json", config);
    for (int i = 0; i < 4; i++) {
        char text[1024];
        planned p;
        snprintf(text, sizeof text,
                 "campaign: c\nseed: 9\n"
                 "task: {kind: classification, model: large, data: rows}\n"
                 "sweep: [{name: s, trials: 1, kind: value, site: {parameters: embedding.token},"
                 " amount: {%s}, pattern: %s}]\n",
                 amounts[i], patterns[i]);
        assert_status(try_plan(&p, text), i == 0 ? FS_OK : FS_ELIMIT);
        if (i == 0)
            release(&p);
        else
            assert_detail("each bit that they hit being one, at most 268435456 are allowed");
    }
}

/* Rows that no input reads, and bit 30 under EP: a fault is masked for sure only with all that it
 * reaches. */
static void masked_sites(void **state)
{
    enum { D = FIXTURE_WIDTH, ALL = 2 * D, UNREAD = D };
    static const struct {
        const char *kind, *pattern, *bits;
        unsigned starts;
        unsigned plain, ep; /* masked places in embedding.segment: unprotected, under ep */
    } cases[] = {
        {"flip", "element", "all", 32, UNREAD * 32, UNREAD * 32 + D},
        {"flip", "{row: 3}", "all", 32, UNREAD * 32, UNREAD * 32 + D},
        {"flip", "{column: 2}", "all", 32, UNREAD * 32, UNREAD * 32 + D},
        {"flip", "{column: all}", "all", 32, 0, ALL},
        {"flip", "{column: all}", "30", 1, 0, ALL},
        {"{burst: 2}", "element", "all", 31, UNREAD * 31, UNREAD * 31},
        {"{burst: 2}", "{row: all}", "[[29, 30, 31]]", 2, UNREAD * 2, UNREAD * 2},
        {"value", "element", "all", 1, UNREAD, UNREAD},
        {"value", "element", "30", 1, UNREAD, ALL},
        {"value", "{column: all}", "all", 1, 0, 0},
        {"stuck0", "{column: all}", "[[29, 30]]", 2, 0, ALL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text,
                 HEAD "arms: [{name: a}, {name: b, protect: ep}, {name: c, protect: secded}]\n"
                      "sweep:\n  - {name: s, trials: 1, site: {parameters: embedding.segment},"
                      " amount: {count: 1}, kind: %s, pattern: %s, bits: %s}\n",
                 cases[i].kind, cases[i].pattern, cases[i].bits);
        planned p = plan_of(text);
        const fs_cell *cells = p.plan->cells;
        assert_int_equal(cells[0].space->values, ALL);
        for (int arm = 0; arm < 3; arm++)
            assert_int_equal(fs_cell_sites(&cells[arm]), ALL * cases[i].starts);
        assert_int_equal(cells[0].masked_sites, cases[i].plain);
        assert_int_equal(cells[1].masked_sites, cases[i].ep);
        assert_int_equal(cells[2].masked_sites, 0); /* it may detect */
        assert_int_equal(fs_cell_masked(&cells[1]), cases[i].ep == ALL * cases[i].starts);
        release(&p);
    }
}

/* Redundant bits are exposed as often as data bits are hit. */
static void exposure_of_redundant_bits(void **state)
{
    enum { D = FIXTURE_WIDTH, VALUES = 2 * D }; /* embedding.norm: two vectors */
    static const struct {
        const char *amount, *kind, *pattern;
        double faults; /* expected hit bits */
    } cases[] = {
        {"rate: 0.01", "flip", "element", 0.01 * VALUES},
        {"rate: 0.01", "{burst: 32}", "element", 0.01 * VALUES * 32},
        {"rate: 0.01", "value", "element", 0.01 * VALUES * 32},
        {"count: 1", "{burst: 5}", "element", 5},
        {"count: 1", "value", "element", 32},
        {"rate: 1", "value", "{row: 2}", VALUES * 32},
        {"count: 1", "value", "{column: all}", 32}, /* a vector's columns are single values */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text,
                 HEAD "arms: [{name: a, protect: secded}]\nsweep:\n"
                      "  - {name: s, trials: 1, site: {parameters: embedding.norm},"
                      " amount: {%s}, kind: %s, pattern: %s}\n",
                 cases[i].amount, cases[i].kind, cases[i].pattern);
        planned p = plan_of(text);
        const fs_cell *cell = &p.plan->cells[0];
        /* A burst of five may overlap itself when drawn with replacement: below one in 2 x 448. */
        const double faults = fs_cell_faults(cell);
        assert_true(fabs(faults - cases[i].faults) < 0.01 * cases[i].faults);
        assert_true(fabs(cell->check_rate - faults / (VALUES * 32)) < 1e-15);
        release(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_campaigns_keep_their_faults),
        cmocka_unit_test(ids_and_order),
        cmocka_unit_test(keys),
        cmocka_unit_test(effective_campaign),
        cmocka_unit_test(impossible_forms_are_refused),
        cmocka_unit_test(counts_end_at_the_starts),
        cmocka_unit_test(lists_end_at_their_limit),
        cmocka_unit_test(masked_sites),
        cmocka_unit_test(exposure_of_redundant_bits),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
