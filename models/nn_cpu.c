#include "nn_cpu.h"

#include <stdatomic.h>
#include <string.h>

#include "nn_isa.h"

typedef struct isa_row {
    const char *name;
    const nn_ops *ops;
} isa_row;

static const isa_row isas[] = {
    [NN_ISA_PORTABLE] = {"portable", &nn__ops_portable},
#if defined(__x86_64__)
    [NN_ISA_AVX2] = {"avx2", &nn__ops_avx2},
    [NN_ISA_AVX512] = {"avx512", &nn__ops_avx512},
#endif
};
enum { ISAS = sizeof isas / sizeof isas[0], NOT_CHOSEN = -1 };

static atomic_int chosen = NOT_CHOSEN;

static int supported(int isa)
{
#if defined(__x86_64__)
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (isa == NN_ISA_AVX2) return avx2;
    if (isa == NN_ISA_AVX512) return avx2 && __builtin_cpu_supports("avx512f");
#endif
    return isa == NN_ISA_PORTABLE;
}

nn_isa nn_cpu_isa(void)
{
    int isa = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (isa == NOT_CHOSEN) {
        isa = ISAS - 1;
        while (!supported(isa)) isa--;
        /* Every thread finds the same, so it does not matter whose store is last. */
        atomic_store_explicit(&chosen, isa, memory_order_relaxed);
    }
    return (nn_isa)isa;
}

const nn_ops *nn__ops(void)
{
    return isas[nn_cpu_isa()].ops;
}

const char *nn_kernel_name(void)
{
    return isas[nn_cpu_isa()].name;
}

fs_status nn_kernel_choose(const char *name)
{
    for (int isa = 0; isa < ISAS; isa++) {
        if (strcmp(name, isas[isa].name) != 0) continue;
        if (!supported(isa)) {
            return fs_fail(FS_EUNSUPPORTED, "this processor has no %s: the %s kernels cannot run",
                           name, name);
        }
        atomic_store_explicit(&chosen, isa, memory_order_relaxed);
        return FS_OK;
    }
    return fs_fail(FS_EUSAGE, "kernels \"%s\" are unknown: use portable, avx2 or avx512", name);
}
