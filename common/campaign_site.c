/* A sweep's `site`: the class, its words, layers, and what it is divided by. */
#include <string.h>

#include "assert.h"
#include "campaign_read.h"

enum { CLASSES_MAX = 16, LIST_FIELDS_MAX = 8 };

static fs_status read_word(const fs_yaml_at *at, void *target)
{
    fs_sweep *sweep = target;
    size_t choice;
    FS_TRY(fs_yaml_choice(at, sweep->site->words, &choice));
    sweep->set |= sweep->site->parse(sweep->site->words[choice]);
    return FS_OK;
}

static fs_status read_class(const fs_yaml_at *at, void *target)
{
    fs_sweep *sweep = target;
    size_t count = 0;
    sweep->site = fs_site_find(at->key);
    FS_ASSERT(sweep->site != NULL);
    if (sweep->site->from != FS_SITE_DRAWN) return fs__list_read(at, target);
    while (sweep->site->words[count] != NULL) count++;
    return fs_yaml_each(at, count, read_word, target);
}

/** Inserts in ascending order: a selection has none of its own. */
static fs_status read_layer(const fs_yaml_at *at, void *target)
{
    fs_sweep *sweep = target;
    uint64_t value;
    FS_TRY(fs_yaml_u64(at, 0, FS_LAYERS_MAX - 1, &value));
    size_t i = 0;
    while (i < sweep->layer_count && sweep->layers[i] < (int)value) i++;
    if (i < sweep->layer_count && sweep->layers[i] == (int)value)
        return fs_yaml_fail(at, FS_ECONFIG, "layer %d is given twice", (int)value);
    memmove(&sweep->layers[i + 1], &sweep->layers[i],
            (sweep->layer_count - i) * sizeof sweep->layers[0]);
    sweep->layers[i] = (int)value;
    sweep->layer_count++;
    return FS_OK;
}

static fs_status read_layers(const fs_yaml_at *at, void *target)
{
    if (fs_yaml_is_word(at, "all")) return FS_OK;
    return fs_yaml_each(at, FS_LAYERS_MAX, read_layer, target);
}

static fs_status read_by_word(const fs_yaml_at *at, void *target)
{
    const char *words[FS_BY_COUNT + 1] = {NULL};
    fs_sweep *sweep = target;
    size_t choice;
    for (unsigned i = 0; i < FS_BY_COUNT; i++) words[i] = fs_by_word(i);
    FS_TRY(fs_yaml_choice(at, words, &choice));
    if (sweep->by >> choice & 1)
        return fs_yaml_fail(at, FS_ECONFIG, "'%s' is given twice", words[choice]);
    sweep->by |= 1u << choice;
    return FS_OK;
}

static fs_status read_by(const fs_yaml_at *at, void *target)
{
    fs_sweep *sweep = target;
    if (fs_yaml_is_word(at, "none")) return FS_OK;
    FS_TRY(fs_yaml_each(at, FS_BY_COUNT, read_by_word, target));
    if ((sweep->by & FS_BY_COMPONENT) && (sweep->by & FS_BY_GROUP))
        return fs_yaml_fail(
            at, FS_ECONFIG,
            "'component' and 'group' exclude each other: a component has one group");
    return FS_OK;
}

static fs_status check_by(const fs_yaml_at *at, const fs_sweep *sweep)
{
    for (unsigned i = 0; i < FS_BY_COUNT; i++)
        if ((sweep->by & ~sweep->site->by) >> i & 1)
            return fs_yaml_fail(at, FS_ECONFIG, "%s are divided by %s; '%s' is not one of them",
                                sweep->site->name, sweep->site->division, fs_by_word(i));
    return FS_OK;
}

/** The classes are the first of `fields`. */
static fs_status check_one_class(const fs_yaml_at *at, const fs_yaml_field *fields, unsigned count,
                                 uint64_t seen)
{
    const char *first = NULL;
    for (unsigned i = 0; i < count; i++) {
        if (!(seen >> i & 1)) continue;
        if (first != NULL)
            return fs_yaml_fail(at, FS_ECONFIG,
                                "'%s' and '%s' exclude each other: give each a sweep", first,
                                fields[i].key);
        first = fields[i].key;
    }
    return FS_OK;
}

fs_status fs__site_read(const fs_yaml_at *at, void *target)
{
    static const fs_yaml_field others[] = {
        {"layers", read_layers, NULL, 0}, {"by", read_by, NULL, 0}, {NULL, NULL, NULL, 0}};
    fs_yaml_field fields[CLASSES_MAX + LIST_FIELDS_MAX + sizeof others / sizeof others[0]] = {{0}};
    fs_sweep *sweep = target;
    unsigned count = 0, first;
    uint64_t seen;
    for (; fs_site_at(count) != NULL; count++)
        fields[count] = (fs_yaml_field){fs_site_at(count)->name, read_class, NULL, 0};
    FS_ASSERT(count <= CLASSES_MAX);
    for (first = count; fs__list_fields[first - count].key != NULL; first++)
        fields[first] = fs__list_fields[first - count];
    FS_ASSERT(first - count <= LIST_FIELDS_MAX);
    memcpy(fields + first, others, sizeof others);
    FS_TRY(fs_yaml_map(at, fields, &seen, target));
    FS_TRY(check_one_class(at, fields, count, seen));
    fs__site_default(sweep);
    FS_TRY(fs__list_check(at, sweep, seen >> count));
    return check_by(at, sweep);
}

void fs__site_default(fs_sweep *sweep)
{
    if (sweep->site != NULL) return;
    sweep->site = fs_site_at(0);
    sweep->set = sweep->site->parse("all");
}

fs_status fs__by_write(unsigned by, fs_buf *out)
{
    const char *separator = "[";
    if (by == 0) return fs_buf_puts(out, "none");
    for (unsigned i = 0; i < FS_BY_COUNT; i++) {
        if (!(by >> i & 1)) continue;
        FS_TRY(fs_buf_printf(out, "%s%s", separator, fs_by_word(i)));
        separator = ", ";
    }
    return fs_buf_puts(out, "]");
}
