#include "testing.h"

#include "csv.h"

static const fs_csv_column columns[] = {{"tensor", 1}, {"bit", 1}, {"kind", 0}, {NULL, 0}};

enum { TENSOR, BIT, KIND };

static fs_status open_text(fs_csv *csv, const char *text)
{
    return fs_csv_open(csv, "t.csv", text, strlen(text), columns);
}

/* Every field of a table, rows parted by '|', fields by ';', a column that is missing as '-'. */
static fs_status read_all(const char *text, char out[256])
{
    fs_csv csv;
    int more;
    out[0] = '\0';
    FS_TRY(open_text(&csv, text));
    for (;;) {
        FS_TRY(fs_csv_next(&csv, &more));
        if (!more) return FS_OK;
        for (size_t i = 0; i < 3; i++) {
            strncat(out, csv.field[i] == NULL ? "-" : csv.field[i], 100);
            strncat(out, i < 2 ? ";" : "|", 2);
        }
    }
}

static void assert_rows(const char *text, const char *expected)
{
    char out[256];
    assert_ok(read_all(text, out));
    assert_string_equal(out, expected);
}

static void assert_refused(const char *text, const char *detail)
{
    char out[256];
    assert_status(read_all(text, out), FS_EFORMAT);
    assert_detail(detail);
}

static void test_forms(void **state)
{
    (void)state;
    assert_rows("tensor,bit\na,1\nb,2\n", "a;1;-|b;2;-|");
    assert_rows("bit,kind,tensor\n1,flip,a", "a;1;flip|");
    assert_rows("tensor,bit\r\na,1\r\n\r\n", "a;1;-|");
    assert_rows("\xef\xbb\xbftensor,bit\na,1\n", "a;1;-|");
    assert_rows("# why \x1b\xc3\xa9\n\n  \t\ntensor,bit\n#a,7\na,1\n   \n", "a;1;-|");
    assert_rows(" tensor , bit\n\ta b ,\t1 \n", "a b;1;-|");
    assert_rows("tensor,bit,kind\n\"a,b\",\"1\",\n\"say \"\"x\"\"\" , 2,\"\"\n",
                "a,b;1;|say \"x\";2;|");
    assert_rows("tensor,bit\n,\n", ";;-|");
    assert_rows("tensor,bit\n", "");
}

static void test_refused(void **state)
{
    (void)state;
    assert_refused("", "t.csv: has no header line");
    assert_refused("# nothing\n\n", "t.csv: has no header line");
    assert_refused("tensor\na\n", "t.csv:1: column 'bit' is missing");
    assert_refused("\ntensor,bit,tensor\n", "t.csv:2: column 'tensor' is given twice");
    assert_refused("tensor,bitt\n", "t.csv:1: column 'bitt' is unknown (did you mean 'bit'?); "
                                    "known: tensor, bit, kind");
    assert_refused("tensor,bit,time\n", "t.csv:1: column 'time' is unknown; known: ");
    assert_refused("tensor,bit\na,1\nb\n", "t.csv:3: 1 fields under a header of 2");
    assert_refused("tensor,bit\na,1,\n", "t.csv:2: 3 fields under a header of 2");
    assert_refused("tensor,bit\n\"a,1\n", "t.csv:2: a quote is not closed");
    assert_refused("tensor,bit\n\"a\"\",1\n", "t.csv:2: a quote is not closed");
    assert_refused("tensor,bit\na,\"", "t.csv:2: a quote is not closed");
    assert_refused("tensor,bit\n\"a\"b,1\n", "t.csv:2: text behind a closing quote");
    assert_refused("tensor,bit\na\"b,1\n", "t.csv:2: a quote inside of a field without quotes");
    assert_refused("tensor,bit\na\x01,1\n", "t.csv:2: byte 0x01 is not printable ASCII");
    assert_refused("tensor,bit\na\x7f,1\n", "t.csv:2: byte 0x7f is not printable ASCII");
    assert_refused("tensor,bit\n\xc3\xa9,1\n", "t.csv:2: byte 0xc3 is not printable ASCII");
    assert_refused("tensor,bit\na\r,1\n", "t.csv:2: byte 0x0d is not printable ASCII");
    fs_csv csv;
    assert_status(fs_csv_open(&csv, "t.csv", "tensor,bit\na,1\n#\0\n", 19, columns), FS_EFORMAT);
    assert_detail("t.csv:3: a NUL byte");
}

