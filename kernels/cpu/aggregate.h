/* aggregate, for one instruction set.
 *
 * Formula   w as in accumulate.h, p(i, s) = w(i, s) normaliser_i, B_s(x) = sum_o a(o) p(x - o, s), j = x + s;
 *           numerator = sum_s B_s(x) vote_j (value_j - own_value_x); denominator: the weight sums of the patches
 *           around x, sum_o a(o) sum_s p(x - o, s), less sum_s B_s(x) (1 - vote_j)
 * Shapes    contract.h; in lanes, LANES columns that lie far apart in a vector (rows.h)
 * Work      a thread has a band of rows; within one plane a weight serves i and j (S(i, j) = S(j, i))
 * Memory    per thread: a stripe's features, values and totals, grown by twice the patch and the window
 * Numbers   r = 3, R = 10, 1024^2 pixels, AVX-512, CPU time of the whole call, both passes: 161 ms, 3 channels
 *           343 ms (AMD EPYC of family 26, model 2, 2 processors, 2026-12-01)
 * Test      tests/kernels/test_cpu_kernel.py, against nlmeans/backends/reference.py
 */
#ifndef NLM_AGGREGATE_H
#define NLM_AGGREGATE_H

#include "band.h"
#include "isa.h"
#include "spread.h"

#include <string.h>

/* As accumulate_run, but weights go to the whole patch around their pixel, and so rx vectors later. */
static void aggregate_run(const struct work *w, const struct run *run)
{
    const index_t length = w->stripe.length, end = length + w->nx - 1;
    const size_t step_size = sizeof(vec) * (size_t)(w->deep * run->shifts * STEP);
    struct step s = first_step(w, run);
    memset(w->p, 0, sizeof(vec) * (size_t)(w->deep * (1 + w->both) * run->shifts * w->p_columns * ROWS));
    memset(w->weights, 0, step_size); /* rows without candidates stay so */
    for (; s.t < end; next_step(w, &s)) {
        if (s.t < length)
            weights(w, &s);
        else
            memset(w->weights, 0, step_size);
        for (index_t b = 0; b < w->deep; b++)
            spread(w, &s, b);
    }
}

/* --- loading ------------------------------------------------------------------------------------------------- */

/* Plane V becomes vote - 1, which spread.h calls missing; plane V + 1 is the normaliser, with the taps' weight where
 * they are equal. */
static void load_normaliser(const struct work *w, const struct normalised *normalised, const struct planes *to)
{
    const struct pair *p = w->pair;
    const float gain = spread_by_taps(w) ? 1 : p->taps_y[0] * p->taps_x[0];
    const index_t count = to->row;
    map_columns(w->stripe, p->W, to->t0, count, LEFT_OUT, w->map);
    for (index_t r = to->row0; r < to->row0 + rows_of(to); r++) {
        vec *vote = at(to, p->V, r, to->t0);
        for (index_t t = 0; t < count; t++)
            vote[t] -= splat(1);
        load_or_clear(w, normalised->normaliser, w->band->first + r, count, gain, at(to, p->V + 1, r, to->t0));
    }
}

/* See lanes_outside. */
static void count_outside(const struct work *w)
{
    const struct stripe s = w->stripe;
    for (index_t t = -w->left; t < end_of_outside(w); t++) {
        int left = 0, right = 0;
        for (index_t l = 0; l < LANES; l++) {
            left += s.x0 + l * s.apart + t < 0;
            right += s.x0 + l * s.apart + t >= w->pair->W;
        }
        w->outside[w->left + t] = left * (LANES + 1) + right;
    }
}

static void aggregate_stripe(const struct work *w, const struct normalised *normalised)
{
    count_outside(w);
    load_taps(w);
    load_features(w);
    load_values(w, w->pair->value, &w->values);
    load_normaliser(w, normalised, &w->values);
    if (w->own_values.first != w->values.first) {
        load_values(w, w->pair->own_value, &w->own_values);
        load_normaliser(w, normalised, &w->own_values);
    }
    clear_totals(w);
    for_each_run(w, aggregate_run);
    store_totals(w);
}

