/* The LMDB environment of a store: where it may lie, who may write it, how large its map is.
 *
 * The map is made huge once, because growing it needs every transaction closed; where the address
 * space is limited (ulimit -v, sanitizers) smaller sizes are tried. LMDB's lock file is allocated
 * before LMDB maps it: on a full disk the first touch of a hole in it would raise SIGBUS. */
#include "store_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "clock.h"
#include "file.h"

enum {
    LOCK_MAP_BYTES = 8192,      /* LMDB's lock file for its usual 126 readers */
    FREE_BYTES_LOW = 1 << 20,   /* less than this: a failed write is a full disk */
    READER_CHECK_MS = 60 * 1000 /* between looks for the slots of dead readers */
};

#define MAP_BYTES_MAX ((size_t)1 << 40)
#define MAP_BYTES_MIN ((size_t)1 << 28)

static size_t map_bytes_first = MAP_BYTES_MAX;
static pthread_mutex_t register_mutex = PTHREAD_MUTEX_INITIALIZER;
static fs_store *register_head;

void fs_store__set_map_bytes(size_t bytes)
{
    map_bytes_first = bytes == 0 ? MAP_BYTES_MAX : bytes;
}

const char *fs_store__db_name(fs_store_db db)
{
    static const char *const names[] = {
#define X(name, text) text,
        FS_STORE_DB_MAP(X)
#undef X
    };
    return names[db];
}

const char *fs_store__network_name(unsigned long type)
{
    static const struct {
        unsigned long type;
        const char *name;
    } known[] = {
        /* linux/magic.h and the file systems' own sources. */
        {0x6969, "NFS"},       {0x517B, "SMB"},        {0xFF534D42, "CIFS"},
        {0xFE534D42, "SMB2"},  {0x0BD00BD0, "Lustre"}, {0x01021997, "9p"},
        {0x00C36400, "Ceph"},  {0x5346414F, "AFS"},    {0x6B414653, "AFS"},
        {0x73757245, "Coda"},  {0x47504653, "GPFS"},   {0x01161970, "GFS2"},
        {0x7461636F, "OCFS2"}, {0x19830326, "BeeGFS"}, {0x20030528, "OrangeFS"},
        {0xAAD7AAEA, "PanFS"}, {0x786F4256, "vboxsf"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].type == (type & 0xFFFFFFFFul)) return known[i].name;
    return NULL;
}

/* Bytes that this user may still write; a huge number where that cannot be told. */
static uint64_t free_bytes(const fs_store *self)
{
    struct statvfs vfs;
    if (statvfs(self->dir, &vfs) != 0) return UINT64_MAX;
    return (uint64_t)vfs.f_bavail * vfs.f_frsize;
}

fs_status fs_store__error(fs_store *self, int rc, const char *what)
{
    switch (rc) {
    case MDB_MAP_FULL:
        self->map_full = 1;
        return fs_fail(FS_ENOSPC, "%s: %s: the store's map of %zu bytes is full", self->dir, what,
                       self->map_bytes);
    case ENOSPC:
    case EDQUOT:
        return fs_fail(FS_ENOSPC, "%s: %s: the disk is full (%s)", self->dir, what, strerror(rc));
    case MDB_PANIC:
        self->broken = 1;
        return fs_fail(FS_EIO, "%s: %s: the store must be reopened after a failed write", self->dir,
                       what);
    case EIO:
        /* LMDB reports a short write as EIO, and a short write is what a full disk gives. */
        if (free_bytes(self) < FREE_BYTES_LOW)
            return fs_fail(FS_ENOSPC, "%s: %s: the disk is full", self->dir, what);
        return fs_fail(FS_EIO, "%s: %s: %s", self->dir, what, strerror(rc));
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_VALSIZE:
        return fs_fail(FS_ECORRUPT, "%s: %s: %s", self->dir, what, mdb_strerror(rc));
    case ENOMEM:
        return fs_fail(FS_ENOMEM, "%s: %s: %s", self->dir, what, mdb_strerror(rc));
    case MDB_READERS_FULL:
        return fs_fail(FS_EBUSY, "%s: %s: too many processes read this store", self->dir, what);
    default:
        return fs_fail(FS_EIO, "%s: %s: %s", self->dir, what, mdb_strerror(rc));
    }
}

static fs_status refuse_network(const fs_store *self)
{
    struct statfs fs;
    if (statfs(self->dir, &fs) != 0)
        return fs_fail(FS_EIO, "%s: statfs: %s", self->dir, strerror(errno));
    const char *name = fs_store__network_name((unsigned long)fs.f_type);
    if (name == NULL) return FS_OK;
    return fs_fail(FS_EUNSUPPORTED,
                   "%s: lies on a network file system (%s), where a live store is not safe; give a "
                   "folder on a local disk with --state-dir",
                   self->dir, name);
}

