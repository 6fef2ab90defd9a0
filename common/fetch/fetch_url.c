#include "fetch_url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

/** Copies one part. @return nonzero if it is there and fits. */
static int get_part(CURLU *handle, CURLUPart part, unsigned flags, char *out, size_t size)
{
    char *text = NULL;
    int fits = 0;
    if (curl_url_get(handle, part, &text, flags) == CURLUE_OK) {
        int n = snprintf(out, size, "%s", text);
        fits = n >= 0 && (size_t)n < size;
    }
    curl_free(text);
    return fits;
}

static int has_part(CURLU *handle, CURLUPart part)
{
    char *text = NULL;
    int has = curl_url_get(handle, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

static fs_status take_apart(CURLU *handle, fetch_url *out, const char *url)
{
    if (strlen(url) >= FS_URL_BYTES_MAX)
        return fs_fail(FS_ELIMIT, "a URL has at most %d bytes", FS_URL_BYTES_MAX - 1);
    for (const char *p = url; *p != '\0'; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
            return fs_fail(FS_EUSAGE, "a URL has neither spaces nor control characters");
    if (curl_url_set(handle, CURLUPART_URL, url, 0) != CURLUE_OK)
        return fs_fail(FS_EUSAGE, "this is no http or https URL");
    if (has_part(handle, CURLUPART_USER) || has_part(handle, CURLUPART_PASSWORD))
        return fs_fail(FS_EUSAGE, "a URL with a user name or a password is not taken; "
                                  "HF_TOKEN in the environment holds an access token");
    if (has_part(handle, CURLUPART_FRAGMENT))
        return fs_fail(FS_EUSAGE, "%s: a part after '#' means nothing here", url);
    fetch_origin *origin = &out->origin;
    if (!get_part(handle, CURLUPART_SCHEME, 0, origin->scheme, sizeof origin->scheme) ||
        (strcmp(origin->scheme, "http") != 0 && strcmp(origin->scheme, "https") != 0))
        return fs_fail(FS_EUSAGE, "%s: not an http or https URL", url);
    if (!get_part(handle, CURLUPART_HOST, 0, origin->host, sizeof origin->host) ||
        !get_part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT, origin->port, sizeof origin->port) ||
        !get_part(handle, CURLUPART_PATH, 0, out->path, sizeof out->path))
        return fs_fail(FS_EUSAGE, "%s: not a whole URL", url);
    for (char *p = origin->host; *p != '\0'; p++)
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p - 'A' + 'a');
    out->query = has_part(handle, CURLUPART_QUERY);
    return FS_OK;
}

fs_status fetch_url_parse(fetch_url *out, const char *url)
{
    *out = (fetch_url){0};
    CURLU *handle = curl_url();
    if (handle == NULL) return fs_fail(FS_ENOMEM, "no memory for a URL");
    fs_status status = take_apart(handle, out, url);
    curl_url_cleanup(handle);
    return status;
}

int fetch_origin_equal(const fetch_origin *a, const fetch_origin *b)
{
    return strcmp(a->scheme, b->scheme) == 0 && strcmp(a->host, b->host) == 0 &&
           strcmp(a->port, b->port) == 0;
}

int fetch_origin_loopback(const fetch_origin *self)
{
    const char *host = self->host;
    if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0) return 1;
    struct in_addr address;
    return inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

int fetch_origin_secure(const fetch_origin *self)
{
    return strcmp(self->scheme, "https") == 0;
}
