/* The best linear combinations of the patches of each group, and the patches put back: groups/reference.py, `combine`.
 *
 * With y_0 the reference patch, E = (y_1 - y_0, .., y_{k-1} - y_0) and B the same of `basis`, D_j the variance of the
 * samples of patch j, summed:
 *
 *     Q = B'B + ridge (diag(D) + D_0 1 1'),   G = E Q^-1
 *     change of patch j = -D_j G_j,   of the reference D_0 sum_j G_j
 *
 * ridge is 1 where the basis is a pilot.  Where it is the noisy picture itself (the first step), B'B holds the noise
 * already, and ridge is 1e-4, to be definite.  Weights: 1 in the first step; then (1 - D_j P_jj)^-2, with P_jj =
 * (Q^-1)_jj, of the reference the sum of all of Q^-1.
 *
 * LANES groups at a time, one in each lane, so that nothing here depends on the size of a matrix.  Q = L L' in blocks
 * of B x B sums that stay in registers, straight from the patches; M = L^-1; G = (E M') M in strips of B samples.
 * Operations of one group (multiply-adds, K = k - 1): Q n K^2 / 2, L and M K^3 / 6 each, G n K^2; 9 n k sums and
 * moves to bring patches into lanes and back.  Measured (2-core AMD EPYC VM with AVX-512, one thread, 2026-11-30),
 * us for one group of patches of n = 49 samples, with weights and another basis:
 *
 *     k = 17  0.97        k = 33  2.1        k = 49  3.7        k = 65  6.0
 *
 * Of the 6.0 a quarter is Q and L, a quarter G, a tenth each M and the way back.  Odd strides of rows made it 8.3
 * to 6.0: with 64 vectors a row, a column of the matrices lay in one set of the first cache.
 * NL-Ridge as a whole, 512 x 512 pixels in grey: 0.19 s, of which 0.05 are `nearest`, 0.12 `combine`, 0.02 NL-means.
 */
#ifndef NLM_COMBINE_H
#define NLM_COMBINE_H

#include "groups_contract.h"
#include "lanes.h"
#include "transpose.h"

#include <math.h>

/* B x B sums and 2 B factors fit the registers: 32 of AVX-512, else 16. */
#if LANES == 16
enum { B = 4 };
#else
enum { B = 3 };
#endif

static const float resolution = 1e-6f; /* of a sum in Q: a pivot below is what rounding leaves */
static const float least_risk = 0.02f;  /* of a patch, in its variance: bounds the weights */

/* What one thread works on: LANES groups. */
struct batch {
    const struct group *group;
    index_t K, n;         /* patches besides the reference, rounded up to blocks; samples of all planes, likewise */
    index_t step;         /* vectors from row to row: odd, so that a column is spread over all sets of the cache */
    index_t samples;      /* .. as they are */
    int places;           /* groups: the other lanes repeat the first */
    float ridge;
    const int32_t *partners[LANES];
    vec *patches;         /* [n][step] differences to the reference */
    vec *factor;          /* [K][step] at [l][i]: i > l: L_il, i < l: M_li, i = l: M_ll = 1 / L_ll */
    vec *reference;       /* [n rounded up by EIGHT] */
    vec *variance, *some; /* [K] D_j, and 1 where the lane has such a patch */
    vec *weight;          /* [K] */
    vec variance0, weight0;
};

INLINE vec root(vec x)
{
#if LANES > 1
    for (int l = 0; l < LANES; l++)
        x[l] = __builtin_sqrtf(x[l]);
    return x;
#else
    return sqrtf(x);
#endif
}

/* x in the lanes where a > b, else 0. */
INLINE vec where_more(vec a, vec b, vec x)
{
#if LANES > 1
    return (vec)((a > b) & (__typeof__(a > b))x);
#else
    return a > b ? x : 0;
#endif
}

/* --- patches into lanes -------------------------------------------------------------------------------------- */

static int32_t position(const struct batch *b, int lane, index_t j)
{
    const int32_t at = b->partners[lane][j];
    return at < 0 ? b->partners[lane][0] : at;
}

/* Where patch j of each lane begins in a plane of rows of `stride`, from row `above` on. */
static void places_of(const struct batch *b, index_t j, index_t above, index_t offset[LANES])
{
    const struct grid *g = &b->group->grid;
    for (int l = 0; l < LANES; l++) {
        const int32_t at = position(b, l, j);
        offset[l] = (at / g->W - above) * g->stride + at % g->W;
    }
}

