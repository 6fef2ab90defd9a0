/** Random campaigns over the whole fault space, and how often each value of each axis was tried.
 *
 * Site classes, codecs and formats come from the product's own tables, so new rows are drawn
 * without a change here. Half of the draws take the value that was tried least. */
#ifndef SPACE_DRAW_H
#define SPACE_DRAW_H

#include "testing.h"

#include "buf.h"
#include "fault_form.h"
#include "plan.h"
#include "tiny_model.h"

typedef enum space_axis_name {
    AXIS_MODEL,
    AXIS_SITE,
    AXIS_PHASE,
    AXIS_LASTS,
    AXIS_FORMAT,
    AXIS_KIND,
    AXIS_PATTERN,
    AXIS_BITS,
    AXIS_AMOUNT,
    AXIS_GUARD,
    AXIS_PROTECTION, /* of stored words: none, each codec alone, each ordered pair */
    AXIS_COUNT
} space_axis_name;

enum { SPACE_VALUES_MAX = 512, SPACE_TEXT_BYTES = 64, SPACE_ARMS = 4 };

typedef struct space_value {
    char text[SPACE_TEXT_BYTES]; /* as written in a campaign */
    uint64_t wanted, tried;
} space_value;

typedef struct space_axis {
    const char *name;
    size_t count;
    space_value values[SPACE_VALUES_MAX];
} space_axis;

typedef struct space {
    uint64_t state; /* of the random numbers */
    space_axis axes[AXIS_COUNT];
} space;

/** A drawn campaign: one sweep, several arms of one format. */
typedef struct space_campaign {
    size_t value[AXIS_COUNT];      /* but for the protection's */
    size_t protection[SPACE_ARMS]; /* of each arm; SIZE_MAX: a list that is not counted */
    char protect[SPACE_ARMS][3 * SPACE_TEXT_BYTES];
    int metadata[SPACE_ARMS];
    char site[4 * SPACE_TEXT_BYTES]; /* words and layers */
    uint64_t seed;
} space_campaign;

/* --- Axes ------------------------------------------------------------------------------------- */

static inline void space_add(space *self, space_axis_name axis, const char *text, uint64_t wanted)
{
    space_axis *a = &self->axes[axis];
    assert_true(a->count < SPACE_VALUES_MAX);
    space_value *value = &a->values[a->count++];
    assert_true(snprintf(value->text, sizeof value->text, "%s", text) < SPACE_TEXT_BYTES);
    value->wanted = wanted;
}

static inline void space_add_all(space *self, space_axis_name axis, const char *name,
                                 const char *const *texts, size_t count, uint64_t wanted)
{
    self->axes[axis].name = name;
    for (size_t i = 0; i < count; i++) space_add(self, axis, texts[i], wanted);
}

/* Names of a list "a, b". @return how many. */
static inline unsigned space_split(const char *list, char names[FS_PROTECT_MAX][SPACE_TEXT_BYTES])
{
    unsigned count = 0;
    while (*list != '\0') {
        const size_t size = strcspn(list, ",");
        assert_true(count < FS_PROTECT_MAX && size < SPACE_TEXT_BYTES);
        snprintf(names[count++], SPACE_TEXT_BYTES, "%.*s", (int)size, list);
        list += size;
        list += strspn(list, ", ");
    }
    return count;
}

/* @return nonzero if the product takes this list for words of a format. */
static inline int space_accepts(const char *list, fs_format_kind format)
{
    char texts[FS_PROTECT_MAX][SPACE_TEXT_BYTES];
    const char *names[FS_PROTECT_MAX];
    const unsigned count = space_split(list, texts);
    fs_protect protect;
    for (unsigned i = 0; i < count; i++) names[i] = texts[i];
    return fs_protect_init_format(&protect, names, count, (fs_guard){0}, format) == FS_OK;
}

static inline void space_add_protections(space *self, uint64_t wanted, uint64_t wanted_pairs)
{
    char list[SPACE_TEXT_BYTES];
    self->axes[AXIS_PROTECTION].name = "protection";
    space_add(self, AXIS_PROTECTION, "none", wanted);
    for (unsigned i = 0; fs_codec_at(i) != NULL; i++)
        space_add(self, AXIS_PROTECTION, fs_codec_at(i)->name, wanted);
    for (unsigned i = 0; fs_codec_at(i) != NULL; i++) {
        for (unsigned j = 0; fs_codec_at(j) != NULL; j++) {
            snprintf(list, sizeof list, "%s, %s", fs_codec_at(i)->name, fs_codec_at(j)->name);
            if (space_accepts(list, FS_FORMAT_FP32))
                space_add(self, AXIS_PROTECTION, list, wanted_pairs);
        }
    }
}

