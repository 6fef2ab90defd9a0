/* The table of short names: every entry can be asked for and put away. */
#include "testing.h"

#include "fetch_known.h"
#include "fetch_sha256.h"
#include "fetch_target.h"
#include "names.h"

static void the_names_that_are_promised(void **state)
{
    static const char *const names[] = {"gpt2", "bert-base-uncased", "bert-base-uncased-sst2",
                                        "sst2", "wikitext-103"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_non_null(fetch_known_find(names[i]));
    assert_null(fetch_known_at(sizeof names / sizeof names[0]));
    assert_null(fetch_known_find("gpt"));
    assert_null(fetch_known_find(""));
}

static void every_entry_is_whole(void **state)
{
    const fetch_known *k;
    for (size_t i = 0; (k = fetch_known_at(i)) != NULL; i++) {
        fetch_target target;
        fetch_url url;
        char sum[FETCH_SHA256_BYTES];
        assert_true(fs_repo_name_valid(k->name, 0));
        assert_ptr_equal(fetch_known_find(k->name), k); /* no name twice */
        assert_ok(fetch_url_parse(&url, k->server));
        assert_true(fetch_origin_secure(&url.origin));
        assert_true(strlen(k->about) > 0);
        assert_int_equal(k->kind == FETCH_MODEL, fs_repo_name_valid(k->path, 1));
        assert_int_equal(k->kind == FETCH_ARCHIVE, k->members[0].member != NULL);
        for (size_t s = 0; s < FETCH_SUMS_MAX && k->sums[s].file != NULL; s++) {
            assert_true(fetch_sha256_parse(sum, k->sums[s].sha256));
            assert_string_equal(sum, k->sums[s].sha256); /* lower case */
            assert_ptr_equal(fetch_known_sha256(k, k->sums[s].file), k->sums[s].sha256);
        }
        for (size_t m = 0; m < FETCH_MEMBERS_MAX && k->members[m].member != NULL; m++)
            assert_true(fs_repo_name_valid(k->members[m].output, 0));
        assert_ok(fetch_target_parse(&target, k->name, NULL));
        assert_ptr_equal(target.known, k);
        /* What an archive must hash to is noted under the name that is asked for. */
        if (k->kind == FETCH_ARCHIVE)
            assert_non_null(fetch_known_sha256(k, fetch_target_file(&target)));
        /* The bare name finds the first file. */
        if (k->kind == FETCH_ARCHIVE)
            assert_int_equal(strncmp(k->members[0].output, k->name, strlen(k->name)), 0);
    }
}

/** The tokenisers' files are on this machine: what is published of them can be checked. */
static void sums_are_those_of_the_files(void **state)
{
    static const struct {
        const char *name, *file, *path;
    } files[] = {
        {"gpt2", "vocab.json", "vocab/gpt2/vocab.json"},
        {"gpt2", "merges.txt", "vocab/gpt2/merges.txt"},
        {"bert-base-uncased", "vocab.txt", "vocab/bert-base-uncased/vocab.txt"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[512], sum[FETCH_SHA256_BYTES];
        uint64_t bytes;
        snprintf(path, sizeof path, "%s/../shared/data/%s", FS_SOURCE_DIR, files[i].path);
        if (access(path, R_OK) != 0) {
            print_message("skipped: needs %s\n", path);
            skip();
        }
        assert_ok(fetch_sha256_file(path, sum, &bytes));
        assert_string_equal(fetch_known_sha256(fetch_known_find(files[i].name), files[i].file),
                            sum);
    }
}

static void what_is_not_known_has_no_sum(void **state)
{
    assert_null(fetch_known_sha256(NULL, "model.safetensors"));
    assert_null(fetch_known_sha256(fetch_known_find("gpt2"), "config.json"));
    assert_null(fetch_known_sha256(fetch_known_find("bert-base-uncased-sst2"), "vocab.txt"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_names_that_are_promised),
        cmocka_unit_test(every_entry_is_whole),
        cmocka_unit_test(sums_are_those_of_the_files),
        cmocka_unit_test(what_is_not_known_has_no_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
