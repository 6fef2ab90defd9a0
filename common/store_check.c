/* Looks at every page of a store before LMDB does.
 *
 * LMDB trusts its file: a damaged page number, offset or length makes it read beyond its map or
 * fail an assertion. This walk reads the file by its own bounded map under a read transaction's
 * snapshot and follows every tree as LMDB would: page numbers inside the file and used once, kinds
 * and depths as recorded, nodes inside their pages, keys in order, entries counted, free pages not
 * in use. The contents of values have checksums of their own and are checked where they are read.
 *
 * Not covered: damage that arrives while a process has the store open, and pages that a live
 * writer adds after the walk. Layout: LMDB 0.9, data version 1, 64-bit little-endian. */
#include "store_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

_Static_assert(sizeof(size_t) == 8 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "LMDB's file is as wide as the machine");

enum {
    PAGE_HEAD_BYTES = 16,
    META_BYTES = 136,
    META_MAGIC = (int)0xBEEFC0DE,
    DATA_VERSION = 1,
    NODE_HEAD_BYTES = 8,
    DB_BYTES = 48,
    DEPTH_MAX = 32, /* of LMDB's cursors */
    KEY_BYTES_MAX = 511,
    PAGE_BYTES_MIN = 256,
    PAGE_BYTES_MAX = 65536,
    SNAPSHOT_TRIES = 100,
    PAGE_BRANCH = 0x01,
    PAGE_LEAF = 0x02,
    PAGE_OVERFLOW = 0x04,
    PAGE_META = 0x08,
    NODE_OVERFLOW = 0x01, /* the value lies on pages of its own */
    NODE_DB = 0x02,       /* the value is the root of a database */
    DB_INTEGER_KEYS = 0x08
};

#define NO_PAGE UINT64_MAX

/* The root of one tree. */
typedef struct tree {
    uint32_t page_bytes; /* of the file, in the first tree of a meta page */
    uint16_t flags;
    uint16_t depth;
    uint64_t entries;
    uint64_t root;
} tree;

typedef struct meta {
    uint32_t magic;
    uint32_t version;
    tree free_pages;
    tree main;
    uint64_t last_page;
    uint64_t txnid;
    uint16_t page_flags;
} meta;

typedef struct walk {
    const fs_store *store;
    fs_map map;
    size_t page_bytes;
    uint64_t last_page;
    uint8_t *used;    /* [last_page + 1] bits */
    uint64_t entries; /* of the tree in hand */
    int in_main;      /* its values may be trees */
    int in_free;      /* its values are lists of pages */
} walk;

static uint16_t load16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint32_t load32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t load64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static fs_status damaged(const fs_store *store, uint64_t page, const char *what)
{
    return fs_fail(FS_ECORRUPT, "%s/data.mdb: page %llu: %s", store->dir, (unsigned long long)page,
                   what);
}

static tree load_tree(const uint8_t *at)
{
    return (tree){load32(at), load16(at + 4), load16(at + 6), load64(at + 32), load64(at + 40)};
}

/* Meta pages. */

static meta load_meta(const uint8_t *page)
{
    const uint8_t *at = page + PAGE_HEAD_BYTES;
    return (meta){.magic = load32(at),
                  .version = load32(at + 4),
                  .free_pages = load_tree(at + 24),
                  .main = load_tree(at + 24 + DB_BYTES),
                  .last_page = load64(at + 120),
                  .txnid = load64(at + 128),
                  .page_flags = load16(page + 10)};
}

static int read_exactly(int fd, uint8_t *out, size_t size, uint64_t offset)
{
    return pread(fd, out, size, (off_t)offset) == (ssize_t)size;
}

