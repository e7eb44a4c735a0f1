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

/* .. and where their sums go: element (plane, shift, row, column). */
struct column_sums {
    vec *first;
    index_t shift, row, plane; /* strides */
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

static void patch_sum_z_y(const struct work *w, struct columns from, struct column_sums to);

INLINE void patch_sum_y(const struct work *w, struct columns from, struct column_sums to)
{
    if (w->nz > 1 || w->deep > 1) {
        patch_sum_z_y(w, from, to);
        return;
    }
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

/* --- along z, then along y: some planes of a slab at a time --------------------------------------------------- */

/* Windows 0 .. outputs - 1 of n terms -> sums[i * stride], shared as above. */
INLINE void box_sums(const vec *terms, index_t n, index_t outputs, vec *sums, index_t stride)
{
    vec suffix[8], prefix;
    if (n == 1 || outputs == 1) {
        for (index_t i = 0; i < outputs; i++) {
            vec sum = terms[i];
            for (index_t o = 1; o < n; o++)
                sum += terms[i + o];
            sums[i * stride] = sum;
        }
        return;
    }
    vec common = terms[n - 1];
    for (index_t o = outputs - 1; o < n - 1; o++)
        common += terms[o];
    suffix[outputs - 1] = n > outputs - 1 ? common : splat(0);
    index_t from = outputs - 2;
    if (n == outputs - 1)
        suffix[from--] = common;
    for (index_t o = from; o >= 0; o--)
        suffix[o] = suffix[o + 1] + terms[o];
    sums[0] = suffix[0];
    prefix = terms[n];
    for (index_t o = 1; o < outputs; o++) {
        sums[o * stride] = o == n ? prefix : suffix[o] + prefix;
        if (o < outputs - 1)
            prefix += terms[n + o];
    }
}

INLINE void tapped_sums(const vec *terms, const vec *taps, index_t n, index_t outputs, vec *sums, index_t stride)
{
    for (index_t i = 0; i < outputs; i++) {
        vec sum = taps[0] * terms[i];
        for (index_t o = 1; o < n; o++)
            sum += taps[o] * terms[i + o];
        sums[i * stride] = sum;
    }
}

/* Squared differences of one column of pixels, for deep + nz - 1 planes, and their sums along z -> terms[deep][rows] */
INLINE void terms_of_depth(const struct work *w, const vec *query, const vec *key, index_t C, index_t nz, index_t deep,
                           int tapped_z, vec *restrict terms)
{
    const index_t rows = ROWS + w->ny - 1;
    vec few[MOST_DEEP + MOST_FIXED - 1], *squares = nz <= MOST_FIXED ? few : w->squares;
    for (index_t r = 0; r < rows; r++) {
        UNROLL for (index_t p = 0; p < deep + nz - 1; p++) {
            squares[p] = add_square(splat(0), query, key, C);
            query += C;
            key += C;
        }
        if (tapped_z)
            tapped_sums(squares, w->taps_z, nz, deep, terms + r, rows);
        else
            box_sums(squares, nz, deep, terms + r, rows);
    }
}

/* The same for two shifts of one channel and box patches: what is loaded of the pixels serves both. */
INLINE void terms_of_two(const vec *query, const vec *const key[2], index_t rows, index_t nz, index_t deep,
                         vec *const terms[2])
{
    vec squares[2][MOST_DEEP + MOST_FIXED - 1];
    const vec *first = key[0], *second = key[1];
    for (index_t r = 0; r < rows; r++) {
        UNROLL for (index_t p = 0; p < deep + nz - 1; p++) {
            const vec pixel = *query++, d = pixel - *first++, e = pixel - *second++;
            squares[0][p] = d * d;
            squares[1][p] = e * e;
        }
        for (int two = 0; two < 2; two++)
            box_sums(squares[two], nz, deep, terms[two] + r, rows);
    }
}

/* Whether there is a loop for two shifts; then it has done them. */
INLINE int depth_of_two(const struct work *w, const vec *query, const vec *const key[2], vec *const terms[2])
{
    const index_t rows = ROWS + w->ny - 1;
#define DEPTH(nz, deep)                                                                                                \
    case 8 * nz + deep:                                                                                                \
        terms_of_two(query, key, rows, nz, deep, terms);                                                               \
        return 1;
    switch (8 * w->nz + w->deep) {
        DEPTH(3, 1) DEPTH(3, 2) DEPTH(3, 3) DEPTH(3, 4)
        DEPTH(5, 1) DEPTH(5, 2) DEPTH(5, 3) DEPTH(5, 4)
    }
    return 0;
#undef DEPTH
}

INLINE void depth_of_channels(const struct work *w, const vec *query, const vec *key, index_t C, vec *terms)
{
#define DEPTH(nz, deep)                                                                                                \
    case 8 * nz + deep:                                                                                                \
        terms_of_depth(w, query, key, C, nz, deep, 0, terms);                                                          \
        return;
    if (w->tapped_z) {
        terms_of_depth(w, query, key, C, w->nz, w->deep, 1, terms);
        return;
    }
    switch (8 * w->nz + w->deep) {
        DEPTH(3, 1) DEPTH(3, 2) DEPTH(3, 3) DEPTH(3, 4)
        DEPTH(5, 1) DEPTH(5, 2) DEPTH(5, 3) DEPTH(5, 4)
    }
    terms_of_depth(w, query, key, C, w->nz, w->deep, 0, terms);
#undef DEPTH
}

INLINE void terms_to_sums(const struct work *w, const vec *restrict terms, vec *restrict sums, struct column_sums to,
                          index_t n, int outputs)
{
    for (index_t b = 0; b < w->deep; b++, terms += ROWS + n - 1, sums += to.plane)
        for (index_t i = 0; i < ROWS; i += outputs)
            if (w->tapped_y)
                tapped_sums(terms + i, w->taps_y, n, outputs, sums + i * to.row, to.row);
            else
                box_sums(terms + i, n, outputs, sums + i * to.row, to.row);
}

/* Sums along y of a column. */
INLINE void sums_of_depth(const struct work *w, const vec *terms, vec *sums, struct column_sums to)
{
    switch (w->ny) {
    case 1:
        terms_to_sums(w, terms, sums, to, 1, 8);
        break;
    case 3:
        terms_to_sums(w, terms, sums, to, 3, 4);
        break;
    case 5:
        terms_to_sums(w, terms, sums, to, 5, 4);
        break;
    default:
        terms_to_sums(w, terms, sums, to, w->ny, 8);
    }
}

static void patch_sum_z_y(const struct work *w, struct columns from, struct column_sums to)
{
    const index_t C = w->pair->C, size = w->deep * (ROWS + w->ny - 1);
    vec few[2 * MOST_DEEP * (ROWS + MOST_FIXED - 1)], *terms = w->ny <= MOST_FIXED ? few : w->terms;
    const int by_two = w->ny <= MOST_FIXED && w->channels == 1 && !w->tapped_z;
    for (index_t t = 0; t < from.count; t++)
        for (index_t g = 0; g < from.shifts; g++) {
            const vec *query = from.query + t * w->deep_query * C;
            const vec *key = from.key + (t + g) * w->deep_key * C;
            vec *sums = to.first + g * to.shift + t;
            const vec *const keys[2] = {key, key + w->deep_key * C};
            vec *const both[2] = {terms, terms + size};
            if (by_two && g + 1 < from.shifts && depth_of_two(w, query, keys, both)) {
                sums_of_depth(w, both[0], sums, to);
                sums_of_depth(w, both[1], sums + to.shift, to);
                g++;
                continue;
            }
            if (w->channels == 1)
                depth_of_channels(w, query, key, 1, terms);
            else
                depth_of_channels(w, query, key, w->channels, terms);
            sums_of_depth(w, terms, sums, to);
        }
}

/* The columns left of a run, and those of one step: apart, because fixed numbers make the second 1.4 times faster. */
static void patch_sum_y_of_margin(const struct work *w, const vec *query, const vec *key, index_t shifts,
                                  struct column_sums to)
{
    patch_sum_y(w, (struct columns){query, key, w->nx - 1, shifts}, to);
}

static void patch_sum_y_of_step(const struct work *w, const vec *query, const vec *key, index_t shifts,
                                struct column_sums to)
{
    patch_sum_y(w, (struct columns){query, key, COLUMNS, shifts}, to);
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

/* The last n terms become those of the step before. */
INLINE void keep(vec *before, const vec *now, index_t n)
{
    for (index_t i = 0; i < n - COLUMNS; i++)
        before[i] = before[i + COLUMNS];
    UNROLL for (index_t i = most(0, n - COLUMNS); i < n; i++)
        before[i] = now[COLUMNS - n + i];
}

/* Some rows of sums along y -> sums along x, with the bias and clamped where the bias is a number. */
INLINE void sums_x(const struct work *w, vec *restrict before, const vec *restrict now, vec *restrict sums,
                   index_t rows, struct form f, const vec *start)
{
    const struct clamp clamp = {*start, splat(w->bias_by_planes ? FLT_MAX : GREATEST_EXPONENT)};
    for (index_t row = 0; row < rows; row++) {
        for (int c = 0; c < COLUMNS; c += f.outputs)
            if (f.tapped)
                tapped_sums_x(before, now, w->taps_x, c, f, clamp, sums + c);
            else
                box_sums_x(before, now, c, f, clamp, sums + c);
        keep(before, now, f.n - 1);
        before += f.n - 1;
        now += COLUMNS;
        sums += COLUMNS;
    }
}

/* Sizes with a loop of their own, and their outputs. */
#define EACH_SIZE_X(X) X(1, 2) X(3, 4) X(5, 4) X(7, 8) X(9, 8) X(11, 8)

INLINE void patch_sum_x_of(const struct work *w, vec *before, const vec *now, vec *sums, index_t rows, int tapped,
                           const vec *start)
{
#define SIZE(n, outputs)                                                                                               \
    case n:                                                                                                            \
        sums_x(w, before, now, sums, rows, (struct form){n, outputs, tapped}, start);                                      \
        break;
    switch (w->nx) {
        EACH_SIZE_X(SIZE)
    default:
        sums_x(w, before, now, sums, rows, (struct form){w->nx, 8, tapped}, start);
    }
#undef SIZE
}

static void patch_sum_x(const struct work *w, vec *before, const vec *now, vec *sums, index_t rows, const vec *start)
{
    if (w->tapped_x)
        patch_sum_x_of(w, before, now, sums, rows, 1, start);
    else
        patch_sum_x_of(w, before, now, sums, rows, 0, start);
}

#endif
