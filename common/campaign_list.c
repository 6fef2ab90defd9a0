/* A sweep whose faults come from files: the files, and what else such a sweep may say. */
#include <inttypes.h>
#include <string.h>

#include "campaign_read.h"

/* `hash`, `map_hash`, `faults` and `groups` are written into the effective campaign, so that a
 * stored one needs no file. Whoever writes them by hand pins what the files must be. */

static fs_status read_path(const fs_yaml_at *at, char out[FS_PATH_BYTES_MAX])
{
    const char *text;
    FS_TRY(fs_yaml_text(at, &text));
    if (strlen(text) >= FS_PATH_BYTES_MAX)
        return fs_yaml_fail(at, FS_ELIMIT, "is a path of more than %d bytes",
                            FS_PATH_BYTES_MAX - 1);
    memcpy(out, text, strlen(text) + 1);
    return FS_OK;
}

fs_status fs__list_read(const fs_yaml_at *at, void *target)
{
    fs_sweep *sweep = target;
    sweep->set = sweep->site->parse("all");
    return read_path(at, sweep->source.file);
}

static fs_status read_map(const fs_yaml_at *at, void *target)
{
    return read_path(at, ((fs_sweep *)target)->source.map);
}

static fs_status read_hash(const fs_yaml_at *at, fs_hash *out)
{
    const char *text;
    FS_TRY(fs_yaml_text(at, &text));
    fs_status status = fs_hash_parse(out, text);
    return status == FS_OK ? FS_OK : fs_yaml_wrap(at, FS_ECONFIG);
}

static fs_status read_file_hash(const fs_yaml_at *at, void *target)
{
    return read_hash(at, &((fs_sweep *)target)->source.file_hash);
}

static fs_status read_map_hash(const fs_yaml_at *at, void *target)
{
    return read_hash(at, &((fs_sweep *)target)->source.map_hash);
}

static fs_status read_faults(const fs_yaml_at *at, void *target)
{
    return fs_yaml_u64(at, 1, FS_LIST_FAULTS_MAX, &((fs_sweep *)target)->source.faults);
}

static fs_status read_groups(const fs_yaml_at *at, void *target)
{
    return fs_yaml_u64(at, 1, FS_LIST_FAULTS_MAX, &((fs_sweep *)target)->source.trials);
}

enum { MAP_GIVEN = 1, MAP_FIELDS = 2 /* the first ones */ };

const fs_yaml_field fs__list_fields[] = {
    {"map", read_map, NULL, 0},        {"map_hash", read_map_hash, NULL, 0},
    {"hash", read_file_hash, NULL, 0}, {"faults", read_faults, NULL, 0},
    {"groups", read_groups, NULL, 0},  {NULL, NULL, NULL, 0},
};

fs_status fs__list_check(const fs_yaml_at *at, const fs_sweep *sweep, uint64_t given)
{
    const fs_site_from from = sweep->site->from;
    for (size_t i = 0; fs__list_fields[i].key != NULL; i++) {
        const int of_map = i < MAP_FIELDS;
        if (!(given >> i & 1) || from == FS_SITE_LOG || (from == FS_SITE_LIST && !of_map)) continue;
        return fs_yaml_fail(at, FS_ECONFIG, "'%s' is a word of %s", fs__list_fields[i].key,
                            of_map ? "'addresses'" : "'list' and 'addresses'");
    }
    if (from == FS_SITE_LOG && !(given & MAP_GIVEN))
        return fs_yaml_fail(at, FS_ECONFIG,
                            "'addresses' wants 'map', a file that says where each tensor lay");
    if (from != FS_SITE_DRAWN && (sweep->layer_count != 0 || sweep->by != 0))
        return fs_yaml_fail(at, FS_ECONFIG,
                            "'layers' and 'by' choose where faults are drawn; the file of '%s' "
                            "says where each one is",
                            sweep->site->name);
    return FS_OK;
}

static fs_status check_hash(const fs_yaml_at *at, const char *path, const fs_hash *now,
                            const fs_hash *given)
{
    static const fs_hash unsaid;
    char hex[FS_HASH_HEX_BYTES], before[FS_HASH_HEX_BYTES];
    if (fs_hash_equal(given, &unsaid) || fs_hash_equal(now, given)) return FS_OK;
    fs_hash_hex(now, hex);
    fs_hash_hex(given, before);
    return fs_yaml_fail(at, FS_EREFUSED,
                        "%s: not the file that the campaign names: its hash is %s, was %s", path,
                        hex, before);
}

static fs_status read_files(const fs_yaml_at *at, fs_fault_source *source)
{
    const fs_fault_source given = *source;
    fs_status status = fs_fault_source_read(source);
    if (status != FS_OK) return fs_yaml_wrap(at, status);
    FS_TRY(check_hash(at, source->file, &source->file_hash, &given.file_hash));
    FS_TRY(check_hash(at, source->map, &source->map_hash, &given.map_hash));
    if ((given.faults != 0 && given.faults != source->faults) ||
        (given.trials != 0 && given.trials != source->trials))
        return fs_yaml_fail(at, FS_ECONFIG,
                            "%s has %" PRIu64 " faults in %" PRIu64
                            " groups, not what 'faults' and 'groups' say",
                            source->file, source->faults, source->trials);
    return FS_OK;
}

/* A stored campaign says what the files held. */
static fs_status check_stored(const fs_yaml_at *at, const fs_fault_source *source)
{
    static const fs_hash unsaid;
    if (!fs_hash_equal(&source->file_hash, &unsaid) && source->faults != 0 && source->trials != 0 &&
        (source->map[0] == '\0' || !fs_hash_equal(&source->map_hash, &unsaid)))
        return FS_OK;
    return fs_yaml_fail(at, FS_ECONFIG,
                        "'hash', 'faults', 'groups' and the hash of a map are wanted here");
}

fs_status fs__list_settle(const fs_yaml_at *at, fs_sweep *sweep, const char *file)
{
    fs_fault_source *source = &sweep->source;
    const fs_fault_source written = *source;
    if (sweep->site->from == FS_SITE_DRAWN) return FS_OK;
    FS_TRY(fs__file_find(at, written.file, file, source->file));
    if (written.map[0] != '\0') FS_TRY(fs__file_find(at, written.map, file, source->map));
    FS_TRY(file == NULL ? check_stored(at, source) : read_files(at, source));
    if (sweep->trials == 0) sweep->trials = source->trials;
    if (sweep->trials > source->trials)
        return fs_yaml_fail(at, FS_ECONFIG, "'trials' is %" PRIu64 ", but %s has %" PRIu64,
                            sweep->trials, source->file, source->trials);
    /* For people: what a trial hits on average. */
    sweep->amount_kind = FS_AMOUNT_COUNT;
    sweep->amounts[0] = (double)source->faults / (double)source->trials;
    sweep->amount_count = 1;
    return FS_OK;
}
