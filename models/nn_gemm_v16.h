/* The vector matrix product, over the v16 that was included before. V16_ROWS_MAX is the most rows
 * of a tile, V16_PANELS(rows) how many panels wide a tile of so many rows is: together they decide
 * how many accumulators live in registers, and have no influence on any bit. */

#if defined(__clang__)
#define V16_UNROLL _Pragma("clang loop unroll(full)")
#else
#define V16_UNROLL _Pragma("GCC unroll 16")
#endif

enum { V16_PANELS_MAX = 4 };

V16_INLINE v16 panel_load(const float *p, size_t columns)
{
    return columns >= NN_PANEL ? v16_load(p) : v16_load_n(p, columns);
}

/** Rows [row, row + rows) of panels [panel, panel + panels); both counts are constants at each
 * call, so that the loops unroll and the accumulators are registers. */
V16_INLINE void tile(const nn_block *g, size_t row, size_t panel, int rows, int panels)
{
    v16 acc[V16_ROWS_MAX][V16_PANELS_MAX];
    const size_t col = panel * NN_PANEL, left = g->n - col, lda = g->lda, stride = g->panel_stride;
    const float *a = g->a + row * lda;
    const float *b = g->b + panel * stride;
    float *c = g->c + row * g->ldc + col;

    V16_UNROLL for (int i = 0; i < rows; i++)
    {
        V16_UNROLL for (int j = 0; j < panels; j++)
        {
            acc[i][j] = v16_set1(0);
            if (g->onto) {
                const size_t at = (size_t)j * NN_PANEL;
                acc[i][j] = panel_load(c + (size_t)i * g->ldc + at, left - at);
            }
        }
    }
    for (size_t k = g->k; k > 0; k--, a++, b += NN_PANEL) {
        V16_UNROLL for (int j = 0; j < panels; j++)
        {
            v16 right = v16_load(b + (size_t)j * stride);
            V16_UNROLL for (int i = 0; i < rows; i++)
            {
                acc[i][j] = v16_fma(v16_set1(a[(size_t)i * lda]), right, acc[i][j]);
            }
        }
    }
    V16_UNROLL for (int j = 0; j < panels; j++)
    {
        const size_t at = (size_t)j * NN_PANEL;
        v16 bias = v16_set1(0);
        if (g->bias != NULL) bias = panel_load(g->bias + col + at, left - at);
        V16_UNROLL for (int i = 0; i < rows; i++)
        {
            v16 sum = g->bias != NULL ? v16_add(acc[i][j], bias) : acc[i][j];
            float *to = c + (size_t)i * g->ldc + at;
            if (left - at >= NN_PANEL) {
                v16_store(to, sum);
            } else {
                v16_store_n(to, sum, left - at);
            }
        }
    }
}

typedef void tile_fn(const nn_block *g, size_t row, size_t panel);

#define TILE(rows, panels)                                                                         \
    static void tile_##rows##_##panels(const nn_block *g, size_t row, size_t panel)                \
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
static size_t column_of_tiles(const nn_block *g, size_t panel, size_t panels)
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

static void gemm(const nn_block *g)
{
    if (g->m == 0) return;
    const size_t panels = (g->n + NN_PANEL - 1) / NN_PANEL;
    for (size_t panel = 0; panel < panels;) panel += column_of_tiles(g, panel, panels - panel);
}
