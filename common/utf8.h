/** UTF-8 as the Unicode Standard defines it (table 3-7): no overlong forms, no surrogates, nothing
 * beyond U+10FFFF. Thread rule: reentrant. */
#ifndef FS_UTF8_H
#define FS_UTF8_H

#include <stddef.h>

/** @return the bytes of the character that starts at `text`, 1 to 4; 0 if none of the at most
 * `size` bytes there makes a whole one. */
size_t fs_utf8_length(const char *text, size_t size);
/** @return nonzero if all bytes are whole characters and none is NUL. */
int fs_utf8_valid(const char *text, size_t size);
/** @return the first line, from 1, with a byte that is not valid as above; 0 if there is none. */
size_t fs_utf8_bad_line(const char *text, size_t size);

#endif
