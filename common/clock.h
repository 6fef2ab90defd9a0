/** Clocks. Monotonic for deadlines, wall for what people read. Thread rule: reentrant. */
#ifndef FS_CLOCK_H
#define FS_CLOCK_H

#include <stdint.h>

/** @return milliseconds of a clock that never goes back; only differences mean something. */
uint64_t fs_clock_mono_ms(void);
/** @return nanoseconds of the same clock. */
uint64_t fs_clock_mono_ns(void);
/** @return milliseconds since 1970-01-01 UTC. */
uint64_t fs_clock_wall_ms(void);

#endif
