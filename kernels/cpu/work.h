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
    index_t sums;               /* V numerators, denominator, [peak], [squares] */
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
    vec *margins;               /* [shifts][ROWS][2 rx] sums along y that the next step needs */
    vec *columns;               /* [ROWS][COLUMNS] sums along y of one step */
    vec *weights;               /* [SHIFTS][ROWS][COLUMNS] */
    vec *shares;                /* [shifts][2][2][ROWS][COLUMNS] weights times normaliser, forward and back, likewise */
    vec *share_margins;         /* [shifts][2][ROWS][2 rx + 1] those that the next step needs, where these are more */
    vec *spread;                /* [2][.. / ROWS][SHIFTS][ROWS][COLUMNS] the same, spread over the patch */
    index_t spread_size;
    vec *rows;                  /* [ROWS + 2 ry] */
    index_t reach_y, reach_x;   /* how far a weight goes: 0, or the patch radius */
    index_t value_planes;       /* V values, the votes and, for aggregate, the normaliser */
    struct view values, own_values; /* [V + 1]: value * vote, vote */
    struct view totals, own_totals; /* [sums] */
    int *map;
};