/* Patch j of each lane: its samples, less those of the reference where j > 0. */
INLINE void load_patch(const struct batch *b, const float *planes, index_t j)
{
    const struct grid *g = &b->group->grid;
    const index_t plane = g->H * g->stride, step = b->step;
    index_t offset[LANES], s = 0;
    places_of(b, j, 0, offset);
    vec *to = b->patches + j - 1;
    for (index_t v = 0; v < b->group->V; v++)
        for (index_t oy = 0; oy < g->py; oy++)
            for (index_t ox = 0; ox < g->px; ox += EIGHT) {
                const float *from[LANES];
                vec eight[EIGHT];
                for (int l = 0; l < LANES; l++)
                    from[l] = planes + v * plane + oy * g->stride + ox + offset[l];
                gather_eight(from, eight);
                const index_t count = g->px - ox < EIGHT ? g->px - ox : EIGHT;
                for (index_t i = 0; i < count; i++, s++)
                    if (j)
                        to[s * step] = eight[i] - b->reference[s];
                    else
                        b->reference[s] = eight[i];
            }
}

static void load_patches(const struct batch *b, const float *planes)
{
    const index_t k = b->group->grid.k;
    for (index_t j = 0; j < k; j++)
        load_patch(b, planes, j);
    for (index_t s = 0; s < b->samples; s++) /* what fills blocks up */
        for (index_t j = k - 1; j < b->K; j++)
            b->patches[s * b->step + j] = splat(0);
    for (index_t i = b->samples * b->step; i < b->n * b->step; i++)
        b->patches[i] = splat(0);
}

static void load_variances(struct batch *b)
{
    const struct per_query *v = &b->group->variance;
    for (index_t j = 0; j < b->group->grid.k; j++) {
        index_t offset[LANES];
        vec D = splat(v->data[0]), some = splat(1);
        places_of(b, j, 0, offset);
        for (int l = 0; l < LANES; l++) {
            if (v->is_plane)
                SET_LANE(D, l, v->data[offset[l]]);
            if (b->partners[l][j] < 0)
                SET_LANE(some, l, 0);
        }
        if (j) {
            b->variance[j - 1] = D;
            b->some[j - 1] = some;
        } else {
            b->variance0 = D;
        }
    }
    for (index_t j = b->group->grid.k - 1; j < b->K; j++) {
        b->variance[j] = b->variance0;
        b->some[j] = splat(0);
    }
}

/* --- matrices ------------------------------------------------------------------------------------------------ */

/* sum[a][b] += or -= x[l][a] y[l][b] over l */
#define BLOCK(sign, count, x, x_step, y, y_step)                                                                       \
    for (index_t l = 0; l < (count); l++) {                                                                            \
        vec p[B], q[B];                                                                                                \
        UNROLL for (int a = 0; a < B; a++)                                                                             \
        {                                                                                                              \
            p[a] = (x)[l * (x_step) + a];                                                                              \
            q[a] = (y)[l * (y_step) + a];                                                                              \
        }                                                                                                              \
        UNROLL for (int a = 0; a < B; a++) UNROLL for (int b_ = 0; b_ < B; b_++) sum[a][b_] sign p[a] * q[b_];         \
    }

/* Q = L L': the block of columns J, from the diagonal down.  A pivot is at least what D_j alone adds to it, and what
 * is left of a sum of float32.  Where it was less, what stands below it is rounding too, and is left out: divided by
 * such a pivot it grows from column to column, in a picture of equal rows to NaN. */
static void factor_columns(const struct batch *b, index_t J)
{
    const index_t K = b->K, step = b->step;
    vec *L = b->factor, below[B];
    for (index_t I = J; I < K; I += B) {
        vec sum[B][B];
        for (int a = 0; a < B; a++)
            for (int c = 0; c < B; c++)
                sum[a][c] = splat(b->ridge) * b->variance0 * b->some[I + a] * b->some[J + c];
        BLOCK(+=, b->n, b->patches + I, step, b->patches + J, step)
        vec diagonal[B];
        for (int c = 0; c < B; c++)
            diagonal[c] = sum[c][c];
        BLOCK(-=, J, L + I, step, L + J, step)
        if (I == J) {
            for (int c = 0; c < B; c++) {
                const vec least = b->some[J + c] * splat(b->ridge) * b->variance[J + c] + (splat(1) - b->some[J + c]);
                vec pivot = sum[c][c] + least;
                for (int e = 0; e < c; e++)
                    pivot -= L[(J + e) * step + J + c] * L[(J + e) * step + J + c];
                const vec smallest = at_least(splat(resolution) * diagonal[c], least);
                const vec inverse = splat(1) / root(at_least(pivot, smallest));
                L[(J + c) * step + J + c] = inverse;
                below[c] = where_more(pivot, smallest, inverse);
                for (int a = c + 1; a < B; a++) {
                    for (int e = 0; e < c; e++)
                        sum[a][c] -= L[(J + e) * step + J + a] * L[(J + e) * step + J + c];
                    L[(J + c) * step + J + a] = sum[a][c] * below[c];
                }
            }
            continue;
        }
        for (int c = 0; c < B; c++)
            for (int a = 0; a < B; a++) {
                for (int e = 0; e < c; e++)
                    sum[a][c] -= L[(J + e) * step + I + a] * L[(J + e) * step + J + c];
                L[(J + c) * step + I + a] = sum[a][c] = sum[a][c] * below[c];
            }
    }
}

