/** The models and data sets that have short names: where they are published, and what is known of
 * their contents.
 *
 * A sha256 stands here only if at least two independent sources publish it for that file; where
 * none is given, the server's own statement counts (fetch_http.h). Thread rule: const. */
#ifndef FETCH_KNOWN_H
#define FETCH_KNOWN_H

#include <stddef.h>

typedef enum fetch_kind {
    FETCH_MODEL,   /* a folder: config.json, weights, the tokeniser's files */
    FETCH_ARCHIVE, /* a zip, of which some members become data files */
    FETCH_FILE     /* one data file */
} fetch_kind;

enum { FETCH_SUMS_MAX = 4, FETCH_MEMBERS_MAX = 4 };

/** The server of what has no other: HuggingFace's. */
#define FETCH_HUB "https://huggingface.co"

typedef struct fetch_sum {
    const char *file;   /* NULL ends the list */
    const char *sha256; /* 64 lower-case hexadecimal digits */
} fetch_sum;

typedef struct fetch_member {
    const char *member; /* path in the archive; NULL ends the list */
    const char *output; /* file in the cache */
} fetch_member;

/* X(name, kind, server, path, about, sums, members). The path of a model is OWNER/NAME, that of an
 * archive leads from the server to the file. The first member is what the bare name stands for. */
#define FETCH_KNOWN_MAP(X)                                                                         \
    X("gpt2", FETCH_MODEL, FETCH_HUB, "openai-community/gpt2",                                     \
      "GPT-2 small, 124 million "                                                                  \
      "parameters, 548 MB",                                                                        \
      FETCH_LIST(                                                                                  \
          {"model.safetensors",                                                                    \
           "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707"},                    \
          {"vocab.json", "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"},      \
          {"merges.txt", "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"}),     \
      FETCH_LIST({NULL, NULL}))                                                                    \
    X("bert-base-uncased", FETCH_MODEL, FETCH_HUB, "google-bert/bert-base-uncased",                \
      "BERT base as pretrained, to fine-tune, 440 MB",                                             \
      FETCH_LIST(                                                                                  \
          {"model.safetensors",                                                                    \
           "68d45e234eb4a928074dfd868cead0219ab85354cc53d20e772753c6bb9169d3"},                    \
          {"vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"}),      \
      FETCH_LIST({NULL, NULL}))                                                                    \
    X("bert-base-uncased-sst2", FETCH_MODEL, FETCH_HUB,                                            \
      "yoshitomo-matsubara/bert-base-uncased-sst2", "BERT base tuned on SST-2, 438 MB",            \
      FETCH_LIST({NULL, NULL}), FETCH_LIST({NULL, NULL}))                                          \
    X("sst2", FETCH_ARCHIVE, "https://dl.fbaipublicfiles.com", "glue/data/SST-2.zip",              \
      "GLUE SST-2: sst2 (872 sentences to evaluate), sst2-train (67,349 phrases)",                 \
      FETCH_LIST(                                                                                  \
          {"SST-2.zip", "d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa"}),      \
      FETCH_LIST({"SST-2/dev.tsv", "sst2.tsv"}, {"SST-2/train.tsv", "sst2-train.tsv"}))            \
    X("wikitext-103", FETCH_ARCHIVE, FETCH_HUB,                                                    \
      "datasets/mattdangerw/wikitext-103-raw/resolve/main/wikitext-103-raw-v1.zip",                \
      "WikiText-103, raw: wikitext-103 (the test set), -valid, -train; 192 MB",                    \
      FETCH_LIST({"wikitext-103-raw-v1.zip",                                                       \
                  "91c00ae287f0d699e18605c84afc9e45c192bc6b7797ff8837e5474655a33794"}),            \
      FETCH_LIST({"wikitext-103-raw/wiki.test.raw", "wikitext-103.txt"},                           \
                 {"wikitext-103-raw/wiki.valid.raw", "wikitext-103-valid.txt"},                    \
                 {"wikitext-103-raw/wiki.train.raw", "wikitext-103-train.txt"}))

/** Lets the commas of an initialiser pass through FETCH_KNOWN_MAP. */
#define FETCH_LIST(...)                                                                            \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

typedef struct fetch_known {
    const char *name;
    fetch_kind kind;
    const char *server;
    const char *path;
    const char *about;
    fetch_sum sums[FETCH_SUMS_MAX];
    fetch_member members[FETCH_MEMBERS_MAX];
} fetch_known;

/** @return the i-th entry, NULL past the end; static. */
const fetch_known *fetch_known_at(size_t i);
/** @return the entry of that name, NULL if there is none; static. */
const fetch_known *fetch_known_find(const char *name);
/** @return the sha256 that is known of a file, NULL if none is; static. `self` may be NULL. */
const char *fetch_known_sha256(const fetch_known *self, const char *file);

#endif
