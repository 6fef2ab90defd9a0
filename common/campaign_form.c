/* The axes of a sweep that say what a fault is: its kind and its pattern. */
#include <stdio.h>

#include "campaign_read.h"

enum { KINDS_MAX = 4 + FS_BURST_BITS_MAX - 1 };
_Static_assert((int)KINDS_MAX <= (int)FS_AXIS_MAX, "every kind fits on an axis");

/* --- kind ------------------------------------------------------------------------------------- */

static fs_status read_burst(const fs_yaml_at *at, void *target)
{
    fs_form_kind *kind = target;
    uint64_t bits;
    FS_TRY(fs_yaml_u64(at, 2, FS_BURST_BITS_MAX, &bits));
    *kind = (fs_form_kind){FS_FORM_BURST, (uint32_t)bits};
    return FS_OK;
}

static fs_status read_kind(const fs_yaml_at *at, void *target)
{
    static const fs_yaml_field fields[] = {{"burst", read_burst, NULL, 1}, {NULL, NULL, NULL, 0}};
    static const char *const words[] = {"flip", "stuck0", "stuck1", "value", NULL};
    static const fs_form_word meant[] = {FS_FORM_FLIP, FS_FORM_STUCK0, FS_FORM_STUCK1,
                                         FS_FORM_VALUE};
    fs_sweep *sweep = target;
    fs_form_kind kind = {0};
    if (fs_yaml_is_map(at)) {
        FS_TRY(fs_yaml_map(at, fields, NULL, &kind));
    } else {
        size_t choice;
        if (fs_yaml_is_word(at, "burst"))
            return fs_yaml_fail(at, FS_ECONFIG, "a burst is written {burst: 4}");
        FS_TRY(fs_yaml_choice(at, words, &choice));
        kind.word = meant[choice];
    }
    for (size_t i = 0; i < sweep->kind_count; i++) {
        char text[FS_FORM_TEXT_BYTES];
        fs_form_kind_text(kind, text);
        if (sweep->kinds[i].word == kind.word && sweep->kinds[i].burst == kind.burst)
            return fs_yaml_fail(at, FS_ECONFIG, "'%s' is given twice", text);
    }
    sweep->kinds[sweep->kind_count++] = kind;
    return FS_OK;
}

fs_status fs__kinds_read(const fs_yaml_at *at, void *target)
{
    return fs_yaml_each(at, KINDS_MAX, read_kind, target);
}

fs_status fs__kind_write(fs_form_kind kind, fs_buf *out)
{
    char text[FS_FORM_TEXT_BYTES];
    fs_form_kind_text(kind, text);
    if (kind.word != FS_FORM_BURST) return fs_buf_puts(out, text);
    return fs_buf_printf(out, "{burst: %u}", (unsigned)kind.burst);
}

/* --- pattern ---------------------------------------------------------------------------------- */

static fs_status read_span(const fs_yaml_at *at, fs_form_axis axis, fs_form_pattern *out)
{
    uint64_t span = 0;
    if (out->axis != FS_FORM_ELEMENT)
        return fs_yaml_fail(at, FS_ECONFIG,
                            "'row' and 'column' are two patterns: give each its "
                            "own braces");
    if (!fs_yaml_is_word(at, "all")) FS_TRY(fs_yaml_u64(at, 2, FS_PATTERN_SPAN_MAX, &span));
    *out = (fs_form_pattern){axis, (uint32_t)span};
    return FS_OK;
}

static fs_status read_row(const fs_yaml_at *at, void *target)
{
    return read_span(at, FS_FORM_ROW, target);
}

static fs_status read_column(const fs_yaml_at *at, void *target)
{
    return read_span(at, FS_FORM_COLUMN, target);
}

static fs_status read_pattern(const fs_yaml_at *at, void *target)
{
    static const fs_yaml_field fields[] = {
        {"row", read_row, NULL, 0},
        {"column", read_column, NULL, 0},
        {NULL, NULL, NULL, 0},
    };
    static const char *const words[] = {"element", NULL};
    fs_sweep *sweep = target;
    fs_form_pattern pattern = {0};
    if (fs_yaml_is_map(at)) {
        FS_TRY(fs_yaml_map(at, fields, NULL, &pattern));
        if (pattern.axis == FS_FORM_ELEMENT)
            return fs_yaml_fail(at, FS_ECONFIG, "one of 'row', 'column' is wanted");
    } else {
        size_t choice;
        if (fs_yaml_is_word(at, "row") || fs_yaml_is_word(at, "column"))
            return fs_yaml_fail(at, FS_ECONFIG, "a pattern is written {row: 8} or {column: all}");
        FS_TRY(fs_yaml_choice(at, words, &choice));
    }
    for (size_t i = 0; i < sweep->pattern_count; i++) {
        char text[FS_FORM_TEXT_BYTES];
        fs_form_pattern_text(pattern, text);
        if (sweep->patterns[i].axis == pattern.axis && sweep->patterns[i].span == pattern.span)
            return fs_yaml_fail(at, FS_ECONFIG, "'%s' is given twice", text);
    }
    sweep->patterns[sweep->pattern_count++] = pattern;
    return FS_OK;
}

fs_status fs__patterns_read(const fs_yaml_at *at, void *target)
{
    return fs_yaml_each(at, FS_AXIS_MAX, read_pattern, target);
}

fs_status fs__pattern_write(fs_form_pattern pattern, fs_buf *out)
{
    const char *word = pattern.axis == FS_FORM_ROW ? "row" : "column";
    if (pattern.axis == FS_FORM_ELEMENT) return fs_buf_puts(out, "element");
    if (pattern.span == 0) return fs_buf_printf(out, "{%s: all}", word);
    return fs_buf_printf(out, "{%s: %u}", word, (unsigned)pattern.span);
}

/* --- Both ------------------------------------------------------------------------------------- */

fs_status fs__forms_settle(const fs_yaml_at *at, fs_sweep *sweep)
{
    if (sweep->kind_count == 0) sweep->kinds[sweep->kind_count++] = (fs_form_kind){0};
    if (sweep->pattern_count == 0) sweep->patterns[sweep->pattern_count++] = (fs_form_pattern){0};
    for (size_t i = 0; i < sweep->kind_count && sweep->amount_kind == FS_AMOUNT_BER; i++)
        if (sweep->kinds[i].word == FS_FORM_VALUE)
            return fs_yaml_fail(at, FS_ECONFIG,
                                "'ber' is a probability of bits, and 'kind: value' replaces whole "
                                "words: give a 'rate' of values or a 'count'");
    return FS_OK;
}
