/* The vector matrix product, over the v16 that was included before. V16_ROWS_MAX is the most rows
 * of a tile, V16_TILES(X) calls X(rows, panels) for every shape of tile there is: together they
 * decide how many accumulators live in registers, and have no influence on any bit. */

enum { TILE_ROWS = 12, V16_PANELS_MAX = 4 };

/* f(i) for every i < n, written out: n is a constant wherever a tile is instantiated, so the tests
 * vanish and arrays indexed by i become registers. Compilers do not do that to loops reliably. */
#define UP_TO_4(n, f)                                                                              \
    do {                                                                                           \
        if ((n) > 0) f(0);                                                                         \
        if ((n) > 1) f(1);                                                                         \
        if ((n) > 2) f(2);                                                                         \
        if ((n) > 3) f(3);                                                                         \
    } while (0)
#define UP_TO_12(n, f)                                                                             \
    do {                                                                                           \
        UP_TO_4(n, f);                                                                             \
        if ((n) > 4) f(4);                                                                         \
        if ((n) > 5) f(5);                                                                         \
        if ((n) > 6) f(6);                                                                         \
        if ((n) > 7) f(7);                                                                         \
        if ((n) > 8) f(8);                                                                         \
        if ((n) > 9) f(9);                                                                         \
        if ((n) > 10) f(10);                                                                       \
        if ((n) > 11) f(11);                                                                       \
    } while (0)

/** One row of a tile: `panels` registers. */
typedef struct tile_row {
    v16 of[V16_PANELS_MAX];
} tile_row;

V16_INLINE v16 panel_load(const float *p, size_t columns)
{
    return columns >= NN_PANEL ? v16_load(p) : v16_load_n(p, columns);
}

V16_INLINE void panel_store(float *p, v16 x, size_t columns)
{
    if (columns >= NN_PANEL) {
        v16_store(p, x);
    } else {
        v16_store_n(p, x, columns);
    }
}

/** Loads a row of which `columns` are left. */
V16_INLINE tile_row row_load(const float *p, size_t columns, int panels)
{
    tile_row row;
#define LOAD(j) row.of[j] = panel_load(p + (j)*NN_PANEL, columns - (j)*NN_PANEL)
    UP_TO_4(panels, LOAD);
#undef LOAD
    return row;
}

V16_INLINE tile_row row_zero(int panels)
{
    tile_row row;
#define ZERO(j) row.of[j] = v16_set1(0)
    UP_TO_4(panels, ZERO);
#undef ZERO
    return row;
}

V16_INLINE tile_row row_fma(float left, tile_row right, tile_row row, int panels)
{
    const v16 all = v16_set1(left);
#define FMA(j) row.of[j] = v16_fma(all, right.of[j], row.of[j])
    UP_TO_4(panels, FMA);
#undef FMA
    return row;
}

V16_INLINE tile_row row_add(tile_row row, tile_row bias, int panels)
{
#define ADD(j) row.of[j] = v16_add(row.of[j], bias.of[j])
    UP_TO_4(panels, ADD);
#undef ADD
    return row;
}

V16_INLINE void row_store(float *p, tile_row row, size_t columns, int panels)
{
#define STORE(j) panel_store(p + (j)*NN_PANEL, row.of[j], columns - (j)*NN_PANEL)
    UP_TO_4(panels, STORE);
#undef STORE
}

/** The rows from `row` on of the panels from `panel` on; both counts are constants. */
V16_INLINE void tile(const nn_product *g, size_t row, size_t panel, int rows, int panels)
{
    tile_row acc[TILE_ROWS];
    const size_t col = panel * NN_PANEL, left = g->n - col;
    const size_t lda = g->lda, step = g->a_step, ldc = g->ldc, stride = g->panel_stride;
    const float *a = g->a + row * lda;
    const float *b = g->b + panel * stride;
    float *c = g->c + row * ldc + col;
    tile_row right = row_zero(panels);

#define START(i) acc[i] = g->onto ? row_load(c + (i)*ldc, left, panels) : row_zero(panels)
    UP_TO_12(rows, START);
#undef START
    for (size_t k = g->k; k > 0; k--, a += step, b += NN_PANEL) {
#define RIGHT(j) right.of[j] = v16_load(b + (j)*stride)
        UP_TO_4(panels, RIGHT);
#undef RIGHT
#define STEP(i) acc[i] = row_fma(a[(i)*lda], right, acc[i], panels)
        UP_TO_12(rows, STEP);
#undef STEP
    }
    if (g->bias != NULL) {
        const tile_row bias = row_load(g->bias + col, left, panels);
#define BIAS(i) acc[i] = row_add(acc[i], bias, panels)
        UP_TO_12(rows, BIAS);
#undef BIAS
    }
#define STORE(i) row_store(c + (i)*ldc, acc[i], left, panels)
    UP_TO_12(rows, STORE);
#undef STORE
}

typedef void tile_fn(const nn_product *g, size_t row, size_t panel);

#define TILE(rows, panels)                                                                         \
    static void tile_##rows##_##panels(const nn_product *g, size_t row, size_t panel)              \
    {                                                                                              \
        tile(g, row, panel, rows, panels);                                                         \
    }
V16_TILES(TILE)
#undef TILE

/* [rows][panels] */
static tile_fn *const tiles[V16_ROWS_MAX + 1][V16_PANELS_MAX + 1] = {
#define TILE(rows, panels) [rows][panels] = tile_##rows##_##panels,
    V16_TILES(TILE)
#undef TILE
};

/** Every row of the block under one group of panels, in tiles of nearly equal height: a last tile
 * of one row would cost as much as a full one. The panels stay in the first-level cache. */
static size_t column_of_tiles(const nn_product *g, size_t panel, size_t panels)
{
    const size_t count = (g->m + V16_ROWS_MAX - 1) / V16_ROWS_MAX;
    const size_t rows = g->m / count, taller = g->m % count;
    size_t wide = V16_PANELS_MAX;
    while (wide > panels || tiles[rows + (taller > 0)][wide] == NULL) wide /= 2;
    size_t row = 0;
    for (size_t t = 0; t < count; t++) {
        const size_t high = rows + (t < taller);
        tiles[high][wide](g, row, panel);
        row += high;
    }
    return wide;
}

static void gemm(const nn_product *g)
{
    if (g->m == 0) return;
    const size_t panels = (g->n + NN_PANEL - 1) / NN_PANEL;
    for (size_t panel = 0; panel < panels;) panel += column_of_tiles(g, panel, panels - panel);
}
