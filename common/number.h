/** Numbers as text that reads back to the same number. Thread rule: reentrant. */
#ifndef FS_NUMBER_H
#define FS_NUMBER_H

enum { FS_NUMBER_BYTES = 32 };

/** Writes the shortest decimal form that strtod reads back to the same bits: "0.001", "1e-6",
 * "100000". Whole numbers below 1e15 have no exponent. Finite values only. */
void fs_number_text(double value, char out[FS_NUMBER_BYTES]);
/** The same where the value will be read into a float. */
void fs_number_text_float(float value, char out[FS_NUMBER_BYTES]);

#endif
