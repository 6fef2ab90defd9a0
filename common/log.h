/** Messages for people, on stderr: one line each, with a level and the program's name.
 *
 * Thread rule: reentrant; a line is written by one write(2) and never torn. */
#ifndef FS_LOG_H
#define FS_LOG_H

typedef enum fs_log_level { FS_LOG_DEBUG, FS_LOG_INFO, FS_LOG_WARN, FS_LOG_ERROR } fs_log_level;

/** Sets the program's name shown before each line and the lowest level shown. Call once, early.
 * The environment variable FLIPSWEEP_LOG (debug, info, warn, error) overrides the level. */
void fs_log_init(const char *program, fs_log_level lowest);
/** @return nonzero if lines of `level` are shown. */
int fs_log_shows(fs_log_level level);
void fs_log(fs_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define fs_debug(...) fs_log(FS_LOG_DEBUG, __VA_ARGS__)
#define fs_info(...)  fs_log(FS_LOG_INFO, __VA_ARGS__)
#define fs_warn(...)  fs_log(FS_LOG_WARN, __VA_ARGS__)
#define fs_error(...) fs_log(FS_LOG_ERROR, __VA_ARGS__)

#endif
