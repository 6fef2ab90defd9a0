/* Where names of models and data are looked up, and in which order. */
#include "testing.h"

#include <sys/stat.h>

#include "file.h"
#include "names.h"

static char *dir;
static char original[FS_PATH_BYTES_MAX];

static int make_folder(void **state)
{
    dir = testing_folder();
    return dir == NULL || getcwd(original, sizeof original) == NULL || chdir(dir) != 0;
}

static int remove_folder(void **state)
{
    int failed = chdir(original);
    testing_remove(dir);
    return failed;
}

/** Sets a variable to a folder of the scratch folder; NULL: unsets it. */
static void set_folder(const char *variable, const char *folder)
{
    char path[FS_PATH_BYTES_MAX];
    if (folder == NULL) {
        unsetenv(variable);
        return;
    }
    assert_ok(fs_path_join(path, dir, folder));
    setenv(variable, path, 1);
}

static void write_file(const char *name)
{
    char path[FS_PATH_BYTES_MAX], parent[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(path, dir, name));
    assert_ok(fs_path_dir(parent, path));
    assert_ok(fs_dir_make(parent));
    assert_ok(fs_file_write_atomic(path, "x\n", 2));
}

static void assert_place(const char *path, const char *expected)
{
    char whole[FS_PATH_BYTES_MAX];
    assert_ok(fs_path_join(whole, dir, expected));
    assert_string_equal(path, whole);
}

static void the_cache_is_where_the_first_variable_says(void **state)
{
    char path[FS_PATH_BYTES_MAX];
    setenv("FLIPSWEEP_CACHE", "/a/cache", 1);
    setenv("XDG_CACHE_HOME", "/b", 1);
    setenv("HOME", "/c", 1);
    assert_ok(fs_cache_dir(path));
    assert_string_equal(path, "/a/cache");
    setenv("FLIPSWEEP_CACHE", "", 1);
    assert_ok(fs_cache_dir(path));
    assert_string_equal(path, "/b/flipsweep");
    setenv("XDG_CACHE_HOME", "relative", 1);
    assert_ok(fs_cache_dir(path));
    assert_string_equal(path, "/c/.cache/flipsweep");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_status(fs_cache_dir(path), FS_ENOENT);
    assert_detail("FLIPSWEEP_CACHE");
    unsetenv("FLIPSWEEP_CACHE");
}

static void bare_models_are_looked_up_in_order(void **state)
{
    char path[FS_PATH_BYTES_MAX];
    set_folder("FLIPSWEEP_CACHE", "cache");
    set_folder("FLIPSWEEP_ZOO", "zoo");
    assert_status(fs_model_find(path, "m1", dir), FS_ENOENT);
    assert_detail("no model folder 'm1'; looked in ");
    assert_detail("/zoo, ");
    assert_detail(FS_SOURCE_DIR "/models/zoo");
    assert_detail("/cache (`flipsweep fetch`");
    assert_non_null(strstr(fs_status_detail(), dir));
    write_file("cache/m1/config.json");
    assert_ok(fs_model_find(path, "m1", dir));
    assert_place(path, "cache/m1");
    write_file("zoo/m1/config.json");
    assert_ok(fs_model_find(path, "m1", dir));
    assert_place(path, "zoo/m1");
    write_file("m1/other"); /* a folder that is no model does not count */
    assert_ok(fs_model_find(path, "m1", dir));
    assert_place(path, "zoo/m1");
    write_file("m1/config.json");
    assert_ok(fs_model_find(path, "m1", dir));
    assert_place(path, "m1");
    assert_ok(fs_model_find(path, "m1", NULL)); /* no paths: the zoo */
    assert_place(path, "zoo/m1");
}

static void owner_and_name_lie_in_the_cache(void **state)
{
    char path[FS_PATH_BYTES_MAX];
    set_folder("FLIPSWEEP_CACHE", "cache");
    set_folder("FLIPSWEEP_ZOO", "zoo");
    write_file("zoo/own/m2/config.json"); /* not looked at: a zoo has no owners */
    assert_status(fs_model_find(path, "own/m2", dir), FS_ENOENT);
    assert_detail("there is no such folder, and the cache has no model of that name");
    assert_status(fs_model_find(path, "own/m2", NULL), FS_ENOENT);
    write_file("cache/own/m2/config.json");
    assert_ok(fs_model_find(path, "own/m2", dir));
    assert_place(path, "cache/own/m2");
    assert_ok(fs_model_find(path, "own/m2", NULL));
    write_file("own/m2/config.json");
    assert_ok(fs_model_find(path, "own/m2", dir));
    assert_place(path, "own/m2");
    /* A path that is no OWNER/NAME never leads into the cache. */
    write_file("cache/config.json");
    assert_status(fs_model_find(path, "own/..", dir), FS_ENOENT);
    assert_detail("the folder has no config.json");
    assert_status(fs_model_find(path, "./nothing", dir), FS_ENOENT);
    assert_null(strstr(fs_status_detail(), "cache"));
    /* Dots and nothing are no names. */
    assert_status(fs_model_find(path, ".", NULL), FS_ENOENT);
    assert_status(fs_model_find(path, "..", dir), FS_ENOENT);
    assert_status(fs_model_find(path, "", dir), FS_ENOENT);
    assert_status(fs_data_find(path, "", dir, FS_TASK_LM), FS_ENOENT);
}