/** `wanted`: trials of each value, of pairs of codecs `wanted_pairs`. */
static inline void space_open(space *self, uint64_t seed, uint64_t wanted, uint64_t wanted_pairs)
{
    static const char *const models[] = {"bert", "gpt2", "gpt2, untied", "gpt2, classifier"};
    static const char *const phases[] = {"inference", "finetune"};
    static const char *const lasts[] = {"permanent", "transient"};
    static const char *const kinds[] = {"flip", "stuck0", "stuck1", "burst", "value"};
    static const char *const patterns[] = {"element", "row: n", "row: all", "column: n",
                                           "column: all"};
    static const char *const bits[] = {"all", "sign", "exponent", "mantissa", "one", "some"};
    static const char *const amounts[] = {"count: 0", "count: 1", "count: 5", "rate", "ber"};
    static const char *const guards[] = {"none", "nonfinite-zero", "threshold"};
    *self = (space){.state = seed};
    space_add_all(self, AXIS_MODEL, "model", models, 4, wanted);
    space_add_all(self, AXIS_PHASE, "phase", phases, 2, wanted);
    space_add_all(self, AXIS_LASTS, "persistence", lasts, 2, wanted);
    space_add_all(self, AXIS_KIND, "kind", kinds, 5, wanted);
    space_add_all(self, AXIS_PATTERN, "pattern", patterns, 5, wanted);
    space_add_all(self, AXIS_BITS, "bits", bits, 6, wanted);
    space_add_all(self, AXIS_AMOUNT, "amount", amounts, 5, wanted);
    space_add_all(self, AXIS_GUARD, "guard", guards, 3, wanted);
    self->axes[AXIS_SITE].name = "site";
    for (unsigned i = 0; fs_site_at(i) != NULL; i++)
        space_add(self, AXIS_SITE, fs_site_at(i)->name, wanted);
    self->axes[AXIS_FORMAT].name = "format";
    for (int i = 0; i < FS_FORMAT_COUNT; i++)
        space_add(self, AXIS_FORMAT, fs_format_of((fs_format_kind)i)->name, wanted);
    space_add_protections(self, wanted, wanted_pairs);
}

static inline uint64_t space_below(space *self, uint64_t bound)
{
    return tiny_random(&self->state) % bound;
}

/** @return nonzero if every value of the first `axes` was tried as often as is wanted. */
static inline int space_done(const space *self, int axes)
{
    for (int a = 0; a < axes; a++)
        for (size_t i = 0; i < self->axes[a].count; i++)
            if (self->axes[a].values[i].tried < self->axes[a].values[i].wanted) return 0;
    return 1;
}

/* --- Drawing ---------------------------------------------------------------------------------- */

/* Draws a value of an axis among those that `allows` (NULL: all). */
static inline size_t space_pick(space *self, space_axis_name name,
                                int (*allows)(const space *, const space_campaign *, size_t),
                                const space_campaign *campaign)
{
    const space_axis *axis = &self->axes[name];
    size_t allowed[SPACE_VALUES_MAX], count = 0, least = 0;
    for (size_t i = 0; i < axis->count; i++)
        if (allows == NULL || allows(self, campaign, i)) allowed[count++] = i;
    assert_true(count > 0);
    if (space_below(self, 2) == 0) return allowed[space_below(self, count)];
    for (size_t i = 1; i < count; i++) {
        const space_value *value = &axis->values[allowed[i]], *best = &axis->values[allowed[least]];
        if (value->tried * best->wanted < best->tried * value->wanted) least = i;
    }
    return allowed[least];
}

static inline const char *space_text(const space *self, const space_campaign *campaign,
                                     space_axis_name axis)
{
    return self->axes[axis].values[campaign->value[axis]].text;
}

static inline int space_is(const space *self, const space_campaign *campaign, space_axis_name axis,
                           const char *text)
{
    return strcmp(space_text(self, campaign, axis), text) == 0;
}

static inline const fs_format *space_format(const space *self, const space_campaign *campaign)
{
    return fs_format_find(space_text(self, campaign, AXIS_FORMAT));
}

static inline const fs_site_class *space_site(const space *self, const space_campaign *campaign)
{
    return fs_site_find(space_text(self, campaign, AXIS_SITE));
}

