/* One sweep of a campaign file: its axes and its number of trials. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "campaign_read.h"
#include "number.h"

enum { DRAWN_FIELDS = 5 };
/* fs_sweep.transient while the sweep is read; 0: not given */
enum { PERSISTENCE_PERMANENT = 1, PERSISTENCE_TRANSIENT };

static const char *const amount_words[] = {"count", "rate", "ber", NULL};
static const char *const kind_words[] = {"flip", "stuck0", "stuck1", NULL};

const char *fs_amount_name(fs_amount_kind kind)
{
    return amount_words[kind];
}

const char *fs_fault_kind_name(fs_fault_kind kind)
{
    return kind_words[kind];
}

static fs_status read_phase(const fs_yaml_at *at, void *target)
{
    static const char *const words[] = {"inference", "finetune", NULL};
    size_t choice;
    FS_TRY(fs_yaml_choice(at, words, &choice));
    ((fs_sweep *)target)->finetunes = (int)choice;
    return FS_OK;
}

/** Which of them a sweep can have depends on its sites, which may be written below. */
static fs_status read_persistence(const fs_yaml_at *at, void *target)
{
    static const char *const words[] = {"permanent", "transient", NULL};
    fs_sweep *sweep = target;
    size_t choice;
    FS_TRY(fs_yaml_choice(at, words, &choice));
    sweep->transient = choice == 1 ? PERSISTENCE_TRANSIENT : PERSISTENCE_PERMANENT;
    return FS_OK;
}

/* --- amount ----------------------------------------------------------------------------------- */

static fs_status add_amount(const fs_yaml_at *at, fs_sweep *sweep, double value)
{
    for (size_t i = 0; i < sweep->amount_count; i++)
        if (sweep->amounts[i] == value) return fs_yaml_fail(at, FS_ECONFIG, "is given twice");
    sweep->amounts[sweep->amount_count++] = value;
    return FS_OK;
}

static fs_status read_whole(const fs_yaml_at *at, void *target)
{
    uint64_t value;
    FS_TRY(fs_yaml_u64(at, 0, FS_FAULTS_PER_TRIAL_MAX, &value));
    return add_amount(at, target, (double)value);
}

static fs_status read_share(const fs_yaml_at *at, void *target)
{
    double value;
    FS_TRY(fs_yaml_real(at, 0, 1, &value));
    return add_amount(at, target, value);
}

static fs_status read_axis(const fs_yaml_at *at, fs_sweep *sweep, fs_amount_kind kind)
{
    if (sweep->amount_count != 0)
        return fs_yaml_fail(at, FS_ECONFIG, "a sweep has one kind of amount: '%s' is given already",
                            fs_amount_name(sweep->amount_kind));
    sweep->amount_kind = kind;
    return fs_yaml_each(at, FS_AXIS_MAX, kind == FS_AMOUNT_COUNT ? read_whole : read_share, sweep);
}

static fs_status read_count(const fs_yaml_at *at, void *target)
{
    return read_axis(at, target, FS_AMOUNT_COUNT);
}

static fs_status read_rate(const fs_yaml_at *at, void *target)
{
    return read_axis(at, target, FS_AMOUNT_RATE);
}

static fs_status read_ber(const fs_yaml_at *at, void *target)
{
    return read_axis(at, target, FS_AMOUNT_BER);
}

static fs_status read_amount(const fs_yaml_at *at, void *target)
{
    static const fs_yaml_field fields[] = {
        {"count", read_count, NULL, 0},
        {"rate", read_rate, NULL, 0},
        {"ber", read_ber, NULL, 0},
        {NULL, NULL, NULL, 0},
    };
    FS_TRY(fs_yaml_map(at, fields, NULL, target));
    if (((fs_sweep *)target)->amount_count == 0)
        return fs_yaml_fail(at, FS_ECONFIG, "one of 'count', 'rate', 'ber' is wanted");
    return FS_OK;
}

