/* What one thread works on: a band of rows, against one rectangle of shifts at a time, in one stripe at a time. */
#ifndef NLM_WORK_H
#define NLM_WORK_H

#include "contract.h"
#include "lanes.h"
#include "rows.h"

/* Planes in lanes. */
struct planes {
    vec *first;
    index_t plane, row; /* strides */
    index_t row0, t0;   /* what `first` points to */
};

/* Element (plane, row of the band, vector t of the stripe). */
INLINE vec *at(const struct planes *p, index_t plane, index_t row, index_t t)
{
    return p->first + plane * p->plane + (row - p->row0) * p->row + (t - p->t0);
}

INLINE index_t rows_of(const struct planes *p) { return p->plane / p->row; }

/* Sums along y: [ROWS][COLUMNS] of a step for the shifts at hand, which stay in the first cache; and for each shift of
 * the run [ROWS][n], the last n columns before the step, which are all that the steps along a stripe hand on. */
struct history {
    vec *now, *before;
    index_t n;
};

enum { MOST_DEEP = 4 }; /* planes of a slab at a time */

struct work {
    const struct pair *pair;
    const struct sums *sums;
    const struct band *band;

    /* The same all the time. */
    index_t ny, nx;           /* patch sizes */
    int tapped_y, tapped_x;   /* taps that are not all equal; equal ones are in the gain */
    int anew;                 /* in aggregate, equal taps are taken for others, so that no sum is kept up to date */
    float gain;               /* factor of the features */
    int half;                 /* half of the shifts are enough: S(i, j) = S(j, i) */
    int both;                 /* a weight serves both pixels: where half, and between two planes of a slab */
    int holes;                /* some vote in reach is not 1 */
    index_t sum_planes;       /* V numerators, denominator, [peak] */
    index_t value_planes;     /* V values, the votes and, in aggregate, the normaliser */
    index_t reach_y, reach_x; /* how far from its pixel a weight's sums go: 0; in aggregate the patch radius */
    index_t p_columns;        /* columns of p that spread.h keeps: 0; in aggregate nx + 1 */

    /* Planes at a time: 1; of a slab `deep`, for which features of deep + nz - 1 are needed (slab.h). */
    index_t deep, nz, channels; /* .. of so many channels each */
    int tapped_z;
    vec start[MOST_DEEP]; /* what a patch sum of each begins with: less the bias */

    /* The rectangle of shifts at hand, the last of them included. */
    index_t dy0, dy1, dx0, dx1;
    index_t wide;                 /* vectors of candidates along x */
    index_t deep_query, deep_key; /* rows of features for ROWS patches, and for those at every dy */
    int central;                  /* it has the shift (0, 0): own pixels lie among the candidates */
    int shared;                   /* .. and so do their features */

    struct stripe stripe;

    /* Scratch memory. */
    vec *features;                    /* [rows][wide + 2 rx][C] of the candidates */
    vec *own_features;                /* [rows][length + 2 rx][C] of the pixels, in a slab where not shared */
    vec *query, *key;                 /* [vectors][deep_query], [vectors][deep_key][C] for ROWS rows */
    vec *bias, *scale;                /* [ROWS][stripe.length rounded up] */
    int bias_by_planes;               /* .. in use: one of the two is a plane */
    vec *taps_z, *taps_y, *taps_x;
    vec *terms;                       /* [deep][ROWS + 2 ry] squared differences of a column, for some planes */
    vec *squares;                     /* [deep + 2 rz] of one pixel */
    struct history columns;           /* sums along y, [deep][shifts at hand] and [deep][shifts] */
    vec *weights;                     /* [deep][shifts][ROWS][COLUMNS] of a step */
    vec *p;                           /* [deep][1 + both][shifts][p_columns][ROWS], see spread.h */
    struct planes values, own_values; /* values, vote, in aggregate see there; [deep] times as many */
    struct planes totals, own_totals; /* sums, of the candidates and of the pixels; the same */
    int *map;                         /* [vectors][LANES] columns */
    int *outside;                     /* in aggregate, from vector -left on: see lanes_outside */
    index_t left;

    const struct block *block; /* planes of a slab, else NULL */
};

INLINE int spread_by_taps(const struct work *w) { return w->tapped_y || w->tapped_x || w->anew; }
INLINE index_t shifts_along_x(const struct work *w) { return w->dx1 - w->dx0 + 1; }

/* How many lanes of vector t lie left and right of the plane, as one number; vectors to the left of this end are known. */
INLINE int lanes_outside(const struct work *w, index_t t) { return w->outside[w->left + t]; }
INLINE index_t end_of_outside(const struct work *w)
{
    return w->stripe.length + COLUMNS + w->reach_x + (w->dx1 > 0 ? w->dx1 : 0);
}

/* Do all candidates of vectors t .. end - 1 vote, and lie inside the plane in so far as columns are concerned? */
static int all_vote(const struct work *w, index_t t, index_t end)
{
    const struct stripe s = w->stripe;
    return !w->holes && s.x0 + t >= 0 && s.x0 + (LANES - 1) * s.apart + end <= w->pair->W;
}

#endif
