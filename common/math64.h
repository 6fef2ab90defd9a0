/** exp, log and cos in double whose bits do not depend on the C library.
 *
 * libm picks variants by processor (with or without FMA) that differ in the last place. What
 * decides a fault's place or is stored with a trial comes from here: only IEEE additions,
 * multiplications and divisions in a fixed order. Errors are below 2 ulp (log: below 2^-52 absolute
 * near 1); NaN gives NaN. Thread rule: reentrant. */
#ifndef FS_MATH64_H
#define FS_MATH64_H

/** @return ln x; -Inf at 0, NaN below, Inf at Inf. Subnormals are exact inputs too. */
double fs_log64(double x);
/** @return ln(1 + x), accurate near 0; x > -1. */
double fs_log1p64(double x);
/** @return e^x; Inf on overflow, 0 on underflow (results below 2^-1022 are flushed). */
double fs_exp64(double x);

/** @return cos(2 pi x), x in turns; below 2^-52 absolute. |x| < 2^51; NaN and Inf give NaN. */
double fs_cos_turns64(double x);

/* What fs_exp64() is made of, for code that evaluates it several arguments at a time and must give
 * the same bits: ln 2 in two parts, and the series 1/i!. */
#define FS_LN2_HIGH 0x1.62e42fee00000p-1 /* 32 significant bits: k * FS_LN2_HIGH is exact */
#define FS_LN2_LOW  0x1.a39ef35793c76p-33
enum { FS_EXP64_TERMS = 14 };
extern const double fs_exp64_series[FS_EXP64_TERMS];

#endif
