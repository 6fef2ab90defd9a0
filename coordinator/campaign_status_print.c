/* The status document for a terminal. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "campaign_status.h"
#include "campaign_status_arms.h"

enum {
    ARMS_BESIDE_MAX = 3, /* more arms than this get a line each */
    TEXT_BYTES = 64,
    CRITICAL_COLUMNS = 22,
    METRIC_COLUMNS = 25,
    METRIC_BYTES = 4 * TEXT_BYTES + 8
};

/* What every line needs. */
typedef struct table {
    FILE *out;
    const json_t *cells;
    const char *metric;
    int perplexity; /* nonzero: show the median */
    int metric_columns;
} table;

static double real_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static long long count_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static void duration_text(double seconds, char out[TEXT_BYTES])
{
    long long s = seconds < 1e9 ? (long long)ceil(seconds) : 1000000000;
    if (s < 100)
        snprintf(out, TEXT_BYTES, "%lld s", s);
    else if (s < 6000)
        snprintf(out, TEXT_BYTES, "%lld min %lld s", s / 60, s % 60);
    else
        snprintf(out, TEXT_BYTES, "%lld h %lld min", s / 3600, s / 60 % 60);
}

static void print_head(FILE *out, const json_t *status)
{
    double rate = real_of(status, "rate_per_s"), eta = real_of(status, "eta_s");
    char text[TEXT_BYTES];
    fprintf(out, "%s: %s, %lld of %lld trials", text_of(status, "campaign"),
            text_of(status, "state"), count_of(status, "trials_done"),
            count_of(status, "trials_planned"));
    if (rate > 0) fprintf(out, ", %.4g trials/s", rate);
    if (eta > 0) {
        duration_text(eta, text);
        fprintf(out, ", %s to go", text);
    }
    fprintf(out, ", %zu worker%s\n", json_array_size(json_object_get(status, "workers")),
            json_array_size(json_object_get(status, "workers")) == 1 ? "" : "s");
    fprintf(out, "%lld duplicates, %lld mismatches, %lld quarantined, %lld retries\n",
            count_of(status, "duplicates"), count_of(status, "mismatches"),
            count_of(status, "quarantined"), count_of(status, "retries"));
    const json_t *holes = json_object_get(status, "quarantined_trials");
    const size_t shown = json_array_size(holes);
    if (shown > 0) fprintf(out, "quarantined, without a result:");
    for (size_t i = 0; i < shown; i++)
        fprintf(out, "%s %s", i > 0 ? "," : "", json_string_value(json_array_get(holes, i)));
    if (shown > 0)
        fprintf(out, count_of(status, "quarantined") > (long long)shown ? " ...\n" : "\n");
    fputc('\n', out);
}

/* The cell's id without its arm: "SWEEP" or "SWEEP/KEY=VALUE...". */
static void point_label(const json_t *cell, char *out, size_t bytes)
{
    const char *id = text_of(cell, "id");
    const char *slash = strchr(id, '/');
    const char *comma = slash != NULL ? strchr(slash, ',') : NULL;
    snprintf(out, bytes, "%.*s%s%s", (int)(slash != NULL ? slash - id : (long)strlen(id)), id,
             comma != NULL ? "/" : "", comma != NULL ? comma + 1 : "");
}

static int is_basis(const json_t *cell, const char *basis)
{
    return strcmp(text_of(cell, "basis"), basis) == 0;
}

static void critical_text(const json_t *cell, char out[TEXT_BYTES])
{
    const json_t *rate = json_object_get(cell, "critical_rate");
    if (is_basis(cell, "proved"))
        snprintf(out, TEXT_BYTES, "0 (proved)");
    else if (count_of(cell, "injected") == 0)
        snprintf(out, TEXT_BYTES, "-");
    else if (is_basis(cell, "enumerated"))
        snprintf(out, TEXT_BYTES, "%lld of %lld", count_of(cell, "critical"),
                 count_of(cell, "injected"));
    else
        snprintf(out, TEXT_BYTES, "%.2f%% [%.2f, %.2f]", 100 * real_of(rate, "value"),
                 100 * real_of(rate, "low"), 100 * real_of(rate, "high"));
}

/* A number that the document lacks is infinite or not known. */
static void number_text(const json_t *cell, const char *key, char out[TEXT_BYTES])
{
    double value = real_of(cell, key);
    if (isnan(value))
        snprintf(out, TEXT_BYTES, "-");
    else
        snprintf(out, TEXT_BYTES, "%.5g", value);
}