/* LMDB must not open one environment twice in a process: closing either drops the locks of both. */
static fs_status register_store(fs_store *self)
{
    struct stat st;
    if (stat(self->dir, &st) != 0) return fs_fail(FS_EIO, "%s: %s", self->dir, strerror(errno));
    self->device = st.st_dev;
    self->inode = st.st_ino;
    fs_status status = FS_OK;
    pthread_mutex_lock(&register_mutex);
    for (const fs_store *other = register_head; other != NULL; other = other->next_open)
        if (other->device == self->device && other->inode == self->inode)
            status = fs_fail(FS_EBUSY, "%s: is open already in this process", self->dir);
    if (status == FS_OK) {
        self->next_open = register_head;
        register_head = self;
        self->registered = 1;
    }
    pthread_mutex_unlock(&register_mutex);
    return status;
}

static void unregister_store(fs_store *self)
{
    if (!self->registered) return;
    pthread_mutex_lock(&register_mutex);
    fs_store **at = &register_head;
    while (*at != self) at = &(*at)->next_open;
    *at = self->next_open;
    pthread_mutex_unlock(&register_mutex);
    self->registered = 0;
}

static fs_status store_path(const fs_store *self, const char *name, char out[FS_PATH_BYTES_MAX])
{
    return fs_path_join(out, self->dir, name);
}

/* flock belongs to the open file, which the kernel closes whatever ends the process. */
static fs_status take_lock(fs_store *self)
{
    char path[FS_PATH_BYTES_MAX], text[32] = "";
    FS_TRY(store_path(self, "store.lock", path));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return fs_fail(FS_EIO, "%s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        long pid = 0;
        if (pread(fd, text, sizeof text - 1, 0) > 0) pid = strtol(text, NULL, 10);
        close(fd);
        if (error != EWOULDBLOCK) return fs_fail(FS_EIO, "%s: flock: %s", path, strerror(error));
        return fs_fail(FS_EBUSY, "%s: another process%s%.0ld writes this store", self->dir,
                       pid > 0 ? " " : "", pid);
    }
    /* The number is for people and may be missing on a full disk: the lock is what counts. */
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) errno = 0;
    self->lock_fd = fd;
    return FS_OK;
}

static fs_status allocate_lock_map(const fs_store *self)
{
    char path[FS_PATH_BYTES_MAX];
    FS_TRY(store_path(self, "lock.mdb", path));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        if (self->mode == FS_STORE_READ) return FS_OK; /* read without lock, see env_try */
        return fs_fail(FS_EIO, "%s: %s", path, strerror(errno));
    }
    fs_status status = FS_OK;
    if (fallocate(fd, 0, 0, LOCK_MAP_BYTES) != 0 && (errno == ENOSPC || errno == EDQUOT))
        status = fs_fail(FS_ENOSPC, "%s: the disk is full", path);
    close(fd);
    return status;
}

/* One attempt to open at a map size. @return LMDB's code. */
static int env_try(fs_store *self, size_t bytes, unsigned flags)
{
    MDB_env *env;
    int rc = mdb_env_create(&env);
    if (rc != 0) return rc;
    rc = mdb_env_set_maxdbs(env, FS_DB_COUNT);
    if (rc == 0) rc = mdb_env_set_mapsize(env, bytes);
    if (rc == 0) rc = mdb_env_open(env, self->dir, flags, 0644);
    if (rc != 0) {
        mdb_env_close(env);
        return rc;
    }
    self->env = env;
    self->map_bytes = bytes;
    return 0;
}

static fs_status env_open_sizes(fs_store *self)
{
    unsigned flags = MDB_NOTLS | (self->mode == FS_STORE_READ ? MDB_RDONLY : 0u);
    int rc = ENOMEM;
    for (size_t bytes = map_bytes_first; rc == ENOMEM; bytes /= 4) {
        rc = env_try(self, bytes, flags);
        /* A finished store of another user or on read-only media has no lock to take. */
        if ((rc == EACCES || rc == EROFS) && self->mode == FS_STORE_READ)
            rc = env_try(self, bytes, flags | MDB_NOLOCK);
        if (bytes <= MAP_BYTES_MIN) break;
    }
    return rc == 0 ? FS_OK : fs_store__error(self, rc, "open");
}

