/** Room for one more item in an array that grows. Thread rule: reentrant. */
#ifndef FS_GROW_H
#define FS_GROW_H

#include <stddef.h>

/** @param items     [*capacity], moved if need be; NULL while that is 0
 *  @param count     items in use; there is room already while it is below *capacity
 *  @param capacity  in items, written: doubled when it is reached
 *  @return the array; NULL where there is no memory, and then `items` and *capacity are as before
 */
void *fs_grow(void *items, size_t count, size_t *capacity, size_t item_bytes);

#endif
