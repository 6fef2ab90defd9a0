/** The arms of the status document, and sites that are masked, for a terminal. Thread rule: one
 * thread at a time. */
#ifndef CAMPAIGN_STATUS_ARMS_H
#define CAMPAIGN_STATUS_ARMS_H

#include <jansson.h>
#include <stdio.h>

/** Prints a line for each of the document's `arms`: what it stores, how it does without faults,
 * what its protections noticed. Nothing for a single arm without protection. */
void status_print_arms(FILE *out, const json_t *status);
/** Prints a warning for each of `arms` whose fault-free run has no finite answer. */
void status_print_nonfinite(FILE *out, const json_t *status);
/** Prints a line for each cell with sites that are masked whatever happens, and why; nothing if
 * there is none. */
void status_print_masked(FILE *out, const json_t *status);

#endif
