/* What header lines make of a reply; the lines are those of huggingface.co and of RFC 9110. */
#include "testing.h"

#include "fetch_headers.h"

#define SUM   "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707"
#define OTHER "68d45e234eb4a928074dfd868cead0219ab85354cc53d20e772753c6bb9169d3"

/** Feeds one response; `lines` end with NULL. */
static void respond(fetch_headers *headers, int home, const char *const *lines)
{
    fetch_headers_next(headers, home);
    for (; *lines != NULL; lines++) {
        char line[512];
        int n = snprintf(line, sizeof line, "%s\r\n", *lines);
        assert_true(fetch_headers_line(headers, line, (size_t)n));
    }
    assert_true(fetch_headers_line(headers, "\r\n", 2));
}

#define RESPOND(headers, home, ...) respond(headers, home, (const char *const[]){__VA_ARGS__, NULL})

static fetch_reply reply_of(const fetch_headers *headers)
{
    fetch_reply reply = {0};
    assert_ok(fetch_headers_reply(headers, &reply));
    return reply;
}

static void a_file(void **state)
{
    fetch_headers headers;
    fetch_headers_init(&headers, 1);
    RESPOND(&headers, 1, "HTTP/1.1 200 OK", "content-length:  665 ", "ETag: \"10c66461e4c1\"",
            "X-Repo-Commit: 607a30d783dfa663caf39e06633721c8d4cfcd7e", "Content-Type: text/plain");
    fetch_reply reply = reply_of(&headers);
    assert_true(reply.size_known && reply.bounded);
    assert_int_equal(reply.size, 665);
    assert_int_equal(reply.first, 0);
    assert_string_equal(reply.etag, "\"10c66461e4c1\"");
    assert_string_equal(reply.commit, "607a30d783dfa663caf39e06633721c8d4cfcd7e");
    assert_string_equal(reply.sha256, "");
}

/** A 302 that states sum and size, then the store's answer, which speaks for itself only. */
static void a_large_file_of_the_hub(void **state)
{
    fetch_headers headers;
    fetch_headers_init(&headers, 1);
    RESPOND(&headers, 1, "HTTP/2 302", "x-linked-size: 548105171", "x-linked-etag: \"" SUM "\"",
            "x-repo-commit: 607A30D783DFA663CAF39E06633721C8D4CFCD7E", "etag: \"redirect\"",
            "retry-after: 9");
    assert_int_equal(headers.pause_s, 9);
    RESPOND(&headers, 0, "HTTP/2 206", "content-range: bytes 1000-548105170/548105171",
            "content-length: 548104171", "etag: \"" OTHER "\"", "x-linked-etag: \"" OTHER "\"",
            "x-linked-size: 3", "x-repo-commit: ffffffffffffffffffffffffffffffffffffffff");
    fetch_reply reply = reply_of(&headers);
    assert_string_equal(reply.sha256, SUM);
    assert_string_equal(reply.etag, "\"" OTHER "\"");
    assert_string_equal(reply.commit, "607a30d783dfa663caf39e06633721c8d4cfcd7e");
    assert_int_equal(reply.first, 1000);
    assert_int_equal(reply.size, 548105171);
    assert_int_equal(reply.pause_s, 0);
}

static void an_etag_is_a_sum_only_where_that_is_meant(void **state)
{
    for (int resolve = 0; resolve < 2; resolve++) {
        for (int foreign = 0; foreign < 2; foreign++) {
            fetch_headers headers;
            fetch_headers_init(&headers, resolve);
            if (foreign) RESPOND(&headers, 0, "HTTP/1.1 302 Found");
            RESPOND(&headers, 1, "HTTP/1.1 200 OK", "Content-Length: 1", "ETag: \"" SUM "\"");
            assert_string_equal(reply_of(&headers).sha256, resolve && !foreign ? SUM : "");
        }
    }
    static const char *const no_sums[] = {"ETag: W/\"" SUM "\"",   "ETag: " SUM,
                                          "ETag: \"" SUM "0\"",    "ETag: \"248dfc\"",
                                          "X-Linked-Etag: \"zz\"", "X-Linked-Etag: W/\"" SUM "\""};
    for (size_t i = 0; i < sizeof no_sums / sizeof no_sums[0]; i++) {
        fetch_headers headers;
        fetch_headers_init(&headers, 1);
        RESPOND(&headers, 1, "HTTP/1.1 200 OK", "Content-Length: 1", no_sums[i]);
        assert_string_equal(reply_of(&headers).sha256, "");
    }
}

