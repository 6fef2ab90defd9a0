/** What every cmocka test includes, in the order that cmocka wants, and small helpers. */
#ifndef TESTING_H
#define TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "status.h"

#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        fs_status assert_ok_status_ = (expr);                                                      \
        if (assert_ok_status_ != FS_OK) {                                                          \
            fail_msg("%s: %s: %s", #expr, fs_status_name(assert_ok_status_), fs_status_detail());  \
        }                                                                                          \
    } while (0)

#define assert_status(expr, code) assert_string_equal(fs_status_name(expr), fs_status_name(code))

/** Fails unless the last detail holds `part`. */
#define assert_detail(part)                                                                        \
    do {                                                                                           \
        if (strstr(fs_status_detail(), part) == NULL) {                                            \
            fail_msg("'%s' is not in: %s", part, fs_status_detail());                              \
        }                                                                                          \
    } while (0)

/** Makes a fresh folder under $TMPDIR or /tmp; the caller frees the name and removes the folder. */
static inline char *testing_folder(void)
{
    const char *base = getenv("TMPDIR");
    char *path = NULL;
    if (asprintf(&path, "%s/flipsweep-test-XXXXXX", base != NULL ? base : "/tmp") < 0) return NULL;
    return mkdtemp(path);
}

/** Removes a folder made by testing_folder and all in it, and frees its name. */
static inline void testing_remove(char *folder)
{
    char *command = NULL;
    if (folder != NULL && strstr(folder, "flipsweep-test-") != NULL &&
        asprintf(&command, "rm -rf '%s'", folder) > 0) {
        if (system(command) != 0) fprintf(stderr, "cannot remove %s\n", folder);
    }
    free(command);
    free(folder);
}

#endif
