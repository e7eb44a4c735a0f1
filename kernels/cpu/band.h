/* The way through a band: rectangles of shifts, stripes of columns, ROWS rows at a time, and their runs. */
#ifndef NLM_BAND_H
#define NLM_BAND_H

#include "contract.h"
#include "load.h"
#include "scratch.h"
#include "weights.h"
#include "work.h"

#include <math.h>

/* Vectors of a stripe: the more, the less is margin; twice as many gain 1 % and take twice the scratch memory.  144 times
   16 lanes hold a chunk of 2048 columns with its halo, which in two stripes took 6 % longer. */
enum { MOST_VECTORS = 144, MOST_SHIFTS = 65 };

static int equal(const float *taps, index_t n)
{
    for (index_t o = 1; o < n; o++)
        if (taps[o] != taps[0])
            return 0;
    return 1;
}

/* Of the features: scaled so, a patch sum is an exponent of 2. */
static float gain_of(const struct work *w)
{
    const struct pair *p = w->pair;
    return sqrtf((p->scale.is_plane ? 1 : p->scale.data[0]) * (w->tapped_y ? 1 : p->taps_y[0]) *
                 (w->tapped_x ? 1 : p->taps_x[0]));
}

/* Shifts before the first are done. */
static void begin_shifts(struct work *w)
{
    w->dy1 = w->half ? -1 : -w->pair->Ry - 1;
    w->dx1 = w->pair->Rx;
}

/* A band, before its first rectangle of shifts, as accumulate has it. */
static struct work work_on(const struct pair *p, const struct sums *sums, const struct band *band)
{
    const index_t stripes = (p->W + LANES * MOST_VECTORS - 1) / (LANES * MOST_VECTORS);
    struct work w = {.pair = p, .sums = sums, .band = band};
    w.stripe.length = w.stripe.apart = (p->W + LANES * stripes - 1) / (LANES * stripes);
    w.ny = 2 * p->ry + 1;
    w.nx = 2 * p->rx + 1;
    w.tapped_y = !equal(p->taps_y, w.ny);
    w.tapped_x = !equal(p->taps_x, w.nx);
    w.gain = gain_of(&w);
    w.deep = w.nz = 1;
    w.channels = p->C;
    w.bias_by_planes = p->bias.is_plane || p->scale.is_plane;
    w.start[0] = splat(w.bias_by_planes ? 0 : -p->bias.data[0]);
    w.half = w.both = p->own && !w.bias_by_planes; /* else the weight differs from pixel to candidate */
    w.sum_planes = p->V + 1 + sums->has_peak;
    w.value_planes = p->V + 1;
    begin_shifts(&w);
    return w;
}

/* Is some vote in reach of the band not 1? */
static int has_holes(const struct work *w)
{
    const struct pair *p = w->pair;
    const index_t reach = p->Ry + w->reach_y;
    const index_t first = most(0, w->band->first - reach), last = least(p->H, w->band->last + reach);
    int holes = 0;
    for (index_t i = first * p->W; i < last * p->W; i++)
        holes |= p->vote[i] != 1;
    return holes;
}

/* --- rectangles of shifts, and stripes ----------------------------------------------------------------------- */

/* The next rectangle; 0 after the last. */
static int next_rectangle(struct work *w)
{
    const struct pair *p = w->pair;
    if (w->dx1 < p->Rx) {
        w->dx0 = w->dx1 + 1;
    } else if (w->dy1 < p->Ry) {
        w->dx0 = -p->Rx;
        w->dy0 = w->dy1 + 1;
        w->dy1 = least(p->Ry, w->dy0 + MOST_SHIFTS - 1);
    } else {
        return 0;
    }
    w->dx1 = least(p->Rx, w->dx0 + MOST_SHIFTS - 1);
    w->wide = rounded_up(w->stripe.length) + w->dx1 - w->dx0;
    w->deep_query = ROWS - 1 + w->ny;
    w->deep_key = w->deep_query + w->dy1 - w->dy0;
    w->central = w->dy0 <= 0 && w->dy1 >= 0 && w->dx0 <= 0 && w->dx1 >= 0;
    w->shared = w->central && p->query == p->key;
    w->stripe.x0 = -COVERED(w->stripe); /* before the first */
    return 1;
}

/* The next stripe; 0 after the last, or when the work is to stop. */
static int next_stripe(struct work *w)
{
    w->stripe.x0 += COVERED(w->stripe);
    return w->stripe.x0 < w->pair->W && !*w->band->stop;
}

/* Scratch memory for any of the rectangles. */
static size_t scratch_size(struct work w)
{
    size_t size = 0;
    while (next_rectangle(&w)) {
        const size_t needed = bytes_needed(&w);
        size = needed > size ? needed : size;
    }
    return size;
}

/* --- runs ---------------------------------------------------------------------------------------------------- */

/* Runs of the rows from `top` on at dy: one; two on either side of the pixel itself, which is the caller's; or none. */
static int runs_at(const struct work *w, index_t top, index_t dy, struct run runs[2])
{
    const struct pair *p = w->pair;
    const index_t y = w->band->first + top + dy, rows = least(ROWS, w->band->last - w->band->first - top);
    struct run run = {.top = top, .from = most(0, -y), .to = least(rows, p->H - y), .dy = dy, .dx = w->dx0};
    int count = 0;
    if (run.from >= run.to)
        return 0; /* no candidate inside the plane */
    if (w->half && dy == 0) {
        run.dx = most(w->dx0, 1); /* those before are the other half */
    } else if (p->own && dy == 0 && w->dx0 <= 0 && w->dx1 >= 0) {
        run.shifts = -w->dx0;
        if (run.shifts > 0)
            runs[count++] = run;
        run.dx = 1;
    }
    run.shifts = w->dx1 - run.dx + 1;
    if (run.shifts > 0)
        runs[count++] = run;
    return count;
}

/* Every run of the rectangle in this stripe, always in the same order. */
static void for_each_run(const struct work *w, void (*use)(const struct work *, const struct run *))
{
    const index_t rows = w->band->last - w->band->first;
    for (index_t top = 0; top < rows; top += ROWS) {
        pick_query(w, top);
        pick_key(w, top);
        if (w->bias_by_planes)
            load_bias_and_scale(w, top);
        for (index_t dy = w->dy0; dy <= w->dy1 && !*w->band->stop; dy++) {
            struct run runs[2];
            const int count = runs_at(w, top, dy, runs);
            for (int i = 0; i < count; i++)
                use(w, &runs[i]);
        }
    }
}

#endif
