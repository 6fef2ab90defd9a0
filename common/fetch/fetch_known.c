#include "fetch_known.h"

#include <string.h>

static const fetch_known known[] = {
#define X(name, kind, server, path, about, sums, members)                                          \
    {name, kind, server, path, about, sums, members},
    FETCH_KNOWN_MAP(X)
#undef X
};

const fetch_known *fetch_known_at(size_t i)
{
    return i < sizeof known / sizeof known[0] ? &known[i] : NULL;
}

const fetch_known *fetch_known_find(const char *name)
{
    for (size_t i = 0; fetch_known_at(i) != NULL; i++)
        if (strcmp(known[i].name, name) == 0) return &known[i];
    return NULL;
}

const char *fetch_known_sha256(const fetch_known *self, const char *file)
{
    for (size_t i = 0; self != NULL && i < FETCH_SUMS_MAX && self->sums[i].file != NULL; i++)
        if (strcmp(self->sums[i].file, file) == 0) return self->sums[i].sha256;
    return NULL;
}