/* M = L^-1, block of columns J: below the diagonal M_IJ = -M_II sum_{J <= l < I} L_Il M_lJ */
static void invert_columns(const struct batch *b, index_t J)
{
    const index_t K = b->K, step = b->step;
    vec *L = b->factor;
    for (int c = 0; c < B; c++) /* within the diagonal block */
        for (int i = c + 1; i < B; i++) {
            vec sum = splat(0);
            for (int e = c; e < i; e++)
                sum -= L[(J + e) * step + J + i] * L[(J + e) * step + J + c];
            L[(J + i) * step + J + c] = sum * L[(J + i) * step + J + i];
        }
    for (index_t I = J + B; I < K; I += B) {
        vec sum[B][B];
        for (int a = 0; a < B; a++)
            for (int c = 0; c < B; c++) { /* l within J: M is lower triangular */
                sum[a][c] = splat(0);
                for (int e = c; e < B; e++)
                    sum[a][c] -= L[(J + e) * step + I + a] * L[(J + e) * step + J + c];
            }
        BLOCK(-=, I - J - B, L + (J + B) * step + I, step, L + (J + B) * step + J, step)
        for (int c = 0; c < B; c++)
            for (int a = 0; a < B; a++) {
                for (int e = 0; e < a; e++)
                    sum[a][c] -= L[(I + e) * step + I + a] * sum[e][c];
                sum[a][c] *= L[(I + a) * step + I + a];
                L[(I + a) * step + J + c] = sum[a][c];
            }
    }
}

/* The weights: from the columns and rows of M. */
static void weigh_patches(struct batch *b)
{
    const index_t K = b->K, step = b->step;
    const vec *M = b->factor, least = splat(least_risk);
    vec all = splat(0);
    for (index_t j = 0; j < K; j++)
        b->weight[j] = splat(0);
    for (index_t i = 0; i < K; i++) {
        vec row = splat(0);
        for (index_t j = 0; j <= i; j++) {
            const vec m = M[i * step + j];
            b->weight[j] += m * m;
            row += m * b->some[j];
        }
        all += row * row;
    }
    for (index_t j = 0; j < K; j++) {
        const vec risk = at_least(splat(1) - b->variance[j] * b->weight[j], least);
        b->weight[j] = splat(1) / (risk * risk);
    }
    const vec risk = at_least(splat(1) - b->variance0 * all, least);
    b->weight0 = splat(1) / (risk * risk);
}

/* G = (E M') M for B samples, in place: E M' from the last columns, then M from the first. */
static void combine_samples(const struct batch *b, vec *samples)
{
    const index_t K = b->K, step = b->step;
    const vec *M = b->factor;
    for (index_t J = K - B; J >= 0; J -= B) {
        vec sum[B][B];
        for (int a = 0; a < B; a++)
            for (int c = 0; c < B; c++) {
                sum[a][c] = splat(0);
                for (int e = 0; e <= c; e++)
                    sum[a][c] += samples[a * step + J + e] * M[(J + c) * step + J + e];
            }
        for (index_t l = 0; l < J; l++) {
            vec p[B], q[B];
            UNROLL for (int a = 0; a < B; a++)
            {
                p[a] = samples[a * step + l];
                q[a] = M[(J + a) * step + l];
            }
            UNROLL for (int a = 0; a < B; a++) UNROLL for (int c = 0; c < B; c++) sum[a][c] += p[a] * q[c];
        }
        for (int a = 0; a < B; a++)
            for (int c = 0; c < B; c++)
                samples[a * step + J + c] = sum[a][c];
    }
    for (index_t J = 0; J < K; J += B) {
        vec sum[B][B];
        for (int a = 0; a < B; a++)
            for (int c = 0; c < B; c++) {
                sum[a][c] = splat(0);
                for (int e = c; e < B; e++)
                    sum[a][c] += samples[a * step + J + e] * M[(J + e) * step + J + c];
            }
        for (index_t l = J + B; l < K; l++) {
            vec p[B], q[B];
            UNROLL for (int a = 0; a < B; a++)
            {
                p[a] = samples[a * step + l];
                q[a] = M[l * step + J + a];
            }
            UNROLL for (int a = 0; a < B; a++) UNROLL for (int c = 0; c < B; c++) sum[a][c] += p[a] * q[c];
        }
        for (int a = 0; a < B; a++)
            for (int c = 0; c < B; c++)
                samples[a * step + J + c] = sum[a][c];
    }
}

