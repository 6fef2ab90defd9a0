/** Which kernels run. Chosen once, at first use, from what the processor can; all give the same
 * bits, so the choice is about speed only. Thread rule: nn_kernel_choose before threads start. */
#ifndef NN_CPU_H
#define NN_CPU_H

#include "status.h"

typedef enum nn_isa { NN_ISA_PORTABLE, NN_ISA_AVX2, NN_ISA_AVX512 } nn_isa;

nn_isa nn_cpu_isa(void);
/** @return "portable", "avx2" or "avx512". */
const char *nn_kernel_name(void);
/** Chooses kernels by name, for tests and audits. Errors: FS_EUSAGE for an unknown name,
 * FS_EUNSUPPORTED if this processor lacks them. */
FS_MUST_CHECK fs_status nn_kernel_choose(const char *name);

#endif