/* The first page says how large pages are, the second lies that far on. */
static fs_status read_metas(const fs_store *store, int fd, meta out[2])
{
    uint8_t bytes[PAGE_HEAD_BYTES + META_BYTES];
    if (!read_exactly(fd, bytes, sizeof bytes, 0)) return damaged(store, 0, "is cut off");
    out[0] = load_meta(bytes);
    uint32_t size = out[0].free_pages.page_bytes;
    if (size < PAGE_BYTES_MIN || size > PAGE_BYTES_MAX || (size & (size - 1)) != 0)
        return damaged(store, 0, "says an impossible page size");
    if (!read_exactly(fd, bytes, sizeof bytes, size)) return damaged(store, 1, "is cut off");
    out[1] = load_meta(bytes);
    return FS_OK;
}

static fs_status check_meta(const fs_store *store, const meta *m, uint64_t page, uint32_t size)
{
    if (m->magic != (uint32_t)META_MAGIC || (m->page_flags & PAGE_META) == 0)
        return damaged(store, page, "is no page of an LMDB store");
    if (m->version != DATA_VERSION) return damaged(store, page, "is of another LMDB version");
    if (m->free_pages.page_bytes != size || m->free_pages.flags != DB_INTEGER_KEYS ||
        m->main.flags != 0)
        return damaged(store, page, "has impossible settings");
    return FS_OK;
}

/* The two pages hold the last two transactions. A writer may be between them: look again. */
static fs_status load_metas(const fs_store *store, int fd, meta out[2])
{
    fs_status status = FS_OK;
    for (int i = 0; i < SNAPSHOT_TRIES; i++) {
        FS_TRY(read_metas(store, fd, out));
        status = check_meta(store, &out[0], 0, out[0].free_pages.page_bytes);
        if (status == FS_OK) status = check_meta(store, &out[1], 1, out[0].free_pages.page_bytes);
        uint64_t a = out[0].txnid, b = out[1].txnid;
        int fresh = a == 0 && b == 0;
        if (status == FS_OK && !fresh && (a % 2 != 0 || b % 2 != 1 || (a + 1 != b && b + 1 != a)))
            status = damaged(store, 0, "and page 1 are not of successive transactions");
        if (status == FS_OK) return FS_OK;
    }
    return status;
}

/* Trees. */

static fs_status take_page(walk *w, uint64_t number, uint64_t count)
{
    if (number < 2 || number > w->last_page || count > w->last_page - number + 1)
        return damaged(w->store, number, "lies beyond the store");
    for (uint64_t page = number; page < number + count; page++) {
        uint8_t bit = (uint8_t)(1u << (page % 8));
        if (w->used[page / 8] & bit) return damaged(w->store, page, "is used twice");
        w->used[page / 8] |= bit;
    }
    return FS_OK;
}

static fs_status find_page(walk *w, uint64_t number, uint64_t count, const uint8_t **out)
{
    FS_TRY(take_page(w, number, count));
    if (number + count > w->map.size / w->page_bytes)
        return damaged(w->store, number, "is cut off");
    *out = w->map.data + number * w->page_bytes;
    if (load64(*out) != number) return damaged(w->store, number, "bears another number");
    return FS_OK;
}

/* A list of free pages: their count, then their numbers, falling. */
static fs_status check_free_list(walk *w, uint64_t page, const uint8_t *value, uint64_t size)
{
    if (size < 8 || load64(value) != size / 8 - 1 || size % 8 != 0)
        return damaged(w->store, page, "holds an impossible list of free pages");
    for (uint64_t i = 1; i < size / 8; i++) FS_TRY(take_page(w, load64(value + 8 * i), 1));
    return FS_OK;
}

static fs_status walk_tree(walk *w, const tree *t);

static fs_status check_value(walk *w, uint64_t page, const uint8_t *node, const uint8_t *value,
                             uint64_t size)
{
    uint16_t flags = load16(node + 4);
    if (w->in_free) return check_free_list(w, page, value, size);
    if (!w->in_main) return FS_OK;
    if ((flags & NODE_DB) == 0 || size != DB_BYTES)
        return damaged(w->store, page, "should hold the root of a database");
    tree inner = load_tree(value);
    if (inner.flags != 0) return damaged(w->store, page, "has a database of an unknown kind");
    walk saved = *w;
    w->in_main = 0;
    fs_status status = walk_tree(w, &inner);
    w->in_main = saved.in_main;
    w->entries = saved.entries;
    return status;
}