static void etags_that_do_not_confirm_bytes(void **state)
{
    static const char *const bad[] = {"ETag: W/\"1\"",  "ETag: 1",       "ETag: \"",       "ETag:",
                                      "ETag: \"a\"b\"", "ETag: \"a b\"", "ETag: \"a\x01\""};
    char longest[FS_ETAG_BYTES_MAX + 16] = "ETag: \"";
    fetch_headers headers;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fetch_headers_init(&headers, 0);
        RESPOND(&headers, 1, "HTTP/1.1 200 OK", "ETag: \"old\"", bad[i]);
        assert_string_equal(reply_of(&headers).etag, "");
    }
    memset(longest + 7, 'e', FS_ETAG_BYTES_MAX - 2);
    longest[7 + FS_ETAG_BYTES_MAX - 2] = '"'; /* with both quotes, no room for the NUL */
    longest[7 + FS_ETAG_BYTES_MAX - 1] = '\0';
    fetch_headers_init(&headers, 0);
    RESPOND(&headers, 1, "HTTP/1.1 200 OK", longest);
    assert_string_equal(reply_of(&headers).etag, "");
    memmove(longest + 7, longest + 8, strlen(longest + 7));
    fetch_headers_init(&headers, 0);
    RESPOND(&headers, 1, "HTTP/1.1 200 OK", longest);
    assert_string_equal(reply_of(&headers).etag, longest + 6);
}

