/* The status document for a terminal. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "campaign_status.h"

enum {
    ARMS_BESIDE_MAX = 3, /* more arms than this get a line each */
    TEXT_BYTES = 64,
    CRITICAL_COLUMNS = 22,
    METRIC_COLUMNS = 25
};

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
    fprintf(out, "%lld duplicates, %lld mismatches, %lld quarantined, %lld retries\n\n",
            count_of(status, "duplicates"), count_of(status, "mismatches"),
            count_of(status, "quarantined"), count_of(status, "retries"));
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

static void critical_text(const json_t *cell, char out[TEXT_BYTES])
{
    const json_t *rate = json_object_get(cell, "critical_rate");
    if (count_of(cell, "n") == 0)
        snprintf(out, TEXT_BYTES, "-");
    else
        snprintf(out, TEXT_BYTES, "%.2f%% [%.2f, %.2f]", 100 * real_of(rate, "value"),
                 100 * real_of(rate, "low"), 100 * real_of(rate, "high"));
}

static void metric_text(const json_t *cell, char out[TEXT_BYTES])
{
    double mean = real_of(cell, "metric_mean");
    if (isnan(mean))
        snprintf(out, TEXT_BYTES, "-");
    else
        snprintf(out, TEXT_BYTES, "%.5g [%.5g, %.5g]", mean, real_of(cell, "metric_low"),
                 real_of(cell, "metric_high"));
}

static void print_cell(FILE *out, const json_t *cell)
{
    char critical[TEXT_BYTES] = "", metric[TEXT_BYTES] = "";
    if (cell != NULL) {
        critical_text(cell, critical);
        metric_text(cell, metric);
    }
    const char *mark = " ";
    if (cell != NULL && !json_is_true(json_object_get(cell, "complete"))) mark = "+";
    if (cell != NULL && json_is_true(json_object_get(cell, "stopped"))) mark = "=";
    fprintf(out, "  %7lld%s  %-*s  %-*s", cell != NULL ? count_of(cell, "n") : 0, mark,
            CRITICAL_COLUMNS, critical, METRIC_COLUMNS, metric);
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

static void print_heading(FILE *out, const char *metric, int width, const char *const *arms,
                          size_t count)
{
    const int columns = 7 + 1 + 2 + CRITICAL_COLUMNS + 2 + METRIC_COLUMNS;
    if (count > 0) {
        fprintf(out, "%-*s", width, "");
        for (size_t i = 0; i < count; i++) fprintf(out, "  %-*s", columns, arms[i]);
        fputs("\n", out);
    }
    fprintf(out, "%-*s", width, "cell");
    for (size_t i = 0; i < (count > 0 ? count : 1); i++)
        fprintf(out, "  %7s   %-*s  %-*s", "trials", CRITICAL_COLUMNS, "critical", METRIC_COLUMNS,
                metric);
    fputs("\n", out);
}

/* Cells of one pair differ in the arm only and share a line. */
static void print_beside(FILE *out, const json_t *cells, const char *metric,
                         const char *const *arms, size_t arm_count)
{
    int width = (int)strlen("cell");
    char label[FS_CELL_ID_BYTES_MAX];
    size_t i;
    json_t *cell;
    json_array_foreach((json_t *)(uintptr_t)cells, i, cell)
    {
        point_label(cell, label, sizeof label);
        if ((int)strlen(label) > width) width = (int)strlen(label);
    }
    const json_t **grid = grid_new(cells, arms, arm_count);
    if (grid == NULL) {
        fputs("no memory for the table\n", out);
        return;
    }
    print_heading(out, metric, width, arms, arm_count);
    for (size_t pair = 0; pair < json_array_size(cells); pair++) {
        const json_t *const *row = &grid[pair * ARMS_BESIDE_MAX];
        size_t a = 0;
        while (a < arm_count && row[a] == NULL) a++;
        if (a == arm_count) continue;
        point_label(row[a], label, sizeof label);
        fprintf(out, "%-*s", width, label);
        for (a = 0; a < arm_count; a++) print_cell(out, row[a]);
        fputs("\n", out);
    }
    free(grid);
}

static void print_list(FILE *out, const json_t *cells, const char *metric)
{
    int width = (int)strlen("cell");
    size_t i;
    json_t *cell;
    json_array_foreach((json_t *)(uintptr_t)cells, i, cell)
    {
        int size = (int)strlen(text_of(cell, "id"));
        if (size > width) width = size;
    }
    print_heading(out, metric, width, NULL, 0);
    json_array_foreach((json_t *)(uintptr_t)cells, i, cell)
    {
        fprintf(out, "%-*s", width, text_of(cell, "id"));
        print_cell(out, cell);
        fputs("\n", out);
    }
}

void status_print(FILE *out, const json_t *status)
{
    const json_t *cells = json_object_get(status, "cells");
    const json_t *intervals = json_object_get(status, "intervals");
    const char *arms[ARMS_BESIDE_MAX + 1];
    print_head(out, status);
    size_t arm_count = list_arms(cells, arms);
    if (arm_count <= ARMS_BESIDE_MAX)
        print_beside(out, cells, text_of(status, "metric"), arms, arm_count);
    else
        print_list(out, cells, text_of(status, "metric"));
    fprintf(
        out,
        "\ncritical: share of trials, %g %% interval (%s)\n%s: mean over trials, %g %% interval "
        "(%s)\n",
        100 * real_of(status, "confidence"), text_of(intervals, "trial_rates"),
        text_of(status, "metric"), 100 * real_of(status, "confidence"),
        text_of(intervals, "metric_mean"));
    fputs("trials+: more are to come; trials=: stopped by its rule\n", out);
}
