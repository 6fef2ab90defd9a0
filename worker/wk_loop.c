#include "wk_loop.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "assert.h"
#include "bus.h"
#include "clock.h"
#include "log.h"
#include "nn_cpu.h"
#include "wk_service.h"
#include "wk_session.h"
#include "wk_simulate.h"

enum { LINGER_MS = 5000, SIGNALS = 3, WHY_BYTES_MAX = 1024 };

static const int signal_numbers[SIGNALS] = {SIGTERM, SIGINT, SIGUSR1};

/** Preparing for a campaign, on a thread of libuv's. */
typedef struct preparation {
    uv_work_t work;
    struct wk_loop *loop;
    wk_pool *former_pool; /* joined first: its threads use the former service */
    wk_service *former;
    fs_buf campaign;
    fs_buf identity;
    wk_service_request request;
    wk_service *service; /* the result, */
    fs_status status;    /* or why there is none */
    char why[WHY_BYTES_MAX];
} preparation;

typedef struct wk_loop {
    const wk_loop_options *options;
    uv_loop_t uv;
    fs_bus *bus;
    wk_session *session;
    wk_pool *pool;
    wk_service *service;
    uv_timer_t tick;
    uv_signal_t signals[SIGNALS];
    int interrupts;
    int preparing;
    fs_status status;
    char why[WHY_BYTES_MAX];
    int done;
} wk_loop;

/* ---- the session's ports ---- */

static fs_status port_send(void *data, const void *frame, size_t size)
{
    return fs_bus_send(((wk_loop *)data)->bus, NULL, frame, size);
}

static size_t port_queued(void *data)
{
    return fs_bus_queued(((wk_loop *)data)->bus);
}

static void port_add(void *data, const fs_lease *lease)
{
    wk_pool_add(((wk_loop *)data)->pool, lease);
}

static uint64_t port_give_back(void *data, uint64_t lease)
{
    wk_loop *self = data;
    return self->pool == NULL ? 0 : wk_pool_give_back(self->pool, lease);
}

static void port_drop(void *data)
{
    wk_loop *self = data;
    if (self->pool != NULL) wk_pool_drop(self->pool);
}

static unsigned port_busy(void *data)
{
    wk_loop *self = data;
    return self->pool == NULL ? 0 : wk_pool_busy(self->pool);
}

static void on_bus_closed(void *data)
{
    wk_loop *self = data;
    self->done = 1;
    uv_stop(&self->uv);
}

static void port_leave(void *data, fs_status status, const char *why)
{
    wk_loop *self = data;
    fs_debug("leaving: %s", why);
    self->status = status;
    snprintf(self->why, sizeof self->why, "%s", why);
    uv_timer_stop(&self->tick);
    fs_bus_close(&self->bus, LINGER_MS, on_bus_closed, self);
}

/* ---- the pool's handlers ---- */

static void on_done(void *data, const wk_done *done)
{
    wk_session_done(((wk_loop *)data)->session, done, fs_clock_mono_ms());
}

static void on_golden(void *data, uint32_t variant, const wk_golden_info *info)
{
    wk_session_golden(((wk_loop *)data)->session, variant, info);
}

static void on_broken(void *data, fs_status status, const char *why)
{
    wk_session_broken(((wk_loop *)data)->session, status, why);
}

/* ---- preparing ---- */

/** Thread: libuv's. */
static void prepare(uv_work_t *work)
{
    preparation *self = work->data;
    if (self->former_pool != NULL) wk_pool_join(self->former_pool);
    wk_service_destroy(&self->former);
    if (self->loop->options->simulate) return;
    self->request.campaign = fs_buf_text(&self->campaign);
    self->request.campaign_bytes = self->campaign.size;
    self->request.identity = fs_buf_text(&self->identity);
    self->status = wk_service_new(&self->service, &self->request);
    if (self->status != FS_OK) snprintf(self->why, sizeof self->why, "%s", fs_status_detail());
}

static fs_status start_pool(wk_loop *self, uint32_t *cells)
{
    const wk_loop_options *options = self->options;
    wk_work work = options->simulate ? wk_simulate_work(&options->simulate_us)
                                     : *wk_service_work(self->service);
    const wk_pool_handlers handlers = {on_done, on_golden, on_broken, self};
    *cells = work.cells;
    return wk_pool_new(&self->pool, &self->uv, &work, options->executor.threads, handlers);
}

static void on_prepared(uv_work_t *work, int canceled)
{
    preparation *request = work->data;
    wk_loop *self = request->loop;
    fs_status status = request->status;
    const char *why = request->why;
    uint32_t cells = 0;
    self->preparing = 0;
    self->service = request->service;
    if (request->former_pool != NULL) wk_pool_destroy(&request->former_pool);
    if (status == FS_OK && wk_session_state(self->session) != WK_STATE_GONE) {
        status = start_pool(self, &cells);
        if (status != FS_OK) why = fs_status_detail();
    }
    wk_session_prepared(self->session, status, why, cells, fs_clock_mono_ms());
    fs_buf_free(&request->campaign);
    fs_buf_free(&request->identity);
    free(request);
}

