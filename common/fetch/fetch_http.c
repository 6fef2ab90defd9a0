#include "fetch_http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"
#include "fetch_headers.h"

enum { TOKEN_BYTES_MAX = 512, BODY_BYTES_IGNORED_MAX = 1 << 20, CONNECT_S_MAX = 30 };

struct fetch_http {
    CURL *easy;
    fetch_http_options options;
    char authorization[TOKEN_BYTES_MAX]; /* the whole header line, "" without a token */
    char error[CURL_ERROR_SIZE];
};

/** One request and the response to it; a redirect makes another. */
typedef struct exchange {
    fetch_http *self;
    const fetch_request *request;
    const fetch_sink *sink;
    fetch_headers headers;
    fetch_reply *reply;
    int begun;
    fs_status sunk; /* what the sink said */
    size_t ignored; /* bytes of a body that nobody wants */
} exchange;

static fs_status set_token(fetch_http *self, const char *token)
{
    for (const char *p = token; *p != '\0'; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
            return fs_fail(FS_ECONFIG, "HF_TOKEN holds a space or a character that is no ASCII");
    int n = snprintf(self->authorization, sizeof self->authorization, "Authorization: Bearer %s",
                     token);
    if (n < 0 || (size_t)n >= sizeof self->authorization)
        return fs_fail(FS_ELIMIT, "HF_TOKEN is too long");
    return FS_OK;
}

fs_status fetch_http_new(fetch_http **out, const fetch_http_options *options)
{
    *out = NULL;
    /* Reference counted by libcurl; the first call is before any thread is started. */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return fs_fail(FS_EINTERNAL, "libcurl cannot start");
    fetch_http *self = calloc(1, sizeof *self);
    if (self == NULL) {
        curl_global_cleanup();
        return fs_fail(FS_ENOMEM, "no memory for a connection");
    }
    self->options = *options;
    self->easy = curl_easy_init();
    fs_status status =
        self->easy == NULL ? fs_fail(FS_ENOMEM, "no memory for a connection") : FS_OK;
    if (status == FS_OK && options->token != NULL && options->token[0] != '\0')
        status = set_token(self, options->token);
    self->options.token = NULL;
    if (status == FS_OK)
        *out = self;
    else
        fetch_http_destroy(&self);
    return status;
}

void fetch_http_destroy(fetch_http **self)
{
    if (*self == NULL) return;
    curl_easy_cleanup((*self)->easy);
    free(*self);
    *self = NULL;
    curl_global_cleanup();
}

/* --- Callbacks -------------------------------------------------------------------------------- */

static size_t take_header(char *data, size_t size, size_t count, void *context)
{
    exchange *e = context;
    FS_ASSERT(size == 1);
    return fetch_headers_line(&e->headers, data, count) ? count : 0;
}

/** Tells the sink once what is coming. */
static fs_status begin(exchange *e)
{
    if (e->begun) return FS_OK;
    e->begun = 1;
    fs_status status = fetch_headers_reply(&e->headers, e->reply);
    if (status != FS_OK) return fs_wrap(status, "%s", e->request->url);
    return e->sink->begin(e->sink->context, e->reply);
}

static int is_wanted(long code)
{
    return code == 200 || code == 206;
}

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
    exchange *e = context;
    long code = 0;
    FS_ASSERT(size == 1);
    curl_easy_getinfo(e->self->easy, CURLINFO_RESPONSE_CODE, &code);
    if (!is_wanted(code)) {
        e->ignored += count;
        return e->ignored > BODY_BYTES_IGNORED_MAX ? 0 : count;
    }
    e->sunk = begin(e);
    if (e->sunk == FS_OK) e->sunk = e->sink->write(e->sink->context, data, count);
    return e->sunk == FS_OK ? count : 0;
}

/* --- One exchange ----------------------------------------------------------------------------- */

/** @return nonzero if all options were taken. */
static int set_options(exchange *e, const char *url, struct curl_slist *lines)
{
    CURL *easy = e->self->easy;
    long stall = (long)e->self->options.stall_s;
    char range[32];
    CURLcode failed = CURLE_OK;
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (failed == CURLE_OK) failed = curl_easy_setopt(easy, (option), (value));                \
    } while (0)
    curl_easy_reset(easy); /* keeps the connections */
    e->self->error[0] = '\0';
    SET(CURLOPT_URL, url);
    SET(CURLOPT_ERRORBUFFER, e->self->error);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_USERAGENT, "flipsweep/" FS_VERSION);
    SET(CURLOPT_HTTPHEADER, lines);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, e);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, e);
    SET(CURLOPT_CONNECTTIMEOUT, stall < CONNECT_S_MAX ? stall : (long)CONNECT_S_MAX);
    SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
    SET(CURLOPT_LOW_SPEED_TIME, stall);
    if (e->request->first > 0) {
        snprintf(range, sizeof range, "%llu-", (unsigned long long)e->request->first);
        SET(CURLOPT_RANGE, range);
    }
#undef SET
    return failed == CURLE_OK;
}

static int add_line(struct curl_slist **lines, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*lines, line);
    if (longer != NULL) *lines = longer;
    return longer != NULL;
}