/* The format of the words that are hit. */
static inline const fs_format *space_words(const space *self, const space_campaign *campaign)
{
    const fs_format *format = space_format(self, campaign);
    if (space_is(self, campaign, AXIS_PHASE, "finetune")) return fs_format_of(FS_FORMAT_FP32);
    return space_site(self, campaign)->when == FS_SITE_STORED
               ? format
               : fs_format_of(fs_activation_format(format->kind));
}

/* Protections take the most trials: in the end only those count that are of them. */
static inline int space_has_site(const space *self, const space_campaign *campaign, size_t value)
{
    (void)campaign;
    return !space_done(self, AXIS_PROTECTION) ||
           fs_site_find(self->axes[AXIS_SITE].values[value].text)->when == FS_SITE_STORED;
}

static inline int space_phase(const space *self, const space_campaign *campaign, size_t value)
{
    const fs_site_class *site = space_site(self, campaign);
    if (value == 1 && space_done(self, AXIS_PROTECTION)) return 0;
    return value == 0 ? site->when != FS_SITE_TUNED : site->arrays != NULL;
}

static inline int space_lasts(const space *self, const space_campaign *campaign, size_t value)
{
    const unsigned flag = value == 0 ? FS_LASTS_EVALUATION : FS_LASTS_ONCE;
    return space_is(self, campaign, AXIS_PHASE, "finetune") ||
           (space_site(self, campaign)->lasts & flag) != 0;
}

/* A rate of bits is none of values. */
static inline int space_amount(const space *self, const space_campaign *campaign, size_t value)
{
    return !space_is(self, campaign, AXIS_KIND, "value") ||
           strcmp(self->axes[AXIS_AMOUNT].values[value].text, "ber") != 0;
}

/* A burst needs bits beside each other, int8 has no exponent. */
static inline int space_bits(const space *self, const space_campaign *campaign, size_t value)
{
    const char *text = self->axes[AXIS_BITS].values[value].text;
    if (strcmp(text, "exponent") == 0) return space_words(self, campaign)->exponent != 0;
    return !space_is(self, campaign, AXIS_KIND, "burst") ||
           (strcmp(text, "sign") != 0 && strcmp(text, "one") != 0);
}

static inline int space_protection(const space *self, const space_campaign *campaign, size_t value)
{
    return space_accepts(self->axes[AXIS_PROTECTION].values[value].text,
                         space_format(self, campaign)->kind);
}

/* @return nonzero if the class's word means something of the model in a layer, -1: in any. */
static inline int space_held(const fs_site_class *site, const fs_geometry *geometry,
                             const char *word, int layer)
{
    const fs_site_set set = site->parse(word);
    int held = layer < 0 && site->held(geometry, set, -1) != 0;
    for (int l = 0; l < (int)geometry->config.layers; l++)
        held |= (layer < 0 || layer == l) && site->held(geometry, set, l) != 0;
    return held;
}

/* One or two words of the class, in all layers or in one. */
static inline void space_draw_site(space *self, const fs_geometry *geometry, space_campaign *out)
{
    const fs_site_class *site = space_site(self, out);
    const int layers = (int)geometry->config.layers;
    int layer = (int)space_below(self, 2 * geometry->config.layers);
    const char *chosen[2];
    size_t words = 0, count = 0;
    char second[SPACE_TEXT_BYTES] = "", where[SPACE_TEXT_BYTES] = "";
    if (layer >= layers) layer = -1;
    while (site->words[words] != NULL) words++;
    while (count < 2) {
        const char *word = site->words[space_below(self, words)];
        if (space_held(site, geometry, word, layer)) chosen[count++] = word;
    }
    if ((site->parse(chosen[0]) & site->parse(chosen[1])) == 0)
        snprintf(second, sizeof second, ", %s", chosen[1]);
    if (layer >= 0) snprintf(where, sizeof where, ", layers: [%d]", layer);
    snprintf(out->site, sizeof out->site, "{%s: [%s%s]%s}", site->name, chosen[0], second, where);
}

