#include "yaml_check.h"

#include <string.h>

#include "utf8.h"

const char *fs__yaml_shown(char out[FS_YAML_SHOWN_BYTES], const char *text, size_t size)
{
    size_t n = size < FS_YAML_SHOWN_BYTES - 4 ? size : FS_YAML_SHOWN_BYTES - 4;
    while (n < size && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
    memcpy(out + n, n < size ? "..." : "", n < size ? 4 : 1);
    return out;
}

static size_t line_of(const char *text, size_t offset)
{
    size_t line = 1;
    for (size_t i = 0; i < offset; i++) line += text[i] == '\n';
    return line;
}

static fs_status check_bytes(const char *text, size_t size, const char *path)
{
    const char *nul = size > 0 ? memchr(text, 0, size) : NULL;
    if (nul != NULL)
        return fs_fail(FS_ECONFIG, "%s:%zu: a NUL byte; a campaign is UTF-8 text", path,
                       line_of(text, (size_t)(nul - text)));
    for (size_t at = 0; at < size;) {
        size_t n = fs_utf8_length(text + at, size - at);
        if (n == 0)
            return fs_fail(FS_ECONFIG, "%s:%zu: byte 0x%02x is not UTF-8", path, line_of(text, at),
                           (unsigned char)text[at]);
        at += n;
    }
    return FS_OK;
}

fs_status fs__yaml_failure(const yaml_parser_t *parser, const char *text, const char *path)
{
    if (parser->error == YAML_MEMORY_ERROR) return fs_fail(FS_ENOMEM, "%s: out of memory", path);
    /* The reader, which sees bytes, knows an offset; the other stages know a line. */
    size_t line = parser->error == YAML_READER_ERROR ? line_of(text, parser->problem_offset)
                                                     : parser->problem_mark.line + 1;
    const char *problem = parser->problem == NULL ? "bad YAML" : parser->problem;
    if (parser->context == NULL) return fs_fail(FS_ECONFIG, "%s:%zu: %s", path, line, problem);
    return fs_fail(FS_ECONFIG, "%s:%zu: %s, %s (line %zu)", path, line, problem, parser->context,
                   parser->context_mark.line + 1);
}

static const char *event_tag(const yaml_event_t *event, const char **anchor)
{
    const yaml_char_t *tag = NULL, *name = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        tag = event->data.scalar.tag;
        name = event->data.scalar.anchor;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        tag = event->data.sequence_start.tag;
        name = event->data.sequence_start.anchor;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        tag = event->data.mapping_start.tag;
        name = event->data.mapping_start.anchor;
    }
    *anchor = (const char *)name;
    return (const char *)tag;
}

static int core_tag(const char *tag)
{
    static const char *const core[] = {YAML_STR_TAG,  YAML_INT_TAG, YAML_FLOAT_TAG, YAML_BOOL_TAG,
                                       YAML_NULL_TAG, YAML_SEQ_TAG, YAML_MAP_TAG,   "!"};
    for (size_t i = 0; i < sizeof core / sizeof core[0]; i++)
        if (strcmp(tag, core[i]) == 0) return 1;
    return 0;
}

typedef struct census {
    unsigned depth;
    size_t nodes;
    size_t anchors;
    size_t documents;
} census;

static fs_status count_event(census *self, const yaml_event_t *event, const char *path)
{
    size_t line = event->start_mark.line + 1;
    const char *anchor, *tag = event_tag(event, &anchor);
    char text[FS_YAML_SHOWN_BYTES];
    if (tag != NULL && !core_tag(tag))
        return fs_fail(FS_ECONFIG, "%s:%zu: tag '%s' is not allowed", path, line,
                       fs__yaml_shown(text, tag, strlen(tag)));
    if (anchor != NULL && ++self->anchors > FS_YAML_ANCHORS_MAX)
        return fs_fail(FS_ELIMIT, "%s:%zu: more than %d anchors", path, line, FS_YAML_ANCHORS_MAX);
    if (event->type == YAML_DOCUMENT_START_EVENT && ++self->documents > 1)
        return fs_fail(FS_ECONFIG, "%s:%zu: a second document; a campaign is one", path, line);
    int opens = event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT;
    if (opens && ++self->depth > FS_YAML_DEPTH_MAX)
        return fs_fail(FS_ELIMIT, "%s:%zu: nested deeper than %d", path, line, FS_YAML_DEPTH_MAX);
    if (event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT)
        self->depth--;
    if ((opens || event->type == YAML_SCALAR_EVENT || event->type == YAML_ALIAS_EVENT) &&
        ++self->nodes > FS_YAML_NODES_MAX)
        return fs_fail(FS_ELIMIT, "%s:%zu: more than %d values", path, line, FS_YAML_NODES_MAX);
    return FS_OK;
}

/* libyaml's loader has no limits of its own, so the events are walked before a tree is built. */
static fs_status check_events(const char *text, size_t size, const char *path)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) return fs_fail(FS_ENOMEM, "%s: out of memory", path);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    census seen = {0};
    fs_status status = FS_OK;
    for (int ended = 0; status == FS_OK && !ended;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            status = fs__yaml_failure(&parser, text, path);
            break;
        }
        ended = event.type == YAML_STREAM_END_EVENT;
        status = count_event(&seen, &event, path);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return status;
}

fs_status fs__yaml_check(const char *text, size_t size, const char *path)
{
    if (size > FS_CAMPAIGN_BYTES_MAX)
        return fs_fail(FS_ELIMIT, "%s: larger than %d bytes", path, FS_CAMPAIGN_BYTES_MAX);
    FS_TRY(check_bytes(text, size, path));
    return check_events(text, size, path);
}
