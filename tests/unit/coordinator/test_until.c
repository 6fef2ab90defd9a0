#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "coord_until.h"

/* 2024-02-28 22:30:00 UTC; the next day is the leap day. */
static const uint64_t now_ms = UINT64_C(1709159400000);

static void expect(const char *text, uint64_t seconds_from_now)
{
    uint64_t at = 0;
    assert_int_equal(coord_until_parse(text, now_ms, &at), FS_OK);
    assert_int_equal(at, now_ms + seconds_from_now * 1000);
}

static void test_forms(void **state)
{
    (void)state;
    expect("+90s", 90);
    expect("+15m", 900);
    expect("+8h", 8 * 3600);
    expect("22:31", 60);
    expect("22:30", 24 * 3600); /* is now: the next one is tomorrow's */
    expect("07:30", 9 * 3600);
    expect("2024-02-29T22:30", 24 * 3600);
    expect("2024-03-01 22:30:05", 48 * 3600 + 5);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "+",
                                        "+5",
                                        "+5d",
                                        "+h",
                                        "+5hh",
                                        "24:00",
                                        "12:60",
                                        "1:30",
                                        "12:30:99",
                                        "12:30x",
                                        "noon",
                                        "2024-02-28T22:00",
                                        "2024-13-01T00:00",
                                        "2024-02-29",
                                        "+99999999h",
                                        "-1h"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint64_t at = 0;
        assert_int_equal(coord_until_parse(wrong[i], now_ms, &at), FS_EUSAGE);
    }
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    tzset();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