static fs_status fill_request(preparation *request, const fs_msg_welcome *welcome)
{
    FS_TRY(fs_buf_append(&request->campaign, welcome->campaign.data, welcome->campaign.size));
    FS_TRY(fs_buf_append(&request->identity, welcome->identity.data, welcome->identity.size));
    request->request.fingerprint = welcome->fingerprint;
    request->request.models = request->loop->options->models;
    request->request.options = request->loop->options->executor;
    return FS_OK;
}

static void port_prepare(void *data, const fs_msg_welcome *welcome)
{
    wk_loop *self = data;
    FS_ASSERT(!self->preparing);
    preparation *request = calloc(1, sizeof *request);
    FS_ASSERT(request != NULL);
    request->loop = self;
    request->work.data = request;
    request->status = fill_request(request, welcome);
    FS_ASSERT(request->status == FS_OK);
    request->former_pool = self->pool;
    request->former = self->service;
    self->pool = NULL;
    self->service = NULL;
    if (request->former_pool != NULL) wk_pool_stop(request->former_pool);
    self->preparing = 1;
    int rc = uv_queue_work(&self->uv, &request->work, prepare, on_prepared);
    FS_ASSERT(rc == 0);
}

/* ---- the loop ---- */

static void on_message(void *data, const fs_peer *peer, const void *frame, size_t size)
{
    wk_session_message(((wk_loop *)data)->session, frame, size, fs_clock_mono_ms());
}

static void on_tick(uv_timer_t *timer)
{
    wk_session_tick(((wk_loop *)timer->data)->session, fs_clock_mono_ms());
}

static void on_signal(uv_signal_t *handle, int number)
{
    wk_loop *self = handle->data;
    wk_drain how = WK_DRAIN_RETURN;
    if (number == SIGUSR1) how = WK_DRAIN_FINISH;
    if (number == SIGINT && self->interrupts++ > 0) how = WK_DRAIN_NOW;
    wk_session_drain(self->session, how, fs_clock_mono_ms());
}

static fs_status start(wk_loop *self)
{
    const wk_loop_options *options = self->options;
    const fs_bus_handlers handlers = {on_message, NULL, self};
    const wk_ports ports = {port_send, port_queued, port_prepare, port_add, port_give_back,
                            port_drop, port_busy,   port_leave,   self};
    wk_identity identity;
    wk_identity_init(&identity, options->executor.threads, nn_kernel_name());
    FS_TRY(fs_bus_connect(&self->bus, &self->uv, options->endpoint, handlers));
    FS_TRY(wk_session_new(&self->session, &identity, ports, options->idle_exit_ms));
    for (int i = 0; i < SIGNALS; i++) {
        uv_signal_init(&self->uv, &self->signals[i]);
        self->signals[i].data = self;
        int rc = uv_signal_start(&self->signals[i], on_signal, signal_numbers[i]);
        if (rc != 0) return fs_fail(FS_EIO, "cannot watch signals: %s", uv_strerror(rc));
    }
    uv_timer_init(&self->uv, &self->tick);
    self->tick.data = self;
    uv_timer_start(&self->tick, on_tick, WK_TICK_MS, WK_TICK_MS);
    wk_session_start(self->session, fs_clock_mono_ms());
    return FS_OK;
}

/** Frees everything, unless threads are still at work for this process: a trial may take minutes
 * and a plan seconds, and nobody waits for them any more. */
static void finish(wk_loop *self)
{
    if (self->preparing || port_busy(self) > 0) return;
    wk_pool_destroy(&self->pool);
    wk_service_destroy(&self->service);
    wk_session_destroy(&self->session);
    uv_close((uv_handle_t *)&self->tick, NULL);
    for (int i = 0; i < SIGNALS; i++) uv_close((uv_handle_t *)&self->signals[i], NULL);
    uv_run(&self->uv, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&self->uv);
    FS_ASSERT(rc == 0);
    memset(self, 0, sizeof *self);
}

fs_status wk_loop_run(const wk_loop_options *options, wk_counts *counts)
{
    /* It outlives this function for threads that cannot be waited for. */
    static wk_loop loop;
    wk_loop *self = &loop;
    self->options = options;
    *counts = (wk_counts){0};
    int rc = uv_loop_init(&self->uv);
    if (rc != 0) return fs_fail(FS_EIO, "cannot make a loop: %s", uv_strerror(rc));
    FS_TRY(start(self));
    while (!self->done) uv_run(&self->uv, UV_RUN_DEFAULT);
    *counts = wk_session_counts(self->session);
    fs_status status = self->status;
    if (status != FS_OK) status = fs_fail(status, "%s: %s", options->endpoint, self->why);
    finish(self);
    return status;
}
