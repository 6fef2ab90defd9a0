#include "fetch_zip.h"

#include <stdio.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

#include "file.h"
#include "outfile.h"

/* Sizes of the fixed parts, and what they begin with. */
enum {
    END_BYTES = 22,
    COMMENT_BYTES_MAX = 65535,
    ENTRY_BYTES = 46,
    LOCAL_BYTES = 30,
    METHOD_STORED = 0,
    METHOD_DEFLATED = 8,
    FLAG_ENCRYPTED = 1
};

static const uint32_t end_mark = 0x06054b50, entry_mark = 0x02014b50, local_mark = 0x04034b50;
static const uint32_t zip64_mark = 0xffffffff; /* the size or place is elsewhere */

/** One member, as the archive's directory has it; `data` is its compressed bytes. */
typedef struct zip_entry {
    uint16_t flags;
    uint16_t method;
    uint32_t crc;
    uint32_t packed_bytes;
    uint32_t bytes;
    uint32_t local_at;
    const uint8_t *data;
} zip_entry;

/** What messages name. */
typedef struct place {
    const char *archive;
    const char *member;
} place;

static uint16_t u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t u32(const uint8_t *p)
{
    return (uint32_t)u16(p) | (uint32_t)u16(p + 2) << 16;
}

static fs_status damaged(const place *at, const char *what)
{
    return fs_fail(FS_EFORMAT, "%s: member %s: %s", at->archive, at->member, what);
}

/** @return the record at the archive's end that says where the directory is, NULL if none. */
static const uint8_t *find_end(const fs_map *map)
{
    for (size_t back = END_BYTES; back <= map->size && back <= END_BYTES + COMMENT_BYTES_MAX;
         back++) {
        const uint8_t *end = map->data + map->size - back;
        if (u32(end) == end_mark && u16(end + 20) == back - END_BYTES) return end;
    }
    return NULL;
}

/** Looks the member up in the directory. */
static fs_status find_entry(const fs_map *map, const place *at, zip_entry *out)
{
    const uint8_t *end = find_end(map);
    if (end == NULL)
        return fs_fail(FS_EFORMAT, "%s: no zip archive, or not all of it", at->archive);
    size_t count = u16(end + 10), offset = u32(end + 16), name_size = strlen(at->member);
    for (size_t i = 0; i < count; i++) {
        if (offset > map->size || map->size - offset < ENTRY_BYTES)
            return damaged(at, "the archive's directory is cut");
        const uint8_t *entry = map->data + offset;
        size_t size = u16(entry + 28);
        if (u32(entry) != entry_mark) return damaged(at, "the archive's directory is damaged");
        if (map->size - offset - ENTRY_BYTES < size)
            return damaged(at, "the archive's directory is cut");
        if (size == name_size && memcmp(entry + ENTRY_BYTES, at->member, size) == 0) {
            *out = (zip_entry){.flags = u16(entry + 8),
                               .method = u16(entry + 10),
                               .crc = u32(entry + 16),
                               .packed_bytes = u32(entry + 20),
                               .bytes = u32(entry + 24),
                               .local_at = u32(entry + 42)};
            return FS_OK;
        }
        offset += ENTRY_BYTES + size + u16(entry + 30) + u16(entry + 32);
    }
    return fs_fail(FS_ENOENT, "%s: the archive has no member %s", at->archive, at->member);
}