/** Sends one request. The token goes with it only if it goes to the server's own origin. */
static fs_status perform(exchange *e, const char *url, const fetch_origin *origin, CURLcode *result)
{
    struct curl_slist *lines = NULL;
    char if_range[FS_ETAG_BYTES_MAX + 16];
    const fetch_http *self = e->self;
    int made = 1;
    snprintf(if_range, sizeof if_range, "If-Range: %s", e->request->etag);
    if (e->request->first > 0 && e->request->etag[0] != '\0') made = add_line(&lines, if_range);
    if (made && self->authorization[0] != '\0' && fetch_origin_equal(origin, &self->options.origin))
        made = add_line(&lines, self->authorization);
    if (!made || !set_options(e, url, lines)) {
        curl_slist_free_all(lines);
        return fs_fail(FS_ENOMEM, "no memory for a request");
    }
    *result = curl_easy_perform(self->easy);
    curl_slist_free_all(lines);
    curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &e->reply->code);
    if (*result == CURLE_OK && is_wanted(e->reply->code) && e->sunk == FS_OK) e->sunk = begin(e);
    return e->sunk;
}

/* --- What an answer means --------------------------------------------------------------------- */

static fs_status judge_failure(const exchange *e, CURLcode result)
{
    const char *url = e->request->url;
    const char *why = e->self->error[0] != '\0' ? e->self->error : curl_easy_strerror(result);
    e->reply->again = 1;
    switch (result) {
    case CURLE_OPERATION_TIMEDOUT:
        return fs_fail(FS_ETIMEOUT, "%s: no answer, or nothing came for %u s", url,
                       e->self->options.stall_s);
    case CURLE_WRITE_ERROR: /* our callbacks stopped it: too much of what nobody wants */
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_BAD_CONTENT_ENCODING:
        e->reply->again = 0;
        return fs_fail(FS_EPROTO, "%s: %s", url, why);
    default:
        return fs_fail(FS_EIO, "%s: %s", url, why);
    }
}

static fs_status judge_code(const exchange *e)
{
    const char *url = e->request->url;
    long code = e->reply->code;
    switch (code) {
    case 404:
    case 410:
        return fs_fail(FS_ENOENT, "%s: not there (HTTP %ld)", url, code);
    case 401:
    case 403:
        return fs_fail(FS_EREFUSED,
                       "%s: refused (HTTP %ld): %s; a model that does not exist may be answered "
                       "like this, too",
                       url, code,
                       e->self->authorization[0] == '\0'
                           ? "it may need a token: HF_TOKEN in the environment goes to "
                             "huggingface.co "
                             "or to --server, by https"
                           : "the token in HF_TOKEN is not accepted for it");
    case 408:
    case 416: /* what we have is longer than what there is: the caller starts over */
    case 425:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
        e->reply->again = 1;
        return fs_fail(FS_EIO, "%s: the server answers HTTP %ld", url, code);
    default:
        return fs_fail(FS_EPROTO, "%s: the server answers HTTP %ld", url, code);
    }
}

static int is_redirect(long code)
{
    return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

/** Checks where a redirect leads. `url` is replaced by it. */
static fs_status follow(const exchange *e, char url[FS_URL_BYTES_MAX], fetch_origin *origin)
{
    char *target = NULL;
    fetch_url next;
    const fetch_http_options *options = &e->self->options;
    curl_easy_getinfo(e->self->easy, CURLINFO_REDIRECT_URL, &target);
    if (target == NULL)
        return fs_fail(FS_EPROTO, "%s: a redirect (HTTP %ld) to nowhere", e->request->url,
                       e->reply->code);
    if (fetch_url_parse(&next, target) != FS_OK)
        return fs_fail(FS_EPROTO, "%s: a redirect to what is no http or https URL",
                       e->request->url);
    int allowed = fetch_origin_secure(&next.origin) ||
                  (!fetch_origin_secure(origin) &&
                   (fetch_origin_loopback(&next.origin) ||
                    (options->plain && fetch_origin_equal(&next.origin, &options->origin))));
    if (!allowed)
        return fs_fail(FS_EPROTO, "%s: a redirect to http://%s, which is not encrypted",
                       e->request->url, next.origin.host);
    *origin = next.origin;
    int n = snprintf(url, FS_URL_BYTES_MAX, "%s", target);
    FS_ASSERT(n > 0 && n < FS_URL_BYTES_MAX); /* fetch_url_parse knows the limit */
    return FS_OK;
}

fs_status fetch_http_get(fetch_http *self, const fetch_request *request, const fetch_sink *sink,
                         fetch_reply *reply)
{
    exchange e = {.self = self, .request = request, .sink = sink, .reply = reply};
    fetch_url parsed;
    char url[FS_URL_BYTES_MAX];
    *reply = (fetch_reply){0};
    FS_TRY(fetch_url_parse(&parsed, request->url));
    snprintf(url, sizeof url, "%s", request->url);
    fetch_headers_init(&e.headers, strstr(parsed.path, "/resolve/") != NULL);
    const fetch_origin first = parsed.origin;
    for (int hop = 0; hop <= FS_REDIRECTS_MAX; hop++) {
        CURLcode result = CURLE_OK;
        fetch_headers_next(&e.headers, fetch_origin_equal(&parsed.origin, &first));
        FS_TRY(perform(&e, url, &parsed.origin, &result));
        if (e.headers.bytes > FS_HTTP_HEADER_BYTES_MAX)
            return fs_fail(FS_EPROTO, "%s: more than %d bytes of headers", request->url,
                           FS_HTTP_HEADER_BYTES_MAX);
        reply->pause_s = e.headers.pause_s;
        if (result != CURLE_OK) return judge_failure(&e, result);
        if (is_wanted(reply->code)) return FS_OK;
        if (!is_redirect(reply->code)) return judge_code(&e);
        FS_TRY(follow(&e, url, &parsed.origin));
    }
    return fs_fail(FS_EPROTO, "%s: more than %d redirects, probably in a circle", request->url,
                   FS_REDIRECTS_MAX);
}
