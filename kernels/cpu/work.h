/* What one thread works on: a band of rows against one rectangle of shifts, in one block of columns. */

/* Planes in lanes: element (plane, row of the band, t) of the block at hand. */
struct view {
    vec *first;
    index_t plane, row;  /* strides */
    index_t row0, t0;    /* what `first` points to */
};

INLINE vec *at(const struct view *v, index_t plane, index_t row, index_t t)
{
    return v->first + plane * v->plane + (row - v->row0) * v->row + (t - v->t0);
}

/* What the steps along a block hand on, for each shift: [ROWS][COLUMNS] numbers of this step and of the one before;
 * and where a step needs more columns before it than a step has, the last n ones, `kept`. */
struct history {
    vec *steps, *kept;
    index_t n;
};

static vec *now_of(const struct history *h, index_t g, int turn) { return h->steps + (2 * g + turn) * STEP; }

/* [ROWS][..] the n columns before, in rows of stride_of(n) */
static vec *before_of(const struct history *h, index_t g, int turn)
{
    return h->n <= COLUMNS ? now_of(h, g, !turn) + COLUMNS - h->n : h->kept + g * ROWS * h->n;
}

/* from shift to shift, of what before_of gives */
static index_t shift_stride(const struct history *h) { return h->n <= COLUMNS ? 2 * STEP : ROWS * h->n; }

INLINE index_t stride_of(index_t n) { return n <= COLUMNS ? COLUMNS : n; }

/* A band against one rectangle of shifts, in one block of columns. */
struct work {
    const struct pair *p;
    index_t first, last;        /* rows of the band */
    struct block block;
    index_t dy0, dy1, dx0, dx1; /* shifts, the last included */
    index_t ny, nx;             /* patch sizes */
    index_t channels;
    index_t deep_query, deep_key; /* rows of features for ROWS patches, and for those at every dy */
    index_t wide;               /* vectors of candidates along x */
    index_t sums;               /* V numerators, denominator, [peak] */
    int half;                   /* a pair of pixels is weighed once and serves both */
    int central;                /* the rectangle has the shift (0, 0): own pixels lie among the candidates */
    int shared;                 /* .. and so do their features */
    int tapped_y, tapped_x;     /* taps that are not all equal; equal ones are in the gain */
    int holes;                  /* some vote is not 1 */
    float gain;                 /* of the features */
    vec *features;              /* [rows][wide + 2 rx][C] of the candidates */
    vec *query, *key;           /* [vectors][rows_deep][C] for ROWS rows */
    vec *taps_y, *taps_x;
    vec *bias, *scale;          /* [ROWS][k], when they are planes */
    struct history columns;     /* sums along y */
    vec *weights;               /* [shifts][ROWS][COLUMNS] */
    vec *spread_history;        /* [1 + half][shifts][nx + 1][ROWS], see spread.h */
    vec *terms;                 /* [ROWS + 2 ry] */
    index_t reach_y, reach_x;   /* how far a weight goes: 0, or the patch radius */
    index_t value_planes;       /* V values, the votes and, for aggregate, the normaliser */
    struct view values, own_values; /* value * vote, vote; aggregate: vote - 1 for the vote, normaliser */
    struct view totals, own_totals; /* [sums] */
    int *map;
};

static int tapped(const struct work *w) { return w->tapped_y || w->tapped_x; }

/* One end of the pairs of a step: its first row of the band and vector. */
struct side {
    const struct view *values, *totals;
    index_t row, t;
};
