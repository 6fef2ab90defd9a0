/* The stopping rule: looks at 100, 200, 400, ... trials and at the last one. */
#include "plan.h"
#include "stats.h"

enum { FIRST_LOOK = 100 };

static const fs_stop *rule_of(const fs_plan *plan, const fs_cell *cell)
{
    const fs_stop *stop = &plan->campaign->sweeps[cell->sweep].stop;
    return stop->half_width > 0 ? stop : NULL;
}

static unsigned look_count(const fs_cell *cell)
{
    unsigned looks = 1;
    for (uint64_t n = FIRST_LOOK; n < cell->trials; n *= 2) looks++;
    return looks;
}

uint64_t fs_cell_next_look(const fs_plan *self, const fs_cell *cell, uint64_t done)
{
    if (rule_of(self, cell) == NULL) return cell->trials;
    uint64_t look = FIRST_LOOK;
    while (look <= done && look < cell->trials) look *= 2;
    return look < cell->trials ? look : cell->trials;
}

double fs_cell_confidence(const fs_plan *self, const fs_cell *cell, double plain)
{
    const fs_stop *stop = rule_of(self, cell);
    /* Each look spends an equal share of alpha, so that all of them together hold the level. */
    return stop == NULL ? plain : 1 - (1 - stop->confidence) / look_count(cell);
}

int fs_cell_stops(const fs_plan *self, const fs_cell *cell, uint64_t n, uint64_t critical)
{
    const fs_stop *stop = rule_of(self, cell);
    if (stop == NULL || n == 0) return 0;
    double confidence = fs_cell_confidence(self, cell, stop->confidence);
    fs_interval interval = fs_clopper_pearson(critical, n, confidence);
    return (interval.high - interval.low) / 2 <= stop->half_width;
}
