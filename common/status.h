/** Status codes: one table makes every name, text and exit code.
 *
 * A function that can fail returns fs_status: FS_OK or a negative code. The place that knows why
 * says it once, with fs_fail(), and everybody else passes the code up unchanged or adds where with
 * fs_wrap(). The detail text is thread-local and lives until the next fs_fail() of that thread.
 *
 * Thread rule: reentrant. */
#ifndef FS_STATUS_H
#define FS_STATUS_H

#include <stddef.h>

/* X(name, value, exit code, text). The exit codes are the command line's: 1 failed, 2 bad usage or
 * bad file, 3 incomplete, 4 refused, 130 interrupted. */
#define FS_STATUS_MAP(X)                                                                           \
    X(EIO, -1, 1, "input or output failed")                                                        \
    X(ENOMEM, -2, 1, "out of memory")                                                              \
    X(EINTERNAL, -3, 1, "internal error")                                                          \
    X(EMISMATCH, -4, 1, "results differ")                                                          \
    X(EPROTO, -5, 1, "protocol violation")                                                         \
    X(ETIMEOUT, -6, 1, "timed out")                                                                \
    X(ENOSPC, -7, 1, "no space left")                                                              \
    X(ECORRUPT, -8, 1, "stored data is damaged")                                                   \
    X(EDIVERGED, -9, 1, "training diverged")                                                       \
    X(EUSAGE, -20, 2, "bad usage")                                                                 \
    X(ENOENT, -21, 2, "not found")                                                                 \
    X(EFORMAT, -22, 2, "bad file")                                                                 \
    X(ECONFIG, -23, 2, "bad campaign file")                                                        \
    X(ELIMIT, -24, 2, "beyond a limit")                                                            \
    X(EUNSUPPORTED, -25, 2, "not supported")                                                       \
    X(EINCOMPLETE, -30, 3, "the campaign is incomplete")                                           \
    X(EREFUSED, -40, 4, "refused")                                                                 \
    X(EBUSY, -41, 4, "in use by another process")                                                  \
    X(EINTERRUPTED, -50, 130, "interrupted")

typedef enum fs_status {
    FS_OK = 0,
#define X(name, value, exit_code, text) FS_##name = (value),
    FS_STATUS_MAP(X)
#undef X
} fs_status;

#define FS_MUST_CHECK __attribute__((warn_unused_result))

/** Records the detail of a failure and returns `code`. Texts beyond 1023 bytes are cut. */
fs_status fs_fail(fs_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Puts "prefix: " before the recorded detail and returns `code`; says where a failure passed. */
fs_status fs_wrap(fs_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* An analyser sees one file at a time and must be told that both give back their code. */
#if defined(__clang_analyzer__) && !defined(FS_STATUS_IMPL)
#define fs_fail(code, ...) ((void)fs_fail((code), __VA_ARGS__), (code))
#define fs_wrap(code, ...) ((void)fs_wrap((code), __VA_ARGS__), (code))
#endif

/** @return the detail of this thread's last fs_fail(), "" if none; borrowed until the next one. */
const char *fs_status_detail(void);
/** @return the code's name without prefix, as "EFORMAT"; static. */
const char *fs_status_name(fs_status code);
/** @return the code's general text; static. */
const char *fs_status_text(fs_status code);
/** @return the process exit code that stands for `code`. */
int fs_status_exit(fs_status code);

/** Returns from the calling function when `expr` is not FS_OK. */
#define FS_TRY(expr)                                                                               \
    do {                                                                                           \
        fs_status fs_try_status_ = (expr);                                                         \
        if (fs_try_status_ != FS_OK) return fs_try_status_;                                        \
    } while (0)

#endif
