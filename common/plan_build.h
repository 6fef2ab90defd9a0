/** The parts of building a plan. Internal to plan.c and plan_*.c. */
#ifndef FS_PLAN_BUILD_H
#define FS_PLAN_BUILD_H

#include "plan.h"

/** The hash of a shape: names and sizes of the tensors, the slices of the components. Two models
 * with one hash have the same fault spaces. */
void fs__geometry_hash(fs_hash *out, const fs_geometry *geometry);

/** Reads and compares the models, hashes models and data where present: fills models, data_hash and
 * absent. With `known` no file is touched. */
FS_MUST_CHECK fs_status fs__plan_models(fs_plan *self, const fs_plan_known *known);
/** Fills variants, spaces, cells and trials. */
FS_MUST_CHECK fs_status fs__plan_cells(fs_plan *self);
/** One place on the axes of layers and of parts of a selection. */
typedef struct fs_plan_site {
    int layer; /* -1: none, or not by layer */
    fs_site_set set;
    const char *part; /* its word in a cell's id; NULL: not divided by parts */
} fs_plan_site;

/** Lists the places of a sweep, in the order of cells: by layer, then by the first word.
 * Errors: FS_ECONFIG for a layer that the model lacks, or if nothing is left; FS_ENOMEM. */
FS_MUST_CHECK fs_status fs__plan_sites(const fs_plan *plan, const fs_sweep *sweep,
                                       fs_plan_site **out, size_t *count);
/** Makes the fault space of a place. Errors: as fs_site_class.space, naming the sweep. */
FS_MUST_CHECK fs_status fs__plan_space(const fs_plan *plan, const fs_sweep *sweep,
                                       const fs_plan_site *site, fs_bits bits,
                                       fs_fault_space **out);

/** Reads the files of the sweeps whose faults are not drawn, and gives each cell its list.
 * Errors: as fs_fault_file_new, naming the sweep; FS_ECONFIG for redundant bits of a code that no
 * arm has, and for more trials than there are. */
FS_MUST_CHECK fs_status fs__plan_lists(fs_plan *self);
/** @return sites of a cell, variant and space filled in, that no fault can matter at. */
uint64_t fs__plan_masked_sites(const fs_plan *plan, const fs_cell *cell);
/** Fills identity and fingerprint. */
FS_MUST_CHECK fs_status fs__plan_identify(fs_plan *self);
/** @return the index of the model folder of an arm. */
uint32_t fs__plan_model_of(const fs_plan *self, const fs_arm *arm);

#endif