static void test_limits(void **state)
{
    static const char header[] = "tensor,bit\n";
    (void)state;
    char *text = malloc(FS_CSV_LINE_BYTES_MAX + 64), out[256];
    assert_non_null(text);
    for (int over = 0; over < 2; over++) {
        const size_t start = sizeof header - 1;
        memcpy(text, header, start);
        const size_t size = start + FS_CSV_LINE_BYTES_MAX + (size_t)over;
        memset(text + start, 'a', size - start);
        memcpy(text + size - 2, ",1", 3);
        fs_csv csv;
        int more;
        assert_ok(fs_csv_open(&csv, "t.csv", text, size, columns));
        if (over) {
            assert_status(fs_csv_next(&csv, &more), FS_ELIMIT);
            assert_detail("t.csv:2: a line of 4097 bytes, at most 4096 are allowed");
        } else {
            assert_ok(fs_csv_next(&csv, &more));
            assert_int_equal(strlen(csv.field[TENSOR]), FS_CSV_LINE_BYTES_MAX - 2);
            assert_string_equal(csv.field[BIT], "1");
        }
    }
    /* As many empty fields as there may be, and one more: both fit the room of a line. */
    assert_status(read_all("tensor,bit\n,,,,,,,,,,,,,,,\n", out), FS_EFORMAT);
    assert_detail("t.csv:2: 16 fields under a header of 2");
    assert_status(read_all("tensor,bit\n,,,,,,,,,,,,,,,,\n", out), FS_EFORMAT);
    assert_detail("t.csv:2: more than 16 fields");
    free(text);
}

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        int hex;
        uint64_t most, value;
        const char *detail; /* NULL: it is read */
    } cases[] = {
        {"0", 0, 7, 0, NULL},
        {"7", 0, 7, 7, NULL},
        {"8", 0, 7, 0, "bit 8 is beyond 7"},
        {"007", 0, 7, 7, NULL},
        {"18446744073709551615", 0, UINT64_MAX, UINT64_MAX, NULL},
        {"18446744073709551616", 0, UINT64_MAX, 0, "is beyond 18446744073709551615"},
        {"99999999999999999999999", 0, UINT64_MAX, 0, "is beyond"},
        {"0xFfFfFfFfFfFfFfFf", 1, UINT64_MAX, UINT64_MAX, NULL},
        {"0x10000000000000000", 1, UINT64_MAX, 0, "is beyond"},
        {"0X1a", 1, 100, 26, NULL},
        {"0x1a", 0, 100, 0, "bit '0x1a' is not a whole number"},
        {"1a", 1, 100, 0, "bit '1a' is not a whole number"},
        {"0xg", 1, 100, 0, "bit '0xg' is not a whole number"},
        {"0x", 1, 100, 0, "bit has no digits"},
        {"", 0, 100, 0, "bit is empty"},
        {"-1", 0, 100, 0, "bit '-1' is not a whole number"},
        {"+1", 0, 100, 0, "bit '+1' is not a whole number"},
        {"1.0", 0, 100, 0, "bit '1.0' is not a whole number"},
        {"1e3", 0, 10000, 0, "bit '1e3' is not a whole number"},
        {"1 2", 0, 100, 0, "bit '1 2' is not a whole number"},
    };
    (void)state;
    fs_csv csv;
    assert_ok(open_text(&csv, "tensor,bit\n"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t value = 0;
        fs_status status =
            fs_csv_parse(&csv, "bit", cases[i].text, cases[i].hex, cases[i].most, &value);
        if (cases[i].detail == NULL) {
            assert_ok(status);
            assert_int_equal(value, cases[i].value);
        } else {
            assert_status(status, FS_EFORMAT);
            assert_detail(cases[i].detail);
        }
    }
}

/* What is written with quotes, doubled and with commas is read back, whatever it is. */
static void test_round_trip(void **state)
{
    (void)state;
    static const char bytes[] = "ab,\"# \t19";
    uint32_t seed = 1;
    for (int n = 0; n < 2000; n++) {
        char plain[17] = "", text[128] = "bit,tensor\n1,\"";
        size_t size = 0, used = strlen(text);
        for (size_t i = 0; i < (size_t)(n % 17); i++) {
            seed = seed * 1664525 + 1013904223;
            const char byte = bytes[(seed >> 16) % (sizeof bytes - 1)];
            plain[size++] = byte;
            text[used++] = byte;
            if (byte == '"') text[used++] = '"';
        }
        text[used++] = '"';
        fs_csv csv;
        int more;
        assert_ok(fs_csv_open(&csv, "t.csv", text, used, columns));
        assert_ok(fs_csv_next(&csv, &more));
        assert_int_equal(more, 1);
        assert_memory_equal(csv.field[TENSOR], plain, size + 1);
        assert_null(csv.field[KIND]);
        assert_ok(fs_csv_next(&csv, &more));
        assert_int_equal(more, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits),     cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
