/* The planes of a pair into lanes, and sums in lanes back into theirs. */
#ifndef NLM_LOAD_H
#define NLM_LOAD_H

#include "rows.h"
#include "volume.h"
#include "work.h"

#include <string.h>

/* --- taps and features --------------------------------------------------------------------------------------- */

static void load_taps(const struct work *w)
{
    for (index_t o = 0; o < w->ny; o++)
        w->taps_y[o] = splat(w->pair->taps_y[o]);
    for (index_t o = 0; o < w->nx; o++)
        w->taps_x[o] = splat(w->pair->taps_x[o]);
}

/* For every row of the band and every dy, reflected at the border of the plane. */
static void load_features(const struct work *w)
{
    const struct pair *p = w->pair;
    const index_t count = w->wide + w->nx - 1;
    const index_t rows = rounded_up(w->band->last - w->band->first) + w->dy1 - w->dy0 + w->ny - 1;
    map_columns(w->stripe, p->W, w->dx0 - p->rx, count, REFLECTED, w->map);
    for (index_t r = 0; r < rows; r++)
        for (index_t c = 0; c < p->C; c++) {
            const index_t y = reflected(w->band->first + w->dy0 - p->ry + r, p->H);
            load_row(p->key + (c * p->H + y) * p->W, w->map, count, w->gain, w->features + r * count * p->C + c,
                     p->C);
        }
}

/* `deep` rows from row `row` on, `count` vectors from vector t. */
struct piece {
    index_t row, t, deep, count;
};

/* Features of patches side by side, vector by vector, so that one step reads one piece of memory, from rows of `wide`
 * vectors. */
static void pick(const vec *features, index_t wide, index_t C, struct piece piece, vec *to)
{
    const index_t deep = piece.deep, count = piece.count, size = deep * C;
    for (index_t r = 0; r < deep; r++) {
        const vec *from = features + ((piece.row + r) * wide + piece.t) * C;
        for (index_t i = 0; i < count; i++)
            for (index_t c = 0; c < C; c++)
                to[i * size + c] = *from++;
        to += C;
    }
}

/* Features of the candidates of ROWS rows from `top` on. */
static void pick_key(const struct work *w, index_t top)
{
    const index_t wide = w->wide + w->nx - 1;
    pick(w->features, wide, w->pair->C, (struct piece){top, 0, w->deep_key, wide}, w->key);
}

/* Features of the pixels themselves. */
static void pick_query(const struct work *w, index_t top)
{
    const struct pair *p = w->pair;
    const index_t count = rounded_up(w->stripe.length) + w->nx - 1;
    if (w->shared || w->block) {
        const vec *from = w->shared ? w->features : w->own_features;
        const index_t wide = w->shared ? w->wide + w->nx - 1 : count;
        const struct piece piece = {w->shared ? top - w->dy0 : top, w->shared ? -w->dx0 : 0, w->deep_query, count};
        pick(from, wide, p->C, piece, w->query);
        return;
    }
    map_columns(w->stripe, p->W, -p->rx, count, REFLECTED, w->map);
    for (index_t c = 0; c < p->C; c++)
        for (index_t r = 0; r < w->deep_query; r++) {
            const index_t y = reflected(w->band->first + top + r - p->ry, p->H);
            load_row(p->query + (c * p->H + y) * p->W, w->map, count, w->gain, w->query + r * p->C + c,
                     w->deep_query * p->C);
        }
}

/* --- bias and scale ------------------------------------------------------------------------------------------ */

/* Row y of a plane, or `number` everywhere. */
static void load_per_query(const struct work *w, struct per_query from, float number, index_t y, index_t count,
                           vec *to)
{
    if (from.is_plane)
        load_row(from.data + y * w->pair->W, w->map, count, 1, to, 1);
    else
        for (index_t t = 0; t < count; t++)
            to[t] = splat(number);
}