/* --- bits, guard ------------------------------------------------------------------------------ */

/** One bit by number, or a class of bits by its word. */
static fs_status read_bit(const fs_yaml_at *at, fs_bits_choice *out)
{
    static const char *const words[] = {"all", "sign", "exponent", "mantissa", NULL};
    if (fs_yaml_is_number(at)) {
        uint64_t bit;
        FS_TRY(fs_yaml_u64(at, 0, 31, &bit));
        out->bits = (fs_bits)1 << bit;
        snprintf(out->name, sizeof out->name, "%u", (unsigned)bit);
        return FS_OK;
    }
    size_t choice;
    FS_TRY(fs_yaml_choice(at, words, &choice));
    out->bits = fs_bits_parse(words[choice], fs_format_of(FS_FORMAT_FP32));
    snprintf(out->name, sizeof out->name, "%s", words[choice]);
    return FS_OK;
}

static fs_status read_set_item(const fs_yaml_at *at, void *target)
{
    fs_bits *set = target;
    fs_bits_choice one;
    FS_TRY(read_bit(at, &one));
    if (*set & one.bits)
        return fs_yaml_fail(at, FS_ECONFIG, "'%s' is in this set already", one.name);
    *set |= one.bits;
    return FS_OK;
}

/** "23+24", and "0-7+31" for three or more in a row: at most 59 bytes for any set. */
static void name_set(fs_bits_choice *choice)
{
    size_t used = 0;
    for (unsigned i = 0; i < 32; i++) {
        if (!(choice->bits >> i & 1)) continue;
        unsigned last = i;
        while (last < 31 && (choice->bits >> (last + 1) & 1)) last++;
        int n = last < i + 2 ? snprintf(choice->name + used, sizeof choice->name - used, "%s%u",
                                        used == 0 ? "" : "+", i)
                             : snprintf(choice->name + used, sizeof choice->name - used, "%s%u-%u",
                                        used == 0 ? "" : "+", i, last);
        used += (size_t)n;
        if (last >= i + 2) i = last;
    }
}

fs_status fs_bits_choice_in(const fs_bits_choice *choice, const fs_format *format, fs_bits *out)
{
    const fs_bits all = fs_bits_parse("all", format);
    const int is_word = choice->name[0] > '9';
    *out = is_word ? fs_bits_parse(choice->name, format) : choice->bits;
    if (*out == 0)
        return fs_fail(FS_ECONFIG, "bits '%s': %s words have no %s", choice->name, format->name,
                       choice->name);
    if ((*out & ~all) == 0) return FS_OK;
    return fs_fail(FS_ECONFIG, "bit %d: %s words have bits 0..%u", 31 - __builtin_clz(*out & ~all),
                   format->name, format->bits - 1);
}

static fs_status read_bits_item(const fs_yaml_at *at, void *target)
{
    fs_sweep *sweep = target;
    fs_bits_choice choice = {0};
    if (fs_yaml_is_list(at)) {
        FS_TRY(fs_yaml_list(at, 32, read_set_item, &choice.bits));
        name_set(&choice);
    } else {
        FS_TRY(read_bit(at, &choice));
    }
    for (size_t i = 0; i < sweep->bits_count; i++)
        if (sweep->bits[i].bits == choice.bits)
            return fs_yaml_fail(at, FS_ECONFIG, "selects the same bits as '%s'",
                                sweep->bits[i].name);
    sweep->bits[sweep->bits_count++] = choice;
    return FS_OK;
}

static fs_status read_bits(const fs_yaml_at *at, void *target)
{
    return fs_yaml_each(at, FS_AXIS_MAX, read_bits_item, target);
}

static fs_status read_threshold(const fs_yaml_at *at, void *target)
{
    fs_guard *guard = target;
    double value;
    FS_TRY(fs_yaml_real(at, 0, 3e38, &value));
    guard->kind = FS_GUARD_THRESHOLD;
    guard->threshold = (float)value;
    if (!(guard->threshold > 0))
        return fs_yaml_fail(at, FS_ECONFIG, "is 0; a positive number is wanted");
    return FS_OK;
}

