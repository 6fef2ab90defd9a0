/** Where the tensors of a model lay in memory.
 *
 * A table (csv.h): tensor, base (address of its first byte, decimal or 0x and hexadecimal) and,
 * optionally, bytes, which is then checked. Words are little-endian, rows follow each other without
 * gaps. Redundant bits have no address here. Thread rule: const after creation. */
#ifndef FS_ADDRESS_MAP_H
#define FS_ADDRESS_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "csv.h"
#include "format.h"
#include "geometry.h"
#include "status.h"

typedef struct fs_address_map fs_address_map;

/** Reads a map for the tensors of `geometry` in words of `format`; both outlive it.
 * @param path  for messages
 * Errors: FS_EFORMAT naming file and line for an unknown tensor, one given twice, a size that is
 * not the tensor's, an end beyond 64 bits, two that overlap, and for a map without any; FS_ENOMEM.
 */
FS_MUST_CHECK fs_status fs_address_map_new(fs_address_map **out, const char *path, const void *text,
                                           size_t size, const fs_geometry *geometry,
                                           const fs_format *format);
/** Frees; nulls; idempotent. */
void fs_address_map_destroy(fs_address_map **self);
/** Finds the byte at an address: the tensor, the value, the byte in its word.
 * @return zero if it lies in no tensor. */
int fs_address_map_find(const fs_address_map *self, uint64_t address, uint32_t *tensor,
                        uint64_t *element, unsigned *byte);

#endif
