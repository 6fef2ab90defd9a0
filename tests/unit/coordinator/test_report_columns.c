#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>

#include "report_columns.h"

static json_t *written(const report_columns *table)
{
    fs_buf out = {0};
    assert_int_equal(report_columns_write(table, &out), FS_OK);
    json_t *root = json_loads(fs_buf_text(&out), 0, NULL);
    assert_non_null(root);
    fs_buf_free(&out);
    return root;
}

static void test_flags_say_what_null_was(void **state)
{
    static const double values[] = {1.5, NAN, INFINITY, -INFINITY};
    report_columns *table = NULL;
    assert_int_equal(report_columns_new(&table), FS_OK);
    for (int i = 0; i < 4; i++) {
        report_columns_number(table, "x", values[i]);
        report_columns_number(table, "plain", i);
        report_columns_text(table, "name", "a\"b");
        report_columns_row(table);
    }
    json_t *root = written(table), *cols = json_object_get(root, "cols");
    json_t *x = json_object_get(cols, "x"), *flags = json_object_get(cols, "x_flag");
    assert_int_equal(json_integer_value(json_object_get(root, "n")), 4);
    assert_true(json_real_value(json_array_get(x, 0)) == 1.5);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(json_integer_value(json_array_get(flags, (size_t)i)), i);
        if (i > 0) assert_true(json_is_null(json_array_get(x, (size_t)i)));
    }
    assert_null(json_object_get(cols, "plain_flag"));
    assert_string_equal(json_string_value(json_array_get(json_object_get(cols, "name"), 3)),
                        "a\"b");
    json_decref(root);
    report_columns_destroy(&table);
    assert_null(table);
    report_columns_destroy(&table);
}

static void test_declared_columns_exist_without_rows(void **state)
{
    report_columns *table = NULL;
    assert_int_equal(report_columns_new(&table), FS_OK);
    report_columns_declare(table, "a");
    report_columns_declare(table, "b");
    json_t *root = written(table), *cols = json_object_get(root, "cols");
    assert_int_equal(json_object_size(cols), 2);
    assert_int_equal(json_array_size(json_object_get(cols, "b")), 0);
    json_decref(root);
    report_columns_destroy(&table);
}

static void test_a_short_column_is_refused(void **state)
{
    report_columns *table = NULL;
    fs_buf out = {0};
    assert_int_equal(report_columns_new(&table), FS_OK);
    report_columns_number(table, "a", 1);
    report_columns_number(table, "b", 1);
    report_columns_row(table);
    report_columns_number(table, "a", 2);
    report_columns_row(table);
    assert_int_equal(report_columns_write(table, &out), FS_EINTERNAL);
    fs_buf_free(&out);
    report_columns_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags_say_what_null_was),
        cmocka_unit_test(test_declared_columns_exist_without_rows),
        cmocka_unit_test(test_a_short_column_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
