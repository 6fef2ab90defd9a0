#include "coord_until.h"

#include <string.h>
#include <time.h>

enum { HOURS_MAX = 24 * 366 };

/** Reads up to `digits` decimal digits. @return how many characters. */
static size_t number(const char *text, size_t digits, unsigned *out)
{
    size_t n = 0;
    *out = 0;
    while (n < digits && text[n] >= '0' && text[n] <= '9')
        *out = *out * 10 + (unsigned)(text[n++] - '0');
    return n;
}

/** "+90s", "+15m", "+8h". @return nonzero if it is of that form. */
static int relative(const char *text, uint64_t *seconds)
{
    unsigned n = 0;
    if (text[0] != '+') return 0;
    size_t length = number(text + 1, 7, &n);
    const char *unit = text + 1 + length;
    if (length == 0 || unit[0] == '\0' || unit[1] != '\0') return 0;
    uint64_t each = unit[0] == 's' ? 1 : unit[0] == 'm' ? 60 : unit[0] == 'h' ? 3600 : 0;
    *seconds = n * each;
    return each != 0 && *seconds <= HOURS_MAX * UINT64_C(3600);
}

/** "HH:MM[:SS]" to the end of the text. */
static int clock_time(const char *text, struct tm *out)
{
    unsigned hour = 0, minute = 0, second = 0;
    if (number(text, 2, &hour) != 2 || text[2] != ':' || number(text + 3, 2, &minute) != 2)
        return 0;
    const char *rest = text + 5;
    if (rest[0] == ':' && number(rest + 1, 2, &second) == 2) rest += 3;
    out->tm_hour = (int)hour;
    out->tm_min = (int)minute;
    out->tm_sec = (int)second;
    return rest[0] == '\0' && hour < 24 && minute < 60 && second < 60;
}

static int date(const char *text, struct tm *out)
{
    unsigned year = 0, month = 0, day = 0;
    if (number(text, 4, &year) != 4 || text[4] != '-' || number(text + 5, 2, &month) != 2 ||
        text[7] != '-' || number(text + 8, 2, &day) != 2 || (text[10] != 'T' && text[10] != ' '))
        return 0;
    out->tm_year = (int)year - 1900;
    out->tm_mon = (int)month - 1;
    out->tm_mday = (int)day;
    return year >= 1970 && month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

fs_status coord_until_parse(const char *text, uint64_t now_ms, uint64_t *out_ms)
{
    uint64_t seconds = 0;
    if (relative(text, &seconds)) {
        *out_ms = now_ms + seconds * 1000;
        return FS_OK;
    }
    time_t now = (time_t)(now_ms / 1000);
    struct tm when;
    localtime_r(&now, &when);
    when.tm_isdst = -1;
    int dated = strlen(text) > 10 && date(text, &when);
    if (!clock_time(dated ? text + 11 : text, &when))
        return fs_fail(FS_EUSAGE, "--until %s: write HH:MM, YYYY-MM-DDTHH:MM or +N with s, m or h",
                       text);
    struct tm tomorrow = when;
    tomorrow.tm_mday++;
    time_t at = mktime(&when);
    if (!dated && at <= now) at = mktime(&tomorrow);
    if (at == (time_t)-1 || at <= now) return fs_fail(FS_EUSAGE, "--until %s is in the past", text);
    *out_ms = (uint64_t)at * 1000;
    return FS_OK;
}
