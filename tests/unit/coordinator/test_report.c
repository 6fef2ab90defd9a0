#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "file.h"
#include "report.h"
#include "report_fixture.h"
#include "summary.h"

static const char hostile[] = "</script><script>alert(1)</script>\xff\xe2\x80\xa8&\"'";

typedef struct page {
    char folder[64];
    char path[96];
    fs_buf text;
} page;

static void write_page(page *p, report_fixture *f)
{
    fixture_mkdir(p->folder);
    snprintf(p->path, sizeof p->path, "%s/p.html", p->folder);
    p->text = (fs_buf){0};
    assert_int_equal(report_write(f->store, &f->base->plan, p->path), FS_OK);
    assert_int_equal(fs_file_read(&p->text, p->path, 1 << 24), FS_OK);
}

static void free_page(page *p)
{
    char csv[96];
    snprintf(csv, sizeof csv, "%s/cells.csv", p->folder);
    unlink(csv);
    unlink(p->path);
    assert_int_equal(rmdir(p->folder), 0); /* nothing else was left behind */
    fs_buf_free(&p->text);
}

/* The text between an element's start tag, found by its id, and the next "</script>". */
static char *element(const page *p, const char *id)
{
    char mark[64];
    snprintf(mark, sizeof mark, "id=\"%s\">", id);
    const char *start = strstr(fs_buf_text(&p->text), mark);
    assert_non_null(start);
    start += strlen(mark);
    const char *end = strstr(start, "</script>");
    assert_non_null(end);
    return strndup(start, (size_t)(end - start));
}

static json_t *unpack(const page *p, const char *id)
{
    enum { PLAIN_MAX = 1 << 24 };
    char *text = element(p, id), *plain = malloc(PLAIN_MAX);
    size_t size = strlen(text), gzip_size;
    unsigned char *gzip = malloc(size);
    assert_int_equal(sodium_base642bin(gzip, size, text, size, NULL, &gzip_size, NULL,
                                       sodium_base64_VARIANT_ORIGINAL),
                     0);
    z_stream z = {.next_in = gzip,
                  .avail_in = (uInt)gzip_size,
                  .next_out = (Bytef *)plain,
                  .avail_out = PLAIN_MAX};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    json_t *root = json_loadb(plain, z.total_out, 0, NULL);
    assert_non_null(root);
    inflateEnd(&z);
    free(plain);
    free(gzip);
    free(text);
    return root;
}

static size_t occurrences(const char *text, const char *word)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word)) n++;
    return n;
}

static void expect_column(const json_t *table, const char *name, size_t i, double expected)
{
    json_t *value = json_array_get(json_object_get(json_object_get(table, "cols"), name), i);
    if (isnan(expected)) {
        assert_true(json_is_null(value));
        return;
    }
    assert_true(json_is_number(value));
    assert_true(fabs(json_number_value(value) - expected) <= 1e-8 * fmax(1, fabs(expected)));
}

static void test_the_page_says_what_the_summary_says(void **state)
{
    report_fixture *f = report_fixture_new("plain", REPORT_TRIALS);
    for (uint32_t i = 0; i < REPORT_CELLS; i++) report_fixture_run(f, i, i == 7 ? 0 : 10 + 5 * i);
    page p;
    summary *s = NULL;
    write_page(&p, f);
    assert_int_equal(summary_new(&s, f->store, &f->base->plan), FS_OK);
    json_t *root = unpack(&p, "fs-cells"), *cells = json_object_get(root, "cells");
    assert_int_equal(json_integer_value(json_object_get(cells, "n")), REPORT_CELLS);
    for (size_t i = 0; i < REPORT_CELLS; i++) {
        const summary_cell *c = &s->cells[i];
        expect_column(cells, "n", i, (double)c->n);
        expect_column(cells, "critical_k", i, (double)c->totals.critical);
        expect_column(cells, "critical", i, c->critical.value);
        expect_column(cells, "critical_high", i, c->critical.interval.high);
        expect_column(cells, "sdc_inputs", i, c->sdc_inputs.value);
        expect_column(cells, "metric", i, c->metric_mean);
        expect_column(cells, "metric_low", i, c->metric.low);
        expect_column(cells, "median", i, c->metric_median);
        expect_column(cells, "end_masked", i, (double)c->totals.outcomes[FS_OUTCOME_MASKED]);
    }
    /* Pairs: 3 of the 4 points have trials in both arms. */
    assert_int_equal(json_integer_value(json_object_get(json_object_get(root, "pairs"), "n")), 3);
    json_decref(root);
    summary_destroy(&s);
    free_page(&p);
    report_fixture_free(f);
}

