#include "testing.h"

#include "buf.h"
#include "yaml_reader.h"

static fs_status load(const char *text, size_t size)
{
    fs_yaml *doc = NULL;
    fs_status status = fs_yaml_new(&doc, text, size, "f.yaml");
    assert_true((status == FS_OK) == (doc != NULL));
    fs_yaml_destroy(&doc);
    return status;
}

static void refuses_what_is_no_single_plain_document(void **state)
{
    static const struct {
        const char *text;
        size_t size;
        const char *says;
    } cases[] = {
        {"", 0, "f.yaml:1: the file is empty"},
        {"# only a comment\n", 17, "f.yaml:1: the file is empty"},
        {"a: 1\nb: \0\n", 10, "f.yaml:2: a NUL byte"},
        {"a: 1\nb: \xff\n", 10, "f.yaml:2: byte 0xff is not UTF-8"},
        {"a: \xed\xa0\x80\n", 7, "f.yaml:1: byte 0xed is not UTF-8"},
        {"\xff\xfe"
         "a\0:\0",
         6, "f.yaml:1: a NUL byte"},
        {"a: 1\nb: \x01\n", 10, "f.yaml:2: control characters are not allowed"},
        {"a: 1\n---\nb: 2\n", 14, "f.yaml:2: a second document"},
        {"a: !foo 1\n", 10, "f.yaml:1: tag '!foo' is not allowed"},
        {"a: 1\nb: !!python/object:os.system x\n", 36, "f.yaml:2: tag 'tag:yaml.org,2002:python"},
        {"a: 1\nb: {c: 2\n", 14, "f.yaml:3: "},
        {"a: 1\n b: 2\n", 11, "f.yaml:2: "},
        {"a: *nowhere\n", 12, "f.yaml:1: found undefined alias"},
        {"a: [1, 2\nb: 3\n", 14, "f.yaml:2: "},
        {"\ta: 1\n", 6, "f.yaml:1: "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_status(load(cases[i].text, cases[i].size), FS_ECONFIG);
        assert_detail(cases[i].says);
    }
    assert_ok(load("\xef\xbb\xbf"
                   "a: 1\n",
                   8));
    assert_ok(load("%YAML 1.1\n---\na: 1\n...\n", 23));
    assert_ok(load("a: !!str 1\nb: !!int 2\nc: !!seq [1]\n", 35));
}

static char *repeated(const char *head, const char *part, size_t count, const char *tail)
{
    size_t part_size = strlen(part);
    char *out = malloc(strlen(head) + part_size * count + strlen(tail) + 1);
    assert_non_null(out);
    char *at = stpcpy(out, head);
    for (size_t i = 0; i < count; i++) at = stpcpy(at, part);
    stpcpy(at, tail);
    return out;
}

static fs_status load_text(char *text)
{
    fs_status status = load(text, strlen(text));
    free(text);
    return status;
}

static void limits_hold_at_and_past_them(void **state)
{
    (void)state;
    /* One level is the mapping itself. */
    assert_ok(load_text(repeated("a: ", "[", FS_YAML_DEPTH_MAX - 1, "]]]]]]]]]]]]]]]\n")));
    assert_status(load_text(repeated("a: ", "[", FS_YAML_DEPTH_MAX, "\n")), FS_ELIMIT);
    assert_status(load_text(repeated("a: ", "[", 1000000, "\n")), FS_ELIMIT);
    assert_detail("nested deeper than 16");
    /* A mapping, a key, a list and its items. */
    assert_ok(load_text(repeated("a: [", "1,", FS_YAML_NODES_MAX - 3, "]\n")));
    assert_status(load_text(repeated("a: [", "1,", FS_YAML_NODES_MAX - 2, "]\n")), FS_ELIMIT);
    assert_detail("more than 100000 values");
    for (int over = 0; over < 2; over++) {
        fs_buf text = {0};
        assert_ok(fs_buf_puts(&text, "a: ["));
        for (int i = 0; i < FS_YAML_ANCHORS_MAX + over; i++)
            assert_ok(fs_buf_printf(&text, "&x%d 1, ", i));
        assert_ok(fs_buf_puts(&text, "]\n"));
        assert_status(load(fs_buf_text(&text), text.size), over ? FS_ELIMIT : FS_OK);
        fs_buf_free(&text);
    }
    assert_ok(load_text(repeated("# ", "x", FS_CAMPAIGN_BYTES_MAX - 8, "\na: 1\n")));
    assert_status(load_text(repeated("# ", "x", FS_CAMPAIGN_BYTES_MAX - 7, "\na: 1\n")), FS_ELIMIT);
}

/* --- Values: read under the key "v" of a mapping --- */

typedef struct value {
    int what; /* 'u', 'r', 't', 'n' */
    uint64_t u;
    double r;
    char text[128];
    char name[FS_NAME_BYTES_MAX];
} value;

static fs_status read_value(const fs_yaml_at *at, void *target)
{
    value *v = target;
    const char *text = NULL;
    switch (v->what) {
    case 'u':
        return fs_yaml_u64(at, 0, UINT64_MAX, &v->u);
    case 'r':
        return fs_yaml_real(at, -1e300, 1e300, &v->r);
    case 'n':
        return fs_yaml_name(at, v->name);
    default:
        break;
    }
    FS_TRY(fs_yaml_text(at, &text));
    snprintf(v->text, sizeof v->text, "%s", text);
    return FS_OK;
}

static fs_status read_as(value *v, int what, const char *written)
{
    static const fs_yaml_field fields[] = {{"v", read_value, NULL, 1}, {NULL, NULL, NULL, 0}};
    char text[256];
    fs_yaml *doc = NULL;
    *v = (value){.what = what};
    int n = snprintf(text, sizeof text, "v: %s\n", written);
    FS_TRY(fs_yaml_new(&doc, text, (size_t)n, "f.yaml"));
    fs_yaml_at root = fs_yaml_root(doc);
    fs_status status = fs_yaml_map(&root, fields, NULL, v);
    fs_yaml_destroy(&doc);
    return status;
}

static void numbers_are_plain_decimal_numbers(void **state)
{
    static const struct {
        const char *written;
        double value;
    } good[] = {{"0", 0},
                {"1e-3", 0.001},
                {"1.0e-6", 1e-6},
                {"-2.5", -2.5},
                {"+3", 3},
                {".5", 0.5},
                {"5.", 5},
                {"1E+2", 100},
                {"0.1", 0.1},
                {"!!float 2", 2},
                {"0e5", 0},
                {"0.00e-400", 0},
                {"2.3e-308", 2.3e-308},
                {"123456789012345678", 123456789012345678.0}};
    static const char *const bad[] = {
        "010", "0x10", "1_000", "1:30",  ".nan", ".inf",  "-.inf",    "nan", "inf", "1e",  "1e+",
        "e5",  "--1",  "1.2.3", "\"1\"", "'1'",  "1e999", "true",     "~",   "",    "[1]", "{a: 1}",
        "1 2", "0b1",  "0o7",   ".",     "-",    "1,5",   "!!bool 1", "00",  "-01"};
    value v;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_ok(read_as(&v, 'r', good[i].written));
        assert_true(v.r == good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (read_as(&v, 'r', bad[i]) != FS_ECONFIG) fail_msg("read as a number: %s", bad[i]);
        assert_detail("f.yaml:1: ");
    }
    static const char *const tiny[] = {"1e-400", "-1e-400", "0.001e-350", "2e-308", "4.9e-324"};
    for (size_t i = 0; i < sizeof tiny / sizeof tiny[0]; i++) {
        if (read_as(&v, 'r', tiny[i]) != FS_ECONFIG) fail_msg("read as a number: %s", tiny[i]);
        assert_detail("too small to be told from 0");
    }
    assert_ok(read_as(&v, 'r', "-0"));
    assert_false(__builtin_signbit(v.r));
}

static void whole_numbers_reach_2_to_the_64(void **state)
{
    static const char *const bad[] = {
        "-1",  "1.0",   "1e3",      "+1", "01", "18446744073709551616", "99999999999999999999999",
        "0x1", "\"1\"", "!!float 1"};
    value v;
    (void)state;
    assert_ok(read_as(&v, 'u', "18446744073709551615"));
    assert_true(v.u == UINT64_MAX);
    assert_ok(read_as(&v, 'u', "0"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (read_as(&v, 'u', bad[i]) == FS_OK) fail_msg("read as a whole number: %s", bad[i]);
}

static void names_are_short_and_plain(void **state)
{
    static const char *const bad[] = {"a b", "a/b",  "../x", ".x",  "-x",      "\xc3\xa4", "a,b",
                                      "a=b", "\"\"", "~",    "[a]", "!!int a", "\"a\\nb\""};
    char longest[FS_NAME_BYTES_MAX + 1];
    value v;
    (void)state;
    assert_ok(read_as(&v, 'n', "bert-mini_2.0"));
    assert_string_equal(v.name, "bert-mini_2.0");
    assert_ok(read_as(&v, 'n', "\"quoted\""));
    memset(longest, 'x', sizeof longest);
    longest[FS_NAME_BYTES_MAX - 1] = '\0';
    assert_ok(read_as(&v, 'n', longest));
    longest[FS_NAME_BYTES_MAX - 1] = 'x';
    longest[FS_NAME_BYTES_MAX] = '\0';
    assert_status(read_as(&v, 'n', longest), FS_ELIMIT);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (read_as(&v, 'n', bad[i]) != FS_ECONFIG) fail_msg("read as a name: %s", bad[i]);
}

static void texts_hold_no_control_characters(void **state)
{
    value v;
    (void)state;
    assert_ok(read_as(&v, 't', "\"/data/\\u00e4 b\""));
    assert_string_equal(v.text, "/data/\xc3\xa4 b");
    assert_status(read_as(&v, 't', "\"a\\0b\""), FS_ECONFIG);
    assert_status(read_as(&v, 't', "\"a\\eb\""), FS_ECONFIG);
    assert_status(read_as(&v, 't', ""), FS_ECONFIG);
    assert_detail("f.yaml:1: v: is empty");
}

static fs_status read_node(const fs_yaml_at *at, void *target)
{
    return fs_yaml_is_list(at) ? fs_yaml_list(at, SIZE_MAX, read_node, target) : FS_OK;
}

/** A list that contains itself, and lists whose expansion doubles at each level. */
static void aliases_cannot_run_away(void **state)
{
    static const fs_yaml_field fields[] = {
        {"a", read_node, NULL, 0}, {"b", read_node, NULL, 0}, {NULL, NULL, NULL, 0}};
    fs_buf laughs = {0};
    (void)state;
    assert_ok(fs_buf_puts(&laughs, "a: [&x0 [1,1,1,1,1,1,1,1,1,1]"));
    for (int i = 1; i < 12; i++)
        assert_ok(fs_buf_printf(&laughs, ", &x%d [*x%d,*x%d,*x%d,*x%d,*x%d]", i, i - 1, i - 1,
                                i - 1, i - 1, i - 1));
    assert_ok(fs_buf_puts(&laughs, "]\n"));
    const char *const texts[] = {"a: &x [*x]\n", "a: &x {a: *x}\n", fs_buf_text(&laughs)};
    const fs_status expected[] = {FS_ELIMIT, FS_OK, FS_ELIMIT};
    for (size_t i = 0; i < 3; i++) {
        fs_yaml *doc = NULL;
        assert_ok(fs_yaml_new(&doc, texts[i], strlen(texts[i]), "f.yaml"));
        fs_yaml_at root = fs_yaml_root(doc);
        assert_status(fs_yaml_map(&root, fields, NULL, NULL), expected[i]);
        fs_yaml_destroy(&doc);
    }
    fs_buf_free(&laughs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_is_no_single_plain_document),
        cmocka_unit_test(limits_hold_at_and_past_them),
        cmocka_unit_test(numbers_are_plain_decimal_numbers),
        cmocka_unit_test(whole_numbers_reach_2_to_the_64),
        cmocka_unit_test(names_are_short_and_plain),
        cmocka_unit_test(texts_hold_no_control_characters),
        cmocka_unit_test(aliases_cannot_run_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