static void ranges(void **state)
{
    static const struct {
        const char *line;
        int known, total_known;
        uint64_t first, total;
    } cases[] = {
        {"Content-Range: bytes 5-9/10", 1, 1, 5, 10},
        {"Content-Range: Bytes 5-9/*", 1, 0, 5, 0},
        {"Content-Range: bytes 0-0/1", 1, 1, 0, 1},
        {"Content-Range: bytes 5-10/10", 0, 0, 0, 0},
        {"Content-Range: bytes 9-5/10", 0, 0, 0, 0},
        {"Content-Range: bytes */10", 0, 0, 0, 0},
        {"Content-Range: items 5-9/10", 0, 0, 0, 0},
        {"Content-Range: bytes 5-9", 0, 0, 0, 0},
        {"Content-Range: bytes 5-/10", 0, 0, 0, 0},
        {"Content-Range: bytes -5-9/10", 0, 0, 0, 0},
        {"Content-Range: bytes 5-9/10x", 0, 0, 0, 0},
        {"Content-Range: bytes", 0, 0, 0, 0},
        {"Content-Range: bytes 99999999999999999999-9/10", 0, 0, 0, 0},
        {"Content-Range:", 0, 0, 0, 0},
        {"Content-Range: bytes 5-9/", 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fetch_headers headers;
        fetch_reply reply = {0};
        fetch_headers_init(&headers, 0);
        RESPOND(&headers, 1, "HTTP/1.1 206 Partial Content", "Content-Length: 5", cases[i].line);
        fs_status status = fetch_headers_reply(&headers, &reply);
        if ((status == FS_OK) != cases[i].known) fail_msg("%s", cases[i].line);
        if (status != FS_OK) continue;
        assert_int_equal(reply.first, cases[i].first);
        assert_int_equal(reply.size_known, cases[i].total_known);
        assert_int_equal(reply.size, cases[i].total);
    }
}

static void lengths(void **state)
{
    static const struct {
        const char *status, *line;
        int known, bounded;
    } cases[] = {
        {"HTTP/1.1 200 OK", "Content-Length: 12", 1, 1},
        {"HTTP/1.1 200 OK", "Content-Length: 12x", 0, 0},
        {"HTTP/1.1 200 OK", "Content-Length: -1", 0, 0},
        {"HTTP/1.0 200 OK", "Server: x", 0, 0},
        {"HTTP/1.1 200 OK", "Transfer-Encoding: chunked", 0, 1},
        {"HTTP/2 200", "Server: x", 0, 1},
        {"HTTP/3 200", "Server: x", 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fetch_headers headers;
        fetch_headers_init(&headers, 0);
        RESPOND(&headers, 1, cases[i].status, cases[i].line);
        fetch_reply reply = reply_of(&headers);
        assert_int_equal(reply.size_known, cases[i].known);
        assert_int_equal(reply.bounded, cases[i].bounded);
    }
}

static void contradictions(void **state)
{
    fetch_headers headers;
    fetch_reply reply = {0};
    fetch_headers_init(&headers, 0);
    RESPOND(&headers, 1, "HTTP/1.1 200 OK", "Content-Length: 12", "X-Linked-Size: 13");
    assert_status(fetch_headers_reply(&headers, &reply), FS_EPROTO);
    assert_true(reply.again);
    /* Chunked: the stated size is the only one. */
    fetch_headers_init(&headers, 0);
    RESPOND(&headers, 1, "HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "X-Linked-Size: 13");
    assert_int_equal(reply_of(&headers).size, 13);
    fetch_headers_init(&headers, 0);
    RESPOND(&headers, 1, "HTTP/1.1 200 OK", "Content-Type: Text/HTML; charset=utf-8");
    assert_status(fetch_headers_reply(&headers, &reply), FS_EFORMAT);
    fetch_headers_init(&headers, 0);
    RESPOND(&headers, 1, "HTTP/1.1 200 OK", "Content-Encoding: gzip");
    assert_status(fetch_headers_reply(&headers, &reply), FS_EPROTO);
    /* A response before the last says nothing of the last one's body. */
    fetch_headers_init(&headers, 0);
    RESPOND(&headers, 1, "HTTP/1.1 302 Found", "Content-Type: text/html", "Content-Length: 5",
            "Content-Encoding: gzip");
    RESPOND(&headers, 1, "HTTP/1.1 103 Early Hints", "ETag: \"early\"", "Content-Length: 7",
            "HTTP/1.1 200 OK", "Transfer-Encoding: chunked");
    reply = reply_of(&headers);
    assert_int_equal(reply.code, 200);
    assert_false(reply.size_known);
    assert_string_equal(reply.etag, "");
}

static void floods_end(void **state)
{
    fetch_headers headers;
    char line[1024];
    size_t taken = 0;
    memset(line, 'x', sizeof line);
    fetch_headers_init(&headers, 0);
    fetch_headers_next(&headers, 1);
    while (fetch_headers_line(&headers, line, sizeof line)) taken += sizeof line;
    assert_int_equal(taken, FS_HTTP_HEADER_BYTES_MAX);
    /* A redirect does not make room again. */
    fetch_headers_next(&headers, 1);
    assert_false(fetch_headers_line(&headers, "a: b\r\n", 6));
}

/** Lines of random bytes, cut anywhere: nothing reads past them (the sanitizers look). */
static void garbage(void **state)
{
    static const char seed[] =
        "HTTP/1.1 206 \r\nContent-Range: bytes 1-2/3ETag: \"W/x-linked-etag:";
    uint32_t random = 1;
    for (int i = 0; i < 20000; i++) {
        fetch_headers headers;
        fetch_reply reply = {0};
        char *line = malloc(40);
        fetch_headers_init(&headers, 1);
        fetch_headers_next(&headers, 1);
        for (int k = 0; k < 3; k++) {
            random = random * 1664525 + 1013904223;
            size_t from = random >> 8 & 31, size = random >> 16 & 31;
            memcpy(line, seed + from, 32);
            if (size > 0) line[random >> 24 & 31] = (char)random;
            char *exact = malloc(size + 1);
            memcpy(exact, line, size);
            fetch_headers_line(&headers, exact, size);
            free(exact);
        }
        fs_status status = fetch_headers_reply(&headers, &reply);
        assert_true(status == FS_OK || status == FS_EPROTO || status == FS_EFORMAT);
        free(line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file),
        cmocka_unit_test(a_large_file_of_the_hub),
        cmocka_unit_test(an_etag_is_a_sum_only_where_that_is_meant),
        cmocka_unit_test(etags_that_do_not_confirm_bytes),
        cmocka_unit_test(ranges),
        cmocka_unit_test(lengths),
        cmocka_unit_test(contradictions),
        cmocka_unit_test(floods_end),
        cmocka_unit_test(garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
