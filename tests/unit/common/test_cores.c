/* The count follows the affinity of the process, as taskset and cpusets set it. */
#include "testing.h"

#include <sched.h>

#include "cores.h"

static void the_affinity_counts(void **state)
{
    cpu_set_t before, some;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_int_equal(fs_cores_usable(), CPU_COUNT(&before));
    CPU_ZERO(&some);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &before)) continue;
        CPU_SET(cpu, &some);
        assert_int_equal(sched_setaffinity(0, sizeof some, &some), 0);
        assert_int_equal(fs_cores_usable(), CPU_COUNT(&some));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_affinity_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
