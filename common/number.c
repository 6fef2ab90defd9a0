#include "number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"

/** "1e-06" and "1e+20" become "1e-6" and "1e20". */
static void trim_exponent(char *text)
{
    char *from = strchr(text, 'e');
    if (from == NULL) return;
    char *to = ++from;
    if (*from == '+')
        from++;
    else if (*from == '-')
        *to++ = *from++;
    while (*from == '0' && from[1] != '\0') from++;
    memmove(to, from, strlen(from) + 1);
}

static void shortest(double value, int is_float, char out[FS_NUMBER_BYTES])
{
    FS_ASSERT(isfinite(value));
    if (fabs(value) < 1e15 && floor(value) == value) {
        snprintf(out, FS_NUMBER_BYTES, "%.0f", value + 0.0);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, FS_NUMBER_BYTES, "%.*g", digits, value);
        double back = strtod(out, NULL);
        if (is_float ? (float)back == (float)value : back == value) break;
    }
    trim_exponent(out);
}

void fs_number_text(double value, char out[FS_NUMBER_BYTES])
{
    shortest(value, 0, out);
}

void fs_number_text_float(float value, char out[FS_NUMBER_BYTES])
{
    shortest((double)value, 1, out);
}
