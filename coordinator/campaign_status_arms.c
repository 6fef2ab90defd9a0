#include "campaign_status_arms.h"

#include <stdint.h>
#include <string.h>

#include "limits.h"

enum { MASKED_LINES_MAX = 20 }; /* further cells are in the document */
enum { TEXT_BYTES = 32, LABEL_BYTES = 3 * FS_NAME_BYTES_MAX, LIST_BYTES = 128 };

/* One row as people read it. */
typedef struct line {
    char label[LABEL_BYTES];
    char protect[LIST_BYTES];
    char numbers[8][TEXT_BYTES];
} line;

enum { COLUMNS = sizeof((line *)NULL)->numbers / sizeof((line *)NULL)->numbers[0] };

static const char *const headings[COLUMNS] = {
    "bits/value", "clean",     "change",       "altered",
    "check hits", "corrected", "miscorrected", "detected",
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* How many rows the arm of a row has. */
static size_t rows_of(const json_t *arms, const char *name)
{
    size_t count = 0, i;
    json_t *arm;
    json_array_foreach((json_t *)(uintptr_t)arms, i, arm) count +=
        strcmp(text_of(arm, "arm"), name) == 0;
    return count;
}

static void write_label(const json_t *arms, const json_t *arm, char out[LABEL_BYTES])
{
    const char *name = text_of(arm, "arm"), *dtype = text_of(arm, "dtype");
    const int several = rows_of(arms, name) > 1, other = strcmp(dtype, "fp32") != 0;
    snprintf(out, LABEL_BYTES, "%s%s%s%s%s%s", name, several ? ", guard " : "",
             several ? text_of(arm, "guard") : "", other ? ", " : "", other ? dtype : "",
             json_is_true(json_object_get(arm, "tuned")) ? ", tuned" : "");
}

static void write_list(const json_t *arm, char out[LIST_BYTES])
{
    size_t i, used = 0;
    json_t *codec;
    snprintf(out, LIST_BYTES, "none");
    json_array_foreach(json_object_get(arm, "protect"), i, codec)
    {
        int n = snprintf(out + used, LIST_BYTES - used, "%s%s", used > 0 ? "+" : "",
                         json_string_value(codec));
        if (n > 0) used += (size_t)n;
        if (used >= LIST_BYTES) return;
    }
}

static void write_real(const json_t *arm, const char *key, const char *format, char out[TEXT_BYTES])
{
    const json_t *value = json_object_get(arm, key);
    snprintf(out, TEXT_BYTES, "-");
    if (!json_is_number(value)) return;
    if (strcmp(format, "change") == 0)
        snprintf(out, TEXT_BYTES, json_number_value(value) == 0 ? "%.0f" : "%+.3g",
                 json_number_value(value));
    else
        snprintf(out, TEXT_BYTES, "%.5g", json_number_value(value));
}

static void write_count(const json_t *arm, const char *key, char out[TEXT_BYTES])
{
    const json_t *value = json_object_get(arm, key);
    snprintf(out, TEXT_BYTES, "-");
    if (json_is_integer(value))
        snprintf(out, TEXT_BYTES, "%lld", (long long)json_integer_value(value));
}

static void fill(const json_t *arms, const json_t *arm, line *out)
{
    write_label(arms, arm, out->label);
    write_list(arm, out->protect);
    write_real(arm, "bits_per_value", "plain", out->numbers[0]);
    write_real(arm, "metric_golden", "plain", out->numbers[1]);
    write_real(arm, "metric_change", "change", out->numbers[2]);
    write_count(arm, "altered", out->numbers[3]);
    write_count(arm, "check_faults", out->numbers[4]);
    write_count(arm, "corrected", out->numbers[5]);
    write_count(arm, "miscorrected", out->numbers[6]);
    write_count(arm, "detected", out->numbers[7]);
}

static int wider(int width, const char *text)
{
    return (int)strlen(text) > width ? (int)strlen(text) : width;
}

void status_print_arms(FILE *out, const json_t *status)
{
    const json_t *arms = json_object_get(status, "arms");
    const size_t count = json_array_size(arms);
    int label = (int)strlen("arm"), protect = (int)strlen("protection"), width[COLUMNS];
    line row;
    size_t i;
    json_t *arm;
    if (count == 0 ||
        (count == 1 && json_array_size(json_object_get(json_array_get(arms, 0), "protect")) == 0))
        return;
    for (int c = 0; c < COLUMNS; c++) width[c] = (int)strlen(headings[c]);
    json_array_foreach((json_t *)(uintptr_t)arms, i, arm)
    {
        fill(arms, arm, &row);
        label = wider(label, row.label);
        protect = wider(protect, row.protect);
        for (int c = 0; c < COLUMNS; c++) width[c] = wider(width[c], row.numbers[c]);
    }
    fprintf(out, "\n%-*s  %-*s", label, "arm", protect, "protection");
    for (int c = 0; c < COLUMNS; c++) fprintf(out, "  %*s", width[c], headings[c]);
    fputs("\n", out);
    json_array_foreach((json_t *)(uintptr_t)arms, i, arm)
    {
        fill(arms, arm, &row);
        fprintf(out, "%-*s  %-*s", label, row.label, protect, row.protect);
        for (int c = 0; c < COLUMNS; c++) fprintf(out, "  %*s", width[c], row.numbers[c]);
        fputs("\n", out);
    }
    fprintf(out,
            "clean: %s without faults, and its change from the arm without protection of the same "
            "model;\naltered: values that storing them so changed; check hits: faults beside the "
            "words, in redundant bits and scales;\ncorrected, detected: codewords, over all "
            "trials; miscorrected: units of codewords with something corrected and a value still "
            "wrong\n",
            text_of(status, "metric"));
}

void status_print_nonfinite(FILE *out, const json_t *status)
{
    const json_t *arms = json_object_get(status, "arms");
    char label[LABEL_BYTES];
    size_t found = 0, i;
    json_t *arm;
    json_array_foreach((json_t *)(uintptr_t)arms, i, arm)
    {
        if (!json_is_false(json_object_get(arm, "golden_finite"))) continue;
        write_label(arms, arm, label);
        fprintf(out,
                "WARNING: arm %s: its fault-free run has no finite answer, so its masked and "
                "critical shares mean nothing\n",
                label);
        found++;
    }
    if (found > 0) fputs("\n", out);
}

static long long count_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static void print_masked_cell(FILE *out, int width, const json_t *cell)
{
    static const char *const keys[] = {"segments", "positions", "token_rows", "bits"};
    static const char *const names[] = {"segments", "positions", "token rows", "bits"};
    const json_t *reasons = json_object_get(cell, "provably_masked_reasons");
    const long long sites = count_of(cell, "sites"),
                    masked = count_of(cell, "provably_masked_sites");
    const char *between = ":";
    if (masked == sites)
        fprintf(out, "  %-*s       all", width, text_of(cell, "id"));
    else
        fprintf(out, "  %-*s  %6.2f %%", width, text_of(cell, "id"),
                100 * (double)masked / (double)sites);
    fprintf(out, " of %lld sites", sites);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (count_of(reasons, keys[i]) == 0) continue;
        fprintf(out, "%s %s %lld", between, names[i], count_of(reasons, keys[i]));
        between = ",";
    }
    fputs("\n", out);
}

void status_print_masked(FILE *out, const json_t *status)
{
    const json_t *cells = json_object_get(status, "cells");
    int width = 0;
    size_t found = 0, shown = 0, i;
    json_t *cell;
    json_array_foreach((json_t *)(uintptr_t)cells, i, cell)
    {
        if (count_of(cell, "provably_masked_sites") == 0) continue;
        if (found++ < MASKED_LINES_MAX) width = wider(width, text_of(cell, "id"));
    }
    if (found == 0) return;
    fputs("\nprovably masked, and why:\n", out);
    json_array_foreach((json_t *)(uintptr_t)cells, i, cell)
    {
        if (count_of(cell, "provably_masked_sites") == 0) continue;
        if (shown++ < MASKED_LINES_MAX) print_masked_cell(out, width, cell);
    }
    if (found > MASKED_LINES_MAX)
        fprintf(out, "  and %zu cells more, see --json\n", found - MASKED_LINES_MAX);
    fputs("segments, positions, token rows: that no input reads; bits: that a protection replaces "
          "unread\n",
          out);
}
