#include "cores.h"

#include <sched.h>
#include <unistd.h>

#include "limits.h"

uint32_t fs_cores_usable(void)
{
    cpu_set_t set;
    /* The set holds 1024 processors; the kernel refuses it where it knows more. */
    long count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                             : sysconf(_SC_NPROCESSORS_ONLN);
    if (count < 1) return 1;
    return count > FS_THREADS_MAX ? FS_THREADS_MAX : (uint32_t)count;
}
