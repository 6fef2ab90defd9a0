/* flipsweep-worker: serves a coordinator, or runs named trials for replay and verify. */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cblas.h>
#include <jansson.h>

#include "cores.h"
#include "log.h"
#include "nn_cpu.h"
#include "program.h"
#include "wk_access.h"
#include "wk_loop.h"
#include "wk_replay.h"

enum {
    GOLDEN_MB = 1024,
    GOLDEN_MB_MAX = 1 << 20,
    PRIVATE_MB = 1024,
    SECONDS_MAX = 365 * 24 * 3600
};

typedef struct worker_values {
    const char *connect;
    const char *access;
    const char *models;
    const char *replay;
    const char *campaign;
    const char *faults;
    const char *work;
    uint32_t threads;
    uint32_t golden_mb;
    uint32_t idle_exit_s;
    double audit;
    int brute_force;
    int json;
    uint32_t parent_death; /* 0: lives on its own */
    int simulate;
    uint64_t simulate_us;
} worker_values;

#define AT(member) offsetof(worker_values, member)

static const fs_option worker_options[] = {
    {"connect", 'c', "ENDPOINT", FS_OPTION_TEXT, AT(connect),
     "the coordinator's address, tcp://HOST:PORT or ipc://PATH", 0, 0},
    {"access", 0, "FILE", FS_OPTION_TEXT, AT(access),
     "the file access.json that `flipsweep serve` leaves in its results, instead of --connect", 0,
     0},
    {"threads", 't', "N", FS_OPTION_U32, AT(threads),
     "compute threads (default: one per core that this process may use)", 1, FS_THREADS_MAX},
    {"models", 0, "DIR", FS_OPTION_TEXT, AT(models),
     "folder in which models and data are looked for by name if the campaign's paths do not exist "
     "here",
     0, 0},
    {"work", 0, "DIR", FS_OPTION_TEXT, AT(work),
     "folder for checkpoints of fine-tuning trials and the tuned models that a campaign keeps "
     "(default: none are written)",
     0, 0},
    {"idle-exit", 0, "SECONDS", FS_OPTION_U32, AT(idle_exit_s),
     "leave after so long without work and without a coordinator (default: wait for ever)", 1,
     SECONDS_MAX},
    {"golden-mb", 0, "N", FS_OPTION_U32, AT(golden_mb),
     "memory for fault-free activations, in MiB (default: 1024)", 1, GOLDEN_MB_MAX},
    {"audit", 0, "SHARE", FS_OPTION_REAL, AT(audit),
     "share of trials that are also run by brute force and must agree (default: 0)", 0, 1},
    {"parent-death", 0, "PID", FS_OPTION_U32, AT(parent_death),
     "die with the process PID, which started this one, and say less", 1, INT32_MAX},
    {"replay", 0, "FILE", FS_OPTION_TEXT, AT(replay),
     "run the trials listed in FILE, one SWEEP/CELL/INDEX a line, and print them; no coordinator",
     0, 0},
    {"campaign", 0, "FILE", FS_OPTION_TEXT, AT(campaign), "the campaign of --replay", 0, 0},
    {"faults", 0, "FILE", FS_OPTION_TEXT, AT(faults),
     "write the faults of the trial of --replay to FILE", 0, 0},
    {"json", 0, NULL, FS_OPTION_FLAG, AT(json),
     "print one JSON document in the end: what was run, and what became of it", 0, 0},
    {"brute-force", 0, NULL, FS_OPTION_FLAG, AT(brute_force), NULL, 0, 0},
    {"simulate", 0, NULL, FS_OPTION_FLAG, AT(simulate), NULL, 0, 0},
    {"simulate-us", 0, "MICROSECONDS", FS_OPTION_U64, AT(simulate_us), NULL, 0, 3600e6},
    {0},
};

