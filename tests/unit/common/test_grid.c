/* Numbers of values in grids, by counting them out. */
#include "testing.h"

#include "grid.h"

static void check_grid(fs_grid grid)
{
    uint64_t n = 0;
    for (uint32_t copy = 0; copy < grid.copies; copy++) {
        for (uint32_t row = 0; row < grid.rows; row++) {
            for (uint32_t col = 0; col < (grid.lower ? row + 1 : grid.cols); col++, n++) {
                const fs_grid_at at = fs_grid_find(&grid, n);
                assert_int_equal(at.copy, copy);
                assert_int_equal(at.row, row);
                assert_int_equal(at.col, col);
                assert_int_equal(fs_grid_number(&grid, at), n);
            }
        }
    }
    assert_int_equal(fs_grid_values(&grid), n);
}

static void test_numbers(void **state)
{
    for (uint32_t copies = 1; copies < 4; copies++) {
        for (uint32_t rows = 1; rows < 8; rows++) {
            for (uint32_t cols = 1; cols < 8; cols++)
                check_grid((fs_grid){.copies = copies, .rows = rows, .cols = cols});
            check_grid((fs_grid){.copies = copies, .rows = rows, .cols = rows, .lower = 1});
        }
    }
    check_grid((fs_grid){.copies = 1, .rows = 0, .cols = 5});
}

/* Where a rounded square root could go wrong: the ends of long triangles' rows. */
static void test_large_triangles(void **state)
{
    const fs_grid grid = {.copies = 1024, .rows = 1u << 20, .cols = 1u << 20, .lower = 1};
    for (uint64_t row = 1; row < grid.rows; row += 1 + row / 3) {
        const uint64_t first = row * (row + 1) / 2;
        for (uint32_t copy = 0; copy < 1024; copy += 1023) {
            const uint64_t before = copy * ((1ull << 20) * ((1ull << 20) + 1) / 2);
            fs_grid_at at = fs_grid_find(&grid, before + first);
            assert_true(at.copy == copy && at.row == row && at.col == 0);
            at = fs_grid_find(&grid, before + first + row);
            assert_true(at.copy == copy && at.row == row && at.col == row);
            at = fs_grid_find(&grid, before + first - 1);
            assert_true(at.copy == copy && at.row == row - 1 && at.col == row - 1);
        }
    }
}

static void test_several(void **state)
{
    const fs_grid items[] = {
        {.copies = 1, .rows = 3, .cols = 4},
        {.copies = 1, .rows = 0, .cols = 9}, /* a window without a scored token */
        {.copies = 2, .rows = 3, .cols = 3, .lower = 1},
        {.copies = 1, .rows = 1, .cols = 1},
        {.copies = 1, .rows = 0, .cols = 9},
    };
    const size_t owner[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
                            2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3};
    fs_grids grids;
    assert_ok(fs_grids_init(&grids, 7));
    assert_int_equal(fs_grids_values(&grids), 0);
    for (size_t i = 0; i < 5; i++) fs_grids_add(&grids, items[i]);
    fs_grids_trim(&grids);
    assert_int_equal(fs_grids_values(&grids), 25);
    for (uint64_t n = 0; n < 25; n++)
        for (size_t hint = 0; hint < 7; hint++)
            assert_int_equal(fs_grids_find(&grids, n, hint), owner[n]);
    fs_grids_free(&grids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_large_triangles),
        cmocka_unit_test(test_several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
