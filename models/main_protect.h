/** What storing a model under protections costs: bits, values altered, error, time to decode.
 *
 * Nothing is hit. Each protection of a list is measured alone, then the list. Thread rule: one
 * thread at a time. */
#ifndef MAIN_PROTECT_H
#define MAIN_PROTECT_H

#include <jansson.h>

#include "nn_model.h"

enum { MAIN_PROTECT_REPETITIONS = 9 };

/** Reads names of protections with commas between them. Errors: FS_EUSAGE saying what is wrong. */
FS_MUST_CHECK fs_status main_protect_parse(fs_protect *out, const char *list,
                                           fs_format_kind format);

/** Measures `list`, names with commas between them, on the model's own values, stored as `dtype`.
 *
 * The document: dtype, kernel (of this processor), repetitions, values, rms_weight, rows[]. The
 * first row has no protection: what the dtype alone does, and the time to copy the words, which is
 * in every other row's. A row: protect[], not_measured[] (those of it that act on activations, in
 * the forward pass: a row of such alone has null for its times), bits_per_value (stored, mean),
 * redundant_bits_per_value, redundant_bits (beside the words, in all: of protections, and scales of
 * int8), altered (values read as others than in the file), altered_share, lost (finite values read
 * as NaN or Inf), rms_error, rms_error_relative (to the RMS weight), max_error, max_error_tensor,
 * max_error_index, decode_ns_per_value, decode_s_per_forward (all values once). Errors are over
 * values that are finite in the file, null where one is lost. Times are of one thread, its
 * processor time, the median of the repetitions. The caller frees
 * `*out`. Errors: FS_EUSAGE for a list or dtype that cannot be, FS_EFORMAT for
 * values that int8 cannot hold; FS_ENOMEM. */
FS_MUST_CHECK fs_status main_protect_measure(json_t **out, const nn_model *model, const char *list,
                                             const char *dtype);
/** Prints the document as a table. */
void main_protect_print(const json_t *document);

#endif
