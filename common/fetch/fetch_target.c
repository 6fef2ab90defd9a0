#include "fetch_target.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "assert.h"
#include "names.h"

static int ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size > end_size && strcmp(text + size - end_size, end) == 0;
}

static int is_data_file(const char *name)
{
    return ends_with(name, ".tsv") || ends_with(name, ".txt") || ends_with(name, ".raw") ||
           ends_with(name, ".tokens");
}

/** These endings are ours: a name with one would meet our own files in the cache. */
static int is_taken(const char *name)
{
    return ends_with(name, ".part") || ends_with(name, ".lock") || ends_with(name, ".fetch.json");
}

static fs_status set_text(char *out, size_t size, const char *text, size_t text_size)
{
    if (text_size >= size) return fs_fail(FS_ELIMIT, "%.80s...: longer than %zu bytes", text, size);
    memcpy(out, text, text_size);
    out[text_size] = '\0';
    return FS_OK;
}

static fs_status set_name(fetch_target *self, const char *name)
{
    if (!fs_repo_name_valid(name, 1) && !fs_repo_name_valid(name, 0))
        return fs_fail(FS_EUSAGE,
                       "'%.200s' is neither NAME, OWNER/NAME nor a URL: names hold letters, "
                       "digits, '.', '_' and '-'",
                       name);
    if (is_taken(name))
        return fs_fail(FS_EUSAGE,
                       "'%.200s': names ending in .part, .lock and .fetch.json are the "
                       "cache's own",
                       name);
    return set_text(self->name, sizeof self->name, name, strlen(name));
}

/** Notes the server to ask: an http or https URL without a query. */
static fs_status set_server(fetch_target *self, const char *server, int by_user)
{
    fetch_url url;
    fs_status status = fetch_url_parse(&url, server);
    if (status != FS_OK) return fs_wrap(status, "--server");
    if (url.query) return fs_fail(FS_EUSAGE, "--server: %s: a server's URL has no query", server);
    size_t size = strlen(server);
    while (size > 0 && server[size - 1] == '/') size--;
    self->origin = url.origin;
    self->plain = by_user && !fetch_origin_secure(&url.origin);
    return set_text(self->server, sizeof self->server, server, size);
}

static fs_status parse_name(fetch_target *self, const char *text, const char *server)
{
    self->known = fetch_known_find(text);
    FS_TRY(set_name(self, text));
    if (self->known == NULL && is_data_file(text) && strchr(text, '/') == NULL) {
        self->kind = FETCH_FILE;
        return set_text(self->path, sizeof self->path, text, strlen(text));
    }
    const char *usual = self->known == NULL ? FETCH_HUB : self->known->server;
    const char *path = self->known == NULL ? text : self->known->path;
    if (self->known != NULL) self->kind = self->known->kind;
    FS_TRY(set_text(self->path, sizeof self->path, path, strlen(path)));
    return set_server(self, server == NULL ? usual : server, server != NULL);
}

/* --- URLs ------------------------------------------------------------------------------------- */

enum { PARTS_MAX = 5 };

/** Parts of a path between slashes: up to PARTS_MAX of them, and how many there are. */
typedef struct parts {
    const char *at[PARTS_MAX];
    size_t size[PARTS_MAX];
    size_t count;
} parts;

static parts split_path(const char *path)
{
    parts out = {.count = 0};
    for (const char *p = path; *p != '\0';) {
        p += strspn(p, "/");
        size_t size = strcspn(p, "/");
        if (size > 0 && out.count < PARTS_MAX) {
            out.at[out.count] = p;
            out.size[out.count] = size;
        }
        out.count += size > 0;
        p += size;
    }
    return out;
}

static int part_is(const parts *self, size_t i, const char *word)
{
    return i < self->count && self->size[i] == strlen(word) &&
           memcmp(self->at[i], word, self->size[i]) == 0;
}

static fs_status set_model_page(fetch_target *self, const parts *p)
{
    size_t names = p->count < 2 ? p->count : 2;
    const char *end = p->at[names - 1] + p->size[names - 1];
    char name[FS_URL_BYTES_MAX];
    self->kind = FETCH_MODEL;
    FS_TRY(set_text(name, sizeof name, p->at[0], (size_t)(end - p->at[0])));
    FS_TRY(set_name(self, name));
    if (p->count == 4) {
        FS_TRY(set_text(self->revision, sizeof self->revision, p->at[3], p->size[3]));
        for (const char *c = self->revision; *c != '\0'; c++)
            if (!isalnum((unsigned char)*c) && strchr("._-", *c) == NULL)
                return fs_fail(FS_EUSAGE, "revision '%s': letters, digits, '.', '_' and '-' only",
                               self->revision);
    }
    return set_text(self->path, sizeof self->path, name, strlen(name));
}