/** Dies with the process that started this one. */
static fs_status follow_parent(uint32_t pid)
{
    fs_log_init("flipsweep-worker", FS_LOG_WARN);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fs_warn("cannot die with the parent process");
    /* It may have died before the signal was asked for: then another process is the parent. */
    if ((uint32_t)getppid() == pid) return FS_OK;
    return fs_fail(FS_EINTERRUPTED, "process %u, which started this worker, is gone", pid);
}

static fs_status print_counts(const wk_counts *counts, unsigned threads)
{
    json_t *root = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "kernel", nn_kernel_name(), "threads",
        (json_int_t)threads, "trials", (json_int_t)counts->trials, "failed",
        (json_int_t)counts->failed, "accepted", (json_int_t)counts->accepted, "duplicates",
        (json_int_t)counts->duplicates, "mismatches", (json_int_t)counts->mismatches);
    int failed = root == NULL || json_dumpf(root, stdout, JSON_COMPACT) != 0;
    json_decref(root);
    putchar('\n');
    return failed && !ferror(stdout) ? fs_fail(FS_ENOMEM, "no memory for a JSON document") : FS_OK;
}

static fs_status run(const void *data, const fs_arguments *arguments)
{
    const worker_values *values = data;
    if ((values->connect != NULL) + (values->access != NULL) + (values->replay != NULL) != 1) {
        return fs_fail(FS_EUSAGE,
                       "give one of --connect ENDPOINT, --access FILE and --replay FILE");
    }
    if ((values->replay == NULL) != (values->campaign == NULL)) {
        return fs_fail(FS_EUSAGE, "--replay and --campaign go together");
    }
    if (values->json && values->replay != NULL) {
        return fs_fail(FS_EUSAGE, "--json is of serving a coordinator: --replay prints documents");
    }
    if (values->faults != NULL && values->replay == NULL) {
        return fs_fail(FS_EUSAGE, "--faults belongs to --replay");
    }
    /* A trial runs on one thread, and threads are ours to count. */
    openblas_set_num_threads(1);
    const uint32_t golden_mb = values->golden_mb > 0 ? values->golden_mb : GOLDEN_MB;
    const wk_options executor = {.threads =
                                     values->threads > 0 ? values->threads : fs_cores_usable(),
                                 .brute_force = values->brute_force,
                                 .audit = values->audit,
                                 .golden_bytes_max = (uint64_t)golden_mb << 20,
                                 .private_bytes_max = (uint64_t)PRIVATE_MB << 20,
                                 .work = values->work};
    if (values->replay != NULL) {
        const wk_replay_request request = {values->campaign, values->replay, values->faults};
        return wk_replay(&request, &executor, stdout);
    }
    if (values->parent_death > 0) FS_TRY(follow_parent(values->parent_death));
    char endpoint[FS_PATH_BYTES_MAX];
    if (values->access != NULL) FS_TRY(wk_access_read(endpoint, values->access));
    const wk_loop_options options = {.endpoint =
                                         values->access != NULL ? endpoint : values->connect,
                                     .models = values->models,
                                     .executor = executor,
                                     .idle_exit_ms = (uint64_t)values->idle_exit_s * 1000,
                                     .simulate = values->simulate,
                                     .simulate_us = values->simulate_us};
    wk_counts counts;
    FS_TRY(wk_loop_run(&options, &counts));
    return values->json ? print_counts(&counts, executor.threads) : FS_OK;
}

int main(int argc, char **argv)
{
    static const fs_command worker = {
        .name = "flipsweep-worker",
        .summary = "Runs trials for a coordinator.",
        .synopsis = "",
        .options = worker_options,
        .values_bytes = sizeof(worker_values),
        .details = "SIGTERM and Ctrl-C give back what has not started, finish what runs and leave "
                   "with 0 once\nthat is acknowledged; Ctrl-C twice leaves at once; SIGUSR1 "
                   "finishes what is leased first.\n",
        .run = run,
    };
    return fs_command_main(&worker, argc, argv);
}
