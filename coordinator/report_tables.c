#include "report_tables.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "number.h"
#include "report_text.h"

static int is_lm(const summary *s)
{
    return s->plan->campaign->task.kind == FS_TASK_LM;
}

static fs_status html_rate(fs_buf *out, const summary_cell *c, const summary_rate *rate, uint64_t k)
{
    if (c->basis == SUMMARY_PROVED) return fs_buf_puts(out, "<td>0 (proved)</td>");
    if (c->n == 0) return fs_buf_puts(out, "<td>not run</td>");
    if (c->injected == 0) return fs_buf_puts(out, "<td>nothing injected</td>");
    if (c->basis == SUMMARY_ENUMERATED)
        return fs_buf_printf(out, "<td>%" PRIu64 " of %" PRIu64 "</td>", k, c->injected);
    if (k == 0)
        return fs_buf_printf(out, "<td>none seen, at most %.3g %%</td>", 100 * rate->interval.high);
    return fs_buf_printf(out, "<td>%.4g %% [%.4g, %.4g]</td>", 100 * rate->value,
                         100 * rate->interval.low, 100 * rate->interval.high);
}

static fs_status html_metric(fs_buf *out, const summary *s, const summary_cell *c)
{
    double value = is_lm(s) ? c->metric_median : c->metric_mean;
    fs_interval i = is_lm(s) ? c->metric_median_interval : c->metric;
    if (c->n == 0 || isnan(value)) return fs_buf_puts(out, "<td></td>");
    if (c->metric_equal > 0)
        return fs_buf_printf(out, "<td>%.4g, all %" PRIu64 " equal</td>", value, c->metric_equal);
    if (c->basis != SUMMARY_SAMPLED) return fs_buf_printf(out, "<td>%.4g</td>", value);
    return fs_buf_printf(out, "<td>%.4g [%.4g, %.4g]</td>", value, i.low, i.high);
}

static fs_status html_row(fs_buf *out, const summary *s, const summary_cell *c)
{
    FS_TRY(fs_buf_puts(out, "<tr><th scope=\"row\">"));
    FS_TRY(report_html(out, c->cell->id));
    FS_TRY(fs_buf_printf(out, "</th><td>%" PRIu64 " of %" PRIu64 "</td>", c->n, c->cell->trials));
    FS_TRY(html_rate(out, c, &c->critical, c->totals.critical));
    FS_TRY(html_rate(out, c, &c->sdc_trials, c->totals.outcomes[FS_OUTCOME_SDC]));
    FS_TRY(html_rate(out, c, &c->due_trials, c->totals.outcomes[FS_OUTCOME_DUE]));
    FS_TRY(html_metric(out, s, c));
    return fs_buf_puts(out, "</tr>\n");
}

fs_status report_tables_html(fs_buf *out, const summary *s)
{
    size_t rows = s->plan->cell_count;
    FS_TRY(fs_buf_puts(out, "<h2>"));
    FS_TRY(report_html(out, s->plan->campaign->name));
    FS_TRY(fs_buf_printf(out,
                         "</h2><p>The figures need script. %" PRIu64 " of %" PRIu64
                         " planned trials are in%s. Shares of trials with %d %% Clopper-Pearson "
                         "intervals; %s over trials. K of N: a list or log, enumerated and not "
                         "sampled.</p>\n",
                         s->trials_done, s->trials_planned,
                         s->complete ? "; the campaign is complete" : "; it is unfinished",
                         SUMMARY_CONFIDENCE_PERCENT,
                         is_lm(s) ? "median perplexity with its order-statistic interval"
                                  : "mean accuracy with its bootstrap interval"));
    FS_TRY(fs_buf_puts(out, "<div class=\"scroll\"><table><thead><tr>"
                            "<th scope=\"col\">cell</th><th scope=\"col\">trials</th>"
                            "<th scope=\"col\">critical</th><th scope=\"col\">SDC</th>"
                            "<th scope=\"col\">DUE</th><th scope=\"col\">metric</th>"
                            "</tr></thead><tbody>\n"));
    for (size_t i = 0; i < rows && i < REPORT_TABLE_ROWS_MAX; i++) {
        FS_TRY(html_row(out, s, &s->cells[i]));
    }
    FS_TRY(fs_buf_puts(out, "</tbody></table></div>"));
    if (rows <= REPORT_TABLE_ROWS_MAX) return FS_OK;
    return fs_buf_printf(out, "<p>%zu more cells are in cells.csv.</p>",
                         rows - REPORT_TABLE_ROWS_MAX);
}