static fs_status check_leaf_node(walk *w, uint64_t page, const uint8_t *node, size_t room)
{
    uint64_t size = load32(node), key = load16(node + 6), flags = load16(node + 4);
    if (key == 0 || key > KEY_BYTES_MAX || (w->in_free && key != 8))
        return damaged(w->store, page, "has a key of impossible length");
    if ((flags & ~(uint64_t)(NODE_OVERFLOW | NODE_DB)) != 0 || (!w->in_main && (flags & NODE_DB)))
        return damaged(w->store, page, "has an entry of an unknown kind");
    w->entries++;
    const uint8_t *value = node + NODE_HEAD_BYTES + key;
    size_t inside = (flags & NODE_OVERFLOW) ? 8 : size;
    if (NODE_HEAD_BYTES + key + inside > room)
        return damaged(w->store, page, "has an entry that leaves it");
    if ((flags & NODE_OVERFLOW) == 0) return check_value(w, page, node, value, size);
    uint64_t number = load64(value);
    uint64_t count = (PAGE_HEAD_BYTES + size + w->page_bytes - 1) / w->page_bytes;
    const uint8_t *overflow;
    FS_TRY(find_page(w, number, count, &overflow));
    if (load16(overflow + 10) != PAGE_OVERFLOW || load32(overflow + 12) != count)
        return damaged(w->store, number, "should hold a long value");
    return check_value(w, page, node, overflow + PAGE_HEAD_BYTES, size);
}

/* LMDB compares the keys of free lists as numbers, others as bytes. */
static int in_order(const walk *w, const uint8_t *before, const uint8_t *node)
{
    size_t a = load16(before + 6), b = load16(node + 6);
    if (w->in_free) return load64(before + NODE_HEAD_BYTES) < load64(node + NODE_HEAD_BYTES);
    int order = memcmp(before + NODE_HEAD_BYTES, node + NODE_HEAD_BYTES, a < b ? a : b);
    return order < 0 || (order == 0 && a < b);
}

static fs_status walk_page(walk *w, uint64_t number, unsigned depth);

static fs_status check_branch_node(walk *w, uint64_t page, const uint8_t *node, size_t room,
                                   unsigned depth, unsigned index)
{
    uint64_t key = load16(node + 6);
    if (key > KEY_BYTES_MAX || (index > 0 && key == 0) || NODE_HEAD_BYTES + key > room ||
        (w->in_free && index > 0 && key != 8))
        return damaged(w->store, page, "has a key of impossible length");
    return walk_page(w, (uint64_t)load16(node + 4) << 32 | load32(node), depth - 1);
}

/* `depth` counts down to 1 at the leaves. */
static fs_status walk_page(walk *w, uint64_t number, unsigned depth)
{
    const uint8_t *page, *before = NULL;
    FS_TRY(find_page(w, number, 1, &page));
    size_t lower = load16(page + 12), upper = load16(page + 14);
    if (load16(page + 10) != (depth == 1 ? PAGE_LEAF : PAGE_BRANCH))
        return damaged(w->store, number, "is not of the kind that its place needs");
    if (lower < PAGE_HEAD_BYTES || lower > upper || upper > w->page_bytes || lower % 2 != 0)
        return damaged(w->store, number, "has impossible bounds");
    unsigned nodes = (unsigned)(lower - PAGE_HEAD_BYTES) / 2;
    if (nodes < (depth == 1 ? 1u : 2u)) return damaged(w->store, number, "has too few entries");
    for (unsigned i = 0; i < nodes; i++) {
        size_t offset = load16(page + PAGE_HEAD_BYTES + 2 * i);
        if (offset < upper || offset + NODE_HEAD_BYTES > w->page_bytes || offset % 2 != 0)
            return damaged(w->store, number, "has an entry outside its bounds");
        const uint8_t *node = page + offset;
        size_t room = w->page_bytes - offset;
        if (depth == 1)
            FS_TRY(check_leaf_node(w, number, node, room));
        else
            FS_TRY(check_branch_node(w, number, node, room, depth, i));
        /* The first key of a branch page stands for everything smaller and is not compared. */
        if (before != NULL && !in_order(w, before, node))
            return damaged(w->store, number, "has keys out of order");
        before = depth > 1 && i == 0 ? NULL : node;
    }
    return FS_OK;
}

