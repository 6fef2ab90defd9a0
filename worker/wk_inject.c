#include "wk_inject.h"

#include <stdlib.h>
#include <string.h>

#include "grow.h"

/* A unit of codewords of one row, and the hits that are not yet applied. */
typedef struct unit {
    uint32_t tensor;
    uint64_t first; /* element of its first word */
    size_t count;   /* words */
    uint16_t slice; /* of its first hit */
    const fs_protection *protection;
    fs_coding coding;
    const fs_fault *faults; /* that lie in it */
    size_t fault_count;
    const fs_check_fault *checks;
    size_t check_count;
} unit;

static fs_status remember(wk_injection *self, const unit *u, size_t i)
{
    wk_change *changes = fs_grow(self->changes, self->count, &self->capacity, sizeof *changes);
    if (changes == NULL) return fs_fail(FS_ENOMEM, "no memory for more changes");
    self->changes = changes;
    /* A unit may reach into a neighbouring slice; its hits' own slice is close enough for what a
     * slice decides, the layer. */
    self->changes[self->count++] = (wk_change){u->tensor, u->slice, u->first + i};
    return FS_OK;
}

/* Stores the unit's clean words as the protected memory would, and hits them. */
static void hit(const unit *u, fs_coding_room *room, const nn_model *model, fs_trial_record *record)
{
    const fs_protect *protect = u->coding.protect;
    const fs_format *format = fs_protect_format(protect);
    const size_t padded = fs_coding_padded(protect, u->count), bytes = padded * sizeof(uint32_t);
    for (size_t i = 0; i < u->count; i++)
        room->read[i] = nn_model_clean(model, u->tensor, u->first + i);
    fs_protection_narrow(u->protection, u->tensor, u->first, room->read, room->prepared, u->count);
    for (size_t i = u->count; i < padded; i++) room->prepared[i] = 0;
    fs_coding_prepare(&u->coding, room->prepared, u->count);
    memcpy(room->stored, room->prepared, bytes);
    fs_coding_encode(&u->coding, room->stored, u->count, room->check);
    memcpy(room->faulty, room->stored, bytes);
    for (size_t f = 0; f < u->fault_count; f++) {
        uint32_t *word = &room->faulty[u->faults[f].element - u->first], old = *word;
        *word = fs_fault_apply(u->faults[f], old);
        record->effective += *word != old;
    }
    for (size_t f = 0; f < u->check_count; f++) {
        const fs_check_fault *fault = &u->checks[f];
        if (fault->codec == FS_CHECK_SCALE) continue; /* of wk_scales */
        const fs_codec *codec = protect->codecs[fault->codec];
        const size_t cols = nn_model_geometry(model)->tensors[u->tensor].cols;
        const size_t index = (fault->element - u->first) / fs_codec_words(codec, format, cols);
        fs_check_apply(fault, room->check + index * fs_codec_check_bytes(codec) +
                                  fs_coding_check_offset(protect, fault->codec, u->count));
    }
    memcpy(room->read, room->faulty, bytes);
}

static void keep_faults(const unit *u, const fs_coding_room *room, const nn_view *view,
                        fs_trial_record *record)
{
    for (size_t f = 0; f < u->fault_count && record->kept < FS_FAULTS_KEPT_MAX; f++) {
        const fs_fault *fault = &u->faults[f];
        const size_t i = (size_t)(fault->element - u->first);
        record->fault[record->kept++] =
            (fs_fault_record){.tensor = u->tensor,
                              .bit = fault->bit,
                              .kind = fault->kind,
                              .element = fault->element,
                              .before = room->stored[i],
                              .after = room->faulty[i],
                              .value_before = nn_view_get(view, u->tensor, fault->element),
                              .value_after = room->read[i]};
    }
}

/* Whether a word was decoded to a wrong one: read by the scales as stored, for what a hit scale
 * makes of a right word is not the code's doing. Of words not yet widened; `scratch` is lost. */
static int is_wrong(const unit *u, const fs_coding_room *room, const nn_view *view)
{
    memcpy(room->scratch, room->read, u->count * sizeof *room->scratch);
    fs_protection_widen(u->protection, u->tensor, u->first, room->scratch, u->count);
    for (size_t i = 0; i < u->count; i++) {
        const uint32_t bits = fs_guard_read(&u->coding.protect->guard, room->scratch[i]);
        if (bits != nn_view_get(view, u->tensor, u->first + i)) return 1;
    }
    return 0;
}

/* Encodes, hits and decodes one unit, and writes what changed. */
static fs_status inject_unit(wk_injection *self, const unit *u, nn_view *view,
                             fs_trial_record *record)
{
    const fs_protect *protect = u->coding.protect;
    fs_coding_room *room = &self->room;
    FS_TRY(fs_coding_room_reserve(room, protect, u->count));
    hit(u, room, nn_view_model(view), record);
    fs_codec_report report = {0};
    fs_coding_decode(&u->coding, room->read, u->count, room->check, room->prepared, room->scratch,
                     &report);
    record->miscorrected += report.corrected > 0 && is_wrong(u, room, view);
    wk_scales_widen(&self->scales, u->protection, u->tensor, u->first, room->read, u->count);
    for (size_t i = 0; i < u->count; i++)
        room->read[i] = fs_guard_read(&protect->guard, room->read[i]);
    keep_faults(u, room, view, record);
    uint64_t visible = 0;
    for (size_t i = 0; i < u->count; i++) {
        if (room->read[i] == nn_view_get(view, u->tensor, u->first + i)) continue;
        FS_TRY(remember(self, u, i));
        nn_view_set(view, u->tensor, u->first + i, room->read[i]);
        visible++;
    }
    record->visible += visible;
    record->corrected += report.corrected;
    record->detected += report.detected;
    self->left += report.left;
    return FS_OK;
}

