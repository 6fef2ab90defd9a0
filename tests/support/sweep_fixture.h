/** A plan over a tiny model: the files, a campaign of the test's arms and sweeps, and its plan. */
#ifndef SWEEP_FIXTURE_H
#define SWEEP_FIXTURE_H

#include "testing.h"

#include "buf.h"
#include "campaign.h"
#include "file.h"
#include "plan.h"
#include "tiny_model.h"

typedef struct fixture {
    char *folder;
    fs_campaign *campaign;
    fs_plan *plan;
} fixture;

typedef struct fixture_options {
    tiny_spec spec;
    uint32_t rows;        /* sentences, or lines of text, of the data */
    const char *windows;  /* of a language model's task, as in "window: 24, stride: 16" */
    const char *arms;     /* lines of YAML below "arms:" */
    const char *sweeps;   /* and below "sweep:" */
    const char *finetune; /* keys of the section but for its data, which are the task's; or NULL */
} fixture_options;

/** @return what reading and planning the campaign says; fixture_close takes what there is. */
static inline fs_status fixture_try(fixture *f, const fixture_options *options)
{
    const int lm = options->spec.task == FS_TASK_LM;
    char data[FS_PATH_BYTES_MAX];
    fs_buf text = {0};
    tiny_model *model;
    *f = (fixture){.folder = testing_folder()};
    assert_ok(tiny_model_new(&model, &options->spec));
    assert_ok(tiny_model_write(model, f->folder));
    assert_ok(fs_path_join(data, f->folder, lm ? "data.txt" : "data.tsv"));
    assert_ok(tiny_model_write_data(model, data, options->rows));
    tiny_model_destroy(&model);
    assert_ok(fs_buf_printf(&text,
                            "campaign: t\nseed: 3\n"
                            "task: {kind: %s, model: %s, data: %s%s%s}\n"
                            "arms:\n%ssweep:\n%s",
                            lm ? "language-model" : "classification", f->folder, data,
                            lm ? ", " : "", lm ? options->windows : "", options->arms,
                            options->sweeps));
    if (options->finetune != NULL)
        assert_ok(fs_buf_printf(&text, "finetune: {data: %s, %s}\n", data, options->finetune));
    fs_status status = fs_campaign_parse(&f->campaign, fs_buf_text(&text), text.size, "test.yaml");
    if (status == FS_OK) status = fs_plan_new(&f->plan, f->campaign);
    fs_buf_free(&text);
    return status;
}

static inline void fixture_open(fixture *f, const fixture_options *options)
{
    assert_ok(fixture_try(f, options));
    assert_true(f->plan->has_fingerprint);
}

static inline void fixture_close(fixture *f)
{
    fs_plan_destroy(&f->plan);
    fs_campaign_destroy(&f->campaign);
    testing_remove(f->folder);
}

#endif
