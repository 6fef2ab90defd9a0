/** Sets of trials against a plain array of flags, over random histories. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coord_ranges.h"
#include "rng.h"

enum { UNIVERSE = 60, STEPS = 20000 };

/** The set must hold exactly the flagged trials, in sorted ranges that neither touch nor overlap.
 */
static void check_same(const coord_ranges *set, const uint8_t *flags)
{
    uint64_t total = 0;
    size_t at = 0;
    for (uint64_t t = 0; t < UNIVERSE;) {
        if (!flags[t]) {
            t++;
            continue;
        }
        uint64_t end = t;
        while (end < UNIVERSE && flags[end]) end++;
        assert_true(at < set->count);
        assert_int_equal(set->at[at].first, t);
        assert_int_equal(set->at[at].count, end - t);
        total += end - t;
        at++;
        t = end;
    }
    assert_int_equal(at, set->count);
    assert_int_equal(total, set->trials);
}

static uint64_t count_flags(const uint8_t *flags, uint64_t first, uint64_t count)
{
    uint64_t n = 0;
    for (uint64_t t = first; t < first + count; t++) n += flags[t];
    return n;
}

static void test_random_histories(void **state)
{
    (void)state;
    fs_rng rng;
    fs_rng_init(&rng, 7, 0);
    coord_ranges set = {0};
    uint8_t flags[UNIVERSE + 1] = {0};
    for (int i = 0; i < STEPS; i++) {
        uint64_t first = fs_rng_below(&rng, UNIVERSE);
        uint64_t count = fs_rng_below(&rng, UNIVERSE - first + 1);
        if (fs_rng_below(&rng, 3) > 0) count = count > 5 ? count % 6 : count;
        assert_int_equal(coord_ranges_overlap(&set, first, count),
                         count_flags(flags, first, count));
        switch (fs_rng_below(&rng, 4)) {
        case 0:
            assert_int_equal(coord_ranges_add(&set, first, count), FS_OK);
            memset(flags + first, 1, count);
            break;
        case 1:
            assert_int_equal(coord_ranges_remove(&set, first, count), FS_OK);
            memset(flags + first, 0, count);
            break;
        case 2: {
            fs_range taken = coord_ranges_take(&set, count);
            assert_true(taken.count <= count);
            if (count > 0 && count_flags(flags, 0, UNIVERSE) > 0) assert_true(taken.count > 0);
            assert_int_equal(count_flags(flags, 0, taken.count > 0 ? taken.first : 0), 0);
            assert_int_equal(count_flags(flags, taken.first, taken.count), taken.count);
            memset(flags + taken.first, 0, taken.count);
            break;
        }
        default: {
            coord_ranges part = {0};
            uint8_t inside[UNIVERSE] = {0};
            memcpy(inside + first, flags + first, count);
            assert_int_equal(coord_ranges_intersect(&set, first, count, &part), FS_OK);
            check_same(&part, inside);
            coord_ranges_free(&part);
        }
        }
        check_same(&set, flags);
    }
    coord_ranges_free(&set);
}

static void test_memory_is_of_the_ranges(void **state)
{
    (void)state;
    coord_ranges set = {0};
    assert_int_equal(coord_ranges_add(&set, 0, UINT64_C(1) << 40), FS_OK);
    assert_int_equal(coord_ranges_remove(&set, UINT64_C(1) << 39, 1), FS_OK);
    assert_int_equal(set.count, 2);
    assert_int_equal(set.trials, (UINT64_C(1) << 40) - 1);
    assert_true(set.capacity <= 8);
    coord_ranges_clear(&set);
    assert_int_equal(set.trials, 0);
    coord_ranges_free(&set);
    coord_ranges_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_histories),
        cmocka_unit_test(test_memory_is_of_the_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