static fs_status read_guard(const fs_yaml_at *at, void *target)
{
    static const char *const words[] = {"none", "nonfinite-zero", NULL};
    static const fs_yaml_field fields[] = {{"threshold", read_threshold, NULL, 1},
                                           {NULL, NULL, NULL, 0}};
    fs_sweep *sweep = target;
    fs_guard guard = {0};
    if (fs_yaml_is_map(at)) {
        FS_TRY(fs_yaml_map(at, fields, NULL, &guard));
    } else {
        size_t choice;
        const char *text;
        FS_TRY(fs_yaml_text(at, &text));
        if (strncmp(text, "threshold", strlen("threshold")) == 0)
            return fs_yaml_fail(at, FS_ECONFIG, "a threshold is written {threshold: 10}");
        FS_TRY(fs_yaml_choice(at, words, &choice));
        guard.kind = choice == 0 ? FS_GUARD_NONE : FS_GUARD_NONFINITE_ZERO;
    }
    for (size_t i = 0; i < sweep->guard_count; i++)
        if (sweep->guards[i].kind == guard.kind && sweep->guards[i].threshold == guard.threshold)
            return fs_yaml_fail(at, FS_ECONFIG, "is given twice");
    sweep->guards[sweep->guard_count++] = guard;
    return FS_OK;
}

static fs_status read_guards(const fs_yaml_at *at, void *target)
{
    return fs_yaml_each(at, FS_AXIS_MAX, read_guard, target);
}

/* --- trials ----------------------------------------------------------------------------------- */

static fs_status read_trials(const fs_yaml_at *at, void *target)
{
    return fs_yaml_u64(at, 1, FS_TRIALS_MAX, &((fs_sweep *)target)->trials);
}

static fs_status read_half_width(const fs_yaml_at *at, void *target)
{
    fs_stop *stop = target;
    FS_TRY(fs_yaml_real(at, 0, 0.5, &stop->half_width));
    if (stop->half_width == 0)
        return fs_yaml_fail(at, FS_ECONFIG, "is 0; a number above 0 is wanted");
    return FS_OK;
}

static fs_status read_confidence(const fs_yaml_at *at, void *target)
{
    return fs_yaml_real(at, 0.5, 0.999999, &((fs_stop *)target)->confidence);
}

static fs_status read_at_most(const fs_yaml_at *at, void *target)
{
    return fs_yaml_u64(at, 1, FS_TRIALS_MAX, &((fs_stop *)target)->at_most);
}

static fs_status read_stop(const fs_yaml_at *at, void *target)
{
    static const fs_yaml_field fields[] = {
        {"half_width", read_half_width, NULL, 1},
        {"confidence", read_confidence, NULL, 0},
        {"at_most", read_at_most, NULL, 1},
        {NULL, NULL, NULL, 0},
    };
    fs_sweep *sweep = target;
    sweep->stop.confidence = 0.95;
    return fs_yaml_map(at, fields, NULL, &sweep->stop);
}

static fs_status read_sweep_name(const fs_yaml_at *at, void *target)
{
    return fs_yaml_name(at, ((fs_sweep *)target)->name);
}

static fs_status settle_phase(const fs_yaml_at *at, const fs_sweep *sweep)
{
    const fs_site_class *site = sweep->site;
    if (sweep->finetunes && site->arrays == NULL)
        return fs_yaml_fail(at, FS_ECONFIG,
                            "phase finetune has no %s: gradients, optimizer and parameters are hit "
                            "there",
                            site->name);
    if (!sweep->finetunes && site->when == FS_SITE_TUNED)
        return fs_yaml_fail(at, FS_ECONFIG, "%s exist while a model is tuned: phase: finetune",
                            site->name);
    return FS_OK;
}

