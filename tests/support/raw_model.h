/** Writes safetensors files byte by byte, right or wrong, for tests of their reader. */
#ifndef RAW_MODEL_H
#define RAW_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

/** Writes dir/name: the header's length (`header_size`, true or not), its text, then `data_size`
 * bytes that count up from 0. */
FS_MUST_CHECK fs_status raw_model_write(const char *dir, const char *name, uint64_t header_size,
                                        const char *header, size_t data_size);

#endif