static void test_hostile_texts_stay_texts(void **state)
{
    report_fixture *f = report_fixture_new(hostile, REPORT_TRIALS);
    report_fixture_run(f, 0, 10);
    report_fixture_journal(f, hostile);
    page p, plain;
    write_page(&p, f);
    report_fixture *g = report_fixture_new("x", REPORT_TRIALS);
    write_page(&plain, g);
    /* As many elements as a harmless page has. */
    static const char *const words[] = {"<script", "</script>", "<!--", "@@FS:"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_int_equal(occurrences(fs_buf_text(&p.text), words[i]),
                         occurrences(fs_buf_text(&plain.text), words[i]));
    assert_int_equal(strlen(fs_buf_text(&p.text)), p.text.size);
    char *text = element(&p, "fs-meta");
    json_t *meta = json_loads(text, 0, NULL);
    assert_non_null(meta);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(meta, "campaign"), "name")),
        "</script><script>alert(1)</script>\xef\xbf\xbd\xe2\x80\xa8&\"'");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(meta, "campaign"), "seed")), "42");
    assert_null(strpbrk(text, "<>&"));
    free(text);
    json_decref(meta);
    free_page(&p);
    free_page(&plain);
    report_fixture_free(f);
    report_fixture_free(g);
}

static void test_equal_stores_give_equal_bytes(void **state)
{
    report_fixture *f = report_fixture_new("same", REPORT_TRIALS);
    report_fixture_run(f, 0, 20);
    report_fixture_run(f, 1, 20);
    page a, b;
    write_page(&a, f);
    write_page(&b, f);
    assert_int_equal(a.text.size, b.text.size);
    assert_memory_equal(a.text.data, b.text.data, a.text.size);
    free_page(&a);
    free_page(&b);
    report_fixture_free(f);
}

static void test_csv_has_a_line_for_each_cell(void **state)
{
    report_fixture *f = report_fixture_new("csv", REPORT_TRIALS);
    snprintf(f->base->arms[1].name, sizeof f->base->arms[1].name, "=1+1,\"x\"");
    report_fixture_run(f, 0, 20);
    page p;
    char path[96];
    fs_buf csv = {0};
    write_page(&p, f);
    snprintf(path, sizeof path, "%s/cells.csv", p.folder);
    assert_int_equal(fs_file_read(&csv, path, 1 << 20), FS_OK);
    assert_int_equal(occurrences(fs_buf_text(&csv), "\r\n"), 1 + REPORT_CELLS);
    assert_non_null(strstr(fs_buf_text(&csv), ",\"'=1+1,\"\"x\"\"\",0,60,"));
    assert_non_null(strstr(fs_buf_text(&csv), "\"s/unprotected,x=0\",\"unprotected\",20,60,"));
    fs_buf_free(&csv);
    free_page(&p);
    report_fixture_free(f);
}

static void test_an_unwritable_place_is_an_error(void **state)
{
    report_fixture *f = report_fixture_new("x", REPORT_TRIALS);
    assert_int_equal(report_write(f->store, &f->base->plan, "/nonexistent/folder/p.html"), FS_EIO);
    assert_non_null(strstr(fs_status_detail(), "/nonexistent/folder"));
    report_fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_page_says_what_the_summary_says),
        cmocka_unit_test(test_hostile_texts_stay_texts),
        cmocka_unit_test(test_equal_stores_give_equal_bytes),
        cmocka_unit_test(test_csv_has_a_line_for_each_cell),
        cmocka_unit_test(test_an_unwritable_place_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
