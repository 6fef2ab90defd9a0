/** A small trainer over a small random network, with hooks and an adapter put in by the test. */
#ifndef TUNE_FIXTURE_H
#define TUNE_FIXTURE_H

#include "net_fixture.h"

#include "file.h"
#include "tr_trainer.h"

typedef struct tuner {
    network net;
    fs_config config;
    tok *tokeniser;
    tr_source *source;
    tr_trainer *trainer;
    tr_trainer_options options;
} tuner;

static inline tiny_spec tune_spec(fs_model_kind kind, fs_task_kind task)
{
    tiny_spec spec = tiny_spec_default(kind, task);
    spec.width = 16, spec.heads = 2, spec.inner = 24, spec.vocab = 300, spec.positions = 16;
    return spec;
}

/** A network, and batches to learn from; make hooks and adapter over `net`, then tune_start. */
static inline void tune_make(tuner *self, const tiny_spec *spec, tr_head head, unsigned threads)
{
    char data[FS_PATH_BYTES_MAX];
    *self = (tuner){0};
    net_make(&self->net, spec, head, threads);
    assert_ok(fs_config_read(&self->config, self->net.dir));
    assert_ok(tok_open(&self->tokeniser, self->net.dir));
    assert_ok(fs_path_join(data, self->net.dir, "data"));
    assert_ok(tiny_model_write_data(self->net.tiny, data, 60));
    const tr_source_options source = {.head = head, .seed = 5, .batch = 6, .window = 12};
    assert_ok(tr_source_open(&self->source, data, &self->config, self->tokeniser, &source));
    self->options = (tr_trainer_options){
        .objective = {.dropout = 0.1f, .attention_dropout = 0.1f, .key = 77, .accumulate = 1},
        .adamw = {0.9, 0.999, 1e-8, 0.01},
        .schedule = {.kind = TR_SCHEDULE_CONSTANT, .peak = 3e-3},
        .clip = 1};
}

static inline void tune_start(tuner *self, const tr_hooks *hooks, const tr_adapter *adapter)
{
    assert_ok(tr_trainer_new(&self->trainer, &self->options, self->net.weights, self->net.pool,
                             self->source, hooks, adapter));
}

static inline tr_step_report tune_step(tuner *self)
{
    tr_step_report report;
    assert_ok(tr_trainer_step(self->trainer, &report));
    return report;
}

static inline void tune_unmake(tuner *self)
{
    tr_trainer_destroy(&self->trainer);
    tr_source_close(&self->source);
    tok_close(&self->tokeniser);
    net_unmake(&self->net);
}

/** Puts the state of one run into a new one of the same options, as a checkpoint does. */
static inline void tune_go_on(tuner *self, tuner *from)
{
    const tr_state *a = tr_trainer_state(from->trainer);
    tr_state *b = tr_trainer_state(self->trainer);
    const size_t bytes = a->layout->floats * sizeof *a->values;
    memcpy(b->values, a->values, bytes);
    memcpy(b->m, a->m, bytes);
    memcpy(b->v, a->v, bytes);
    b->step = a->step;
    tr_trainer_restored(self->trainer);
}

/** Fails unless both networks have the same weights and moments, bit for bit. */
static inline void tune_assert_equal(const tuner *a, const tuner *b)
{
    const tr_state *x = tr_trainer_state(a->trainer), *y = tr_trainer_state(b->trainer);
    const size_t bytes = x->layout->floats * sizeof *x->values;
    const size_t all = a->net.layout->floats * sizeof *x->values;
    assert_memory_equal(tr_weights_values(a->net.weights), tr_weights_values(b->net.weights), all);
    assert_memory_equal(x->values, y->values, bytes);
    assert_memory_equal(x->m, y->m, bytes);
    assert_memory_equal(x->v, y->v, bytes);
}

#endif
