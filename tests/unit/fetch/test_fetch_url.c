/* Which URLs are taken, and whose they are. */
#include "testing.h"

#include "fetch_url.h"

static fetch_url parse(const char *text)
{
    fetch_url url;
    assert_ok(fetch_url_parse(&url, text));
    return url;
}

static void parts(void **state)
{
    fetch_url url = parse("https://Hub.Example.org/a/b%20c/d?x=1");
    assert_string_equal(url.origin.scheme, "https");
    assert_string_equal(url.origin.host, "hub.example.org");
    assert_string_equal(url.origin.port, "443");
    assert_string_equal(url.path, "/a/b%20c/d");
    assert_true(url.query);
    url = parse("HTTP://[::1]:8080");
    assert_string_equal(url.origin.scheme, "http");
    assert_string_equal(url.origin.host, "[::1]");
    assert_string_equal(url.origin.port, "8080");
    assert_string_equal(url.path, "/");
    assert_false(url.query);
    /* What the server would see, so that checks see it, too (RFC 3986, 5.2.4). */
    assert_string_equal(parse("https://h/a/../../b/./c").path, "/b/c");
}

static void what_is_not_taken(void **state)
{
    static const char *const bad[] = {"",
                                      "gpt2",
                                      "a/b",
                                      "ftp://h/x",
                                      "file:///etc/passwd",
                                      "https://",
                                      "https://h:0x/",
                                      "https://h:99999/",
                                      "javascript:1",
                                      "https://h/a b",
                                      "https://h/\n",
                                      "https://h/\x01",
                                      "https://h/\xc3\xa9"};
    fetch_url url;
    char *longest = malloc(FS_URL_BYTES_MAX + 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (fetch_url_parse(&url, bad[i]) == FS_OK) fail_msg("taken: %s", bad[i]);
    assert_status(fetch_url_parse(&url, "https://me:secret@h/x"), FS_EUSAGE);
    assert_null(strstr(fs_status_detail(), "secret"));
    assert_status(fetch_url_parse(&url, "https://me@h/x"), FS_EUSAGE);
    assert_status(fetch_url_parse(&url, "https://h/x#part"), FS_EUSAGE);
    memset(longest, 'a', FS_URL_BYTES_MAX);
    memcpy(longest, "https://h/", 10);
    longest[FS_URL_BYTES_MAX] = '\0';
    assert_status(fetch_url_parse(&url, longest), FS_ELIMIT);
    longest[FS_URL_BYTES_MAX - 1] = '\0';
    assert_ok(fetch_url_parse(&url, longest));
    free(longest);
}

static void origins(void **state)
{
    fetch_url a = parse("https://h/x"), b = parse("https://h:443/y"), c = parse("http://h/x"),
              d = parse("https://h:444/x"), e = parse("https://h.evil/x");
    assert_true(fetch_origin_equal(&a.origin, &b.origin));
    assert_false(fetch_origin_equal(&a.origin, &c.origin));
    assert_false(fetch_origin_equal(&a.origin, &d.origin));
    assert_false(fetch_origin_equal(&a.origin, &e.origin));
    assert_true(fetch_origin_secure(&a.origin));
    assert_false(fetch_origin_secure(&c.origin));
}

static void this_machine(void **state)
{
    static const char *const here[] = {
        "http://localhost/", "http://LOCALHOST:80/", "http://127.0.0.1/", "http://127.255.3.4:9/",
        "http://[::1]/",     "http://127.1/",        "http://2130706433/"};
    static const char *const elsewhere[] = {"http://localhost.evil/", "http://127.0.0.1.evil/",
                                            "http://128.0.0.1/",      "http://10.0.0.1/",
                                            "http://[::2]/",          "http://0.0.0.0/",
                                            "http://1270.0.0.1/",     "http://h/127.0.0.1"};
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++) {
        fetch_url url = parse(here[i]);
        if (!fetch_origin_loopback(&url.origin)) fail_msg("not here: %s", here[i]);
    }
    for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++) {
        fetch_url url = parse(elsewhere[i]);
        if (fetch_origin_loopback(&url.origin)) fail_msg("here: %s", elsewhere[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts),
        cmocka_unit_test(what_is_not_taken),
        cmocka_unit_test(origins),
        cmocka_unit_test(this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
