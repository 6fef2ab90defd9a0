#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coord_progress.h"

static void test_a_steady_rate(void **state)
{
    (void)state;
    coord_progress p = {0};
    assert_true(coord_progress_rate(&p) == 0);
    coord_progress_update(&p, 1000, 0, 1000);
    assert_true(coord_progress_eta(&p) < 0);
    for (uint64_t s = 1; s <= 5; s++)
        coord_progress_update(&p, 1000 + s * 1000, s * 20, 1000 - s * 20);
    assert_float_equal(coord_progress_rate(&p), 20, 1e-9);
    assert_float_equal(coord_progress_eta(&p), 45, 1e-9); /* 900 at 20 a second */
}

static void test_the_window_forgets(void **state)
{
    (void)state;
    coord_progress p = {0};
    uint64_t done = 0;
    for (uint64_t s = 0; s < 200; s++) { /* fast at first, then one a second */
        coord_progress_update(&p, s * 1000, done, 100000 - done);
        done += s < 100 ? 500 : 1;
    }
    assert_float_equal(coord_progress_rate(&p), 1, 1e-9);
}

static void test_resumed_trials_are_no_rate(void **state)
{
    (void)state;
    coord_progress p = {0};
    coord_progress_update(&p, 0, 5000, 100); /* done before this process began */
    coord_progress_update(&p, 10000, 5010, 90);
    assert_float_equal(coord_progress_rate(&p), 1, 1e-9);
}

static void test_the_line(void **state)
{
    (void)state;
    char line[COORD_PROGRESS_LINE_BYTES_MAX];
    coord_progress p = {0};
    coord_progress_update(&p, 0, 0, 10000);
    coord_progress_update(&p, 10000, 2500, 7500);
    coord_progress_line(&p, 0, 2, line, sizeof line);
    assert_string_equal(line, " 25.0 %  2500/10000 trials  250/s  2 workers  30 s left");
    coord_progress_line(&p, 1, 1, line, sizeof line);
    assert_string_equal(
        line, "[######..................]  25.0 %  2500/10000 trials  250/s  1 worker  30 s left");
    coord_progress_update(&p, 11000, 9999, 1); /* 100 % is said only when it is */
    coord_progress_line(&p, 0, 1, line, sizeof line);
    assert_non_null(strstr(line, " 99.9 %"));
    coord_progress_update(&p, 12000, 10000, 0);
    coord_progress_line(&p, 0, 1, line, sizeof line);
    assert_non_null(strstr(line, "100.0 %"));
    assert_non_null(strstr(line, "0 s left"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_steady_rate),
        cmocka_unit_test(test_the_window_forgets),
        cmocka_unit_test(test_resumed_trials_are_no_rate),
        cmocka_unit_test(test_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
