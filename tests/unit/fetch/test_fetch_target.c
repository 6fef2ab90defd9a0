/* What names and URLs stand for, and where they lead on a server and in the cache. */
#include "testing.h"

#include "fetch_target.h"

static fetch_target parse(const char *text, const char *server)
{
    fetch_target target;
    assert_ok(fetch_target_parse(&target, text, server));
    return target;
}

static void assert_url(const fetch_target *target, const char *file, const char *expected)
{
    char url[FS_URL_BYTES_MAX];
    assert_ok(fetch_target_url(target, target->revision, file, url));
    assert_string_equal(url, expected);
}

static void short_names(void **state)
{
    fetch_target t = parse("gpt2", NULL);
    assert_int_equal(t.kind, FETCH_MODEL);
    assert_string_equal(t.name, "gpt2");
    assert_url(&t, "config.json",
               "https://huggingface.co/openai-community/gpt2/resolve/main/config.json");
    t = parse("gpt2", "http://127.0.0.1:8000/mirror/");
    assert_url(&t, "vocab.json",
               "http://127.0.0.1:8000/mirror/openai-community/gpt2/resolve/main/vocab.json");
    t = parse("sst2", NULL);
    assert_int_equal(t.kind, FETCH_ARCHIVE);
    assert_url(&t, NULL, "https://dl.fbaipublicfiles.com/glue/data/SST-2.zip");
    assert_string_equal(fetch_target_file(&t), "SST-2.zip");
    t = parse("sst2", "https://mirror.example");
    assert_url(&t, NULL, "https://mirror.example/glue/data/SST-2.zip");
}

static void models_by_name(void **state)
{
    fetch_target t = parse("distilgpt2", NULL);
    assert_null(t.known);
    assert_url(&t, "x", "https://huggingface.co/distilgpt2/resolve/main/x");
    t = parse("textattack/bert-base-uncased-SST-2", NULL);
    assert_string_equal(t.name, "textattack/bert-base-uncased-SST-2");
    assert_url(&t, "x", "https://huggingface.co/textattack/bert-base-uncased-SST-2/resolve/main/x");
    char source[FS_URL_BYTES_MAX];
    fetch_target_source(&t, source);
    assert_string_equal(source, "https://huggingface.co/textattack/bert-base-uncased-SST-2");
}

static void pages_of_models(void **state)
{
    fetch_target t = parse("https://hub.example:99/own/net/", NULL);
    assert_int_equal(t.kind, FETCH_MODEL);
    assert_string_equal(t.name, "own/net");
    assert_url(&t, "x", "https://hub.example:99/own/net/resolve/main/x");
    t = parse("https://hub.example/own/net/tree/v1.0", NULL);
    assert_string_equal(t.name, "own/net");
    assert_string_equal(t.revision, "v1.0");
    assert_url(&t, "x", "https://hub.example/own/net/resolve/v1.0/x");
    t = parse("https://huggingface.co/gpt2", NULL);
    assert_string_equal(t.name, "gpt2");
    assert_null(t.known); /* another source than the short name's: nothing is known of it */
}

static void files(void **state)
{
    static const char long_url[] =
        "https://h/datasets/own/set/resolve/main/deep/er/rows.tsv?download=true";
    fetch_target t = parse(long_url, NULL);
    assert_int_equal(t.kind, FETCH_FILE);
    assert_string_equal(t.name, "rows.tsv");
    assert_string_equal(fetch_target_file(&t), "rows.tsv");
    assert_url(&t, NULL, long_url);
    char source[FS_URL_BYTES_MAX];
    fetch_target_source(&t, source);
    assert_string_equal(source, "https://h/datasets/own/set/resolve/main/deep/er/rows.tsv");
    t = parse("https://h/set/rows.tsv", NULL); /* two parts, but it ends like data */
    assert_int_equal(t.kind, FETCH_FILE);
    t = parse("https://h/wiki.test.raw", NULL);
    assert_string_equal(t.name, "wiki.test.raw");
    t = parse("https://h/a/b/c", NULL); /* too many parts for a page */
    assert_int_equal(t.kind, FETCH_FILE);
    assert_string_equal(t.name, "c");
    t = parse("https://h/a/b?x=1", NULL); /* pages are asked for without a query */
    assert_int_equal(t.kind, FETCH_FILE);
    t = parse("rows.tsv", NULL);
    assert_int_equal(t.kind, FETCH_FILE);
    assert_string_equal(t.server, "");
    assert_string_equal(t.path, "rows.tsv");
}

