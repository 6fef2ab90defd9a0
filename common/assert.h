/** Assertions for our own bugs; they stay on in release builds.
 *
 * Never for a file, a socket, a configuration value or a faulted tensor value: those get a status,
 * and NaN and Inf are data here. */
#ifndef FS_ASSERT_H
#define FS_ASSERT_H

/** Prints place and condition to stderr and aborts. */
_Noreturn void fs_assert_failed(const char *condition, const char *file, int line);

#define FS_ASSERT(condition)                                                                       \
    ((condition) ? (void)0 : fs_assert_failed(#condition, __FILE__, __LINE__))

#endif