/** Finds the member's bytes and refuses what is not read. */
static fs_status find_data(const fs_map *map, const place *at, zip_entry *entry)
{
    if (entry->flags & FLAG_ENCRYPTED)
        return fs_fail(FS_EUNSUPPORTED, "%s: member %s is encrypted", at->archive, at->member);
    if (entry->method != METHOD_STORED && entry->method != METHOD_DEFLATED)
        return fs_fail(FS_EUNSUPPORTED,
                       "%s: member %s is compressed by method %u; 0 and 8 are read", at->archive,
                       at->member, entry->method);
    if (entry->bytes == zip64_mark || entry->packed_bytes == zip64_mark ||
        entry->local_at == zip64_mark)
        return fs_fail(FS_EUNSUPPORTED, "%s: member %s needs ZIP64", at->archive, at->member);
    if (entry->local_at > map->size || map->size - entry->local_at < LOCAL_BYTES ||
        u32(map->data + entry->local_at) != local_mark)
        return damaged(at, "its header is not where the directory says");
    const uint8_t *local = map->data + entry->local_at;
    size_t skip = LOCAL_BYTES + (size_t)u16(local + 26) + u16(local + 28);
    if (map->size - entry->local_at < skip ||
        map->size - entry->local_at - skip < entry->packed_bytes)
        return damaged(at, "is cut");
    if (entry->method == METHOD_STORED && entry->packed_bytes != entry->bytes)
        return damaged(at, "its sizes differ");
    entry->data = local + skip;
    return FS_OK;
}

/** Writes the bytes of a deflated member. Errors of writing are found by the file's commit. */
static fs_status inflate_to(const zip_entry *entry, const place *at, z_stream *stream, FILE *file,
                            uint32_t *crc)
{
    uint8_t chunk[1 << 15];
    int result = Z_OK;
    while (result != Z_STREAM_END) {
        stream->next_out = chunk;
        stream->avail_out = sizeof chunk;
        result = inflate(stream, Z_NO_FLUSH);
        if (result == Z_BUF_ERROR) return damaged(at, "its compressed bytes end too early");
        if (result != Z_OK && result != Z_STREAM_END)
            return damaged(at, "its compressed bytes are damaged");
        size_t n = sizeof chunk - stream->avail_out;
        if (stream->total_out > entry->bytes) return damaged(at, "is longer than stated");
        *crc = (uint32_t)crc32(*crc, chunk, (uInt)n);
        if (fwrite(chunk, 1, n, file) != n) return FS_OK;
    }
    return stream->total_out == entry->bytes ? FS_OK : damaged(at, "is shorter than stated");
}

static fs_status write_member(const zip_entry *entry, const place *at, FILE *file)
{
    uint32_t crc = (uint32_t)crc32(0, NULL, 0);
    fs_status status = FS_OK;
    if (entry->method == METHOD_STORED) {
        crc = (uint32_t)crc32_z(crc, entry->data, entry->bytes);
        (void)fwrite(entry->data, 1, entry->bytes, file); /* the commit finds what went wrong */
    } else {
        z_stream stream = {.next_in = entry->data, .avail_in = entry->packed_bytes};
        /* Negative bits: raw deflate, without a header. */
        if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
            return fs_fail(FS_ENOMEM, "no memory to read %s", at->archive);
        status = inflate_to(entry, at, &stream, file, &crc);
        inflateEnd(&stream);
    }
    if (status == FS_OK && !ferror(file) && crc != entry->crc)
        status = damaged(at, "its checksum is not the one that the archive states");
    return status;
}

fs_status fetch_zip_extract(const char *archive, const char *member, const char *path,
                            uint64_t bytes_max)
{
    const place at = {archive, member};
    zip_entry entry;
    fs_outfile file;
    fs_map map;
    FS_TRY(fs_map_open(&map, archive));
    fs_status status = find_entry(&map, &at, &entry);
    if (status == FS_OK) status = find_data(&map, &at, &entry);
    if (status == FS_OK && entry.bytes > bytes_max)
        status = fs_fail(FS_ELIMIT, "%s: member %s has %u bytes, at most %llu are taken", archive,
                         member, entry.bytes, (unsigned long long)bytes_max);
    if (status == FS_OK) status = fs_outfile_open(&file, path);
    if (status == FS_OK) {
        status = write_member(&entry, &at, file.file);
        if (status == FS_OK)
            status = fs_outfile_commit(&file);
        else
            fs_outfile_drop(&file);
    }
    fs_map_close(&map);
    return status;
}
