/* formula.patch_sum: S before scale and bias, first along y, then along x, ROWS x COLUMNS patches at a time.
 *
 * Without running differences: nothing is ever subtracted, so no digit is lost after an edge.  `outputs` neighbouring
 * windows of n terms share their terms: the windows 0..outputs-1 all hold the terms outputs-1 .. n-1; each adds a
 * suffix of the terms before these and a prefix of the terms after, and suffixes and prefixes are built one from the
 * other.  That is 3 (outputs - 1) + n additions, for 8 windows of 7 terms 2.25 each (needs n >= outputs - 1).  Along y
 * the terms are squared differences, along x the sums along y.  Taps that differ are multiplied term by term.
 */
#ifndef NLM_PATCH_SUM_H
#define NLM_PATCH_SUM_H

#include "weight.h"
#include "work.h"

#include <float.h>

/* One of the loops below; constants where they make it faster. */
struct form {
    index_t n;   /* terms of a window */
    int outputs; /* windows that share them */
    int tapped;  /* taps that differ */
};

enum { MOST_FIXED = 9 }; /* patches up to this size have loops of their own */

/* --- along y ------------------------------------------------------------------------------------------------- */

/* sum + the squared difference of one pixel over the channels, which is made apart: sums of 3 channels one by one
 * would be chains three times as long, and the time is that of the chains */
INLINE vec add_square(vec sum, const vec *query, const vec *key, index_t C)
{
    vec square = C == 1 ? sum : splat(0);
    for (index_t c = 0; c < C; c++) {
        const vec d = query[c] - key[c];
        square += d * d;
    }
    return C == 1 ? square : sum + square;
}

/* query, key: [outputs - 1 + n][C], downwards -> sums[row * stride], row < outputs */
INLINE void box_sums_y(const vec *query, const vec *key, index_t C, struct form f, vec *sums, index_t stride)
{
    const int outputs = f.outputs;
    vec suffix[8], prefix = splat(0), common = splat(0);
    for (index_t o = outputs - 1; o < f.n; o++)
        common = add_square(common, query + o * C, key + o * C, C);
    suffix[outputs - 1] = common;
    for (int o = outputs - 2; o >= 0; o--)
        suffix[o] = add_square(suffix[o + 1], query + o * C, key + o * C, C);
    sums[0] = suffix[0];
    query += (f.n - 1) * C;
    key += (f.n - 1) * C;
    for (int o = 1; o < outputs; o++) {
        prefix = add_square(prefix, query + o * C, key + o * C, C);
        sums[o * stride] = suffix[o] + prefix;
    }
}

/* The same with taps[0 .. n / 2], which are symmetric; terms[outputs - 1 + n] is scratch memory. */
INLINE void tapped_sums_y(const vec *query, const vec *key, index_t C, struct form f, const vec *taps, vec *terms,
                          vec *sums, index_t stride)
{
    const index_t n = f.n;
    for (index_t o = 0; o < f.outputs - 1 + n; o++)
        terms[o] = add_square(splat(0), query + o * C, key + o * C, C);
    for (int i = 0; i < f.outputs; i++) {
        vec sum = taps[n / 2] * terms[i + n / 2];
        for (index_t o = 0; o < n / 2; o++)
            sum += taps[o] * (terms[i + o] + terms[i + n - 1 - o]);
        sums[i * stride] = sum;
    }
}

/* `count` columns for some shifts: features of the pixels and of the first shift's candidates, at the top of the
 * first column; .. */
struct columns {
    const vec *query, *key;
    index_t count, shifts;
};

/* .. and where their sums go: element (shift, row, column). */
struct column_sums {
    vec *first;
    index_t shift, row; /* strides */
};

INLINE void sums_y(const struct work *w, struct columns from, struct column_sums to, index_t C, struct form f)
{
    vec few[ROWS + MOST_FIXED - 1], *terms = f.n <= MOST_FIXED ? few : w->terms;
    for (index_t t = 0; t < from.count; t++) {
        for (index_t g = 0; g < from.shifts; g++)
            for (index_t i = 0; i < ROWS; i += f.outputs) {
                const vec *query = from.query + i * C, *key = from.key + (g * w->deep_key + i) * C;
                vec *sums = to.first + g * to.shift + i * to.row + t;
                if (f.tapped)
                    tapped_sums_y(query, key, C, f, w->taps_y, terms, sums, to.row);
                else
                    box_sums_y(query, key, C, f, sums, to.row);
            }
        from.query += w->deep_query * C;
        from.key += w->deep_key * C;
    }
}

/* The loops for box patches: taller ones share more. */
INLINE void box_patch_sum_y(const struct work *w, struct columns from, struct column_sums to, index_t C)
{
    const index_t n = w->ny;
    if (n == 1)
        sums_y(w, from, to, C, (struct form){1, 2, 0});
    else if (n < 7)
        sums_y(w, from, to, C, (struct form){n, 4, 0});
    else
        sums_y(w, from, to, C, (struct form){n, 8, 0});
}

INLINE void tapped_patch_sum_y(const struct work *w, struct columns from, struct column_sums to, index_t C)
{
#define TAPPED(n)                                                                                                      \
    case n:                                                                                                            \
        sums_y(w, from, to, C, (struct form){n, 8, 1});                                                                \
        break;
    switch (w->ny) {
        TAPPED(3)
        TAPPED(5)
        TAPPED(7)
        TAPPED(9)
    default:
        sums_y(w, from, to, C, (struct form){w->ny, 8, 1});
    }
#undef TAPPED
}