static fs_status csv_text(fs_buf *out, const char *text)
{
    FS_TRY(fs_buf_puts(out, strchr("=+-@\t\r", *text) != NULL && *text != '\0' ? "\"'" : "\""));
    for (; *text != '\0'; text++) {
        FS_TRY(fs_buf_append(out, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1));
    }
    return fs_buf_puts(out, "\"");
}

/* A number that is not finite is the word that readers of CSV know; one not known is empty. */
static fs_status csv_number(fs_buf *out, int known, double value)
{
    char text[FS_NUMBER_BYTES];
    if (!known) return fs_buf_puts(out, ",");
    if (isnan(value)) return fs_buf_puts(out, ",nan");
    if (isinf(value)) return fs_buf_puts(out, value > 0 ? ",inf" : ",-inf");
    fs_number_text(value, text);
    return fs_buf_printf(out, ",%s", text);
}

static fs_status csv_rate(fs_buf *out, const summary_rate *rate, int run)
{
    const int sampled = run && !isnan(rate->interval.low);
    FS_TRY(csv_number(out, run, rate->value));
    FS_TRY(csv_number(out, sampled, rate->interval.low));
    return csv_number(out, sampled, rate->interval.high);
}

static fs_status csv_row(fs_buf *out, const summary *s, const summary_cell *c)
{
    const int run = c->n > 0, sampled = run && c->basis == SUMMARY_SAMPLED;
    const int known = c->injected > 0 || c->basis == SUMMARY_PROVED;
    FS_TRY(csv_text(out, c->cell->id));
    FS_TRY(fs_buf_puts(out, ","));
    FS_TRY(csv_text(out, s->plan->campaign->arms[c->cell->arm].name));
    FS_TRY(fs_buf_printf(out, ",%" PRIu64 ",%" PRIu64, c->n, c->cell->trials));
    for (int i = 0; i < FS_OUTCOME_COUNT; i++)
        FS_TRY(fs_buf_printf(out, ",%" PRIu64, c->totals.outcomes[i]));
    FS_TRY(fs_buf_printf(out, ",%" PRIu64, c->totals.critical));
    FS_TRY(csv_rate(out, &c->critical, known));
    FS_TRY(csv_rate(out, &c->sdc_trials, known));
    FS_TRY(csv_rate(out, &c->due_trials, known));
    FS_TRY(csv_rate(out, &c->sdc_inputs, known));
    FS_TRY(csv_number(out, run, c->metric_mean));
    FS_TRY(csv_number(out, sampled, c->metric.low));
    FS_TRY(csv_number(out, sampled, c->metric.high));
    FS_TRY(csv_number(out, run, c->metric_median));
    FS_TRY(csv_number(out, 1, c->metric_golden));
    FS_TRY(fs_buf_printf(out, ",%" PRIu64 ",%" PRIu64, fs_cell_sites(c->cell), c->masked_sites));
    FS_TRY(fs_buf_printf(out, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64,
                         c->totals.faults, c->totals.check_faults, c->totals.corrected,
                         c->totals.miscorrected, c->totals.detected));
    return fs_buf_printf(out, ",%s\r\n", summary_basis_name(c->basis));
}

fs_status report_tables_csv(fs_buf *out, const summary *s)
{
    FS_TRY(fs_buf_puts(out, "cell,arm,trials,planned"));
    for (int i = 0; i < FS_OUTCOME_COUNT; i++)
        FS_TRY(fs_buf_printf(out, ",%s", fs_outcome_name((fs_outcome)i)));
    FS_TRY(fs_buf_puts(
        out, ",critical,critical_rate,critical_low,critical_high,sdc_rate,sdc_low,"
             "sdc_high,due_rate,due_low,due_high,sdc_inputs,sdc_inputs_low,"
             "sdc_inputs_high,metric_mean,metric_low,metric_high,metric_median,"
             "metric_golden,sites,provably_masked_sites,faults,check_faults,corrected,miscorrected,"
             "detected,basis\r\n"));
    for (size_t i = 0; i < s->plan->cell_count; i++) {
        FS_TRY(csv_row(out, s, &s->cells[i]));
    }
    return FS_OK;
}
