#include "math64.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define SQRT2 0x1.6a09e667f3bcdp+0

/* 2 atanh(z) for |z| <= 0.1716: z^25/25 is below 2^-66. */
static double two_atanh(double z)
{
    double w = z * z;
    double sum = 0;
    for (int k = 23; k >= 3; k -= 2) sum = (sum + 1.0 / k) * w;
    return 2 * z + 2 * z * sum;
}

double fs_log64(double x)
{
    if (!(x > 0)) return x == 0 ? -INFINITY : NAN;
    if (x == INFINITY) return x;
    int shift = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        shift = -54;
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > SQRT2) {
        m *= 0.5;
        exponent++;
    }
    double k = exponent + shift;
    return k * FS_LN2_HIGH + (two_atanh((m - 1) / (m + 1)) + k * FS_LN2_LOW);
}

double fs_log1p64(double x)
{
    if (x > -0.25 && x < 0.25) return two_atanh(x / (2 + x));
    return fs_log64(1 + x);
}

const double fs_exp64_series[FS_EXP64_TERMS] = {1.0,
                                                1.0,
                                                1.0 / 2,
                                                1.0 / 6,
                                                1.0 / 24,
                                                1.0 / 120,
                                                1.0 / 720,
                                                1.0 / 5040,
                                                1.0 / 40320,
                                                1.0 / 362880,
                                                1.0 / 3628800,
                                                1.0 / 39916800,
                                                1.0 / 479001600,
                                                1.0 / 6227020800};

double fs_exp64(double x)
{
    if (x != x) return x;
    if (x > 709.782712893384) return INFINITY;
    if (x < -708.39) return 0;
    /* x = k ln2 + r, |r| <= ln2/2; e^r by its series to r^13/13! (the rest is below 2^-57). */
    double k = (x * 0x1.71547652b82fep+0 + 0x1.8p52) - 0x1.8p52;
    double r = (x - k * FS_LN2_HIGH) - k * FS_LN2_LOW;
    double sum = fs_exp64_series[FS_EXP64_TERMS - 1];
    for (int i = FS_EXP64_TERMS - 2; i >= 0; i--) sum = fs_exp64_series[i] + sum * r;
    /* 2^1024 is no double: the largest results take their last doubling afterwards. */
    int high = k > 1000;
    uint64_t bits = (uint64_t)((int64_t)k - high + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return sum * scale * (high ? 2 : 1);
}

/* The series of cos and sin on [0, pi/4]: the first terms left out are below 2^-63. */
static double cos_series(double a)
{
    double w = a * a, sum = 0;
    for (int k = 16; k >= 2; k -= 2) sum = (1 - sum) * w / (k * (k - 1));
    return 1 - sum;
}

static double sin_series(double a)
{
    double w = a * a, sum = 0;
    for (int k = 17; k >= 3; k -= 2) sum = (1 - sum) * w / (k * (k - 1));
    return a - a * sum;
}

double fs_cos_turns64(double x)
{
    const double turn = 0x1.921fb54442d18p+2; /* 2 pi */
    if (!(fabs(x) < 0x1p51)) return NAN;
    /* Reductions to the nearest turn and by halves and quarters of it are exact. */
    double r = fabs(x - ((x + 0x1.8p52) - 0x1.8p52));
    double sign = 1;
    if (r > 0.25) {
        r = 0.5 - r;
        sign = -1;
    }
    return sign * (r > 0.125 ? sin_series(turn * (0.25 - r)) : cos_series(turn * r));
}
