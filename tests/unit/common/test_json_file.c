#include "testing.h"

#include "file.h"
#include "json_file.h"
#include "tiny_model.h"

static fs_status parse(json_t **out, const char *text)
{
    return fs_json_parse(out, "some.json", text, strlen(text));
}

static void refused(void **unused)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "3",
                                      "null",
                                      "{\"a\": 1,}",
                                      "{} {}",
                                      "{\"a\": 1, \"a\": 2}",
                                      "{\"a\": NaN}",
                                      "{'a': 1}",
                                      "{\"a\": \"\xc3\"}",
                                      "{\"a\": \"\\ud800\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *root;
        assert_status(parse(&root, bad[i]), FS_EFORMAT);
        assert_detail("some.json");
        assert_null(root);
    }
    json_t *root;
    assert_status(parse(&root, "{\"a\": 1,\n \"b\" 2}"), FS_EFORMAT);
    assert_detail("some.json:2:");
}

static void described(void **unused)
{
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"{\"v\": null}", "null"},   {"{\"v\": true}", "true"},    {"{\"v\": false}", "false"},
        {"{\"v\": -3}", "-3"},       {"{\"v\": 0.5}", "0.5"},      {"{\"v\": \"x\"}", "\"x\""},
        {"{\"v\": []}", "an array"}, {"{\"v\": {}}", "an object"}, {"{}", "nothing"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[64];
        json_t *root;
        assert_ok(parse(&root, cases[i].text));
        assert_string_equal(fs_json_describe(json_object_get(root, "v"), out), cases[i].wanted);
        json_decref(root);
    }
}

/* A long text is cut between characters: 1 byte, then two bytes each. */
static void long_strings(void **unused)
{
    char text[256] = "{\"v\": \"a", out[64];
    json_t *root;
    for (int i = 0; i < 60; i++) strncat(text, "\xc3\xa9", 3);
    strncat(text, "\"}", 3);
    assert_ok(parse(&root, text));
    const char *found = fs_json_describe(json_object_get(root, "v"), out);
    assert_int_equal(strlen(found), 1 + 47 + 3 + 1);
    assert_string_equal(found + 1 + 47, "...\"");
    json_decref(root);
}

static void bounded(void **unused)
{
    char *dir = testing_folder(), *path;
    json_t *root;
    assert_true(asprintf(&path, "%s/a.json", dir) > 0);
    assert_ok(tiny_file_write(path, "{\"a\": 1}", 8));
    assert_ok(fs_json_file_read(&root, path, 8));
    json_decref(root);
    assert_status(fs_json_file_read(&root, path, 7), FS_ELIMIT);
    assert_null(root);
    assert_status(fs_json_file_read(&root, dir, 8), FS_EFORMAT);
    free(path);
    testing_remove(dir);
}

/* 0.1's nearest double is 0.1000000000000000055. */
static void written(void **unused)
{
    char *dir = testing_folder(), *path;
    fs_buf text = {0};
    assert_true(asprintf(&path, "%s/a.json", dir) > 0);
    assert_ok(fs_json_file_write(json_pack("{s:f, s:i}", "z", 0.1, "a", 1), path, 17));
    assert_ok(fs_file_read(&text, path, 100));
    assert_string_equal(fs_buf_text(&text), "{\n  \"a\": 1,\n  \"z\": 0.10000000000000001\n}\n");
    assert_ok(fs_json_file_write(json_pack("{s:f}", "z", 0.1), path, 15));
    fs_buf_clear(&text);
    assert_ok(fs_file_read(&text, path, 100));
    assert_string_equal(fs_buf_text(&text), "{\n  \"z\": 0.1\n}\n");
    assert_status(fs_json_file_write(NULL, path, 15), FS_ENOMEM);
    assert_detail("a.json");
    fs_buf_free(&text);
    free(path);
    testing_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(refused), cmocka_unit_test(described),
                                       cmocka_unit_test(long_strings), cmocka_unit_test(bounded),
                                       cmocka_unit_test(written)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