/* --- what is known without the weights ----------------------------------------------------------------------- */

/* line[W + 2 rx] of sums along y -> sums[W] along x. */
static void sum_along_x(const struct pair *p, const float *line, float *sums)
{
    memset(sums, 0, sizeof(float) * (size_t)p->W);
    for (index_t o = 0; o <= 2 * p->rx; o++)
        for (index_t x = 0; x < p->W; x++)
            sums[x] += p->taps_x[o] * line[x + o];
}

static void clear_line(const struct pair *p, float *line)
{
    memset(line, 0, sizeof(float) * (size_t)(p->W + 2 * p->rx));
}

/* The weight sums of the patches around the pixels of row y are their denominator where all vote. */
static void add_weight_sums(const struct work *w, const float *weight_sum, index_t y, float *sums, float *line)
{
    const struct pair *p = w->pair;
    float *denominator = w->sums->denominator + y * p->W;
    clear_line(p, line);
    for (index_t i = most(0, y - p->ry); i <= least(p->H - 1, y + p->ry); i++) {
        const float tap = p->taps_y[i - y + p->ry], *from = weight_sum + i * p->W;
        for (index_t x = 0; x < p->W; x++)
            line[p->rx + x] += tap * from[x];
    }
    sum_along_x(p, line, sums);
    for (index_t x = 0; x < p->W; x++)
        denominator[x] += sums[x];
}

/* The pixels of row y as candidates of their own: s = (0, 0), p = center normaliser.  They differ by nothing. */
static void add_center(const struct work *w, const struct normalised *normalised, index_t y, float *sums, float *line)
{
    const struct pair *p = w->pair;
    const float *vote = p->vote + y * p->W;
    float *denominator = w->sums->denominator + y * p->W;
    clear_line(p, line);
    for (index_t i = most(0, y - p->ry); i <= least(p->H - 1, y + p->ry); i++) {
        const float tap = p->taps_y[i - y + p->ry];
        const float *center = normalised->center + i * p->W, *normaliser = normalised->normaliser + i * p->W;
        for (index_t x = 0; x < p->W; x++)
            line[p->rx + x] += tap * center[x] * normaliser[x];
    }
    sum_along_x(p, line, sums);
    for (index_t x = 0; x < p->W; x++)
        denominator[x] += sums[x] * (vote[x] - 1);
}

static void add_known(const struct work *w, const struct normalised *normalised, char *scratch)
{
    float *sums = (float *)scratch, *line = sums + w->pair->W;
    for (index_t y = w->band->first; y < w->band->last; y++) {
        add_weight_sums(w, normalised->weight_sum, y, sums, line);
        if (w->pair->own)
            add_center(w, normalised, y, sums, line);
    }
}

/* --- the entry ----------------------------------------------------------------------------------------------- */

/* As accumulate's work, but weights go as far as the patch. */
static struct work work_on_patches(const struct pair *p, const struct sums *sums, const struct band *band)
{
    struct work w = work_on(p, sums, band);
    w.reach_y = p->ry;
    w.reach_x = p->rx;
    w.value_planes = p->V + 2;
    w.p_columns = w.nx + 1;
    return w;
}

size_t ISA(aggregate_scratch)(const struct pair *p, const struct sums *sums, const struct band *band)
{
    const size_t known = sizeof(float) * (size_t)(2 * p->W + 2 * p->rx);
    const size_t size = scratch_size(work_on_patches(p, sums, band));
    return size > known ? size : known;
}

void ISA(aggregate)(const struct pair *p, const struct normalised *normalised, const struct sums *sums,
                    const struct band *band, char *scratch)
{
    struct work w = work_on_patches(p, sums, band);
    w.anew = normalised->anew;
    w.holes = has_holes(&w);
    clear_sums(&w);
    add_known(&w, normalised, scratch);
    while (next_rectangle(&w)) {
        hand_out(&w, scratch);
        while (next_stripe(&w))
            aggregate_stripe(&w, normalised);
    }
}

#endif