static void data_has_endings(void **state)
{
    char path[FS_PATH_BYTES_MAX];
    set_folder("FLIPSWEEP_CACHE", "cache");
    set_folder("FLIPSWEEP_ZOO", NULL);
    write_file("cache/set.tsv");
    write_file("cache/set.txt");
    assert_ok(fs_data_find(path, "set", dir, FS_TASK_CLASSIFICATION));
    assert_place(path, "cache/set.tsv");
    assert_ok(fs_data_find(path, "set", dir, FS_TASK_LM));
    assert_place(path, "cache/set.txt");
    write_file("cache/set");
    assert_ok(fs_data_find(path, "set", dir, FS_TASK_LM));
    assert_place(path, "cache/set");
    write_file("set.txt");
    assert_ok(fs_data_find(path, "set", dir, FS_TASK_CLASSIFICATION));
    assert_place(path, "set.txt");
    assert_ok(fs_data_find(path, "set", NULL, FS_TASK_CLASSIFICATION));
    assert_place(path, "cache/set");
    assert_status(fs_data_find(path, "unset", dir, FS_TASK_LM), FS_ENOENT);
    assert_detail("no data file 'unset'; looked in ");
    assert_detail(FS_SOURCE_DIR "/experiments/data");
    /* A path may be absent, but not a folder. */
    assert_ok(fs_data_find(path, "./later", dir, FS_TASK_LM));
    assert_ok(fs_data_find(path, "./set", dir, FS_TASK_LM));
    assert_non_null(strstr(path, "set.txt"));
    assert_status(fs_data_find(path, "./cache", dir, FS_TASK_LM), FS_EFORMAT);
}

static void arguments_that_exist_are_taken_as_they_are(void **state)
{
    char path[FS_PATH_BYTES_MAX];
    set_folder("FLIPSWEEP_CACHE", "cache");
    set_folder("FLIPSWEEP_ZOO", "zoo");
    write_file("zoo/arg/config.json");
    write_file("zoo/arg.tsv");
    assert_ok(fs_model_argument(path, "arg"));
    assert_place(path, "zoo/arg");
    assert_ok(fs_data_argument(path, "arg", FS_TASK_CLASSIFICATION));
    assert_place(path, "zoo/arg.tsv");
    write_file("arg/vocab.txt"); /* no model, but it is what the user means */
    assert_ok(fs_model_argument(path, "arg"));
    assert_string_equal(path, "arg");
    assert_ok(fs_model_argument(path, "/nowhere/at/all"));
    assert_string_equal(path, "/nowhere/at/all");
    assert_ok(fs_data_argument(path, "./none.tsv", FS_TASK_LM));
    assert_string_equal(path, "./none.tsv");
    write_file("cache/own/m3/config.json");
    assert_ok(fs_model_argument(path, "own/m3"));
    assert_place(path, "cache/own/m3");
    assert_status(fs_model_argument(path, "nothing"), FS_ENOENT);
    assert_detail("looked in ., ");
    assert_status(fs_data_argument(path, "nothing", FS_TASK_LM), FS_ENOENT);
}

static void names_of_servers(void **state)
{
    static const char *const good[] = {"openai-community/gpt2", "a/b", "A1/_x", "o/bert.base-1_2"};
    static const char *const bad[] = {"",       "/",      "a/",    "/a",     "a/b/c", "../a",
                                      "a/..",   "a/.git", "-a/b",  "a b/c",  "a/b?c", "a/b%2e",
                                      "a/x..y", "a//b",   "a/b\n", "a/\xc3", "a:b/c", "a\\b/c"};
    char longest[2 * FS_REPO_NAME_BYTES_MAX] = "o/";
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(fs_repo_name_valid(good[i], 1));
        assert_false(fs_repo_name_valid(good[i], 0));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(fs_repo_name_valid(bad[i], 1));
        assert_false(fs_repo_name_valid(bad[i], 0));
    }
    assert_true(fs_repo_name_valid("gpt2", 0));
    assert_false(fs_repo_name_valid("..", 0));
    memset(longest + 2, 'n', FS_REPO_NAME_BYTES_MAX - 1);
    assert_true(fs_repo_name_valid(longest, 1));
    longest[FS_REPO_NAME_BYTES_MAX + 1] = 'n';
    assert_false(fs_repo_name_valid(longest, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cache_is_where_the_first_variable_says),
        cmocka_unit_test(bare_models_are_looked_up_in_order),
        cmocka_unit_test(owner_and_name_lie_in_the_cache),
        cmocka_unit_test(data_has_endings),
        cmocka_unit_test(arguments_that_exist_are_taken_as_they_are),
        cmocka_unit_test(names_of_servers),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