INLINE void patch_sum_y_of(const struct work *w, struct columns from, struct column_sums to, index_t C)
{
    if (w->tapped_y)
        tapped_patch_sum_y(w, from, to, C);
    else
        box_patch_sum_y(w, from, to, C);
}

INLINE void patch_sum_y(const struct work *w, struct columns from, struct column_sums to)
{
    switch (w->pair->C) {
    case 1:
        patch_sum_y_of(w, from, to, 1);
        break;
    case 3:
        patch_sum_y_of(w, from, to, 3);
        break;
    default:
        patch_sum_y_of(w, from, to, w->pair->C);
    }
}

/* The columns left of a run, and those of one step: apart, because fixed numbers make the second 1.4 times faster. */
static void patch_sum_y_of_margin(const struct work *w, const vec *query, const vec *key, index_t shifts,
                                  struct column_sums to)
{
    patch_sum_y(w, (struct columns){query, key, w->nx - 1, shifts}, to);
}

static void patch_sum_y_of_step(const struct work *w, const vec *query, const vec *key, index_t shifts, vec *now)
{
    patch_sum_y(w, (struct columns){query, key, COLUMNS, shifts}, (struct column_sums){now, 2 * STEP, COLUMNS});
}

/* --- along x ------------------------------------------------------------------------------------------------- */

/* The terms come from two places: the last `margin` ones of the step before, and those of this step. */
INLINE vec term(const vec *before, const vec *now, index_t margin, index_t o)
{
    return o < margin ? before[o] : now[o - margin];
}

/* What a sum begins with, and the limit of its clamp: both here cost nothing, as the time is that of the sums; apart
 * they cost 4 to 7 %. */
struct clamp {
    vec start, limit;
};

/* Windows first .. first + outputs - 1 -> sums[outputs] */
INLINE void box_sums_x(const vec *before, const vec *now, index_t first, struct form f, struct clamp clamp, vec *sums)
{
    const int outputs = f.outputs;
    const index_t margin = f.n - 1, last = first + f.n - 1;
    vec suffix[8], prefix, common = clamp.start;
    for (index_t o = outputs - 1; o < f.n; o++)
        common += term(before, now, margin, first + o);
    suffix[outputs - 1] = common;
    for (int o = outputs - 2; o >= 0; o--)
        suffix[o] = suffix[o + 1] + term(before, now, margin, first + o);
    sums[0] = clamped(suffix[0], clamp.limit);
    prefix = term(before, now, margin, last + 1);
    for (int o = 1; o < outputs; o++) {
        sums[o] = clamped(suffix[o] + prefix, clamp.limit);
        if (o < outputs - 1)
            prefix += term(before, now, margin, last + o + 1);
    }
}

/* Unrolled, so that it is known where each term comes from: 10 to 20 % of a Gaussian patch. */
INLINE void tapped_sums_x(const vec *before, const vec *now, const vec *taps, index_t first, struct form f,
                          struct clamp clamp, vec *sums)
{
    const index_t n = f.n;
    UNROLL for (index_t i = first; i < first + f.outputs; i++) {
        vec sum = clamp.start + taps[n / 2] * term(before, now, n - 1, i + n / 2);
        for (index_t o = 0; o < n / 2; o++)
            sum += taps[o] * (term(before, now, n - 1, i + o) + term(before, now, n - 1, i + n - 1 - o));
        *sums++ = clamped(sum, clamp.limit);
    }
}

/* The last n terms become those of the step before, n > COLUMNS. */
INLINE void keep(vec *before, const vec *now, index_t n)
{
    for (index_t i = 0; i < n - COLUMNS; i++)
        before[i] = before[i + COLUMNS];
    for (index_t i = 0; i < COLUMNS; i++)
        before[n - COLUMNS + i] = now[i];
}

/* Some rows of sums along y -> sums along x, with the bias and clamped where the bias is a number. */
INLINE void sums_x(const struct work *w, vec *restrict before, const vec *restrict now, vec *restrict sums,
                   index_t rows, struct form f)
{
    const struct clamp clamp = {splat(w->bias_by_planes ? 0 : -w->pair->bias.data[0]),
                                splat(w->bias_by_planes ? FLT_MAX : GREATEST_EXPONENT)};
    for (index_t row = 0; row < rows; row++) {
        for (int c = 0; c < COLUMNS; c += f.outputs)
            if (f.tapped)
                tapped_sums_x(before, now, w->taps_x, c, f, clamp, sums + c);
            else
                box_sums_x(before, now, c, f, clamp, sums + c);
        if (f.n - 1 > COLUMNS)
            keep(before, now, f.n - 1);
        before += row_stride(f.n - 1);
        now += COLUMNS;
        sums += COLUMNS;
    }
}

/* Sizes with a loop of their own, and their outputs. */
#define EACH_SIZE_X(X) X(1, 2) X(3, 4) X(5, 4) X(7, 8) X(9, 8)

INLINE void patch_sum_x_of(const struct work *w, vec *before, const vec *now, vec *sums, index_t rows, int tapped)
{
#define SIZE(n, outputs)                                                                                               \
    case n:                                                                                                            \
        sums_x(w, before, now, sums, rows, (struct form){n, outputs, tapped});                                         \
        break;
    switch (w->nx) {
        EACH_SIZE_X(SIZE)
    default:
        sums_x(w, before, now, sums, rows, (struct form){w->nx, 8, tapped});
    }
#undef SIZE
}

static void patch_sum_x(const struct work *w, vec *before, const vec *now, vec *sums, index_t rows)
{
    if (w->tapped_x)
        patch_sum_x_of(w, before, now, sums, rows, 1);
    else
        patch_sum_x_of(w, before, now, sums, rows, 0);
}

#endif