/* --- patches back -------------------------------------------------------------------------------------------- */

/* One patch of each lane: `change` holds its samples, `step` vectors apart. */
INLINE void add_patch(const struct batch *b, index_t j, const vec *change, index_t step, vec factor, vec weight)
{
    const struct group *group = b->group;
    const struct grid *g = &group->grid;
    index_t offset[LANES], s = 0;
    places_of(b, j, group->above, offset);
    for (index_t v = 0; v < group->V; v++)
        for (index_t oy = 0; oy < g->py; oy++)
            for (index_t ox = 0; ox < g->px; ox += EIGHT) {
                float *to[LANES];
                vec eight[EIGHT];
                const index_t count = g->px - ox < EIGHT ? g->px - ox : EIGHT;
                for (int i = 0; i < EIGHT; i++)
                    eight[i] = i < count ? change[(s + i) * step] * factor : splat(0);
                s += count;
                for (int l = 0; l < LANES; l++)
                    to[l] = group->numerator + (v * group->rows + oy) * g->stride + ox + offset[l];
                add_eight(eight, to, b->places);
            }
    for (int l = 0; l < b->places; l++)
        group->votes[offset[l]] += ((const float *)&weight)[l];
}

static void add_patches(struct batch *b)
{
    const index_t step = b->step, k = b->group->grid.k;
    for (index_t s = 0; s < b->samples; s++) {
        vec sum = splat(0);
        for (index_t j = 0; j < k - 1; j++)
            sum += b->patches[s * step + j];
        b->reference[s] = sum;
    }
    add_patch(b, 0, b->reference, 1, b->weight0 * b->variance0, b->weight0);
    for (index_t j = 1; j < k; j++) {
        const vec weight = b->weight[j - 1] * b->some[j - 1];
        add_patch(b, j, b->patches + j - 1, step, splat(0) - weight * b->variance[j - 1], weight);
    }
}

/* --- the entry ----------------------------------------------------------------------------------------------- */

static void work_on_batch(struct batch *b)
{
    const struct group *group = b->group;
    load_variances(b);
    load_patches(b, group->basis);
    for (index_t J = 0; J < b->K; J += B)
        factor_columns(b, J);
    for (index_t J = 0; J < b->K; J += B)
        invert_columns(b, J);
    if (group->weighted) {
        weigh_patches(b);
    } else {
        b->weight0 = splat(1);
        for (index_t j = 0; j < b->K; j++)
            b->weight[j] = splat(1);
    }
    if (group->basis != group->noisy)
        load_patches(b, group->noisy);
    for (index_t s = 0; s < b->n; s += B)
        combine_samples(b, b->patches + s * b->step);
    add_patches(b);
}

static index_t in_blocks(index_t n) { return (n + B - 1) / B * B; }

static void set_sizes(struct batch *b, const struct group *group)
{
    b->group = group;
    b->samples = group->V * group->grid.py * group->grid.px;
    b->n = in_blocks(b->samples);
    b->K = in_blocks(group->grid.k - 1);
    b->step = b->K | 1;
    b->ridge = group->ridge;
}

size_t ISA(combine_scratch)(const struct group *group)
{
    struct batch b;
    set_sizes(&b, group);
    return (size_t)((b.n + b.K) * b.step + b.n + EIGHT + 3 * b.K) * sizeof(vec) + 64;
}

void ISA(combine)(const struct group *group, char *scratch, const volatile unsigned char *stop)
{
    const struct grid *g = &group->grid;
    struct batch b;
    set_sizes(&b, group);
    b.patches = (vec *)(scratch + (64 - (size_t)scratch % 64) % 64);
    b.factor = b.patches + b.n * b.step;
    b.reference = b.factor + b.K * b.step;
    b.variance = b.reference + b.n + EIGHT;
    b.some = b.variance + b.K;
    b.weight = b.some + b.K;
    const index_t end = g->last * g->nx;
    for (index_t at = g->first * g->nx; at < end && !*stop; at += LANES) {
        b.places = (int)(end - at < LANES ? end - at : LANES);
        for (int l = 0; l < LANES; l++)
            b.partners[l] = group->partners + (at + (l < b.places ? l : 0)) * g->k;
        work_on_batch(&b);
    }
}

#endif
