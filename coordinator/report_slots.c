#include "report_slots.h"

#include <limits.h>
#include <sodium.h>
#include <string.h>
#include <zlib.h>

static const char *const slot_marks[] = {
#define X(name) "@@FS:" #name "@@",
    REPORT_SLOT_MAP(X)
#undef X
};

fs_status report_slots_fill(fs_buf *out, const char *template, size_t size,
                            const fs_buf slots[REPORT_SLOT_COUNT])
{
    const char *at = template, *end = template + size;
    for (int i = 0; i < REPORT_SLOT_COUNT; i++) {
        const char *mark = slot_marks[i];
        size_t length = strlen(mark);
        const char *found = memmem(at, (size_t)(end - at), mark, length);
        if (found == NULL)
            return fs_fail(FS_EINTERNAL, "report template: no %s in its place", mark);
        FS_TRY(fs_buf_append(out, at, (size_t)(found - at)));
        FS_TRY(fs_buf_append(out, slots[i].data, slots[i].size));
        at = found + length;
    }
    if (memmem(at, (size_t)(end - at), "@@FS:", 5) != NULL) {
        return fs_fail(FS_EINTERNAL, "report template: a slot more than expected");
    }
    return fs_buf_append(out, at, (size_t)(end - at));
}

static fs_status deflate_all(fs_buf *out, const void *data, size_t size)
{
    enum { GZIP_WINDOW = 15 + 16 };
    z_stream z = {0};
    if (size > UINT_MAX) return fs_fail(FS_ELIMIT, "report data of %zu bytes", size);
    if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK) {
        return fs_fail(FS_ENOMEM, "no memory to compress the report's data");
    }
    fs_status status = fs_buf_reserve(out, deflateBound(&z, (uLong)size));
    if (status == FS_OK) {
        z.next_in = (Bytef *)(uintptr_t)data;
        z.avail_in = (uInt)size;
        z.next_out = out->data + out->size;
        z.avail_out =
            (uInt)(out->capacity - out->size > UINT_MAX ? UINT_MAX : out->capacity - out->size);
        int rc = deflate(&z, Z_FINISH);
        if (rc == Z_STREAM_END)
            out->size += z.total_out;
        else
            status = fs_fail(FS_EINTERNAL, "zlib could not finish: %d", rc);
    }
    deflateEnd(&z);
    return status;
}

fs_status report_slots_pack(fs_buf *out, const void *data, size_t size)
{
    fs_buf packed = {0};
    fs_status status = deflate_all(&packed, data, size);
    if (status == FS_OK) {
        size_t length = sodium_base64_ENCODED_LEN(packed.size, sodium_base64_VARIANT_ORIGINAL);
        status = fs_buf_reserve(out, length);
        if (status == FS_OK) {
            sodium_bin2base64((char *)out->data + out->size, length, packed.data, packed.size,
                              sodium_base64_VARIANT_ORIGINAL);
            out->size += length - 1; /* the NUL is not counted */
        }
    }
    fs_buf_free(&packed);
    return status;
}
