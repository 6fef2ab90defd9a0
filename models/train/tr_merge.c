#include "tr_merge.h"

#include <stdlib.h>
#include <string.h>

#include "assert.h"

/** A pair of neighbours, how often it comes, and the words that hold it or once did. */
typedef struct count {
    tr_pair pair;
    uint64_t times;
    uint32_t *words;
    uint32_t word_count, word_capacity;
    uint32_t raised; /* the last merge that raised its count */
} count;

/** A count as it was; stale once the pair's has changed. For every pair that comes at all there is
 * an entry of at least its count, so that the top, once true, is the largest. */
typedef struct entry {
    uint64_t times;
    uint32_t number; /* of the count */
} entry;

typedef struct learner {
    tr_merge_words *words;
    count *counts;
    uint32_t count_count, count_capacity;
    uint32_t *slots; /* number + 1 of the count; 0: free */
    size_t slot_count;
    entry *heap;
    size_t heap_count, heap_capacity;
    uint32_t *raised; /* counts that the merge at hand has raised */
    size_t raised_count, raised_capacity;
    uint32_t merge; /* number of the merge at hand, from 1 */
} learner;

/** Makes room for one more item of an array. @return the array, NULL if there is no memory. */
static void *grown(void *items, size_t used, size_t *capacity, size_t item_bytes)
{
    if (used < *capacity) return items;
    size_t wanted = *capacity < 8 ? 8 : 2 * *capacity;
    void *more = realloc(items, wanted * item_bytes);
    if (more != NULL) *capacity = wanted;
    return more;
}

static fs_status no_memory(void)
{
    return fs_fail(FS_ENOMEM, "no memory for learning a vocabulary");
}

fs_status tr_pieces_init(tr_pieces *self, uint32_t most)
{
    *self = (tr_pieces){.most = most};
    self->items = calloc((size_t)most + 1, sizeof *self->items);
    if (self->items == NULL) return no_memory();
    return tok_index_init(&self->index, most);
}

void tr_pieces_free(tr_pieces *self)
{
    for (uint32_t i = 0; i < self->count; i++) free(self->items[i]);
    free(self->items);
    tok_index_free(&self->index);
    *self = (tr_pieces){0};
}

fs_status tr_pieces_put(tr_pieces *self, const char *text, size_t size, int32_t *id)
{
    *id = tok_index_find(&self->index, text, size);
    if (*id >= 0) return FS_OK;
    FS_ASSERT(self->count < self->most);
    char *piece = malloc(size + 1);
    if (piece == NULL) return no_memory();
    memcpy(piece, text, size);
    piece[size] = '\0';
    *id = (int32_t)self->count;
    self->items[self->count++] = piece;
    tok_index_put(&self->index, piece, size, *id);
    return FS_OK;
}

void tr_merges_free(tr_merges *self)
{
    free(self->items);
    *self = (tr_merges){0};
}

void tr_merge_words_free(tr_merge_words *self)
{
    free(self->symbols);
    free(self->first);
    free(self->length);
    free(self->times);
    *self = (tr_merge_words){0};
}

static fs_status reserve_word(tr_merge_words *self)
{
    if (self->count < self->capacity) return FS_OK;
    const size_t capacity = self->capacity < 64 ? 64 : 2 * self->capacity;
    size_t *first = realloc(self->first, capacity * sizeof *first);
    if (first != NULL) self->first = first;
    uint32_t *length = realloc(self->length, capacity * sizeof *length);
    if (length != NULL) self->length = length;
    uint64_t *times = realloc(self->times, capacity * sizeof *times);
    if (times != NULL) self->times = times;
    if (first == NULL || length == NULL || times == NULL) return no_memory();
    self->capacity = capacity;
    return FS_OK;
}

fs_status tr_merge_words_add(tr_merge_words *self, const int32_t *symbols, uint32_t length,
                             uint64_t times)
{
    if (length < 2) return FS_OK;
    FS_TRY(reserve_word(self));
    if (length > self->symbol_capacity - self->symbol_count) {
        const size_t capacity = 2 * self->symbol_capacity + length;
        int32_t *all = realloc(self->symbols, capacity * sizeof *all);
        if (all == NULL) return no_memory();
        self->symbols = all;
        self->symbol_capacity = capacity;
    }
    memcpy(self->symbols + self->symbol_count, symbols, length * sizeof *symbols);
    self->first[self->count] = self->symbol_count;
    self->length[self->count] = length;
    self->times[self->count++] = times;
    self->symbol_count += length;
    return FS_OK;
}

/* Counting pairs */

static size_t pair_hash(tr_pair pair)
{
    uint64_t x = (uint64_t)(uint32_t)pair.left << 32 | (uint32_t)pair.right;
    x *= 0x9E3779B97F4A7C15u;
    return (size_t)(x ^ x >> 32);
}

