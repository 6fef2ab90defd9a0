/** The scheduler in a deterministic simulator: a virtual clock, and from one seed lost, doubled and
 * reordered messages, networks that are down for a while, workers that crash, freeze and come back,
 * poison trials, and restarts of the coordinator. Whatever happens: every trial is accepted exactly
 * once, the campaign ends, its looks are those of an undisturbed run, and only poison is
 * quarantined.
 *
 * A failing seed is printed; `test_scheduler_sim COUNT [FIRST_SEED]` runs more, or replays one with
 * COUNT 1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coord_scheduler.h"
#include "rng.h"

enum {
    CELLS_MAX = 4,
    TRIALS_MAX = 300,
    WORKERS_MAX = 5,
    EVENTS_MAX = 4096,
    UNACKED_MAX = 64,
    BATCH_TRIALS_MAX = 32,
    FAULTS_END_MS = 90000, /* nothing breaks after that, so that the campaign can end */
    END_MS = 3600000,
    HEARTBEAT = 1000,
    RESEND_MS = 4000,
    SILENT_MS = FS_LEASE_MS
};

static unsigned long schedule_count = 1500, first_seed = 1;

typedef struct batch {
    uint64_t sequence, lease, cost_us;
    uint32_t cell;
    int last;
    size_t count;
    uint64_t trial[BATCH_TRIALS_MAX];
} batch;

typedef enum event_kind {
    TO_COORD_RESULTS,
    TO_COORD_HEARTBEAT,
    TO_COORD_BYE,
    TO_WORKER_GRANT,
    TO_WORKER_ACK,
    LAST_OF_NETWORK = TO_WORKER_ACK,
    COMMIT,
    WORKER_STEP,
    WORKER_BEAT,
    WORKER_START,
    COORD_TICK,
    COORD_RESTART,
    COORD_SEES_DEATH
} event_kind;

typedef struct event {
    uint64_t at, order;
    event_kind kind;
    uint32_t worker;
    uint32_t epoch; /* of the worker, or of the coordinator for COMMIT */
    fs_lease lease[FS_LEASES_PER_WORKER_MAX];
    uint32_t lease_count;
    batch results;
} event;

typedef struct sim_worker {
    int alive;
    uint32_t epoch;
    uint64_t frozen_until;
    fs_lease lease[FS_LEASES_PER_WORKER_MAX]; /* in the order of arrival */
    uint64_t next[FS_LEASES_PER_WORKER_MAX];
    uint32_t lease_count;
    uint32_t threads;
    uint64_t sequence;
    struct {
        batch results;
        uint64_t sent_at;
    } unacked[UNACKED_MAX];
    uint32_t unacked_count;
    batch running; /* no trials: idle */
    /* what the coordinator knows */
    int known;
    uint64_t heard_ms;
} sim_worker;

typedef struct sim {
    fs_rng rng;
    uint64_t now, order;
    event *heap;
    size_t heap_count;
    uint32_t cells;
    uint64_t trials[CELLS_MAX];
    int rule[CELLS_MAX];
    uint8_t critical[CELLS_MAX][TRIALS_MAX];
    uint8_t poison[CELLS_MAX][TRIALS_MAX];
    uint8_t stored[CELLS_MAX][TRIALS_MAX]; /* 1: accepted, 2: quarantined */
    uint32_t worker_count;
    sim_worker worker[WORKERS_MAX];
    coord_scheduler *scheduler;
    uint32_t coord_epoch;
    int coord_up;
    unsigned loss, doubling, crash, freeze, restart, blip; /* per mille */
    uint64_t blip_until;                                   /* nothing gets through before */
    unsigned slow;                                         /* trials take so much longer */
    uint64_t calm; /* between blips that do not end, 0: blips come by chance */
    unsigned deaths, blips;
    uint64_t duplicates;
} sim;

static sim S;

/* --- chance --- */

static uint64_t below(uint64_t n)
{
    return fs_rng_below(&S.rng, n);
}

static int chance(unsigned per_mille)
{
    return S.now < FAULTS_END_MS && below(1000) < per_mille;
}

/* --- the plan --- */

static uint64_t sim_trials(void *data, uint32_t cell)
{
    (void)data;
    return S.trials[cell];
}

