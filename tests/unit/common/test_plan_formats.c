/* Arms of unlike storage formats: their words, their bits, their faults. */
#include "testing.h"

#include "campaign.h"
#include "file.h"
#include "plan.h"
#include "tiny_model.h"

typedef struct fixture {
    char *folder;
    fs_campaign *campaign;
    fs_plan *plan;
} fixture;

/* @return what reading and planning a campaign with these lines behind its task says. */
static fs_status open_text(fixture *f, const char *rest)
{
    const tiny_spec spec = tiny_spec_default(FS_MODEL_BERT, FS_TASK_CLASSIFICATION);
    char data[FS_PATH_BYTES_MAX];
    fs_buf text = {0};
    tiny_model *model;
    *f = (fixture){.folder = testing_folder()};
    assert_ok(tiny_model_new(&model, &spec));
    assert_ok(tiny_model_write(model, f->folder));
    assert_ok(fs_path_join(data, f->folder, "data.tsv"));
    assert_ok(tiny_model_write_data(model, data, 8));
    tiny_model_destroy(&model);
    assert_ok(fs_buf_printf(
        &text, "campaign: t\nseed: 3\ntask: {kind: classification, model: %s, data: %s}\n%s",
        f->folder, data, rest));
    fs_status status = fs_campaign_parse(&f->campaign, fs_buf_text(&text), text.size, "test.yaml");
    if (status == FS_OK) status = fs_plan_new(&f->plan, f->campaign);
    fs_buf_free(&text);
    return status;
}

static void close_text(fixture *f)
{
    fs_plan_destroy(&f->plan);
    fs_campaign_destroy(&f->campaign);
    testing_remove(f->folder);
}

static const fs_cell *cell_of(const fixture *f, const char *id)
{
    int64_t at = fs_plan_find(f->plan, id);
    if (at < 0) fail_msg("there is no cell %s", id);
    return &f->plan->cells[at];
}

#define ARMS                                                                                       \
    "arms:\n  - {name: a}\n  - {name: b, dtype: bf16}\n  - {name: h, dtype: fp16}\n"               \
    "  - {name: p, dtype: bf16, protect: [ep]}\n"

/* Words mean the bits of the arm's format; IEEE 754 says which. */
static void test_words(void **state)
{
    static const struct {
        const char *cell;
        fs_bits bits;
    } want[] = {
        {"s/a,bits=all", 0xffffffffu},
        {"s/b,bits=all", 0xffffu},
        {"s/h,bits=all", 0xffffu},
        {"s/a,bits=sign", 0x80000000u},
        {"s/b,bits=sign", 0x8000u},
        {"s/h,bits=sign", 0x8000u},
        {"s/a,bits=exponent", 0x7f800000u},
        {"s/b,bits=exponent", 0x7f80u},
        {"s/h,bits=exponent", 0x7c00u},
        {"s/a,bits=mantissa", 0x007fffffu},
        {"s/b,bits=mantissa", 0x007fu},
        {"s/h,bits=mantissa", 0x03ffu},
        {"s/a,bits=14", 1u << 14},
        {"s/b,bits=14", 1u << 14},
        {"s/h,bits=0+3", 9},
        {"s/p,bits=14", 1u << 14},
    };
    fixture f;
    assert_ok(open_text(&f, ARMS "sweep:\n  - {name: s, amount: {count: 1}, trials: 5, bits: [all,"
                                 " sign, exponent, mantissa, 14, [0, 3]]}\n"));
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        const fs_cell *cell = cell_of(&f, want[i].cell);
        assert_int_equal(cell->space->bits, want[i].bits);
        assert_int_equal(cell->space->bit_count, __builtin_popcount(want[i].bits));
    }
    /* The top exponent bit of a bf16 word is never read under EP. */
    assert_true(fs_cell_masked(cell_of(&f, "s/p,bits=14")));
    assert_false(fs_cell_masked(cell_of(&f, "s/b,bits=14")));
    close_text(&f);
}

/* Arms of one format meet the same faults; under a rate all formats meet the same values. */
static void test_draws(void **state)
{
    fixture f;
    fs_fault_list lists[4] = {{0}};
    static const char *const names[] = {"a", "b", "h", "p"};
    assert_ok(open_text(&f, ARMS "sweep:\n"
                                 "  - {name: r, amount: {rate: 0.01}, trials: 5}\n"
                                 "  - {name: c, amount: {count: 30}, trials: 5}\n"));
    for (uint64_t t = 0; t < 5; t++) {
        for (int i = 0; i < 4; i++) {
            char id[16];
            snprintf(id, sizeof id, "r/%s", names[i]);
            assert_ok(fs_cell_draw(&lists[i], cell_of(&f, id), t));
            assert_true(lists[i].count > 100 && lists[i].count == lists[0].count);
            for (size_t k = 0; k < lists[i].count; k++) {
                assert_int_equal(lists[i].items[k].tensor, lists[0].items[k].tensor);
                assert_true(lists[i].items[k].element == lists[0].items[k].element);
                assert_true(lists[i].items[k].bit < (i == 0 ? 32 : 16));
            }
        }
        assert_memory_equal(lists[1].items, lists[3].items,
                            lists[1].count * sizeof *lists[1].items);
        assert_ok(fs_cell_draw(&lists[1], cell_of(&f, "c/b"), t));
        assert_ok(fs_cell_draw(&lists[3], cell_of(&f, "c/p"), t));
        assert_true(fs_fault_list_checksum(&lists[1]) == fs_fault_list_checksum(&lists[3]));
    }
    for (int i = 0; i < 4; i++) fs_fault_list_free(&lists[i]);
    close_text(&f);
}

