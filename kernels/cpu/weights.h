/* The reference's _weights: w(i, s) of one step after the other along a stripe, the vote apart. */
#ifndef NLM_WEIGHTS_H
#define NLM_WEIGHTS_H

#include "patch_sum.h"
#include "weight.h"
#include "work.h"

/* A run goes along the whole stripe, with ROWS rows and the shifts (dy, dx), (dy, dx + 1), .. */
struct run {
    index_t top;      /* first row, of the band */
    index_t from, to; /* rows from..to-1 of them have candidates */
    index_t dy, dx, shifts;
};

/* Where a run is. */
struct step {
    struct run run;
    index_t t;              /* first of its COLUMNS vectors */
    const vec *query, *key; /* features a patch to the right of the last column summed along y */
};

/* Sums along y of the columns left of the first step, for each shift. */
static struct step first_step(const struct work *w, const struct run *run)
{
    const index_t C = w->pair->C, margin = w->nx - 1, deep = w->deep_key * C;
    struct step s = {.run = *run, .query = w->query};
    s.key = w->key + (run->dx - w->dx0) * deep + (run->dy - w->dy0) * C;
    const index_t size = ROWS * margin;
    const struct column_sums to = {w->columns.before, size, margin, run->shifts * size};
    patch_sum_y_of_margin(w, s.query, s.key, run->shifts, to);
    s.query += margin * w->deep_query * C;
    s.key += margin * deep;
    return s;
}

static void next_step(const struct work *w, struct step *s)
{
    s->t += COLUMNS;
    s->query += COLUMNS * w->deep_query * w->pair->C;
    s->key += COLUMNS * w->deep_key * w->pair->C;
}

/* Lanes end within the last step. */
static void clear_past(vec *weights, index_t rows, index_t columns)
{
    for (index_t row = 0; row < rows; row++)
        for (index_t c = columns; c < COLUMNS; c++)
            weights[row * COLUMNS + c] = splat(0);
}

/* Sums along y -> weights of shift number g in plane b. */
static void weights_of_shift(const struct work *w, const struct step *s, index_t b, index_t g, const vec *now)
{
    const index_t from = s->run.from, rows = s->run.to - from, length = w->stripe.length, margin = w->nx - 1;
    const index_t stride = rounded_up(length), here = (b * ROWS + from) * stride + s->t;
    const index_t number = b * s->run.shifts + g;
    vec *weights = w->weights + number * STEP + from * COLUMNS;
    patch_sum_x(w, w->columns.before + (number * ROWS + from) * margin, now + from * COLUMNS, weights, rows,
                w->start + b);
    if (w->bias_by_planes)
        weigh_by_planes(weights, w->bias + here, w->scale + here, stride, rows);
    else
        weigh(weights, rows * COLUMNS);
    if (s->t + COLUMNS > length)
        clear_past(weights, rows, length - s->t);
}

/* How many shifts to do next, at most so many, so that all groups are about as large. */
static index_t group(index_t left, index_t most_shifts)
{
    const index_t groups = (left + most_shifts - 1) / most_shifts;
    return (left + groups - 1) / groups;
}

/* A column of the features serves some shifts at a time: as many as can be where several channels are more than the
 * first cache holds (22 % faster), else what was measured fastest. */
static index_t shifts_at_a_time(const struct work *w)
{
    if (w->pair->C > 1)
        return SHIFTS;
    return LANES == 16 ? 1 : 3;
}

/* Weights of one step, for all shifts of the run. */
static void weights(const struct work *w, const struct step *s)
{
    const index_t deep = w->deep_key * w->pair->C, at_a_time = shifts_at_a_time(w);
    for (index_t first = 0, count; first < s->run.shifts; first += count) {
        count = group(s->run.shifts - first, at_a_time);
        vec *now = w->columns.now;
        const struct column_sums to = {now, STEP, COLUMNS, count * STEP};
        patch_sum_y_of_step(w, s->query, s->key + first * deep, count, to);
        for (index_t b = 0; b < w->deep; b++)
            for (index_t g = first; g < first + count; g++, now += STEP)
                weights_of_shift(w, s, b, g, now);
    }
}

/* --- the two sides of the pairs of a step -------------------------------------------------------------------- */

/* The pixels or their candidates, from some row of the band and vector on, in one of the planes at a time. */
struct side {
    const struct planes *values, *totals;
    index_t row, t;
    index_t first_value, first_total;
};

static struct side own_side(const struct work *w, const struct step *s, index_t b)
{
    return (struct side){&w->own_values, &w->own_totals, s->run.top, s->t, b * w->value_planes, b * w->sum_planes};
}

/* .. of shift number g */
static struct side other_side(const struct work *w, const struct step *s, index_t b, index_t g)
{
    return (struct side){&w->values,           &w->totals,           s->run.top + s->run.dy, s->t + s->run.dx + g,
                         b * w->value_planes, b * w->sum_planes};
}

#endif
