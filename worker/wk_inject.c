#include "wk_inject.h"

#include <stdlib.h>

/* One composed codeword: up to FS_CODEWORD_WORDS_MAX neighbouring values of a tensor. A codeword
 * that the tensor's end cuts is filled with zeros. */
typedef struct codeword {
    uint32_t tensor;
    uint64_t first;                         /* element of its first word */
    unsigned words;                         /* composed length */
    unsigned inside;                        /* words that exist in the tensor */
    uint32_t clean[FS_CODEWORD_WORDS_MAX];  /* as in the model's file */
    uint32_t stored[FS_CODEWORD_WORDS_MAX]; /* encoded */
    uint32_t faulty[FS_CODEWORD_WORDS_MAX]; /* stored, hit */
    uint32_t before[FS_CODEWORD_WORDS_MAX]; /* what arithmetic saw */
    uint32_t after[FS_CODEWORD_WORDS_MAX];  /* and sees */
} codeword;

static fs_status remember(wk_injection *self, const codeword *w, unsigned i, uint16_t slice)
{
    if (self->count == self->capacity) {
        size_t capacity = self->capacity == 0 ? 64 : 2 * self->capacity;
        wk_change *changes = realloc(self->changes, capacity * sizeof *changes);
        if (changes == NULL) return fs_fail(FS_ENOMEM, "no memory for %zu changes", capacity);
        self->changes = changes;
        self->capacity = capacity;
    }
    self->changes[self->count++] = (wk_change){w->tensor, slice, w->first + i};
    return FS_OK;
}

/* Loads the codeword of the first fault, hits it with all its faults, decodes.
 * @return the number of faults that lie in it. */
static size_t hit_codeword(codeword *w, const nn_view *view, const fs_protect *protect,
                           const fs_fault *faults, size_t count, fs_trial_record *record)
{
    const nn_model *model = nn_view_model(view);
    const fs_tensor *tensor = &nn_model_geometry(model)->tensors[faults[0].tensor];
    uint64_t values = (uint64_t)tensor->rows * tensor->cols;
    *w = (codeword){.tensor = faults[0].tensor, .words = fs_protect_words(protect)};
    w->first = faults[0].element - faults[0].element % w->words;
    w->inside = values - w->first < w->words ? (unsigned)(values - w->first) : w->words;
    for (unsigned i = 0; i < w->inside; i++) {
        w->clean[i] = w->stored[i] = nn_model_clean(model, w->tensor, w->first + i);
        w->before[i] = nn_view_get(view, w->tensor, w->first + i);
    }
    fs_check check = {0};
    fs_protect_encode(protect, w->stored, &check);
    for (unsigned i = 0; i < w->words; i++) w->faulty[i] = w->stored[i];
    size_t n = 0;
    for (; n < count && faults[n].tensor == w->tensor && faults[n].element < w->first + w->words;
         n++) {
        uint32_t *word = &w->faulty[faults[n].element - w->first], old = *word;
        *word = fs_fault_apply(faults[n], old);
        record->effective += *word != old;
    }
    fs_codec_report report = {0};
    for (unsigned i = 0; i < w->words; i++) w->after[i] = w->faulty[i];
    fs_protect_decode(protect, w->after, &check, &report);
    record->corrected += report.corrected;
    record->detected += report.detected;
    int differs = 0;
    for (unsigned i = 0; i < w->inside; i++) differs |= w->after[i] != w->before[i];
    record->miscorrected += differs && report.corrected > 0;
    return n;
}

static void keep_faults(const codeword *w, const fs_fault *faults, size_t n,
                        fs_trial_record *record)
{
    for (size_t f = 0; f < n && record->kept < FS_FAULTS_KEPT_MAX; f++) {
        size_t i = (size_t)(faults[f].element - w->first);
        record->fault[record->kept++] = (fs_fault_record){.tensor = w->tensor,
                                                          .bit = faults[f].bit,
                                                          .kind = faults[f].kind,
                                                          .element = faults[f].element,
                                                          .before = w->stored[i],
                                                          .after = w->faulty[i],
                                                          .value_before = w->before[i],
                                                          .value_after = w->after[i]};
    }
}

fs_status wk_inject(wk_injection *self, nn_view *view, const fs_protect *protect,
                    const fs_fault_list *faults, fs_trial_record *record)
{
    self->count = 0;
    record->faults = faults->count;
    record->faults_checksum = fs_fault_list_checksum(faults);
    for (size_t at = 0; at < faults->count;) {
        codeword w;
        const fs_fault *hit = &faults->items[at];
        size_t n = hit_codeword(&w, view, protect, hit, faults->count - at, record);
        keep_faults(&w, hit, n, record);
        for (unsigned i = 0; i < w.inside; i++) {
            if (w.after[i] == w.before[i]) continue;
            /* A codeword may reach into a neighbouring slice; the faults' own slice is close
             * enough for what a slice decides, the layer. */
            fs_status status = remember(self, &w, i, hit->slice);
            if (status != FS_OK) return status;
            nn_view_set(view, w.tensor, w.first + i, w.after[i]);
            record->visible++;
        }
        at += n;
    }
    return FS_OK;
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
    *self = (wk_injection){0};
}
