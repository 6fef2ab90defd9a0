/** GPT-2's words: what its regular expression finds, without a regular expression.
 *
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 * Linear in the text. Thread rule: reentrant. Source: openai/gpt-2, src/encoder.py. */
#ifndef TOK_SPLIT_H
#define TOK_SPLIT_H

#include <stddef.h>

/** @return bytes of the word that begins at text[0]; size must be at least 1. Invalid bytes count
 * as neither letter, number nor space. */
size_t tok_split_word(const char *text, size_t size);

#endif
