/** Every model with every head it can learn with, for tests that hold for all of them. */
#ifndef NET_CASES_H
#define NET_CASES_H

#include "net_fixture.h"

typedef struct net_case {
    const char *name;
    fs_model_kind kind;
    fs_task_kind task;
    tr_head head;
    int untied;
} net_case;

static const net_case net_cases[] = {
    {"BERT, classes", FS_MODEL_BERT, FS_TASK_CLASSIFICATION, TR_HEAD_CLASSIFY, 0},
    {"BERT, masked", FS_MODEL_BERT, FS_TASK_CLASSIFICATION, TR_HEAD_MASKED, 0},
    {"GPT-2, classes", FS_MODEL_GPT2, FS_TASK_CLASSIFICATION, TR_HEAD_CLASSIFY, 0},
    {"GPT-2, tied", FS_MODEL_GPT2, FS_TASK_LM, TR_HEAD_CAUSAL, 0},
    {"GPT-2, own head", FS_MODEL_GPT2, FS_TASK_LM, TR_HEAD_CAUSAL, 1},
};
enum { NET_CASES = sizeof net_cases / sizeof net_cases[0] };

/** Two layers of 32, three classes, 299 tokens. */
static inline tiny_spec net_spec(const net_case *c)
{
    tiny_spec spec = tiny_spec_default(c->kind, c->task);
    spec.vocab = 299;
    spec.labels = c->task == FS_TASK_CLASSIFICATION ? 3 : 0;
    spec.untied = c->untied;
    return spec;
}

/** A network of that case with a batch of 20 sequences, more rows than one group takes. */
static inline void net_make_case(network *net, net_text *text, const net_case *c, unsigned threads)
{
    const tiny_spec spec = net_spec(c);
    net_make(net, &spec, c->head, threads);
    net_write(text, net, 20, 40, 5);
}

#endif