static fs_status settle_persistence(const fs_yaml_at *at, fs_sweep *sweep)
{
    const fs_site_class *site = sweep->site;
    if (sweep->finetunes) { /* each step, unless told otherwise */
        sweep->transient = sweep->transient == PERSISTENCE_TRANSIENT;
        return FS_OK;
    }
    unsigned lasts = sweep->transient == PERSISTENCE_PERMANENT   ? FS_LASTS_EVALUATION
                     : sweep->transient == PERSISTENCE_TRANSIENT ? FS_LASTS_ONCE
                                                                 : site->lasts_plain;
    if (!(site->lasts & lasts))
        return fs_yaml_fail(at, FS_ECONFIG, "'persistence: %s' is not of %s: their faults %s",
                            lasts == FS_LASTS_ONCE ? "transient" : "permanent", site->name,
                            lasts == FS_LASTS_ONCE ? "stay for the whole evaluation"
                                                   : "last for one inference");
    sweep->transient = lasts == FS_LASTS_ONCE;
    return FS_OK;
}

/** How many trials, and whether the axes fit where the faults come from. */
static fs_status settle_axes(const fs_yaml_at *at, const fs_yaml_field *fields, uint64_t seen,
                             fs_sweep *sweep)
{
    const int drawn = sweep->site->from == FS_SITE_DRAWN;
    for (size_t i = 0; i < DRAWN_FIELDS && !drawn; i++)
        if (seen >> i & 1)
            return fs_yaml_fail(at, FS_ECONFIG,
                                "'%s' is of faults that are drawn; the file of '%s' says all of "
                                "them",
                                fields[i].key, sweep->site->name);
    if (drawn && sweep->amount_count == 0)
        return fs_yaml_fail(at, FS_ECONFIG, "key 'amount' is missing");
    if (sweep->trials != 0 && sweep->stop.at_most != 0)
        return fs_yaml_fail(at, FS_ECONFIG, "'trials' and 'stop' exclude each other");
    if (drawn && sweep->trials == 0 && sweep->stop.at_most == 0)
        return fs_yaml_fail(at, FS_ECONFIG, "one of 'trials' and 'stop' is wanted");
    if (sweep->trials == 0) sweep->trials = sweep->stop.at_most;
    return FS_OK;
}

fs_status fs__sweep_read(const fs_yaml_at *at, void *target)
{
    /* The first ones are not for sweeps whose faults come from a file. */
    static const fs_yaml_field fields[] = {
        {"amount", read_amount, NULL, 0},
        {"kind", fs__kinds_read, NULL, 0},
        {"pattern", fs__patterns_read, NULL, 0},
        {"bits", read_bits, NULL, 0},
        {"stop", read_stop, NULL, 0},
        {"name", read_sweep_name, NULL, 1},
        {"site", fs__site_read, NULL, 0},
        {"guard", read_guards, NULL, 0},
        {"trials", read_trials, NULL, 0},
        {"dtype", NULL, FS_DTYPE_ELSEWHERE, 0},
        {"phase", read_phase, NULL, 0},
        {"persistence", read_persistence, NULL, 0},
        {"metadata", NULL, FS_LATER, 0},
        {"strata", NULL, FS_LATER, 0},
        {"allocation", NULL, FS_LATER, 0},
        {NULL, NULL, NULL, 0},
    };
    fs_sweep *sweep = target;
    uint64_t seen;
    FS_TRY(fs_yaml_map(at, fields, &seen, target));
    fs__site_default(sweep);
    FS_TRY(settle_axes(at, fields, seen, sweep));
    FS_TRY(settle_phase(at, sweep));
    FS_TRY(settle_persistence(at, sweep));
    FS_TRY(fs__forms_settle(at, sweep));
    if (sweep->bits_count == 0)
        sweep->bits[sweep->bits_count++] = (fs_bits_choice){.bits = FS_BITS_ALL, .name = "all"};
    if (sweep->guard_count == 0) sweep->guards[sweep->guard_count++] = (fs_guard){0};
    return FS_OK;
}