static uint64_t sim_next_look(void *data, uint32_t cell, uint64_t done)
{
    (void)data;
    if (!S.rule[cell]) return S.trials[cell];
    uint64_t look = 20;
    while (look <= done) look *= 2;
    return look < S.trials[cell] ? look : S.trials[cell];
}

static int sim_stops(void *data, uint32_t cell, uint64_t n, uint64_t critical)
{
    (void)data;
    return S.rule[cell] && critical * 3 < n;
}

/** The last look of an undisturbed run, from the definition. */
static uint64_t final_look(uint32_t cell)
{
    uint64_t look = 0;
    while (look < S.trials[cell]) {
        look = sim_next_look(NULL, cell, look);
        uint64_t critical = 0, n = look; /* poison gives no result, so the rule does not see it */
        for (uint64_t i = 0; i < look; i++) {
            critical += S.critical[cell][i] && !S.poison[cell][i];
            n -= S.poison[cell][i];
        }
        if (n > 0 && sim_stops(NULL, cell, n, critical)) break;
    }
    return look;
}

/* --- events --- */

static int before(const event *a, const event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void push(uint64_t delay, event e)
{
    assert_true(S.heap_count < EVENTS_MAX);
    e.at = S.now + delay;
    e.order = S.order++;
    size_t i = S.heap_count++;
    while (i > 0 && before(&e, &S.heap[(i - 1) / 2])) {
        S.heap[i] = S.heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    S.heap[i] = e;
}

static event pop(void)
{
    event top = S.heap[0], last = S.heap[--S.heap_count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= S.heap_count) break;
        if (child + 1 < S.heap_count && before(&S.heap[child + 1], &S.heap[child])) child++;
        if (!before(&S.heap[child], &last)) break;
        S.heap[i] = S.heap[child];
        i = child;
    }
    S.heap[i] = last;
    return top;
}

/** The network: may lose, double, delay and so reorder. */
static void transmit(event e)
{
    unsigned copies = chance(S.loss) ? 0 : chance(S.doubling) ? 2 : 1;
    for (unsigned i = 0; i < copies; i++) push(1 + below(chance(50) ? 3000 : 20), e);
}

/* --- the coordinator --- */

static void coord_start(void)
{
    coord_cells cells = {S.cells, sim_trials, sim_next_look, sim_stops, NULL};
    S.coord_epoch++;
    S.coord_up = 1;
    assert_int_equal(coord_scheduler_new(&S.scheduler, &cells, (uint64_t)S.coord_epoch << 32),
                     FS_OK);
    for (uint32_t c = 0; c < S.cells; c++) {
        fs_range done[TRIALS_MAX];
        size_t count = 0;
        uint64_t critical = 0;
        for (uint64_t t = 0; t < S.trials[c]; t++) {
            if (!S.stored[c][t]) continue;
            if (S.stored[c][t] == 1) critical += S.critical[c][t];
            if (S.stored[c][t] == 2)
                assert_int_equal(coord_scheduler_load_quarantined(S.scheduler, c, t), FS_OK);
            if (count > 0 && done[count - 1].first + done[count - 1].count == t)
                done[count - 1].count++;
            else
                done[count++] = (fs_range){t, 1};
        }
        assert_int_equal(coord_scheduler_load(S.scheduler, c, done, count, critical), FS_OK);
    }
    for (uint32_t w = 0; w < S.worker_count; w++) S.worker[w].known = 0;
    push(100, (event){.kind = COORD_TICK, .epoch = S.coord_epoch});
}

static void coord_crash(void)
{
    coord_scheduler_destroy(&S.scheduler);
    S.coord_up = 0;
    push(500 + below(5000), (event){.kind = COORD_RESTART});
}

static void store_quarantined(void)
{
    coord_quarantine q;
    while (coord_scheduler_quarantined(S.scheduler, &q)) {
        if (!S.poison[q.cell][q.trial])
            fail_msg("trial %u/%llu was quarantined and is no poison", q.cell,
                     (unsigned long long)q.trial);
        assert_true(q.deaths >= FS_LEASE_DEATHS_MAX);
        assert_int_equal(S.stored[q.cell][q.trial], 0);
        S.stored[q.cell][q.trial] = 2;
    }
}

static void coord_grant(uint32_t w)
{
    if (!S.worker[w].known) return;
    for (;;) {
        event e = {.kind = TO_WORKER_GRANT, .worker = w, .epoch = S.worker[w].epoch};
        int granted = 0;
        assert_int_equal(coord_scheduler_grant(S.scheduler, w, S.worker[w].threads, S.now,
                                               &e.lease[0], &granted),
                         FS_OK);
        if (!granted) return;
        coord_scheduler_warm(S.scheduler, e.lease[0].id);
        transmit(e);
    }
}

static void coord_gone(uint32_t w, coord_departure how)
{
    if (!S.worker[w].known) return;
    S.worker[w].known = 0;
    assert_int_equal(coord_scheduler_left(S.scheduler, w, how), FS_OK);
    store_quarantined();
}

static void coord_heartbeat(const event *e)
{
    sim_worker *w = &S.worker[e->worker];
    if (!w->alive || w->epoch != e->epoch) return; /* its connection is closed */
    w->heard_ms = S.now;
    uint64_t ids[FS_LEASES_PER_WORKER_MAX];
    for (uint32_t i = 0; i < e->lease_count; i++) ids[i] = e->lease[i].id;
    if (!w->known) {
        w->known = 1;
        for (uint32_t i = 0; i < e->lease_count; i++) {
            /* A doubled old heartbeat may name more than fits; the coordinator then refuses. */
            fs_status status = coord_scheduler_adopt(S.scheduler, e->worker, &e->lease[i], S.now);
            assert_true(status == FS_OK || status == FS_EPROTO);
            coord_scheduler_warm(S.scheduler, e->lease[i].id);
        }
    }
    assert_int_equal(coord_scheduler_heartbeat(S.scheduler, e->worker, ids, e->lease_count, S.now),
                     FS_OK);
    coord_grant(e->worker);
}

static size_t to_ranges(const batch *b, fs_range *out)
{
    size_t count = 0;
    for (size_t i = 0; i < b->count; i++) {
        if (count > 0 && out[count - 1].first + out[count - 1].count == b->trial[i])
            out[count - 1].count++;
        else
            out[count++] = (fs_range){b->trial[i], 1};
    }
    return count;
}

static void coord_results(const event *e)
{
    fs_range ranges[BATCH_TRIALS_MAX];
    size_t count = to_ranges(&e->results, ranges);
    assert_int_equal(coord_scheduler_received(S.scheduler, e->worker, e->results.lease,
                                              e->results.cell, ranges, count, e->results.last,
                                              e->results.cost_us, S.now),
                     FS_OK);
    event commit = *e;
    commit.kind = COMMIT;
    commit.lease[0].first = e->epoch; /* the worker's, for the acknowledgement */
    commit.epoch = S.coord_epoch;
    push(1 + below(chance(20) ? 2000 : 15), commit);
    coord_grant(e->worker);
}

static void coord_commit(const event *e)
{
    if (!S.coord_up || e->epoch != S.coord_epoch) return; /* died with the coordinator */
    fs_range ranges[BATCH_TRIALS_MAX];
    size_t count = to_ranges(&e->results, ranges);
    uint64_t critical = 0;
    for (size_t i = 0; i < e->results.count; i++) {
        uint8_t *stored = &S.stored[e->results.cell][e->results.trial[i]];
        if (*stored == 0)
            critical += S.critical[e->results.cell][e->results.trial[i]];
        else
            S.duplicates++;
        if (*stored == 0) *stored = 1;
    }
    assert_int_equal(
        coord_scheduler_committed(S.scheduler, e->results.cell, ranges, count, critical), FS_OK);
    event ack = {.kind = TO_WORKER_ACK, .worker = e->worker, .epoch = (uint32_t)e->lease[0].first};
    ack.results.sequence = e->results.sequence;
    transmit(ack);
    for (uint32_t w = 0; w < S.worker_count; w++) coord_grant(w);
}

static void coord_tick(const event *e)
{
    if (!S.coord_up || e->epoch != S.coord_epoch) return;
    uint32_t threads = 0;
    for (uint32_t w = 0; w < S.worker_count; w++) {
        if (S.worker[w].known && S.now - S.worker[w].heard_ms >= SILENT_MS)
            coord_gone(w, COORD_LOST);
        if (S.worker[w].known) threads += S.worker[w].threads;
    }
    coord_scheduler_capacity(S.scheduler, threads);
    assert_int_equal(coord_scheduler_tick(S.scheduler, S.now), FS_OK);
    for (uint32_t w = 0; w < S.worker_count; w++) coord_grant(w);
    coord_scheduler_check(S.scheduler);
    if (S.now >= S.blip_until + S.calm &&
        (S.calm > 0 || chance(S.blip))) { /* 5 s, or longer than a lease lives */
        S.blip_until = S.now + (S.calm == 0 && below(2) == 0 ? 5000 : SILENT_MS + 5000);
        S.blips++;
    }
    if (chance(S.restart))
        coord_crash();
    else
        push(500, (event){.kind = COORD_TICK, .epoch = S.coord_epoch});
}

/* --- a worker --- */

static void worker_die(uint32_t w)
{
    sim_worker *self = &S.worker[w];
    self->alive = 0;
    S.deaths++;
    /* Half of them are children of the coordinator, which hears at once. */
    if (w % 2 == 0) push(1, (event){.kind = COORD_SEES_DEATH, .worker = w, .epoch = self->epoch});
    push(1000 + below(3000), (event){.kind = WORKER_START, .worker = w});
}

static void worker_start(uint32_t w)
{
    sim_worker *self = &S.worker[w];
    uint32_t epoch = self->epoch + 1;
    int known = self->known;
    /* A new process: for the coordinator its former self is gone, if it has not noticed. */
    if (S.coord_up && known) coord_gone(w, COORD_DIED);
    *self = (sim_worker){.alive = 1, .epoch = epoch, .threads = 1 + w % 2};
    push(0, (event){.kind = WORKER_BEAT, .worker = w, .epoch = epoch});
    push(1, (event){.kind = WORKER_STEP, .worker = w, .epoch = epoch});
}

static void worker_beat(const event *e)
{
    sim_worker *self = &S.worker[e->worker];
    if (!self->alive || self->epoch != e->epoch) return;
    push(HEARTBEAT, *e);
    if (S.now < self->frozen_until) return;
    if (chance(S.freeze)) self->frozen_until = S.now + below(3) * 20000;
    event beat = {.kind = TO_COORD_HEARTBEAT, .worker = e->worker, .epoch = self->epoch};
    beat.lease_count = self->lease_count;
    memcpy(beat.lease, self->lease, sizeof beat.lease);
    transmit(beat);
    for (uint32_t i = 0; i < self->unacked_count; i++) {
        if (S.now - self->unacked[i].sent_at < RESEND_MS) continue;
        self->unacked[i].sent_at = S.now;
        event again = {.kind = TO_COORD_RESULTS, .worker = e->worker, .epoch = self->epoch};
        again.results = self->unacked[i].results;
        transmit(again);
    }
}

static void worker_grant(const event *e)
{
    sim_worker *self = &S.worker[e->worker];
    if (!self->alive || self->epoch != e->epoch) return;
    for (uint32_t i = 0; i < self->lease_count; i++)
        if (self->lease[i].id == e->lease[0].id) return; /* doubled */
    if (self->lease_count == FS_LEASES_PER_WORKER_MAX) return;
    self->next[self->lease_count] = e->lease[0].first;
    self->lease[self->lease_count++] = e->lease[0];
}

/** The batch is done: it is sent, and the worker may leave in peace, with everything it has
 * acknowledged or void. @return nonzero if it left. */
static int worker_batch_done(uint32_t w)
{
    sim_worker *self = &S.worker[w];
    event out = {.kind = TO_COORD_RESULTS, .worker = w, .epoch = self->epoch};
    out.results = self->running;
    self->running.count = 0;
    self->unacked[self->unacked_count].results = out.results;
    self->unacked[self->unacked_count++].sent_at = S.now;
    transmit(out);
    if (out.results.last) {
        self->lease[0] = self->lease[1];
        self->next[0] = self->next[1];
        self->lease_count--;
    }
    if (!chance(2)) return 0;
    push(1, (event){.kind = TO_COORD_BYE, .worker = w, .epoch = self->epoch});
    self->alive = 0;
    push(2000, (event){.kind = WORKER_START, .worker = w});
    return 1;
}

/** Runs up to a batch of the first lease's trials; may die of poison or by chance. */
static void worker_step(const event *e)
{
    sim_worker *self = &S.worker[e->worker];
    if (!self->alive || self->epoch != e->epoch) return;
    if (self->running.count > 0 && worker_batch_done(e->worker)) return;
    uint64_t spent = 10;
    int idle =
        S.now < self->frozen_until || self->lease_count == 0 || self->unacked_count == UNACKED_MAX;
    if (!idle) {
        fs_lease lease = self->lease[0];
        batch b = {.sequence = ++self->sequence, .lease = lease.id, .cell = lease.cell};
        uint64_t max = 1 + below(BATCH_TRIALS_MAX), each = (5 + below(40)) * S.slow;
        spent = 0;
        while (b.count < max && self->next[0] < lease.first + lease.count) {
            uint64_t trial = self->next[0]++;
            if (S.poison[lease.cell][trial] || chance(S.crash)) {
                worker_die(e->worker);
                return;
            }
            b.trial[b.count++] = trial;
            spent += each / self->threads;
            b.cost_us += each * 1000;
        }
        b.last = self->next[0] == lease.first + lease.count;
        self->running = b;
    }
    push(spent + 1, (event){.kind = WORKER_STEP, .worker = e->worker, .epoch = e->epoch});
}

static void worker_ack(const event *e)
{
    sim_worker *self = &S.worker[e->worker];
    if (self->epoch != e->epoch) return;
    for (uint32_t i = 0; i < self->unacked_count; i++) {
        if (self->unacked[i].results.sequence != e->results.sequence) continue;
        self->unacked[i] = self->unacked[--self->unacked_count];
        return;
    }
}

/* --- a schedule --- */

static void handle(const event *e)
{
    if (e->kind <= LAST_OF_NETWORK && S.now < S.blip_until) return;
    switch (e->kind) {
    case TO_COORD_RESULTS:
        if (S.coord_up) coord_results(e);
        break;
    case TO_COORD_HEARTBEAT:
        if (S.coord_up) coord_heartbeat(e);
        break;
    case TO_COORD_BYE:
        if (S.coord_up && S.worker[e->worker].epoch == e->epoch)
            coord_gone(e->worker, COORD_PLANNED);
        break;
    case COORD_SEES_DEATH:
        if (S.coord_up && S.worker[e->worker].epoch == e->epoch) coord_gone(e->worker, COORD_DIED);
        break;
    case TO_WORKER_GRANT:
        worker_grant(e);
        break;
    case TO_WORKER_ACK:
        worker_ack(e);
        break;
    case COMMIT:
        coord_commit(e);
        break;
    case WORKER_STEP:
        worker_step(e);
        break;
    case WORKER_BEAT:
        worker_beat(e);
        break;
    case WORKER_START:
        worker_start(e->worker);
        break;
    case COORD_TICK:
        coord_tick(e);
        break;
    case COORD_RESTART:
        coord_start();
        break;
    }
}

static void sim_setup(uint64_t seed, event *heap)
{
    memset(&S, 0, sizeof S);
    S.heap = heap;
    fs_rng_init(&S.rng, seed, 0);
    S.cells = 1 + (uint32_t)below(CELLS_MAX);
    S.worker_count = 1 + (uint32_t)below(WORKERS_MAX);
    int poisoned = below(3) == 0;
    for (uint32_t c = 0; c < S.cells; c++) {
        S.trials[c] = 1 + below(TRIALS_MAX);
        S.rule[c] = below(2) == 0;
        uint64_t share = below(100);
        for (uint64_t t = 0; t < S.trials[c]; t++) {
            S.critical[c][t] = below(100) < share;
            S.poison[c][t] = poisoned && below(150) == 0;
        }
    }
    static const unsigned level[] = {0, 0, 5, 40, 150};
    S.loss = level[below(5)];
    S.doubling = level[below(5)];
    S.crash = below(2) == 0 ? 0 : 2;
    S.freeze = below(2) == 0 ? 0 : 10;
    S.restart = below(2) == 0 ? 0 : 15;
    S.blip = below(3) == 0 ? 100 : 0;
    S.slow = S.blip > 0 && below(2) == 0 ? 40 : 1;
}

/** Nothing breaks but the network, which is down for longer than a lease lives, over and over, and
 * up for 10 s in between, while a trial takes up to three minutes. */
static void sim_setup_blips(uint64_t seed, event *heap)
{
    sim_setup(seed, heap);
    S.cells = 1;
    S.trials[0] = 1 + below(4);
    S.rule[0] = 0;
    memset(S.poison, 0, sizeof S.poison);
    S.loss = S.doubling = S.crash = S.freeze = S.restart = 0;
    S.worker_count = 1 + (uint32_t)below(2);
    S.slow = 4000;
    S.calm = 10000;
}

static void sim_run(void)
{
    coord_start();
    for (uint32_t w = 0; w < S.worker_count; w++)
        push(below(500), (event){.kind = WORKER_START, .worker = w});
    while (!(S.coord_up && coord_scheduler_complete(S.scheduler))) {
        assert_true(S.heap_count > 0);
        event e = pop();
        S.now = e.at;
        if (S.now > END_MS) fail_msg("the campaign does not end");
        handle(&e);
    }
    uint64_t sum = 0;
    for (uint32_t c = 0; c < S.cells; c++) {
        uint64_t look = final_look(c);
        assert_int_equal(coord_scheduler_look(S.scheduler, c), look);
        for (uint64_t t = 0; t < S.trials[c]; t++)
            assert_int_equal(S.stored[c][t], t >= look ? 0 : S.poison[c][t] ? 2 : 1);
        sum += look;
    }
    assert_int_equal(coord_scheduler_done(S.scheduler), sum);
    assert_int_equal(coord_scheduler_remaining(S.scheduler), 0);
    coord_scheduler_check(S.scheduler);
    coord_scheduler_destroy(&S.scheduler);
}

static uint64_t current_seed;

static int print_seed(void **state)
{
    (void)state;
    if (current_seed != 0)
        fprintf(stderr, "failing seed %llu: replay with test_scheduler_sim 1 %llu\n",
                (unsigned long long)current_seed, (unsigned long long)current_seed);
    return 0;
}

static void test_schedules(void **state)
{
    (void)state;
    event *heap = calloc(EVENTS_MAX, sizeof *heap);
    assert_non_null(heap);
    uint64_t deaths = 0, duplicates = 0, restarts = 0, blips = 0, slowest = 0;
    for (unsigned long i = 0; i < schedule_count; i++) {
        current_seed = first_seed + i;
        sim_setup(current_seed, heap);
        sim_run();
        deaths += S.deaths;
        duplicates += S.duplicates;
        blips += S.blips;
        restarts += S.coord_epoch - 1;
        if (S.now > slowest) slowest = S.now;
    }
    current_seed = 0;
    free(heap);
    printf("%lu schedules: %llu worker deaths, %llu coordinator restarts, %llu duplicate results, "
           "%llu blips; the longest took %llu virtual seconds\n",
           schedule_count, (unsigned long long)deaths, (unsigned long long)restarts,
           (unsigned long long)duplicates, (unsigned long long)blips,
           (unsigned long long)slowest / 1000);
    if (schedule_count >= 1000) { /* the simulator must have done what it is for */
        assert_true(deaths > schedule_count / 2);
        assert_true(restarts > schedule_count / 10);
        assert_true(duplicates > schedule_count);
        assert_true(blips > schedule_count / 2);
    }
}

static void test_blips(void **state)
{
    (void)state;
    event *heap = calloc(EVENTS_MAX, sizeof *heap);
    assert_non_null(heap);
    for (current_seed = 1; current_seed <= 200; current_seed++) {
        sim_setup_blips(current_seed, heap);
        sim_run();
        assert_true(S.blips > 0);
    }
    current_seed = 0;
    free(heap);
}

int main(int argc, char **argv)
{
    if (argc > 1) schedule_count = strtoul(argv[1], NULL, 10);
    if (argc > 2) first_seed = strtoul(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_schedules, NULL, print_seed),
        cmocka_unit_test_setup_teardown(test_blips, NULL, print_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