/* A perplexity may be infinite, and then so is its mean; its median says where trials are. */
static void metric_text(const table *t, const json_t *cell, char out[METRIC_BYTES])
{
    char value[TEXT_BYTES], low[TEXT_BYTES], high[TEXT_BYTES], without[TEXT_BYTES] = "";
    long long nonfinite = count_of(cell, "metric_nonfinite");
    number_text(cell, t->perplexity ? "metric_median" : "metric_mean", value);
    number_text(cell, t->perplexity ? "metric_median_low" : "metric_low", low);
    number_text(cell, t->perplexity ? "metric_median_high" : "metric_high", high);
    if (nonfinite > 0) snprintf(without, sizeof without, " (%lld not finite)", nonfinite);
    if (strcmp(value, "-") == 0)
        snprintf(out, METRIC_BYTES, "-%s", without);
    else if (count_of(cell, "metric_equal") > 1) /* an interval would feign a certainty */
        snprintf(out, METRIC_BYTES, "%s, all %lld equal", value, count_of(cell, "metric_equal"));
    else if (is_basis(cell, "enumerated"))
        snprintf(out, METRIC_BYTES, "%s%s", value, without);
    else
        snprintf(out, METRIC_BYTES, "%s [%s, %s]%s", value, low, high, without);
}

static void print_cell(const table *t, const json_t *cell)
{
    char critical[TEXT_BYTES] = "", metric[METRIC_BYTES] = "";
    if (cell != NULL) {
        critical_text(cell, critical);
        metric_text(t, cell, metric);
    }
    const char *mark = " ";
    if (cell != NULL && !json_is_true(json_object_get(cell, "complete"))) mark = "+";
    if (cell != NULL && json_is_true(json_object_get(cell, "stopped"))) mark = "=";
    fprintf(t->out, "  %7lld%s  %-*s  %-*s", cell != NULL ? count_of(cell, "n") : 0, mark,
            CRITICAL_COLUMNS, critical, t->metric_columns, metric);
}

/* The arms' names in order of first appearance. @return how many, at most ARMS_BESIDE_MAX + 1. */
static size_t list_arms(const json_t *cells, const char *arms[ARMS_BESIDE_MAX + 1])
{
    size_t count = 0, i;
    json_t *cell;
    json_array_foreach((json_t *)(uintptr_t)cells, i, cell)
    {
        size_t k = 0;
        while (k < count && strcmp(arms[k], text_of(cell, "arm")) != 0) k++;
        if (k == count && count <= ARMS_BESIDE_MAX) arms[count++] = text_of(cell, "arm");
    }
    return count;
}

/* [pairs][ARMS_BESIDE_MAX] the cells by pair and arm, NULL where an arm lacks one. */
static const json_t **grid_new(const json_t *cells, const char *const *arms, size_t arm_count)
{
    size_t count = json_array_size(cells), i;
    const json_t **grid = calloc((count + 1) * ARMS_BESIDE_MAX, sizeof(const json_t *));
    json_t *cell;
    if (grid == NULL) return NULL;
    json_array_foreach((json_t *)(uintptr_t)cells, i, cell)
    {
        size_t pair = (size_t)count_of(cell, "pair"), k = 0;
        while (k < arm_count && strcmp(arms[k], text_of(cell, "arm")) != 0) k++;
        if (pair < count && k < arm_count) grid[pair * ARMS_BESIDE_MAX + k] = cell;
    }
    return grid;
}

static void print_heading(const table *t, int width, const char *const *arms, size_t count)
{
    const int columns = 7 + 1 + 2 + CRITICAL_COLUMNS + 2 + t->metric_columns;
    if (count > 0) {
        fprintf(t->out, "%-*s", width, "");
        for (size_t i = 0; i < count; i++) fprintf(t->out, "  %-*s", columns, arms[i]);
        fputs("\n", t->out);
    }
    fprintf(t->out, "%-*s", width, "cell");
    for (size_t i = 0; i < (count > 0 ? count : 1); i++)
        fprintf(t->out, "  %7s   %-*s  %-*s", "trials", CRITICAL_COLUMNS, "critical",
                t->metric_columns, t->metric);
    fputs("\n", t->out);
}

