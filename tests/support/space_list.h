/** Random fault lists, and logs of addresses with a map, as files; and what they say, known by whom
 * wrote them. */
#ifndef SPACE_LIST_H
#define SPACE_LIST_H

#include "space_draw.h"

#include "brute_store.h"
#include "file.h"

/** What the files say, by trial. In `checks` a codec is an index of fs_codec_at. */
typedef struct space_list {
    uint64_t trials;
    brute_hits *hits; /* [trials] */
    char site[3 * FS_PATH_BYTES_MAX];
} space_list;

/* @return nonzero if this was added, and not there yet. */
static inline int space_list_add_word(fs_fault_list *list, fs_fault fault)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].tensor == fault.tensor && list->items[i].element == fault.element &&
            list->items[i].bit == fault.bit)
            return 0;
    assert_ok(fs_fault_list_add(list, fault));
    return 1;
}

static inline int space_list_add_check(fs_check_list *list, fs_check_fault fault)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].tensor == fault.tensor && list->items[i].element == fault.element &&
            list->items[i].codec == fault.codec && list->items[i].bit == fault.bit)
            return 0;
    list->items = realloc(list->items, (list->count + 1) * sizeof *list->items);
    assert_non_null(list->items);
    list->items[list->count++] = fault;
    list->capacity = list->count;
    return 1;
}

/* Codecs with redundant bits that an arm lets be hit; in int8 scales too. @return how many. */
static inline size_t space_list_codes(const space *self, const space_campaign *campaign,
                                      uint8_t codes[])
{
    size_t count = 0;
    int metadata = 0;
    for (int a = 0; a < SPACE_ARMS; a++) metadata |= campaign->metadata[a];
    if (metadata && space_format(self, campaign)->kind == FS_FORMAT_INT8)
        codes[count++] = FS_CHECK_SCALE;
    for (unsigned c = 0; fs_codec_at(c) != NULL; c++) {
        int kept = 0;
        for (int a = 0; a < SPACE_ARMS; a++) {
            char names[FS_PROTECT_MAX][SPACE_TEXT_BYTES];
            const unsigned n = space_split(campaign->protect[a], names);
            for (unsigned i = 0; i < n && campaign->metadata[a]; i++)
                kept |= strcmp(names[i], fs_codec_at(c)->name) == 0;
        }
        if (kept && fs_codec_at(c)->check_bits > 0) codes[count++] = (uint8_t)c;
    }
    return count;
}

static inline const char *space_list_code_name(uint8_t code)
{
    return code == FS_CHECK_SCALE ? "scale" : fs_codec_at(code)->name;
}

/* A redundant bit, or one of a scale, somewhere in a tensor. */
static inline fs_check_fault space_list_draw_check(space *self, const fs_geometry *geometry,
                                                   const fs_format *format, uint8_t code)
{
    fs_check_fault out = {.tensor = (uint32_t)space_below(self, geometry->tensor_count),
                          .codec = code,
                          .kind = (uint8_t)space_below(self, 3)};
    const fs_tensor *t = &geometry->tensors[out.tensor];
    const uint64_t row = space_below(self, t->rows), col = space_below(self, t->cols);
    if (code == FS_CHECK_SCALE) {
        out.bit = (uint8_t)space_below(self, 32);
        if (t->rank == 2) out.element = strncmp(t->name, "h.", 2) == 0 ? col : row * t->cols;
        return out;
    }
    const size_t words = fs_codec_words(fs_codec_at(code), format, t->cols);
    out.element = row * t->cols + col / words * words;
    out.bit = (uint8_t)space_below(self, fs_codec_at(code)->check_bits);
    return out;
}

static inline void space_list_draw(space_list *self, space *all, const fs_geometry *geometry,
                                   const space_campaign *campaign)
{
    const fs_format *format = space_format(all, campaign);
    const int log = space_site(all, campaign)->from == FS_SITE_LOG;
    uint8_t codes[SPACE_VALUES_MAX];
    const size_t code_count = log ? 0 : space_list_codes(all, campaign, codes);
    for (uint64_t t = 0; t < self->trials; t++) {
        const uint64_t rows = space_below(all, 2) == 0 ? 1 : 1 + space_below(all, 200);
        brute_hits *hits = &self->hits[t];
        for (uint64_t added = 0; added < rows;) {
            fs_fault word = {.tensor = (uint32_t)space_below(all, geometry->tensor_count),
                             .bit = (uint8_t)space_below(all, format->bits),
                             .kind = (uint8_t)space_below(all, 3)};
            word.element = space_below(all, brute_values_in(geometry, word.tensor));
            if (code_count == 0 || space_below(all, 3) != 0)
                added += (uint64_t)space_list_add_word(&hits->words, word);
            else
                added += (uint64_t)space_list_add_check(
                    &hits->checks, space_list_draw_check(all, geometry, format,
                                                         codes[space_below(all, code_count)]));
        }
    }
}

/* --- Files ------------------------------------------------------------------------------------ */

static const char *const space_list_kinds[] = {"flip", "stuck0", "stuck1"};

