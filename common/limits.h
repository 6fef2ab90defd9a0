/** Every maximum of the project, each tested at the limit and one past it. */
#ifndef FS_LIMITS_H
#define FS_LIMITS_H

enum {
    FS_NAME_BYTES_MAX = 64,      /* a campaign's, arm's or sweep's name, with its NUL */
    FS_CELL_ID_BYTES_MAX = 256,  /* SWEEP/CELL, with its NUL */
    FS_PATH_BYTES_MAX = 4096,    /* a path, with its NUL */
    FS_REPO_NAME_BYTES_MAX = 97, /* OWNER or NAME of a model on a server, with its NUL */
    FS_HASH_BYTES = 32,          /* a content hash: BLAKE2b-256 */
    FS_HASH_HEX_BYTES = 65,      /* its hexadecimal text, with its NUL */

    FS_ARMS_MAX = 64,                /* arms in a campaign */
    FS_SWEEPS_MAX = 64,              /* sweeps in a campaign */
    FS_AXIS_MAX = 128,               /* values on one axis of a sweep */
    FS_PROTECT_MAX = 8,              /* protections composed in one arm */
    FS_CELLS_MAX = 100000,           /* cells in a campaign */
    FS_VARIANTS_MAX = 4096,          /* (model, format, protection, guard, tuned)s */
    FS_CAMPAIGN_BYTES_MAX = 1 << 20, /* a campaign file */
    FS_YAML_DEPTH_MAX = 16,          /* nesting in a campaign file */
    FS_YAML_NODES_MAX = 100000,      /* nodes visited in a campaign file, aliases expanded */

    FS_LAYERS_MAX = 512,        /* transformer blocks in a model */
    FS_HEADS_MAX = 1024,        /* attention heads in a model */
    FS_WIDTH_MAX = 1 << 20,     /* d_model or d_ff */
    FS_VOCAB_MAX = 1 << 24,     /* entries of a vocabulary */
    FS_POSITIONS_MAX = 1 << 20, /* positions of a model */
    FS_LABELS_MAX = 4096,       /* classes of a classifier */
    FS_TENSORS_MAX = 1 << 16,   /* tensors in a model */
    FS_SHARD_FILES_MAX = 1024,  /* files that an index of weights names */
    FS_SAFETENSORS_HEADER_BYTES_MAX = 100 * 1000 * 1000,
    FS_JSON_BYTES_MAX = 64 << 20, /* config.json, vocab.json, an index */
    FS_DATA_BYTES_MAX = 1 << 30,  /* a data set file */
    FS_EXAMPLES_MAX = 1 << 24,    /* examples read from a data set */
    FS_TOKENS_MAX = 1 << 29,      /* tokens of a data set, windows that overlap counted twice */

    FS_TUNE_STEPS_MAX = 1 << 20, /* steps of a fine-tuning trial */
    FS_TUNE_BATCH_MAX = 1 << 16, /* sequences in one of its batches */

    FS_CSV_LINE_BYTES_MAX = 4096, /* a line of a fault list, a log of addresses or their map */
    FS_LIST_BYTES_MAX = 1 << 29,  /* a fault list */
    FS_LIST_FAULTS_MAX = 1 << 23, /* faults of a list, all trials together */

    FS_FAULTS_KEPT_MAX = 8,            /* faults written out in a trial's record */
    FS_TRIAL_RECORD_BYTES_MAX = 1024,  /* one encoded trial record */
    FS_SHARD_TRIALS_MAX = 65536,       /* trials in one lease */
    FS_RESULTS_PER_MESSAGE_MAX = 1024, /* records in one RESULTS message */
    FS_LEASES_PER_WORKER_MAX = 2,      /* outstanding grants */
    FS_LEASE_MS = 30000,               /* a lease without heartbeat is lost after this */
    FS_HEARTBEAT_MS = 1000,            /* between a worker's heartbeats */
    FS_LEASE_DEATHS_MAX = 3,           /* worker deaths on one trial before it is quarantined */
    FS_WORKERS_MAX = 4096,             /* connected workers */
    FS_THREADS_MAX = 1024,             /* compute threads of one worker */

    FS_MESSAGE_BYTES_MAX = 4 << 20,   /* one frame, and one message as a whole */
    FS_MESSAGE_FRAMES_MAX = 2,        /* frames of one message: routing identity and body */
    FS_BUS_FRAMES_MAX = 1 << 16,      /* frames queued for sending */
    FS_BUS_BYTES_MAX = 512 << 20,     /* bytes queued for sending */
    FS_MSGPACK_DEPTH_MAX = 8,         /* nesting in a message */
    FS_MSGPACK_OBJECTS_MAX = 1 << 18, /* objects in a message */

    FS_URL_BYTES_MAX = 4096,            /* a URL, with its NUL; signed ones are long */
    FS_ETAG_BYTES_MAX = 256,            /* an ETag with its quotes, with its NUL */
    FS_HTTP_HEADER_BYTES_MAX = 1 << 18, /* all header lines of one response */
    FS_REDIRECTS_MAX = 8,               /* followed for one request */
    FS_FETCH_TRIES_MAX = 6,             /* failures in a row that brought nothing new */
    FS_FETCH_CONNECTIONS_MAX = 1000,    /* for one file, all tries together */
    FS_FETCH_PAUSE_MS_MAX = 60000,      /* between two tries */
    FS_FETCH_FILES_MAX = 1100,          /* files of one model: shards and the few others */

    FS_COMMIT_MS_MAX = 10,        /* a group commit waits at most this long */
    FS_COMMIT_RECORDS_MAX = 16384 /* and for at most this many records */
};

#define FS_TRIALS_MAX           ((uint64_t)1 << 40) /* trials in one cell */
#define FS_FETCH_BYTES_MAX      ((uint64_t)1 << 37) /* one file that is fetched */
#define FS_FAULTS_PER_TRIAL_MAX ((uint64_t)1 << 28) /* faults drawn for one trial */

#endif