/* One counted list for each arm; the last one is longer than a pair, if that is accepted. */
static inline void space_draw_arms(space *self, space_campaign *out)
{
    const space_axis *axis = &self->axes[AXIS_PROTECTION];
    for (int a = 0; a < SPACE_ARMS; a++) {
        out->protection[a] = space_pick(self, AXIS_PROTECTION, space_protection, out);
        out->metadata[a] = space_below(self, 8) != 0;
        snprintf(out->protect[a], sizeof out->protect[a], "%s",
                 axis->values[out->protection[a]].text);
    }
    const size_t more = space_pick(self, AXIS_PROTECTION, space_protection, out);
    const char *last = axis->values[out->protection[SPACE_ARMS - 1]].text;
    char list[3 * SPACE_TEXT_BYTES];
    snprintf(list, sizeof list, "%s, %s", last, axis->values[more].text);
    if (strstr(list, "none") == NULL && space_accepts(list, space_format(self, out)->kind)) {
        out->protection[SPACE_ARMS - 1] = SIZE_MAX;
        snprintf(out->protect[SPACE_ARMS - 1], sizeof list, "%s", list);
    }
}

/** Draws a campaign for a model, the world's of AXIS_MODEL. */
static inline void space_draw(space *self, size_t model, const fs_geometry *geometry,
                              space_campaign *out)
{
    *out = (space_campaign){.seed = space_below(self, 1u << 30)};
    out->value[AXIS_MODEL] = model;
    out->value[AXIS_SITE] = space_pick(self, AXIS_SITE, space_has_site, out);
    out->value[AXIS_PHASE] = space_pick(self, AXIS_PHASE, space_phase, out);
    out->value[AXIS_LASTS] = space_pick(self, AXIS_LASTS, space_lasts, out);
    out->value[AXIS_FORMAT] = space_pick(self, AXIS_FORMAT, NULL, out);
    out->value[AXIS_KIND] = space_pick(self, AXIS_KIND, NULL, out);
    out->value[AXIS_PATTERN] = space_pick(self, AXIS_PATTERN, NULL, out);
    out->value[AXIS_BITS] = space_pick(self, AXIS_BITS, space_bits, out);
    out->value[AXIS_AMOUNT] = space_pick(self, AXIS_AMOUNT, space_amount, out);
    out->value[AXIS_GUARD] = space_pick(self, AXIS_GUARD, NULL, out);
    space_draw_site(self, geometry, out);
    space_draw_arms(self, out);
}

/* --- Text ------------------------------------------------------------------------------------- */

static inline void space_write_bits(space *self, const space_campaign *campaign, fs_buf *out)
{
    const unsigned bits = space_words(self, campaign)->bits;
    if (space_is(self, campaign, AXIS_BITS, "one")) {
        assert_ok(fs_buf_printf(out, "[%u]", (unsigned)space_below(self, bits)));
    } else if (space_is(self, campaign, AXIS_BITS, "some")) {
        const unsigned low = (unsigned)space_below(self, bits - 3);
        assert_ok(fs_buf_printf(out, "[[%u, %u, %u]]", low, low + 1, low + 2));
    } else {
        assert_ok(fs_buf_printf(out, "[%s]", space_text(self, campaign, AXIS_BITS)));
    }
}

static inline void space_write_form(space *self, const space_campaign *campaign, fs_buf *out)
{
    const char *pattern = space_text(self, campaign, AXIS_PATTERN);
    const unsigned span = 2 + (unsigned)space_below(self, 7);
    const int all = space_is(self, campaign, AXIS_BITS, "all");
    assert_ok(fs_buf_puts(out, ", kind: ["));
    if (space_is(self, campaign, AXIS_KIND, "burst"))
        assert_ok(fs_buf_printf(out, "{burst: %u}", all ? span : 2));
    else
        assert_ok(fs_buf_puts(out, space_text(self, campaign, AXIS_KIND)));
    assert_ok(fs_buf_puts(out, "], pattern: ["));
    const size_t word = strcspn(pattern, ":");
    if (pattern[word] == '\0')
        assert_ok(fs_buf_puts(out, pattern));
    else if (strcmp(pattern + word, ": n") == 0)
        assert_ok(fs_buf_printf(out, "{%.*s: %u}", (int)word, pattern, span));
    else
        assert_ok(fs_buf_printf(out, "{%s}", pattern));
    assert_ok(fs_buf_puts(out, "], bits: "));
    space_write_bits(self, campaign, out);
}

static inline void space_write_amount(space *self, const space_campaign *campaign, fs_buf *out)
{
    static const char *const rates[] = {"0.0003", "0.003", "0.03", "0.3"};
    static const char *const bers[] = {"0.00001", "0.0001", "0.001", "0.01"};
    const char *text = space_text(self, campaign, AXIS_AMOUNT);
    const uint64_t pick = space_below(self, 4);
    assert_ok(fs_buf_printf(out, ", amount: {%s", text));
    if (strcmp(text, "rate") == 0) assert_ok(fs_buf_printf(out, ": %s", rates[pick]));
    if (strcmp(text, "ber") == 0) assert_ok(fs_buf_printf(out, ": %s", bers[pick]));
    assert_ok(fs_buf_puts(out, "}"));
}