static inline void space_list_write_rows(const space_list *self, const fs_geometry *geometry,
                                         fs_buf *out)
{
    assert_ok(fs_buf_puts(out, "trial,tensor,index,bit,kind,code\n"));
    for (uint64_t t = 0; t < self->trials; t++) {
        const brute_hits *hits = &self->hits[t];
        for (size_t i = 0; i < hits->words.count; i++) {
            const fs_fault *f = &hits->words.items[i];
            const fs_tensor *tensor = &geometry->tensors[f->tensor];
            assert_ok(fs_buf_printf(out, "%u,%s,%u:%u,%u,%s,\n", (unsigned)t, tensor->name,
                                    (unsigned)(f->element / tensor->cols),
                                    (unsigned)(f->element % tensor->cols), f->bit,
                                    space_list_kinds[f->kind]));
        }
        for (size_t i = 0; i < hits->checks.count; i++) {
            const fs_check_fault *f = &hits->checks.items[i];
            assert_ok(fs_buf_printf(out, "%u,%s,%u,%u,%s,%s\n", (unsigned)t,
                                    geometry->tensors[f->tensor].name, (unsigned)f->element, f->bit,
                                    space_list_kinds[f->kind], space_list_code_name(f->codec)));
        }
    }
}

/* Tensors one behind the other with gaps; addresses in the gaps hit nothing. */
static inline void space_list_write_log(const space_list *self, space *all,
                                        const fs_geometry *geometry, const fs_format *format,
                                        fs_buf *log, fs_buf *map)
{
    uint64_t *base = brute_room(geometry->tensor_count, sizeof *base), next = 4096;
    const uint64_t bytes = format->bits / 8;
    assert_ok(fs_buf_puts(map, "tensor,base\n"));
    for (size_t t = 0; t < geometry->tensor_count; t++) {
        base[t] = next + 8 + space_below(all, 64);
        next = base[t] + brute_values_in(geometry, t) * bytes;
        assert_ok(fs_buf_printf(map, "%s,0x%llx\n", geometry->tensors[t].name,
                                (unsigned long long)base[t]));
    }
    assert_ok(fs_buf_puts(log, "address,bit,kind,trial\n"));
    for (uint64_t t = 0; t < self->trials; t++) {
        const fs_fault_list *words = &self->hits[t].words;
        assert_ok(fs_buf_printf(log, "%llu,%u,flip,%u\n",
                                (unsigned long long)base[space_below(all, geometry->tensor_count)] -
                                    1 - space_below(all, 8),
                                (unsigned)space_below(all, 8), (unsigned)t));
        for (size_t i = 0; i < words->count; i++) {
            const fs_fault *f = &words->items[i];
            assert_ok(fs_buf_printf(
                log, "0x%llx,%u,%s,%u\n",
                (unsigned long long)(base[f->tensor] + f->element * bytes + f->bit / 8), f->bit % 8,
                space_list_kinds[f->kind], (unsigned)t));
        }
    }
    free(base);
}

static inline void space_list_save(char path[FS_PATH_BYTES_MAX], const char *folder,
                                   const char *name, fs_buf *text)
{
    assert_ok(fs_path_join(path, folder, name));
    assert_ok(tiny_file_write(path, text->data, text->size));
    fs_buf_free(text);
}

/** Draws the files of a campaign whose faults come from files, into `folder`. */
static inline void space_list_open(space_list *self, space *all, const fs_geometry *geometry,
                                   const space_campaign *campaign, const char *folder,
                                   uint64_t trials)
{
    char path[FS_PATH_BYTES_MAX], map_path[FS_PATH_BYTES_MAX];
    fs_buf text = {0}, map = {0};
    *self = (space_list){.trials = trials, .hits = brute_room(trials, sizeof *self->hits)};
    space_list_draw(self, all, geometry, campaign);
    if (space_site(all, campaign)->from == FS_SITE_LOG) {
        space_list_write_log(self, all, geometry, space_format(all, campaign), &text, &map);
        space_list_save(path, folder, "log.csv", &text);
        space_list_save(map_path, folder, "map.csv", &map);
        snprintf(self->site, sizeof self->site, "{addresses: %s, map: %s}", path, map_path);
    } else {
        space_list_write_rows(self, geometry, &text);
        space_list_save(path, folder, "list.csv", &text);
        snprintf(self->site, sizeof self->site, "{list: %s}", path);
    }
    for (uint64_t t = 0; t < trials; t++) fs_fault_list_sort(&self->hits[t].words);
}

static inline void space_list_close(space_list *self)
{
    for (uint64_t t = 0; t < self->trials; t++) {
        fs_fault_list_free(&self->hits[t].words);
        fs_check_list_free(&self->hits[t].checks);
    }
    free(self->hits);
    *self = (space_list){0};
}

/** What an arm meets of a trial: `words` is borrowed, `checks` the caller's. */
static inline brute_hits space_list_hits(const space_list *self, uint64_t trial,
                                         const fs_protect *protect, int metadata)
{
    const fs_check_list *all = &self->hits[trial].checks;
    brute_hits out = {.words = self->hits[trial].words};
    for (size_t i = 0; i < all->count && metadata; i++) {
        fs_check_fault fault = all->items[i];
        if (fault.codec != FS_CHECK_SCALE) {
            const fs_codec *codec = fs_codec_at(fault.codec);
            unsigned place = 0;
            while (place < protect->codec_count && protect->codecs[place] != codec) place++;
            if (place == protect->codec_count) continue;
            fault.codec = (uint8_t)place;
        }
        space_list_add_check(&out.checks, fault);
    }
    return out;
}

#endif
