#include "wk_activations.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAN_BITS 0x7fc00000u

fs_status wk_activations_init(wk_activations *self, const dataset *data, uint32_t inputs)
{
    *self = (wk_activations){.data = data, .probe = {wk_activations_tap, self}};
    self->first = calloc((size_t)inputs + 1, sizeof *self->first);
    return self->first != NULL ? FS_OK : fs_fail(FS_ENOMEM, "no memory for a trial");
}

void wk_activations_free(wk_activations *self)
{
    fs_fault_list_free(&self->list);
    fs_fault_list_free(&self->one);
    free(self->first);
    *self = (wk_activations){0};
}

void wk_activations_begin(wk_activations *self, const fs_cell *cell, uint64_t trial,
                          fs_trial_record *record)
{
    self->cell = cell->site->when == FS_SITE_COMPUTED ? cell : NULL;
    self->trial = trial;
    self->record = record;
    self->list.count = 0;
    self->earlier = 0;
    if (self->cell == NULL) return;
    record->activations = 1;
    self->only =
        cell->transient ? fs_activation_pick(cell->draw_key, trial, self->data->count) : UINT32_MAX;
}

static fs_status append(fs_fault_list *list, const fs_fault_list *more)
{
    size_t count = list->count + more->count;
    if (count > list->capacity) {
        size_t capacity = count < 2 * list->capacity ? 2 * list->capacity : count;
        fs_fault *items = realloc(list->items, capacity * sizeof *items);
        if (items == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu faults", capacity);
        list->items = items;
        list->capacity = capacity;
    }
    if (more->count > 0)
        memcpy(list->items + list->count, more->items, more->count * sizeof *more->items);
    list->count = count;
    return FS_OK;
}

/* Writes down where the first faults of the trial are; what they do is known later. */
static void keep(fs_trial_record *record, const fs_fault_list *list)
{
    for (size_t i = 0; i < list->count && record->kept < FS_FAULTS_KEPT_MAX; i++) {
        const fs_fault *f = &list->items[i];
        record->fault[record->kept++] = (fs_fault_record){.input = f->input,
                                                          .bit = f->bit,
                                                          .kind = f->kind,
                                                          .place = f->place,
                                                          .element = f->element};
    }
}

static fs_status draw_input(wk_activations *self, uint32_t input)
{
    const fs_cell *cell = self->cell;
    fs_trial_record *record = self->record;
    const fs_extent extent = {.length = self->data->off[input + 1] - self->data->off[input],
                              .scored =
                                  self->data->kind == FS_TASK_LM ? self->data->scored[input] : 0};
    FS_TRY(fs_activation_draw(&self->one, cell->space, cell->amount, &cell->form, cell->draw_key,
                              self->trial, input, extent));
    record->faults += self->one.count;
    record->faults_checksum =
        fs_activation_checksum(record->faults_checksum, self->one.items, self->one.count);
    keep(record, &self->one);
    return append(&self->list, &self->one);
}

fs_status wk_activations_draw(wk_activations *self, uint32_t first, uint32_t n)
{
    self->earlier += self->list.count;
    self->list.count = 0;
    self->batch = first;
    if (self->cell == NULL) return FS_OK;
    for (uint32_t i = 0; i < n; i++) {
        self->first[i] = self->list.count;
        if (self->only == UINT32_MAX || self->only == first + i)
            FS_TRY(draw_input(self, first + i));
    }
    self->first[n] = self->list.count;
    return FS_OK;
}

/* @return the first fault of an input at or behind an element of a place. */
static size_t lower_bound(const wk_activations *self, uint32_t input, fs_place place,
                          uint64_t element)
{
    size_t low = self->first[input], high = self->first[input + 1];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const fs_fault *f = &self->list.items[middle];
        if (f->place < place || (f->place == place && f->element < element))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int wk_activations_between(const wk_activations *self, uint32_t input, fs_place from, fs_place to)
{
    if (self->cell == NULL || self->first[input] == self->first[input + 1]) return 0;
    size_t at = lower_bound(self, input, from, 0);
    return at < self->first[input + 1] && self->list.items[at].place <= to;
}

const nn_probe *wk_activations_probe(wk_activations *self, const uint32_t *active, uint32_t count,
                                     fs_place from, fs_place to)
{
    int hit = 0;
    for (uint32_t a = 0; a < count && !hit; a++)
        hit = wk_activations_between(self, active[a], from, to);
    self->active = active;
    return hit ? &self->probe : NULL;
}

/* Hits one value with all faults of its element, items [at, end). @return the first one behind. */
static size_t hit_value(wk_activations *self, size_t at, size_t end, float *value)
{
    const fs_fault *faults = self->list.items;
    fs_trial_record *record = self->record;
    const fs_format *format = fs_format_of(self->cell->format);
    uint32_t before;
    size_t first = at;
    memcpy(&before, value, sizeof before);
    /* NaNs differ from one instruction set to the next, and a flip could show it. */
    if (isnan(*value)) before = NAN_BITS;
    /* The value is one of the format's: nothing is lost in its word. */
    const uint32_t stored = fs_format_narrow(format, before);
    uint32_t after = stored;
    for (; at < end && faults[at].element == faults[first].element &&
           faults[at].place == faults[first].place;
         at++) {
        uint32_t old = after;
        after = fs_fault_apply(faults[at], old);
        record->effective += after != old;
    }
    uint32_t read = before;
    if (after != stored) read = fs_guard_read(&self->cell->guard, fs_format_widen(format, after));
    record->visible += read != before;
    memcpy(value, &read, sizeof read);
    for (size_t i = first; i < at && self->earlier + i < record->kept; i++) {
        fs_fault_record *kept = &record->fault[self->earlier + i];
        kept->before = stored;
        kept->value_before = before;
        kept->after = after;
        kept->value_after = read;
    }
    return at;
}

void wk_activations_tap(void *context, const nn_tap *tap)
{
    wk_activations *self = context;
    const fs_config *config = &self->cell->space->geometry->config;
    const uint32_t input = self->active[tap->sequence];
    const uint64_t width = fs_stage_width(config, tap->stage);
    const uint64_t row = (uint64_t)tap->head * config->positions + tap->row;
    const fs_place place = fs_place_of(tap->stage, tap->layer);
    size_t at = lower_bound(self, input, place, row * width);
    size_t end = lower_bound(self, input, place, (row + tap->rows) * width);
    while (at < end) {
        uint64_t element = self->list.items[at].element - row * width;
        at =
            hit_value(self, at, end, tap->values + element / width * tap->stride + element % width);
    }
}
