/** Campaigns over campaign_fixture.h's folder, one folder for a whole test: their plans, and the
 * mistakes that must be told. */
#ifndef CAMPAIGN_CASES_H
#define CAMPAIGN_CASES_H

#include "campaign_fixture.h"

#include "plan.h"

/** The folder, between make_folder and remove_folder. */
static char *dir;

static inline int make_folder(void **state)
{
    (void)state;
    dir = fixture_folder();
    return 0;
}

static inline int remove_folder(void **state)
{
    (void)state;
    testing_remove(dir);
    return 0;
}

/** A campaign whose line `number` is `line`; the error must name that file, line and key. */
typedef struct mistake {
    int number;
    const char *line;
    int at_line;
    const char *key;
    const char *says;
} mistake;

static inline void refuse(const char *base, const mistake *m)
{
    char *text = with_line(base, m->number, m->line), where[512];
    fs_campaign *c = NULL;
    fs_status status = fixture_parse(&c, dir, text);
    if (status == FS_OK) fail_msg("was accepted: %s", m->line);
    assert_null(c);
    assert_int_equal(fs_status_exit(status), 2);
    snprintf(where, sizeof where, "%s/c.yaml:%d: %s%s", dir, m->at_line, m->key,
             m->key[0] == '\0' ? "" : ": ");
    if (strncmp(fs_status_detail(), where, strlen(where)) != 0 ||
        strstr(fs_status_detail(), m->says) == NULL)
        fail_msg("for '%s' wanted '%s... %s', got '%s'", m->line, where, m->says,
                 fs_status_detail());
    free(text);
}

typedef struct planned {
    fs_campaign *campaign;
    fs_plan *plan;
} planned;

/** @return what reading or planning says; where it is refused there is nothing to release. */
static inline fs_status try_plan(planned *out, const char *text)
{
    *out = (planned){0};
    FS_TRY(fixture_parse(&out->campaign, dir, text));
    fs_status status = fs_plan_new(&out->plan, out->campaign);
    if (status != FS_OK) {
        assert_null(out->plan);
        fs_campaign_destroy(&out->campaign);
    }
    return status;
}

static inline planned plan_of(const char *text)
{
    planned p;
    assert_ok(try_plan(&p, text));
    return p;
}

static inline void release(planned *p)
{
    fs_plan_destroy(&p->plan);
    fs_campaign_destroy(&p->campaign);
}

static inline const fs_cell *cell_of(const planned *p, const char *id)
{
    const int64_t found = fs_plan_find(p->plan, id);
    if (found < 0) fail_msg("no cell %s", id);
    return &p->plan->cells[found];
}

#endif
