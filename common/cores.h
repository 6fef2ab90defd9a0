/** How many processors this process may use.
 *
 * Thread rule: reentrant. Source: sched_getaffinity(2), so that taskset and cpusets count. */
#ifndef FS_CORES_H
#define FS_CORES_H

#include <stdint.h>

/** @return processors that the process may run on, 1..FS_THREADS_MAX. */
uint32_t fs_cores_usable(void);

#endif