/* The campaign's format is the default of its arms, wherever it is written; fp32 leaves no trace in
 * the identity, so that older campaigns keep their fingerprints. */
static void test_default(void **state)
{
    fixture f, g;
    fs_buf text = {0};
    fs_campaign *again;
    static const char *const tail = "sweep:\n  - {name: s, amount: {count: 1}, trials: 5}\n";
    char rest[512];
    snprintf(rest, sizeof rest, "arms:\n  - {name: a}\n  - {name: b, dtype: fp16}\n%sdtype: bf16\n",
             tail);
    assert_ok(open_text(&f, rest));
    assert_int_equal(f.campaign->arms[0].dtype, FS_FORMAT_BF16);
    assert_int_equal(f.campaign->arms[1].dtype, FS_FORMAT_FP16);
    assert_non_null(strstr(f.plan->identity, "arm.a.dtype: bf16\n"));
    assert_ok(fs_campaign_write(f.campaign, &text));
    assert_ok(fs_campaign_parse(&again, fs_buf_text(&text), text.size, "again.yaml"));
    assert_int_equal(again->arms[0].dtype, FS_FORMAT_BF16);
    assert_int_equal(again->arms[1].dtype, FS_FORMAT_FP16);
    fs_campaign_destroy(&again);
    fs_buf_free(&text);
    close_text(&f);
    snprintf(rest, sizeof rest, "dtype: fp32\narms:\n  - {name: a, dtype: fp32}\n%s", tail);
    assert_ok(open_text(&f, rest));
    snprintf(rest, sizeof rest, "arms:\n  - {name: a}\n%s", tail);
    assert_ok(open_text(&g, rest));
    assert_string_equal(f.plan->identity, g.plan->identity);
    assert_null(strstr(f.plan->identity, "dtype"));
    close_text(&f);
    close_text(&g);
    assert_ok(open_text(&f, "dtype: fp16\nsweep:\n  - {name: s, amount: {count: 1}, trials: 5}\n"));
    assert_int_equal(f.plan->variants[0].protect.format, FS_FORMAT_FP16);
    close_text(&f);
    assert_ok(open_text(&f, "dtype: int8\nsweep:\n  - {name: s, bits: [all, sign, mantissa],"
                            " amount: {count: 1}, trials: 5}\n"));
    assert_int_equal(cell_of(&f, "s/unprotected,bits=all")->space->bits, 0xff);
    assert_int_equal(cell_of(&f, "s/unprotected,bits=sign")->space->bits, 0x80);
    assert_int_equal(cell_of(&f, "s/unprotected,bits=mantissa")->space->bits, 0x7f);
    assert_true(cell_of(&f, "s/unprotected,bits=all")->check_rate > 0);
    assert_true(cell_of(&f, "s/unprotected,bits=sign")->check_rate == 0);
    assert_non_null(strstr(f.plan->identity, "arm.unprotected.metadata: yes\n"));
    close_text(&f);
}

static void refuse(const char *arm, const char *axes, const char *reason)
{
    fixture f;
    char rest[512];
    snprintf(rest, sizeof rest,
             "arms:\n  - {name: a}\n  - {name: z%s}\nsweep:\n"
             "  - {name: s, amount: {count: 1}, trials: 5%s}\n",
             arm, axes);
    assert_int_equal(open_text(&f, rest), FS_ECONFIG);
    assert_detail(reason);
    close_text(&f);
}

static void test_refusals(void **state)
{
    refuse(", dtype: bf16", ", bits: [30]", "sweep s, arm z: bit 30: bf16 words have bits 0..15");
    refuse(", dtype: fp16", ", bits: [[3, 16]]", "bit 16: fp16 words have bits 0..15");
    refuse(", dtype: bf16", ", bits: [sign, 15]", "bits 'sign' and '15' are the same of bf16");
    refuse(", dtype: int8", ", bits: [30]", "bit 30: int8 words have bits 0..7");
    refuse(", dtype: int8", ", bits: [exponent]", "bits 'exponent': int8 words have no exponent");
    refuse(", dtype: int8, protect: [ep]", "",
           "arm z: protection 'ep' is of exponents, and int8 has none");
    refuse(", dtype: int8, protect: [secded, cep]", "", "protection 'cep' is of exponents");
    refuse(", dtype: fp8", "", "arms[1].dtype");
    refuse("", ", dtype: bf16", "belongs to an arm");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_draws),
        cmocka_unit_test(test_default),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