static void nothing_leads_out_of_the_cache(void **state)
{
    static const char *const bad[] = {"..",
                                      "../x",
                                      "a/..",
                                      ".",
                                      "/etc",
                                      "a/b/c",
                                      "~/x",
                                      "a\\b",
                                      "a/.hidden",
                                      "",
                                      "/",
                                      "a//b",
                                      "-x",
                                      "x.part",
                                      "o/x.lock",
                                      "x.fetch.json",
                                      "https://h/",
                                      "https://h",
                                      "https:///x/y",
                                      "https://h/a/b/c%2fd",
                                      "https://h/a/b/tree/..%2f",
                                      "https://h/x/y/.bashrc",
                                      "https://h/a/b/z.part",
                                      "https://h/..%2f/x"};
    fetch_target t;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (fetch_target_parse(&t, bad[i], NULL) == FS_OK) fail_msg("taken: %s", bad[i]);
    /* Dots are gone before names are made. */
    assert_string_equal(parse("https://h/a/../../b/c/../d", NULL).name, "b/d");
}

static void http_needs_a_reason(void **state)
{
    fetch_target t;
    assert_status(fetch_target_parse(&t, "http://h/own/net", NULL), FS_EUSAGE);
    assert_detail("not encrypted");
    assert_status(fetch_target_parse(&t, "http://h/own/net", "http://other"), FS_EUSAGE);
    assert_status(fetch_target_parse(&t, "http://h/own/net", "https://h"), FS_EUSAGE);
    assert_true(parse("http://h/own/net", "http://h").plain);
    assert_true(parse("own/net", "http://h").plain);
    assert_false(parse("own/net", "https://h").plain);
    assert_false(parse("http://127.0.0.1/own/net", NULL).plain); /* this machine needs none */
    assert_status(fetch_target_parse(&t, "own/net", "h"), FS_EUSAGE);
    assert_status(fetch_target_parse(&t, "own/net", "ftp://h"), FS_EUSAGE);
    assert_status(fetch_target_parse(&t, "own/net", "https://h/?x"), FS_EUSAGE);
}

static void tokens_go_where_they_belong(void **state)
{
    assert_true(parse("gpt2", NULL).trusted);
    assert_true(parse("own/net", NULL).trusted);
    assert_true(parse("https://huggingface.co/own/net", NULL).trusted);
    assert_true(parse("https://huggingface.co/datasets/o/n/resolve/main/x.tsv", NULL).trusted);
    assert_true(parse("wikitext-103", NULL).trusted);
    assert_false(parse("sst2", NULL).trusted); /* another host */
    assert_false(parse("https://elsewhere.example/x.tsv", NULL).trusted);
    assert_false(parse("https://huggingface.co.example/own/net", NULL).trusted);
    assert_false(parse("https://huggingface.co:444/own/net", NULL).trusted);
    assert_false(parse("http://127.0.0.1/own/net", NULL).trusted);
    assert_true(parse("own/net", "https://mirror.example").trusted);
    assert_true(parse("own/net", "http://127.0.0.1:80").trusted);
    assert_false(parse("own/net", "http://mirror.example").trusted); /* everybody could read it */
    assert_true(parse("https://mirror.example/x.tsv", "https://mirror.example").trusted);
    assert_false(parse("https://huggingface.co/own/net", "https://mirror.example").trusted);
}

static void limits(void **state)
{
    char text[FS_URL_BYTES_MAX + 16], url[FS_URL_BYTES_MAX];
    fetch_target t;
    memset(text, 'n', sizeof text);
    text[FS_REPO_NAME_BYTES_MAX - 1] = '\0';
    t = parse(text, NULL);
    text[FS_REPO_NAME_BYTES_MAX - 1] = 'n';
    text[FS_REPO_NAME_BYTES_MAX] = '\0';
    assert_status(fetch_target_parse(&t, text, NULL), FS_EUSAGE);
    /* A server whose URL leaves no room for the file's. */
    memset(text, 's', sizeof text);
    memcpy(text, "https://h/", 10);
    text[FS_URL_BYTES_MAX - 20] = '\0';
    t = parse("own/net", text);
    assert_status(fetch_target_url(&t, "main", "config.json", url), FS_ELIMIT);
    memcpy(text, "https://h/own/net/tree/", 23);
    text[23 + FETCH_REVISION_BYTES_MAX - 1] = '\0';
    assert_int_equal(strlen(parse(text, NULL).revision), FETCH_REVISION_BYTES_MAX - 1);
    text[23 + FETCH_REVISION_BYTES_MAX - 1] = 's';
    text[23 + FETCH_REVISION_BYTES_MAX] = '\0';
    assert_status(fetch_target_parse(&t, text, NULL), FS_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_names),
        cmocka_unit_test(models_by_name),
        cmocka_unit_test(pages_of_models),
        cmocka_unit_test(files),
        cmocka_unit_test(nothing_leads_out_of_the_cache),
        cmocka_unit_test(http_needs_a_reason),
        cmocka_unit_test(tokens_go_where_they_belong),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