/** @return the pair's slot, or the free one where it would go. */
static uint32_t *find_slot(const learner *l, tr_pair pair)
{
    const size_t mask = l->slot_count - 1;
    for (size_t i = pair_hash(pair) & mask;; i = (i + 1) & mask) {
        if (l->slots[i] == 0) return &l->slots[i];
        const tr_pair *there = &l->counts[l->slots[i] - 1].pair;
        if (there->left == pair.left && there->right == pair.right) return &l->slots[i];
    }
}

static fs_status grow_counts(learner *l)
{
    const size_t slot_count = l->slot_count == 0 ? 1 << 12 : 2 * l->slot_count;
    count *counts = realloc(l->counts, slot_count / 2 * sizeof *counts);
    if (counts != NULL) l->counts = counts;
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    if (counts == NULL || slots == NULL) {
        free(slots);
        return no_memory();
    }
    memset(counts + l->count_capacity, 0, (slot_count / 2 - l->count_capacity) * sizeof *counts);
    free(l->slots);
    l->slots = slots;
    l->slot_count = slot_count;
    l->count_capacity = (uint32_t)(slot_count / 2);
    for (uint32_t i = 0; i < l->count_count; i++) *find_slot(l, l->counts[i].pair) = i + 1;
    return FS_OK;
}

/** Finds the pair's count or begins it. */
static fs_status count_of(learner *l, tr_pair pair, uint32_t *number)
{
    if (l->count_count == l->count_capacity) FS_TRY(grow_counts(l));
    uint32_t *slot = find_slot(l, pair);
    if (*slot == 0) {
        l->counts[l->count_count].pair = pair;
        *slot = ++l->count_count;
    }
    *number = *slot - 1;
    return FS_OK;
}

/** Remembers that a word holds the pair. */
static fs_status note_word(count *c, uint32_t word)
{
    if (c->word_count > 0 && c->words[c->word_count - 1] == word) return FS_OK;
    size_t capacity = c->word_capacity;
    uint32_t *words = grown(c->words, c->word_count, &capacity, sizeof *words);
    if (words == NULL) return no_memory();
    c->words = words;
    c->word_capacity = (uint32_t)capacity;
    c->words[c->word_count++] = word;
    return FS_OK;
}

static fs_status note_raised(learner *l, uint32_t number)
{
    if (l->counts[number].raised == l->merge) return FS_OK;
    uint32_t *raised = grown(l->raised, l->raised_count, &l->raised_capacity, sizeof *raised);
    if (raised == NULL) return no_memory();
    l->raised = raised;
    l->raised[l->raised_count++] = number;
    l->counts[number].raised = l->merge;
    return FS_OK;
}

/* The heap */

static int before(const learner *l, entry a, entry b)
{
    if (a.times != b.times) return a.times > b.times;
    const tr_pair x = l->counts[a.number].pair, y = l->counts[b.number].pair;
    return x.left != y.left ? x.left < y.left : x.right < y.right;
}

