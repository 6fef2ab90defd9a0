#include <string.h>
#include <sys/stat.h>

#include "config.h"
#include "file.h"
#include "shard_index.h"

static void field_u64(fs_hasher *hasher, uint64_t value)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++) bytes[i] = (uint8_t)(value >> 8 * i);
    fs_hasher_field(hasher, bytes, sizeof bytes);
}

static fs_status add_file(fs_hasher *hasher, const char *dir, const char *name, int optional)
{
    char path[FS_PATH_BYTES_MAX];
    struct stat st;
    fs_hash hash;
    FS_TRY(fs_path_join(path, dir, name));
    fs_hasher_field(hasher, name, strlen(name));
    if (optional && !fs_file_exists(path)) {
        fs_hasher_field(hasher, "absent", 6);
        return FS_OK;
    }
    FS_TRY(fs_hash_file(&hash, path));
    if (stat(path, &st) != 0) return fs_fail(FS_EIO, "%s: vanished while being read", path);
    field_u64(hasher, (uint64_t)st.st_size);
    fs_hasher_field(hasher, hash.bytes, sizeof hash.bytes);
    return FS_OK;
}

fs_status fs_model_hash(fs_hash *out, const char *dir)
{
    static const char *const tokenizer_files[] = {"vocab.txt", "vocab.json", "merges.txt",
                                                  "tokenizer_config.json"};
    fs_hasher hasher;
    fs_shard_index index;
    fs_hasher_init(&hasher);
    FS_TRY(add_file(&hasher, dir, "config.json", 0));
    FS_TRY(fs_shard_index_read(&index, dir));
    fs_status status = FS_OK;
    if (index.path != NULL) status = add_file(&hasher, dir, "model.safetensors.index.json", 0);
    for (size_t i = 0; status == FS_OK && i < index.file_count; i++) {
        status = add_file(&hasher, dir, index.files[i], 0);
    }
    fs_shard_index_free(&index);
    FS_TRY(status);
    for (size_t i = 0; i < sizeof tokenizer_files / sizeof tokenizer_files[0]; i++) {
        FS_TRY(add_file(&hasher, dir, tokenizer_files[i], 1));
    }
    fs_hasher_final(&hasher, out);
    return FS_OK;
}