/** Appends arms and the sweep. `files`: the site of a class that is not drawn. */
static inline void space_write(space *self, const space_campaign *campaign, const char *files,
                               uint64_t trials, fs_buf *out)
{
    const int drawn = space_site(self, campaign)->from == FS_SITE_DRAWN;
    const char *format = space_text(self, campaign, AXIS_FORMAT);
    assert_ok(fs_buf_puts(out, "arms:\n"));
    for (int a = 0; a < SPACE_ARMS; a++) {
        assert_ok(fs_buf_printf(out, "  - {name: a%d, protect: [%s]", a, campaign->protect[a]));
        if (!campaign->metadata[a]) assert_ok(fs_buf_puts(out, ", metadata: false"));
        if (strcmp(format, "fp32") != 0) assert_ok(fs_buf_printf(out, ", dtype: %s", format));
        assert_ok(fs_buf_puts(out, "}\n"));
    }
    assert_ok(fs_buf_printf(out, "sweep:\n  - {name: s, site: %s", drawn ? campaign->site : files));
    assert_ok(fs_buf_printf(out, ", phase: %s", space_text(self, campaign, AXIS_PHASE)));
    assert_ok(fs_buf_printf(out, ", persistence: %s", space_text(self, campaign, AXIS_LASTS)));
    if (drawn) {
        space_write_amount(self, campaign, out);
        space_write_form(self, campaign, out);
    }
    if (space_is(self, campaign, AXIS_GUARD, "threshold"))
        assert_ok(
            fs_buf_printf(out, ", guard: [{threshold: %u}]", 1 + (unsigned)space_below(self, 4)));
    else
        assert_ok(fs_buf_printf(out, ", guard: [%s]", space_text(self, campaign, AXIS_GUARD)));
    assert_ok(fs_buf_printf(out, ", trials: %u}\n", (unsigned)trials));
}

/* --- What was tried --------------------------------------------------------------------------- */

/* @return nonzero if a list does something for activations. */
static inline int space_restricts(const char *list)
{
    char names[FS_PROTECT_MAX][SPACE_TEXT_BYTES];
    const unsigned count = space_split(list, names);
    for (unsigned i = 0; i < count; i++) {
        const fs_codec *codec = fs_codec_find(names[i]);
        if (codec != NULL && (codec->flags & FS_CODEC_ACTIVATIONS)) return 1;
    }
    return 0;
}

/** Counts a trial of an arm. Files say themselves what is hit; codes of stored words do nothing for
 * activations and for what is hit while a model is tuned. */
static inline void space_count(space *self, const space_campaign *campaign, uint32_t arm)
{
    const fs_site_class *site = space_site(self, campaign);
    for (int a = 0; a < AXIS_PROTECTION; a++) {
        const int of_draw =
            a == AXIS_KIND || a == AXIS_PATTERN || a == AXIS_BITS || a == AXIS_AMOUNT;
        if (!of_draw || site->from == FS_SITE_DRAWN)
            self->axes[a].values[campaign->value[a]].tried++;
    }
    const int codes =
        site->when == FS_SITE_STORED && space_is(self, campaign, AXIS_PHASE, "inference");
    if (campaign->protection[arm] != SIZE_MAX && (codes || space_restricts(campaign->protect[arm])))
        self->axes[AXIS_PROTECTION].values[campaign->protection[arm]].tried++;
}

static inline void space_print(const space *self)
{
    for (int a = 0; a < AXIS_COUNT; a++) {
        const space_axis *axis = &self->axes[a];
        uint64_t pairs = 0, least = UINT64_MAX;
        print_message("%s:", axis->name);
        for (size_t i = 0; i < axis->count; i++) {
            const space_value *value = &axis->values[i];
            if (a == AXIS_PROTECTION && strchr(value->text, ',') != NULL) {
                pairs++;
                least = value->tried < least ? value->tried : least;
                continue;
            }
            print_message(" [%s] %llu", value->text, (unsigned long long)value->tried);
        }
        if (pairs > 0)
            print_message(" and %llu pairs, each at least %llu", (unsigned long long)pairs,
                          (unsigned long long)least);
        print_message("\n");
    }
}

#endif