/* The unit that holds an element. */
static void find_unit(unit *u, const fs_protect *protect, const fs_tensor *tensor, uint64_t element)
{
    const uint64_t col = element % tensor->cols, words = fs_coding_unit(protect, tensor->cols);
    const uint64_t start = col - col % words, left = tensor->cols - start;
    u->first = element - col + start;
    u->count = (size_t)(left < words ? left : words);
}

/* Takes the hits that lie in the unit off the front of both lists. */
static void take_hits(unit *u, const wk_hits *hits, size_t *fault, size_t *check)
{
    const uint64_t end = u->first + u->count;
    if (hits->faults->count > 0) u->faults = hits->faults->items + *fault;
    if (hits->checks->count > 0) u->checks = hits->checks->items + *check;
    u->fault_count = u->check_count = 0;
    while (*fault < hits->faults->count && hits->faults->items[*fault].tensor == u->tensor &&
           hits->faults->items[*fault].element < end) {
        u->fault_count++;
        (*fault)++;
    }
    while (*check < hits->checks->count && hits->checks->items[*check].tensor == u->tensor &&
           hits->checks->items[*check].element < end) {
        u->check_count++;
        (*check)++;
    }
    if (u->fault_count > 0)
        u->slice = u->faults[0].slice;
    else if (u->check_count > 0)
        u->slice = u->checks[0].slice;
}

/* Starts on a tensor. What a scale alone reaches is of the tensor's first slice. */
static void enter_tensor(unit *u, const wk_hits *hits, const fs_geometry *geometry, uint32_t tensor)
{
    u->tensor = tensor;
    u->protection = hits->protection;
    u->coding = fs_protection_coding(hits->protection, tensor);
    u->slice = 0;
    while (geometry->slices[u->slice].tensor != tensor) u->slice++;
}

/* A place in a model. */
typedef struct place {
    uint32_t tensor;
    uint64_t element;
} place;

static place earlier(place a, place b)
{
    return a.tensor < b.tensor || (a.tensor == b.tensor && a.element <= b.element) ? a : b;
}

/* @return the first place at or behind `from` that is hit, of tensor UINT32_MAX if there is none;
 * `fault` and `check` are the first of their lists there. */
static place next_hit(const wk_injection *self, const wk_hits *hits, size_t fault, size_t check,
                      place from)
{
    place at = {UINT32_MAX, 0};
    if (fault < hits->faults->count) {
        const fs_fault *f = &hits->faults->items[fault];
        at = earlier(at, (place){f->tensor, f->element});
    }
    if (check < hits->checks->count) {
        const fs_check_fault *c = &hits->checks->items[check];
        at = earlier(at, (place){c->tensor, c->element});
    }
    if (wk_scales_next(&self->scales, hits->protection, &from.tensor, &from.element))
        at = earlier(at, from);
    return at;
}

static fs_status inject_hit(wk_injection *self, nn_view *view, const wk_hits *hits,
                            fs_trial_record *record)
{
    const fs_geometry *geometry = nn_model_geometry(nn_view_model(view));
    unit u = {.tensor = UINT32_MAX};
    size_t fault = 0, check = 0;
    for (place at = next_hit(self, hits, 0, 0, (place){0, 0}); at.tensor != UINT32_MAX;
         at = next_hit(self, hits, fault, check, (place){u.tensor, u.first + u.count})) {
        if (at.tensor != u.tensor) enter_tensor(&u, hits, geometry, at.tensor);
        find_unit(&u, &hits->protection->protect, &geometry->tensors[u.tensor], at.element);
        take_hits(&u, hits, &fault, &check);
        FS_TRY(inject_unit(self, &u, view, record));
    }
    return FS_OK;
}

static fs_status inject_everything(wk_injection *self, nn_view *view, const wk_hits *hits,
                                   fs_trial_record *record)
{
    const fs_geometry *geometry = nn_model_geometry(nn_view_model(view));
    unit u = {0};
    size_t fault = 0, check = 0;
    for (uint32_t t = 0; t < geometry->tensor_count; t++) {
        const fs_tensor *tensor = &geometry->tensors[t];
        const uint64_t values = (uint64_t)tensor->rows * tensor->cols;
        enter_tensor(&u, hits, geometry, t);
        for (uint64_t element = 0; element < values; element = u.first + u.count) {
            find_unit(&u, &hits->protection->protect, tensor, element);
            take_hits(&u, hits, &fault, &check);
            FS_TRY(inject_unit(self, &u, view, record));
        }
    }
    return FS_OK;
}

fs_status wk_inject(wk_injection *self, nn_view *view, const wk_hits *hits, fs_trial_record *record)
{
    self->count = 0;
    self->left = 0;
    record->faults = hits->faults->count;
    record->check_faults = hits->checks->count;
    record->faults_checksum = fs_fault_list_checksum(hits->faults);
    FS_TRY(wk_scales_hit(&self->scales, hits->protection, hits->checks));
    return hits->everything ? inject_everything(self, view, hits, record)
                            : inject_hit(self, view, hits, record);
}

void wk_restore(wk_injection *self, nn_view *view, const nn_view *clean)
{
    for (size_t i = 0; i < self->count; i++) {
        const wk_change *change = &self->changes[i];
        nn_view_set(view, change->tensor, change->element,
                    nn_view_get(clean, change->tensor, change->element));
    }
    self->count = 0;
}

void wk_injection_free(wk_injection *self)
{
    free(self->changes);
    fs_coding_room_free(&self->room);
    wk_scales_free(&self->scales);
    *self = (wk_injection){0};
}
