/** Faults from outside: a list of bits to hit, or a log of memory errors with a map of the tensors.
 *
 * A list is a table (csv.h) with a row for each bit:
 *
 *   tensor  HuggingFace's name of a parameter, with or without "bert." or "transformer."
 *   index   of the value: row * columns + column, or row:column
 *   bit     of the stored word, 0 the least significant
 *   kind    flip (also if empty), stuck0, stuck1
 *   trial   0, 1, 2, ... without gaps; without the column all rows are of trial 0
 *   code    empty: the bit is one of the word; else the protection whose redundant bit it is, or
 *           "scale" for one of an int8 channel's scale, and `index` is the first value of the
 *           codeword or channel (redundancy.h)
 *
 * A log has columns address (of a byte), bit (0..7), kind and trial; its map has tensor, base (the
 * address of the tensor's first byte) and bytes. Words are little-endian and row-major. What lies
 * outside of every tensor is counted and hits nothing. Rows of one bit and kind in a trial are one
 * fault, seen again: memory reports a bad cell whenever it is read.
 *
 * Every arm meets the same list; bits that belong to a protection it lacks are left out. Thread
 * rule: const after creation. */
#ifndef FS_FAULT_FILE_H
#define FS_FAULT_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "fault.h"
#include "format.h"
#include "hash.h"
#include "limits.h"
#include "protect.h"
#include "redundancy.h"
#include "status.h"

/** The files of a sweep and what they held when they were first read. Plain data. */
typedef struct fs_fault_source {
    char file[FS_PATH_BYTES_MAX]; /* a list, or a log if there is a map */
    char map[FS_PATH_BYTES_MAX];  /* "": none */
    fs_hash file_hash;
    fs_hash map_hash;
    uint64_t faults; /* rows, all trials together */
    uint64_t trials;
} fs_fault_source;

/** Reads the files as far as that is possible without a model, and fills in hashes, faults and
 * trials. Errors: FS_ENOENT, FS_EIO; FS_EFORMAT and FS_ELIMIT naming file and line. */
FS_MUST_CHECK fs_status fs_fault_source_read(fs_fault_source *io);

/** A set of what can be stored beside words: bit i is that of fs_codec_at(i). */
typedef uint64_t fs_codec_set;
#define FS_CODEC_SET_SCALES ((fs_codec_set)1 << 63) /* the scales of int8 */

/** The files of a source for one model and one storage format. */
typedef struct fs_fault_file {
    uint64_t trials;
    uint64_t outside;       /* addresses that lie in no tensor */
    uint64_t repeated;      /* rows of a log beyond the first of their bit and trial */
    fs_fault *faults;       /* by trial, then as a fault list is sorted */
    uint64_t *first;        /* [trials + 1] */
    fs_check_fault *checks; /* in the same way; `codec` is an index of fs_codec_at */
    uint64_t *check_first;  /* [trials + 1] */
    fs_codec_set codes;     /* that rows name */
} fs_fault_file;

/** Reads them again and finds every bit.
 * @param codecs  whose redundant bits are wanted; those of others are passed over
 * Errors: FS_EREFUSED naming a file whose content is not the source's any more; FS_EFORMAT naming
 * file and line for an unknown tensor, an index or a bit beyond it, two rows of one bit (in a log:
 * of unlike kinds), tensors of a map that overlap; FS_EFORMAT if all addresses are outside;
 * FS_ENOENT, FS_ELIMIT, FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_fault_file_new(fs_fault_file **out, const fs_fault_source *source,
                                          const fs_geometry *geometry, const fs_format *format,
                                          fs_codec_set codecs);
/** Frees; nulls; idempotent. */
void fs_fault_file_destroy(fs_fault_file **self);
/** Replaces `out`'s contents by the faults of one of the trials. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_fault_file_faults(const fs_fault_file *self, uint64_t trial,
                                             fs_fault_list *out);
/** The same of redundant bits, of the codecs that `protect` has. Errors: FS_ENOMEM. */
FS_MUST_CHECK fs_status fs_fault_file_checks(const fs_fault_file *self, uint64_t trial,
                                             const fs_protect *protect, fs_check_list *out);

/** Writes faults and redundant bits of `protect`'s codecs as a list of one trial, header line
 * first. Errors are kept by the file. */
void fs_fault_file_write(FILE *out, const fs_geometry *geometry, const fs_protect *protect,
                         const fs_fault_list *faults, const fs_check_list *checks);

/** @return what a list of protections keeps beside the words, of its format. */
fs_codec_set fs_codec_set_of(const fs_protect *protect);
/** @return the word of the first in a set that is not empty. */
const char *fs_codec_set_name(fs_codec_set set);

#endif
