/* The distributions behind the intervals: beta (hence binomial and Student's t) and normal.
 *
 * I_x(a, b) is a prefactor times a continued fraction. The prefactor x^a (1-x)^b / B(a, b) is not
 * taken from lgamma, whose values near 10^10 would cancel to nothing for 10^9 trials, but from
 * Loader's saddle point form, in which the large parts have been cancelled on paper.
 * Sources: Press et al., Numerical Recipes, 6.4 (fraction by the modified Lentz method); Loader,
 * "Fast and accurate computation of binomial probabilities", 2000; Abramowitz and Stegun 26.2.23.
 */
#include <float.h>
#include <math.h>

#include "assert.h"
#include "stats.h"

/* The fraction needs some multiple of the root of the greater parameter: 10^5 for 10^9. */
enum { FRACTION_TERMS_MAX = 10000000, QUANTILE_STEPS_MAX = 500 };

static const double CLOSE_ENOUGH = 1e-14; /* relative, for the quantiles */
static const double LOG_SQRT_2PI = 0.91893853320467274178;

/** log(n!) less Stirling's formula. n > 0. */
static double stirling_error(double n)
{
    if (n < 16) {
        int sign;
        return lgamma_r(n + 1, &sign) - (n + 0.5) * log(n) + n - LOG_SQRT_2PI;
    }
    const double n2 = n * n;
    double sum = 1.0 / 1188 / n2;
    sum = (1.0 / 1680 - sum) / n2;
    sum = (1.0 / 1260 - sum) / n2;
    sum = (1.0 / 360 - sum) / n2;
    return (1.0 / 12 - sum) / n;
}

/** x log(x/m) + m - x, without cancellation when x is near m. */
static double deviance(double x, double m)
{
    if (fabs(x - m) >= 0.1 * (x + m)) return x * log(x / m) + m - x;
    const double v = (x - m) / (x + m), v2 = v * v;
    double sum = (x - m) * v, term = 2 * x * v;
    for (int j = 3; j < 1000; j += 2) {
        term *= v2;
        const double next = sum + term / j;
        if (next == sum) break;
        sum = next;
    }
    return sum;
}

/** x^a y^b / B(a, b), where y = 1 - x. */
static double beta_prefactor(double x, double y, double a, double b)
{
    const double n = a + b;
    const double exponent = stirling_error(n) - stirling_error(a) - stirling_error(b) -
                            deviance(a, n * x) - deviance(b, n * y);
    return exp(exponent) * sqrt(a * b / (2 * M_PI * n));
}

/** The continued fraction of I_x(a, b), which converges fast for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double x, double a, double b)
{
    const double tiny = DBL_MIN / DBL_EPSILON;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double h = d;
    for (int m = 1; m <= FRACTION_TERMS_MAX; m++) {
        for (int odd = 0; odd < 2; odd++) {
            const double at = a + 2.0 * m;
            const double term = odd ? -(a + m) * (a + b + m) * x / (at * (at + 1))
                                    : m * (b - m) * x / ((at - 1) * at);
            d = 1 + term * d;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = 1 + term / c;
            if (fabs(c) < tiny) c = tiny;
            h *= d * c;
        }
        if (fabs(d * c - 1) < DBL_EPSILON) break;
    }
    return h;
}

double fs_beta_cdf(double x, double a, double b)
{
    FS_ASSERT(a > 0 && b > 0);
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    const double y = 1 - x, prefactor = beta_prefactor(x, y, a, b);
    if (x < (a + 1) / (a + b + 2)) return prefactor * beta_fraction(x, a, b) / a;
    return 1 - prefactor * beta_fraction(y, b, a) / b;
}

/** Newton from the mean, kept between the nearest points known on either side. */
double fs_beta_quantile(double p, double a, double b)
{
    FS_ASSERT(a > 0 && b > 0);
    if (p <= 0) return 0;
    if (p >= 1) return 1;
    double low = 0, high = 1, x = a / (a + b);
    for (int step = 0; step < QUANTILE_STEPS_MAX; step++) {
        const double excess = fs_beta_cdf(x, a, b) - p;
        if (excess == 0) break;
        if (excess > 0) {
            high = x;
        } else {
            low = x;
        }
        const double density = beta_prefactor(x, 1 - x, a, b) / (x * (1 - x));
        double next = x - excess / density;
        if (fabs(next - x) <= CLOSE_ENOUGH * x) break;
        if (!(next > low && next < high)) next = low > 0 ? (low + high) / 2 : high / 16;
        x = next;
    }
    return x;
}

/** The rational approximation, wrong by up to 4.5e-4, and Halley's steps to full precision. */
double fs_normal_quantile(double p)
{
    if (!(p > 0)) return p == 0 ? -INFINITY : NAN;
    if (!(p < 1)) return p == 1 ? INFINITY : NAN;
    if (p > 0.5) return -fs_normal_quantile(1 - p);
    const double t = sqrt(-2 * log(p));
    double x = (2.515517 + t * (0.802853 + t * 0.010328)) /
                   (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))) -
               t;
    for (int i = 0; i < 3; i++) {
        /* excess / density; the density's scale is divided out before it can underflow. */
        const double excess = 0.5 * erfc(-x * M_SQRT1_2) - p;
        const double ratio = excess * exp(0.5 * x * x + LOG_SQRT_2PI);
        x -= ratio / (1 + 0.5 * x * ratio);
    }
    return x;
}

/** By whichever of t^2/(t^2 + degrees) and its complement is not near 1. */
double fs_student_quantile(double p, double degrees)
{
    FS_ASSERT(degrees > 0);
    if (!(p > 0)) return p == 0 ? -INFINITY : NAN;
    if (!(p < 1)) return p == 1 ? INFINITY : NAN;
    if (p > 0.5) return -fs_student_quantile(1 - p, degrees);
    if (p < 0.25) {
        const double x = fs_beta_quantile(2 * p, degrees / 2, 0.5);
        return -sqrt(degrees * (1 - x) / x);
    }
    const double y = fs_beta_quantile(1 - 2 * p, 0.5, degrees / 2);
    return -sqrt(degrees * y / (1 - y));
}