/* Cells of one pair differ in the arm only and share a line. */
static void print_beside(const table *t, const char *const *arms, size_t arm_count)
{
    int width = (int)strlen("cell");
    char label[FS_CELL_ID_BYTES_MAX];
    size_t i;
    json_t *cell;
    json_array_foreach((json_t *)(uintptr_t)t->cells, i, cell)
    {
        point_label(cell, label, sizeof label);
        if ((int)strlen(label) > width) width = (int)strlen(label);
    }
    const json_t **grid = grid_new(t->cells, arms, arm_count);
    if (grid == NULL) {
        fputs("no memory for the table\n", t->out);
        return;
    }
    print_heading(t, width, arms, arm_count);
    for (size_t pair = 0; pair < json_array_size(t->cells); pair++) {
        const json_t *const *row = &grid[pair * ARMS_BESIDE_MAX];
        size_t a = 0;
        while (a < arm_count && row[a] == NULL) a++;
        if (a == arm_count) continue;
        point_label(row[a], label, sizeof label);
        fprintf(t->out, "%-*s", width, label);
        for (a = 0; a < arm_count; a++) print_cell(t, row[a]);
        fputs("\n", t->out);
    }
    free(grid);
}

static void print_list(const table *t)
{
    int width = (int)strlen("cell");
    size_t i;
    json_t *cell;
    json_array_foreach((json_t *)(uintptr_t)t->cells, i, cell)
    {
        int size = (int)strlen(text_of(cell, "id"));
        if (size > width) width = size;
    }
    print_heading(t, width, NULL, 0);
    json_array_foreach((json_t *)(uintptr_t)t->cells, i, cell)
    {
        fprintf(t->out, "%-*s", width, text_of(cell, "id"));
        print_cell(t, cell);
        fputs("\n", t->out);
    }
}

/* The widest metric, so that columns stay columns whatever is said of a cell. */
static int metric_columns(const table *t)
{
    int columns = METRIC_COLUMNS;
    char text[METRIC_BYTES];
    size_t i;
    json_t *cell;
    json_array_foreach((json_t *)(uintptr_t)t->cells, i, cell)
    {
        metric_text(t, cell, text);
        if ((int)strlen(text) > columns) columns = (int)strlen(text);
    }
    return columns;
}

static int has_rule(const json_t *status)
{
    size_t i;
    json_t *cell;
    json_array_foreach(json_object_get(status, "cells"), i, cell)
    {
        if (real_of(cell, "critical_confidence") > real_of(status, "confidence")) return 1;
    }
    return 0;
}

/* What is said of cells whose rates are not sampled. */
static void print_basis(FILE *out, const json_t *status)
{
    long long enumerated = 0, proved = 0, empty = 0;
    size_t i;
    json_t *cell;
    json_array_foreach(json_object_get(status, "cells"), i, cell)
    {
        enumerated += is_basis(cell, "enumerated");
        proved += is_basis(cell, "proved");
        empty += count_of(cell, "trials_not_injected");
    }
    if (enumerated > 0)
        fputs("K of N: critical trials of a list or log: enumerated, not sampled, so without an "
              "interval\n",
              out);
    if (empty > 0)
        fprintf(out, "not injected: %lld trials that hit nothing of an arm, in no share\n", empty);
    if (proved > 0) fputs("0 (proved): no fault of the cell can matter, whatever is drawn\n", out);
}

static void print_notes(const table *t, const json_t *status)
{
    const json_t *intervals = json_object_get(status, "intervals");
    double percent = 100 * real_of(status, "confidence");
    fprintf(t->out, "\ncritical: share of trials, %g %% interval (%s)\n", percent,
            text_of(intervals, "trial_rates"));
    if (has_rule(status))
        fputs("under a stopping rule: its confidence over all looks, so each look's is higher\n",
              t->out);
    print_basis(t->out, status);
    fprintf(t->out, "%s: %s over trials, %g %% interval (%s)\n", t->metric,
            t->perplexity ? "median" : "mean", percent,
            text_of(intervals, t->perplexity ? "metric_median" : "metric_mean"));
    fputs("-: infinite or not known; trials+: more are to come; trials=: stopped by its rule\n",
          t->out);
}

void status_print(FILE *out, const json_t *status)
{
    const char *arms[ARMS_BESIDE_MAX + 1];
    table t = {.out = out,
               .cells = json_object_get(status, "cells"),
               .metric = text_of(status, "metric"),
               .perplexity = strcmp(text_of(status, "metric"), "perplexity") == 0};
    t.metric_columns = metric_columns(&t);
    print_head(out, status);
    status_print_nonfinite(out, status);
    size_t arm_count = list_arms(t.cells, arms);
    if (arm_count <= ARMS_BESIDE_MAX)
        print_beside(&t, arms, arm_count);
    else
        print_list(&t);
    print_notes(&t, status);
    status_print_masked(out, status);
    status_print_arms(out, status);
}
