/* What a progress line says; expectations by hand. */
#include "testing.h"

#include "meter.h"

static void assert_line(const fs_meter *meter, uint64_t done, double seconds, const char *expected)
{
    char line[FS_METER_LINE_BYTES_MAX];
    fs_meter_line(meter, done, seconds, line);
    assert_string_equal(line, expected);
}

static void test_counts(void **state)
{
    const fs_meter meter = {.label = "", .unit = "tokens", .scale = 1, .all = 1000};
    assert_line(&meter, 250, 5, "250 of 1000 tokens, 50/s, 15 s left");
    assert_line(&meter, 1000, 8, "1000 of 1000 tokens, 125/s, 0 s left");
    assert_line(&meter, 0, 5, "0 of 1000 tokens, 0/s");
    assert_line(&meter, 0, 0, "0 of 1000 tokens, 0/s");
    assert_line(&meter, 1200, 10, "1200 of 1000 tokens, 120/s, 0 s left"); /* more than was said */
}

static void test_bytes_that_were_there_are_not_counted_as_speed(void **state)
{
    const fs_meter meter = {.label = "model.safetensors",
                            .unit = "MB",
                            .scale = 1e6,
                            .first = 400000000,
                            .all = 500000000};
    assert_line(&meter, 400000000, 3, "model.safetensors: 400.0 of 500.0 MB, 0.0/s");
    assert_line(&meter, 425000000, 10, "model.safetensors: 425.0 of 500.0 MB, 2.5/s, 30 s left");
}

static void test_an_unknown_end_has_no_time_left(void **state)
{
    const fs_meter meter = {.label = "f", .unit = "MB", .scale = 1e6};
    assert_line(&meter, 3000000, 2, "f: 3.0 MB, 1.5/s");
}

static void test_long_labels_are_cut(void **state)
{
    char label[1000], line[FS_METER_LINE_BYTES_MAX];
    memset(label, 'x', sizeof label - 1);
    label[sizeof label - 1] = '\0';
    const fs_meter meter = {.label = label, .unit = "MB", .scale = 1e6, .all = UINT64_MAX};
    fs_meter_line(&meter, UINT64_MAX - 1, 1e-3, line);
    assert_non_null(strstr(line, "xxx: 18446744073709.6 of 18446744073709.6 MB"));
    assert_non_null(strstr(line, "0 s left"));
}

static void test_slow_work_is_not_standstill(void **state)
{
    const fs_meter meter = {.label = "", .unit = "steps", .scale = 1, .first = 10, .all = 30};
    assert_line(&meter, 20, 40, "20 of 30 steps, 0.25/s, 40 s left");
}

static void test_a_note_comes_last(void **state)
{
    fs_meter meter = {.label = "", .unit = "steps", .scale = 1, .all = 100, .note = "loss 2.5"};
    assert_line(&meter, 50, 1, "50 of 100 steps, 50/s, 1 s left, loss 2.5");
    char note[500], line[FS_METER_LINE_BYTES_MAX];
    memset(note, 'n', sizeof note - 1);
    note[sizeof note - 1] = '\0';
    meter.note = note;
    fs_meter_line(&meter, 50, 1, line); /* too long a note is cut */
    assert_true(strlen(line) < 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_bytes_that_were_there_are_not_counted_as_speed),
        cmocka_unit_test(test_an_unknown_end_has_no_time_left),
        cmocka_unit_test(test_long_labels_are_cut),
        cmocka_unit_test(test_slow_work_is_not_standstill),
        cmocka_unit_test(test_a_note_comes_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