fs_status fs_store__env_open(fs_store *self)
{
    char data[FS_PATH_BYTES_MAX];
    FS_TRY(store_path(self, "data.mdb", data));
    FS_TRY(refuse_network(self));
    FS_TRY(register_store(self));
    if (self->mode == FS_STORE_CREATE) FS_TRY(take_lock(self));
    FS_TRY(allocate_lock_map(self));
    FS_TRY(fs_store__check_head(self));
    int existed = fs_file_exists(data);
    fs_status status = env_open_sizes(self);
    if (status == FS_OK) status = fs_store__check_pages(self);
    /* Half of a first page would be taken for damage at the next attempt. */
    if (status == FS_ENOSPC && !existed && self->mode == FS_STORE_CREATE) unlink(data);
    return status;
}

void fs_store__env_close(fs_store *self)
{
    if (self->env != NULL) mdb_env_close(self->env);
    self->env = NULL;
    if (self->lock_fd >= 0) close(self->lock_fd);
    self->lock_fd = -1;
    unregister_store(self);
}

static int open_databases(fs_store *self, MDB_txn *txn)
{
    int rc = 0;
    for (unsigned db = 0; db < FS_DB_COUNT && rc == 0; db++)
        rc = mdb_dbi_open(txn, fs_store__db_name(db),
                          self->mode == FS_STORE_CREATE ? MDB_CREATE : 0u, &self->dbi[db]);
    return rc;
}

fs_status fs_store__databases_open(fs_store *self)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(self->env, NULL, self->mode == FS_STORE_READ ? MDB_RDONLY : 0u, &txn);
    if (rc != 0) return fs_store__error(self, rc, "begin");
    rc = open_databases(self, txn);
    if (rc == MDB_NOTFOUND) {
        mdb_txn_abort(txn);
        return fs_fail(FS_ENOENT, "%s: holds no campaign yet", self->dir);
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return fs_store__error(self, rc, "open databases");
    }
    rc = mdb_txn_commit(txn); /* a read transaction is committed to keep the handles */
    return rc == 0 ? FS_OK : fs_store__error(self, rc, "commit");
}

static fs_status map_grow(fs_store *self)
{
    size_t bytes = self->map_bytes * 2;
    int rc = mdb_env_set_mapsize(self->env, bytes);
    if (rc != 0)
        return fs_fail(FS_ENOSPC, "%s: cannot map %zu bytes of the store: %s", self->dir, bytes,
                       mdb_strerror(rc));
    self->map_bytes = bytes;
    return FS_OK;
}

fs_status fs_store__env_mend(fs_store *self)
{
    if (self->broken || self->env == NULL) {
        if (self->env != NULL) mdb_env_close(self->env);
        self->env = NULL;
        FS_TRY(env_open_sizes(self));
        FS_TRY(fs_store__databases_open(self));
        self->broken = 0;
        self->map_full = 0;
    }
    if (self->map_full) {
        FS_TRY(map_grow(self));
        self->map_full = 0;
    }
    uint64_t now = fs_clock_mono_ms();
    if (now - self->readers_checked_ms >= READER_CHECK_MS) {
        int dead;
        int rc = mdb_reader_check(self->env, &dead);
        if (rc != 0) return fs_store__error(self, rc, "reader check");
        self->readers_checked_ms = now;
    }
    return FS_OK;
}

fs_status fs_store__read_begin(fs_store *self, MDB_txn **out)
{
    if (self->env == NULL) return fs_fail(FS_EIO, "%s: the store is not open", self->dir);
    int rc = mdb_txn_begin(self->env, NULL, MDB_RDONLY, out);
    if (rc == MDB_MAP_RESIZED) { /* the writer's store has outgrown our smaller map */
        rc = mdb_env_set_mapsize(self->env, 0);
        if (rc == 0) rc = mdb_txn_begin(self->env, NULL, MDB_RDONLY, out);
    }
    return rc == 0 ? FS_OK : fs_store__error(self, rc, "begin reading");
}

fs_status fs_store__next_number(fs_store *self, MDB_txn *txn, fs_store_db db, uint64_t *out)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, self->dbi[db], &cursor);
    if (rc != 0) return fs_store__error(self, rc, fs_store__db_name(db));
    MDB_val key, value;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    fs_status status = FS_OK;
    *out = 1;
    if (rc == 0 && key.mv_size == 8)
        *out = fs_store__be64(key.mv_data) + 1;
    else if (rc == 0)
        status = fs_fail(FS_ECORRUPT, "%s: a key in \"%s\" has the wrong length", self->dir,
                         fs_store__db_name(db));
    else if (rc != MDB_NOTFOUND)
        status = fs_store__error(self, rc, fs_store__db_name(db));
    mdb_cursor_close(cursor);
    return status;
}
