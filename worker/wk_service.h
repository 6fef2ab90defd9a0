/** What a worker needs to serve one campaign: the campaign as the coordinator sent it, the plan
 * made of it here, the executor over the models and data found here.
 *
 * Thread rule: made and destroyed by any one thread; work runs on compute threads. */
#ifndef WK_SERVICE_H
#define WK_SERVICE_H

#include "wk_pool.h"

typedef struct wk_service wk_service;

/** What is asked for, copied from a WELCOME. */
typedef struct wk_service_request {
    const char *campaign; /* effective YAML */
    size_t campaign_bytes;
    const char *identity; /* of the coordinator's plan; "" if it did not say */
    fs_hash fingerprint;
    const char *models; /* folder in which absent models and data are looked for; NULL: none */
    wk_options options;
} wk_service_request;

/** Reads the campaign, builds the plan, compares it with the coordinator's, loads the data. May
 * take seconds. Errors: FS_EREFUSED naming the first difference, or that there is no folder for
 * tuned models that are to be kept; those of campaign, plan and loaders. */
FS_MUST_CHECK fs_status wk_service_new(wk_service **out, const wk_service_request *request);
void wk_service_destroy(wk_service **self);
/** @return the work; borrowed, as long as the service lives. */
const wk_work *wk_service_work(const wk_service *self);

#endif