/** Notes the file's URL: what follows the origin is the path, query and all. */
static fs_status set_file(fetch_target *self, const char *text, const parts *p)
{
    char name[FS_REPO_NAME_BYTES_MAX];
    const char *last = p->count == 0 ? "" : p->at[p->count - 1];
    size_t size = p->count == 0 ? 0 : p->size[p->count - 1];
    self->kind = FETCH_FILE;
    if (size >= sizeof name) return fs_fail(FS_ELIMIT, "%.200s: the file's name is too long", text);
    memcpy(name, last, size);
    name[size] = '\0';
    if (!fs_repo_name_valid(name, 0))
        return fs_fail(FS_EUSAGE,
                       "%.200s: the last part of its path is no plain file name of letters, "
                       "digits, '.', '_' and '-'",
                       text);
    FS_TRY(set_name(self, name));
    const char *path = strstr(text, "://") + 3;
    path += strcspn(path, "/");
    path += strspn(path, "/");
    return set_text(self->path, sizeof self->path, path, strlen(path));
}

static fs_status parse_url(fetch_target *self, const char *text, const char *server)
{
    fetch_url url;
    FS_TRY(fetch_url_parse(&url, text));
    char base[FS_URL_BYTES_MAX];
    size_t scheme_size = (size_t)(strstr(text, "://") + 3 - text);
    FS_TRY(set_text(base, sizeof base, text, scheme_size + strcspn(text + scheme_size, "/?")));
    FS_TRY(set_server(self, base, 0));
    if (server != NULL) {
        fetch_target named = {.kind = FETCH_MODEL};
        FS_TRY(set_server(&named, server, 1));
        self->plain = named.plain && fetch_origin_equal(&named.origin, &self->origin);
    }
    parts p = split_path(url.path);
    char last[FS_URL_BYTES_MAX] = "";
    if (p.count > 0 && p.count <= PARTS_MAX) memcpy(last, p.at[p.count - 1], p.size[p.count - 1]);
    int page = p.count >= 1 && p.count <= 2 && !is_data_file(last) && !url.query;
    int tree = p.count == 4 && part_is(&p, 2, "tree") && !url.query;
    if (page || tree) return set_model_page(self, &p);
    /* The last of many parts is behind the ones that were kept. */
    if (p.count > PARTS_MAX) {
        const char *end = url.path + strlen(url.path);
        while (end > url.path && end[-1] == '/') end--;
        const char *start = end;
        while (start > url.path && start[-1] != '/') start--;
        p = (parts){.at = {start}, .size = {(size_t)(end - start)}, .count = 1};
    }
    return set_file(self, text, &p);
}

/** HF_TOKEN is meant for the hub: whoever else serves a file has no business with it. */
static int may_have_token(const fetch_target *self, const char *server)
{
    fetch_url trusted;
    const char *named = server == NULL ? FETCH_HUB : server;
    return fetch_url_parse(&trusted, named) == FS_OK &&
           fetch_origin_equal(&trusted.origin, &self->origin) &&
           (fetch_origin_secure(&self->origin) || fetch_origin_loopback(&self->origin));
}

fs_status fetch_target_parse(fetch_target *out, const char *text, const char *server)
{
    *out = (fetch_target){.kind = FETCH_MODEL, .revision = "main"};
    FS_TRY(strstr(text, "://") != NULL ? parse_url(out, text, server)
                                       : parse_name(out, text, server));
    out->trusted = may_have_token(out, server);
    if (out->server[0] == '\0' || fetch_origin_secure(&out->origin) ||
        fetch_origin_loopback(&out->origin) || out->plain)
        return FS_OK;
    return fs_fail(FS_EUSAGE,
                   "http://%s is not encrypted: use https, or name it with --server if you trust "
                   "the network",
                   out->origin.host);
}

fs_status fetch_target_url(const fetch_target *self, const char *revision, const char *file,
                           char out[FS_URL_BYTES_MAX])
{
    FS_ASSERT(self->server[0] != '\0');
    int n = file == NULL ? snprintf(out, FS_URL_BYTES_MAX, "%s/%s", self->server, self->path)
                         : snprintf(out, FS_URL_BYTES_MAX, "%s/%s/resolve/%s/%s", self->server,
                                    self->path, revision, file);
    if (n < 0 || n >= FS_URL_BYTES_MAX)
        return fs_fail(FS_ELIMIT, "%.200s...: a URL has at most %d bytes", out,
                       FS_URL_BYTES_MAX - 1);
    return FS_OK;
}

void fetch_target_source(const fetch_target *self, char out[FS_URL_BYTES_MAX])
{
    /* A query may hold a signature that is nobody's business. */
    int size = (int)strcspn(self->path, "?");
    snprintf(out, FS_URL_BYTES_MAX, "%.1000s%s%.*s", self->server,
             self->server[0] == '\0' ? "" : "/", size < 1000 ? size : 1000, self->path);
}

const char *fetch_target_file(const fetch_target *self)
{
    const char *slash = strrchr(self->path, '/');
    if (self->kind == FETCH_FILE) return self->name; /* the path may have a query */
    return slash == NULL ? self->path : slash + 1;
}
