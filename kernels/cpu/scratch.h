/* The scratch memory of a thread: how much, and what lies where. */
#ifndef NLM_SCRATCH_H
#define NLM_SCRATCH_H

#include "work.h"

struct arena {
    char *memory; /* NULL only counts */
    size_t used;
};

static void *carve(struct arena *a, size_t bytes)
{
    void *piece = a->memory ? a->memory + a->used : NULL;
    a->used += (bytes + 63) / 64 * 64 + 64; /* not a power of two apart */
    return piece;
}

static vec *carve_vectors(struct arena *a, index_t vectors) { return carve(a, sizeof(vec) * (size_t)vectors); }

static void carve_features(struct work *w, struct arena *a, index_t band, index_t rows)
{
    const index_t C = w->pair->C, length = rounded_up(w->stripe.length), margin = w->nx - 1;
    w->features = carve_vectors(a, (rows + w->ny - 1) * (w->wide + margin) * C);
    w->own_features =
        carve_vectors(a, w->block && !w->shared ? (band + w->ny - 1) * (length + margin) * C : 0);
    w->query = carve_vectors(a, (length + margin) * w->deep_query * C);
    w->key = carve_vectors(a, (w->wide + margin) * w->deep_key * C);
    w->taps_z = carve_vectors(a, w->nz);
    w->taps_y = carve_vectors(a, w->ny);
    w->taps_x = carve_vectors(a, w->nx);
    w->bias = carve_vectors(a, w->bias_by_planes * w->deep * ROWS * length);
    w->scale = carve_vectors(a, w->bias_by_planes * w->deep * ROWS * length);
    w->map = carve(a, sizeof(int) * LANES * (size_t)(w->wide + w->nx));
}

static void carve_step(struct work *w, struct arena *a)
{
    const index_t shifts = w->deep * shifts_along_x(w), margin = w->nx - 1;
    w->terms = carve_vectors(a, w->deep * (ROWS + w->ny - 1));
    w->squares = carve_vectors(a, w->deep + w->nz - 1);
    w->columns.n = margin;
    w->columns.now = carve_vectors(a, w->deep * SHIFTS * STEP);
    w->columns.before = carve_vectors(a, shifts * ROWS * margin);
    w->weights = carve_vectors(a, shifts * STEP);
    w->p = carve_vectors(a, (1 + w->both) * shifts * w->p_columns * ROWS);
    w->left = w->reach_x - least(0, w->dx0);
    w->outside = carve(a, sizeof(int) * (size_t)(w->left + end_of_outside(w)));
}

/* Values and totals reach around the candidates and the pixels as far as weights go.  Where half of the shifts are
 * enough and own pixels lie among the candidates, both have the same planes. */
static void carve_planes(struct work *w, struct arena *a, index_t band, index_t rows)
{
    const index_t ry = w->reach_y, rx = w->reach_x;
    /* odd, so that rows share no lines of a cache */
    const index_t wide = (w->wide + 2 * rx) | 1, narrow = (rounded_up(w->stripe.length) + 2 * rx) | 1;
    const struct planes others = {NULL, (rows + 2 * ry) * wide, wide, w->dy0 - ry, w->dx0 - rx};
    const struct planes own = {NULL, (band + 2 * ry) * narrow, narrow, -ry, -rx};
    w->values = w->totals = others;
    w->own_values = w->own_totals = own;
    w->values.first = carve_vectors(a, w->deep * w->value_planes * others.plane);
    if (w->both)
        w->totals.first = carve_vectors(a, w->deep * w->sum_planes * others.plane);
    if (w->half && w->central) {
        w->own_values = w->values;
        w->own_totals = w->totals;
        return;
    }
    w->own_values.first = carve_vectors(a, w->deep * w->value_planes * own.plane);
    w->own_totals.first = carve_vectors(a, w->deep * w->sum_planes * own.plane);
    if (!w->both)
        w->totals = w->own_totals; /* candidates get nothing */
}

static void carve_all(struct work *w, struct arena *a)
{
    const index_t band = rounded_up(w->band->last - w->band->first), rows = band + w->dy1 - w->dy0;
    carve_features(w, a, band, rows);
    carve_step(w, a);
    carve_planes(w, a, band, rows);
}

/* Bytes for the rectangle of shifts at hand. */
static size_t bytes_needed(struct work *w)
{
    struct arena counting = {NULL, 0};
    carve_all(w, &counting);
    return counting.used + 64;
}

static void hand_out(struct work *w, char *scratch)
{
    struct arena a = {scratch + (64 - (size_t)scratch % 64) % 64, 0};
    carve_all(w, &a);
}

#endif
