/** What a YAML text must hold before a tree is built from it. Internal to yaml_reader.
 *
 * Thread rule: reentrant. */
#ifndef FS_YAML_CHECK_H
#define FS_YAML_CHECK_H

#include <stddef.h>
#include <yaml.h>

#include "yaml_reader.h"

enum { FS_YAML_SHOWN_BYTES = 80 };

/** Checks the bytes (UTF-8, no NUL), then the events: one document, core tags, bounded depth,
 * values and anchors. Errors: FS_ECONFIG and FS_ELIMIT naming file and line, FS_ENOMEM. */
FS_MUST_CHECK fs_status fs__yaml_check(const char *text, size_t size, const char *path);
/** Records what libyaml found wrong. @return FS_ECONFIG, or FS_ENOMEM. */
fs_status fs__yaml_failure(const yaml_parser_t *parser, const char *text, const char *path);
/** Untrusted text for a message: cut, and without anything that a terminal would obey.
 * @return out. */
const char *fs__yaml_shown(char out[FS_YAML_SHOWN_BYTES], const char *text, size_t size);

#endif