static void load_bias_and_scale(const struct work *w, index_t top)
{
    const struct pair *p = w->pair;
    const index_t count = rounded_up(w->stripe.length);
    if (w->block) {
        for (index_t r = 0; r < w->deep * ROWS; r++) {
            const index_t y = least(w->band->first + top + r % ROWS, p->H - 1), step = w->block->step + r / ROWS;
            const struct part part = {y, w->stripe.x0, count, step, REFLECTED};
            load_lanes(&w->block->bias, 0, part, w->bias + r * count, 1);
            load_lanes(&w->block->bias, 1, part, w->scale + r * count, 1);
        }
        return;
    }
    map_columns(w->stripe, p->W, 0, count, REFLECTED, w->map);
    for (index_t r = 0; r < ROWS; r++) {
        const index_t y = least(w->band->first + top + r, p->H - 1);
        load_per_query(w, p->bias, p->bias.data[0], y, count, w->bias + r * count);
        load_per_query(w, p->scale, 1, y, count, w->scale + r * count); /* a number is in the gain */
    }
}

/* --- values -------------------------------------------------------------------------------------------------- */

/* Row y of a plane, times gain; 0 outside the plane. */
static void load_or_clear(const struct work *w, const float *plane, index_t y, index_t count, float gain, vec *to)
{
    if (y >= 0 && y < w->pair->H)
        load_row(plane + y * w->pair->W, w->map, count, gain, to, 1);
    else
        memset(to, 0, sizeof(vec) * (size_t)count);
}

/* Values in the planes 0 .. V - 1, the key plane's vote in plane V. */
static void load_values(const struct work *w, const float *value, const struct planes *to)
{
    const struct pair *p = w->pair;
    const index_t count = to->row;
    map_columns(w->stripe, p->W, to->t0, count, LEFT_OUT, w->map);
    for (index_t r = to->row0; r < to->row0 + rows_of(to); r++) {
        const index_t y = w->band->first + r;
        load_or_clear(w, p->vote, y, count, 1, at(to, p->V, r, to->t0));
        for (index_t v = 0; v < p->V; v++)
            load_or_clear(w, value + v * p->H * p->W, y, count, 1, at(to, v, r, to->t0));
    }
}

/* --- sums ---------------------------------------------------------------------------------------------------- */

static void clear_totals(const struct work *w)
{
    memset(w->totals.first, 0, sizeof(vec) * (size_t)(w->deep * w->sum_planes * w->totals.plane));
    if (w->own_totals.first != w->totals.first)
        memset(w->own_totals.first, 0, sizeof(vec) * (size_t)(w->deep * w->sum_planes * w->own_totals.plane));
}

/* Where row y of sum number s goes: the plane, or above and below the band the spill. */
static float *row_of_sum(const struct work *w, index_t s, index_t y)
{
    const struct pair *p = w->pair;
    const struct band *band = w->band;
    if (y < band->first || y >= band->last) {
        const index_t row = band->above + (y < band->first ? y - band->first : y - band->last);
        return band->spill + (s * (band->above + band->below) + row) * p->W;
    }
    if (s < p->V)
        return w->sums->numerator + (s * p->H + y) * p->W;
    return (s == p->V ? w->sums->denominator : w->sums->peak) + y * p->W;
}

/* The rows of the band in the results, which sums are then added to. */
static void clear_sums(const struct work *w)
{
    const struct band *band = w->band;
    for (index_t s = 0; s < w->sum_planes; s++)
        memset(row_of_sum(w, s, band->first), 0, sizeof(float) * (size_t)((band->last - band->first) * w->pair->W));
}

static void store(const struct work *w, const struct planes *totals)
{
    const struct band *band = w->band;
    const index_t end = least(totals->row0 + rows_of(totals), band->last - band->first + band->below);
    for (index_t s = 0; s < w->sum_planes; s++)
        for (index_t r = most(totals->row0, -band->above); r < end; r++) {
            const vec *from = at(totals, s, r, totals->t0);
            float *to = row_of_sum(w, s, band->first + r);
            if (s == w->pair->V + 1)
                raise_row(from, w->stripe, w->pair->W, totals->t0, totals->row, to);
            else
                add_to_row(from, w->stripe, w->pair->W, totals->t0, totals->row, to);
        }
}

static void store_totals(const struct work *w)
{
    store(w, &w->own_totals);
    if (w->totals.first != w->own_totals.first)
        store(w, &w->totals);
}

#endif