static fs_status heap_push(learner *l, uint32_t number)
{
    const entry new = {l->counts[number].times, number};
    entry *heap = grown(l->heap, l->heap_count, &l->heap_capacity, sizeof *heap);
    if (heap == NULL) return no_memory();
    l->heap = heap;
    size_t i = l->heap_count++;
    for (; i > 0 && before(l, new, heap[(i - 1) / 2]); i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = new;
    return FS_OK;
}

static entry heap_pop(learner *l)
{
    const entry top = l->heap[0], last = l->heap[--l->heap_count];
    size_t i = 0;
    for (size_t child = 1; child < l->heap_count; child = 2 * i + 1) {
        child += child + 1 < l->heap_count && before(l, l->heap[child + 1], l->heap[child]);
        if (!before(l, l->heap[child], last)) break;
        l->heap[i] = l->heap[child];
        i = child;
    }
    l->heap[i] = last;
    return top;
}

/** Finds the pair that comes most often. @return FS_OK with *found == 0 if none comes. */
static fs_status next_pair(learner *l, uint32_t *number, int *found)
{
    *found = 0;
    while (l->heap_count > 0 && !*found) {
        const entry top = heap_pop(l);
        const uint64_t times = l->counts[top.number].times;
        *number = top.number;
        *found = times == top.times && times > 0;
        /* One that has risen since has another entry. */
        if (times > 0 && times < top.times) FS_TRY(heap_push(l, top.number));
    }
    return FS_OK;
}

/* Merging */

static fs_status count_words(learner *l)
{
    for (uint32_t w = 0; w < l->words->count; w++) {
        const int32_t *symbols = l->words->symbols + l->words->first[w];
        for (uint32_t i = 0; i + 1 < l->words->length[w]; i++) {
            uint32_t number;
            FS_TRY(count_of(l, (tr_pair){symbols[i], symbols[i + 1]}, &number));
            FS_TRY(note_word(&l->counts[number], w));
            l->counts[number].times += l->words->times[w];
        }
    }
    for (uint32_t i = 0; i < l->count_count; i++) FS_TRY(heap_push(l, i));
    return FS_OK;
}

/** @return the word's length after merging, from the left. */
static uint32_t merge_symbols(int32_t *symbols, uint32_t length, tr_pair pair, int32_t merged)
{
    uint32_t to = 0;
    for (uint32_t i = 0; i < length; i++) {
        const int both = i + 1 < length && symbols[i] == pair.left && symbols[i + 1] == pair.right;
        symbols[to++] = both ? merged : symbols[i];
        i += both != 0;
    }
    return to;
}

/** Merges within a word: takes its pairs out of the counts and puts the new ones in. Only pairs
 * with the merged piece can be new to the word. */
static fs_status merge_word(learner *l, uint32_t w, tr_pair pair, int32_t merged)
{
    int32_t *symbols = l->words->symbols + l->words->first[w];
    const uint32_t length = l->words->length[w];
    const uint64_t times = l->words->times[w];
    uint32_t i = 0;
    while (i + 1 < length && (symbols[i] != pair.left || symbols[i + 1] != pair.right)) i++;
    if (i + 1 >= length) return FS_OK; /* another merge was here before */
    for (i = 0; i + 1 < length; i++)
        l->counts[*find_slot(l, (tr_pair){symbols[i], symbols[i + 1]}) - 1].times -= times;
    const uint32_t after = merge_symbols(symbols, length, pair, merged);
    l->words->length[w] = after;
    for (i = 0; i + 1 < after; i++) {
        uint32_t number;
        FS_TRY(count_of(l, (tr_pair){symbols[i], symbols[i + 1]}, &number));
        l->counts[number].times += times;
        if (symbols[i] != merged && symbols[i + 1] != merged) continue;
        FS_TRY(note_word(&l->counts[number], w));
        FS_TRY(note_raised(l, number));
    }
    return FS_OK;
}

/** Adds the piece that two make. */
static fs_status join(tr_pieces *pieces, tr_pair pair, const char *prefix, int32_t *merged)
{
    const char *left = pieces->items[pair.left], *right = pieces->items[pair.right];
    const size_t prefix_size = strlen(prefix);
    if (strncmp(right, prefix, prefix_size) == 0) right += prefix_size;
    const size_t left_size = strlen(left), right_size = strlen(right);
    char *text = malloc(left_size + right_size + 1);
    if (text == NULL) return no_memory();
    memcpy(text, left, left_size);
    memcpy(text + left_size, right, right_size);
    fs_status status = tr_pieces_put(pieces, text, left_size + right_size, merged);
    free(text);
    return status;
}

/** Merges the pair wherever it stands. */
static fs_status merge_pair(learner *l, uint32_t number, int32_t merged)
{
    count *c = &l->counts[number];
    const tr_pair pair = c->pair;
    uint32_t *words = c->words; /* taken away: counts may move, and the pair may come up anew */
    const uint32_t word_count = c->word_count;
    c->words = NULL;
    c->word_count = c->word_capacity = 0;
    l->merge++;
    l->raised_count = 0;
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < word_count && status == FS_OK; i++)
        status = merge_word(l, words[i], pair, merged);
    free(words);
    for (size_t i = 0; i < l->raised_count && status == FS_OK; i++)
        status = heap_push(l, l->raised[i]);
    return status;
}

static fs_status learn(learner *l, tr_pieces *pieces, const char *prefix, uint64_t least,
                       tr_merges *out)
{
    FS_TRY(count_words(l));
    while (pieces->count < pieces->most) {
        uint32_t number;
        int found;
        int32_t merged;
        FS_TRY(next_pair(l, &number, &found));
        if (!found || l->counts[number].times < least) break;
        const tr_pair pair = l->counts[number].pair;
        FS_TRY(join(pieces, pair, prefix, &merged));
        tr_pair *merges = grown(out->items, out->count, &out->capacity, sizeof *merges);
        if (merges == NULL) return no_memory();
        out->items = merges;
        out->items[out->count++] = pair;
        FS_TRY(merge_pair(l, number, merged));
    }
    return FS_OK;
}

fs_status tr_merge_learn(tr_pieces *pieces, tr_merge_words *words, const char *prefix,
                         uint64_t least, tr_merges *out)
{
    learner l = {.words = words};
    fs_status status = learn(&l, pieces, prefix, least, out);
    for (uint32_t i = 0; i < l.count_count; i++) free(l.counts[i].words);
    free(l.counts);
    free(l.slots);
    free(l.heap);
    free(l.raised);
    return status;
}
