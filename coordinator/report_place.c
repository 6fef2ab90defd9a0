#include "report_place.h"

#include <string.h>

/* Components of the model: all of them, and those that lie in layers. */
typedef struct held {
    fs_component_set all;
    fs_component_set layered;
} held;

static held held_of(const fs_geometry *geometry)
{
    held out = {0};
    for (size_t i = 0; i < geometry->slice_count; i++) {
        fs_component_set one = (fs_component_set)1 << geometry->slices[i].component;
        out.all |= one;
        if (geometry->slices[i].layer >= 0) out.layered |= one;
    }
    return out;
}

static fs_component_set group_set(fs_group group)
{
    fs_component_set out = 0;
    for (int c = 0; c < FS_COMPONENT_COUNT; c++) {
        if (fs_component_group((fs_component)c) == group) out |= (fs_component_set)1 << c;
    }
    return out;
}

static fs_status put(fs_buf *out, size_t start, const char *word)
{
    if (out->size > start) FS_TRY(fs_buf_puts(out, "+"));
    return fs_buf_puts(out, word);
}

static fs_status write_set(fs_buf *out, const fs_geometry *geometry, fs_component_set set)
{
    const held model = held_of(geometry);
    const size_t start = out->size;
    if (set == model.all) return fs_buf_puts(out, "all");
    for (int g = 0; g < FS_GROUP_COUNT; g++) {
        const fs_component_set group = group_set((fs_group)g), own = set & group;
        if (own == 0) continue;
        if (own == (model.all & group) || own == (model.layered & group)) {
            /* A group of one component is better known by the component. */
            if ((own & (own - 1)) != 0) {
                FS_TRY(put(out, start, fs_group_name((fs_group)g)));
                continue;
            }
        }
        for (int c = 0; c < FS_COMPONENT_COUNT; c++) {
            if (own >> c & 1) FS_TRY(put(out, start, fs_component_name((fs_component)c)));
        }
    }
    return FS_OK;
}

/* Words of a class that is no part of the parameters, or that says itself what it hits. */
static fs_status write_words(fs_buf *out, const fs_site_class *site, fs_site_set set)
{
    const size_t start = out->size;
    if (site->from == FS_SITE_LIST) return fs_buf_puts(out, "listed bits");
    if (site->from == FS_SITE_LOG) return fs_buf_puts(out, "logged addresses");
    if (set == site->parse("all")) return fs_buf_printf(out, "all %s", site->name);
    for (unsigned i = 0; site->word(i) != NULL; i++) {
        if (set >> i & 1) FS_TRY(put(out, start, site->word(i)));
    }
    return FS_OK;
}

static int has_components(const fs_site_class *site)
{
    return (site->by & FS_BY_COMPONENT) != 0;
}

/* Components alone mean parameters at inference. */
static fs_status begin(fs_buf *out, const fs_site_class *site, int tuned)
{
    if (site->when == FS_SITE_STORED && !tuned) return FS_OK;
    return fs_buf_printf(out, "%s%s of ", site->when == FS_SITE_STORED ? "tuned " : "", site->name);
}

fs_status report_place_cell(fs_buf *out, const fs_cell *cell)
{
    const fs_fault_space *space = cell->space;
    fs_component_set set = 0;
    if (!has_components(cell->site)) return write_words(out, cell->site, cell->set);
    FS_TRY(begin(out, cell->site, cell->steps != 0));
    for (size_t i = 0; i < space->slice_count; i++) {
        set |= (fs_component_set)1 << space->geometry->slices[space->slices[i]].component;
    }
    return write_set(out, space->geometry, set);
}

fs_status report_place_sweep(fs_buf *out, const fs_plan *plan, uint32_t sweep)
{
    const fs_sweep *s = &plan->campaign->sweeps[sweep];
    const fs_geometry *geometry = plan->models[0].geometry;
    if (!has_components(s->site)) {
        FS_TRY(write_words(out, s->site, s->set));
    } else {
        FS_TRY(begin(out, s->site, s->finetunes));
        FS_TRY(write_set(out, geometry, s->set & fs_geometry_components(geometry)));
    }
    for (size_t i = 0; i < s->layer_count; i++) {
        FS_TRY(fs_buf_printf(out, "%s%d", i == 0 ? " of layers " : ", ", s->layers[i]));
    }
    if (s->site->from == FS_SITE_DRAWN) return FS_OK;
    const char *slash = strrchr(s->source.file, '/');
    return fs_buf_printf(out, " of %s", slash == NULL ? s->source.file : slash + 1);
}