static fs_status walk_tree(walk *w, const tree *t)
{
    w->entries = 0;
    if (t->root == NO_PAGE) {
        if (t->depth == 0 && t->entries == 0) return FS_OK;
        return damaged(w->store, 0, "a tree has entries and no root");
    }
    if (t->depth == 0 || t->depth > DEPTH_MAX)
        return damaged(w->store, t->root, "is the root of a tree of impossible depth");
    FS_TRY(walk_page(w, t->root, t->depth));
    if (w->entries != t->entries)
        return damaged(w->store, t->root, "is the root of a tree with another number of entries");
    return FS_OK;
}

static fs_status walk_all(walk *w, const meta *m)
{
    w->used = calloc(w->last_page / 8 + 1, 1);
    if (w->used == NULL)
        return fs_fail(FS_ENOMEM, "no memory to check %llu pages",
                       (unsigned long long)w->last_page);
    w->in_main = 1;
    FS_TRY(walk_tree(w, &m->main));
    w->in_main = 0;
    w->in_free = 1;
    return walk_tree(w, &m->free_pages);
}

fs_status fs_store__check_head(const fs_store *self)
{
    char path[FS_PATH_BYTES_MAX];
    struct stat st;
    meta metas[2];
    FS_TRY(fs_path_join(path, self->dir, "data.mdb"));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return FS_OK; /* not made yet */
    if (fd < 0) return fs_fail(FS_EIO, "%s: %s", path, strerror(errno));
    fs_status status = FS_OK;
    if (fstat(fd, &st) != 0)
        status = fs_fail(FS_EIO, "%s: %s", path, strerror(errno));
    else if (st.st_size > 0)
        status = load_metas(self, fd, metas);
    close(fd);
    return status;
}

/* The pages that a snapshot reaches do not change while a read transaction holds it. */
static fs_status check_snapshot(const fs_store *self, const char *path, uint64_t txnid)
{
    meta metas[2];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fs_fail(FS_EIO, "%s: %s", path, strerror(errno));
    fs_status status = load_metas(self, fd, metas);
    close(fd);
    FS_TRY(status);
    const meta *m = &metas[txnid % 2];
    if (m->txnid != txnid) return FS_EBUSY; /* two commits since: take a newer snapshot */
    walk w = {.store = self, .page_bytes = m->free_pages.page_bytes, .last_page = m->last_page};
    FS_TRY(fs_map_open(&w.map, path));
    if (m->last_page < 1 || m->last_page / 4 > w.map.size / w.page_bytes + 1024)
        status = damaged(self, txnid % 2, "counts more pages than the file can have");
    else
        status = walk_all(&w, m);
    free(w.used);
    fs_map_close(&w.map);
    return status;
}

fs_status fs_store__check_pages(fs_store *self)
{
    char path[FS_PATH_BYTES_MAX];
    FS_TRY(fs_path_join(path, self->dir, "data.mdb"));
    fs_status status = FS_EBUSY;
    for (int i = 0; i < SNAPSHOT_TRIES && status == FS_EBUSY; i++) {
        MDB_txn *txn;
        FS_TRY(fs_store__read_begin(self, &txn));
        status = check_snapshot(self, path, mdb_txn_id(txn));
        mdb_txn_abort(txn);
    }
    if (status == FS_EBUSY)
        return fs_fail(FS_EBUSY, "%s: its writer is too fast to look at it; try again", self->dir);
    return status;
}
