#include "raw_model.h"

#include <string.h>

#include "buf.h"
#include "file.h"
#include "tiny_model.h"

fs_status raw_model_write(const char *dir, const char *name, uint64_t header_size,
                          const char *header, size_t data_size)
{
    char path[FS_PATH_BYTES_MAX];
    fs_buf file = {0};
    FS_TRY(fs_path_join(path, dir, name));
    fs_status status = fs_buf_append(&file, &header_size, sizeof header_size);
    if (status == FS_OK) status = fs_buf_puts(&file, header);
    for (size_t i = 0; status == FS_OK && i < data_size; i++) {
        uint8_t byte = (uint8_t)i;
        status = fs_buf_append(&file, &byte, 1);
    }
    if (status == FS_OK) status = tiny_file_write(path, file.data, file.size);
    fs_buf_free(&file);
    return status;
}
