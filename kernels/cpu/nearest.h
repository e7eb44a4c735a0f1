/* The k nearest patches of each reference, in the window around it: groups/reference.py, `nearest`.
 *
 *     d(i, j) = sum_c sum_o (feature_c(i + o) - feature_c(j + o))^2      |jy - iy| <= Ry, |jx - ix| <= Rx
 *
 * Those farther than farthest_i are no partners.  The reference itself comes first, the others by position; of equally
 * far ones those that come first are taken.
 * Differences are summed directly, so that no digits are lost whatever the picture's offset: 4 rows of candidates
 * in 2 vectors at a time, which share the reference's samples.  The k-th distance is found by halving the interval
 * of float bits (ordered as the distances are) until k patches lie below it: about 10 counts, from where the last
 * reference's lay.
 *
 * Operations: C py px subtractions and multiply-adds for each candidate, a comparison for each candidate and count.
 * Measured (2-core AMD EPYC VM with AVX-512, one thread, 2026-11-30): 1.35 us for a reference with 31 x 31 candidates
 * of 7 x 7 pixels and 16 partners, 1.65 with 64; 2.6 with 37 x 37 candidates, which take four vectors a row, not two.
 */
#ifndef NLM_NEAREST_H
#define NLM_NEAREST_H

#include "groups_contract.h"
#include "lanes.h"

#include <math.h>
#include <string.h>

#if LANES > 1
typedef float vec_anywhere __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(4 * LANES), may_alias));
INLINE vec load_anywhere(const float *from) { return (vec)*(const vec_anywhere *)from; }
#else
typedef int32_t ints;
INLINE vec load_anywhere(const float *from) { return *from; }
#endif

enum { DEEP = 4, BROAD = 2 }; /* rows and vectors of candidates at a time */

/* The candidates of one reference: rows y0 .. and columns x0 .. */
struct window {
    index_t y0, x0, high, wide;
    index_t vectors; /* of a row, a multiple of BROAD */
};

INLINE index_t search_vectors(index_t wide)
{
    const index_t vectors = (wide + LANES - 1) / LANES;
    return (vectors + BROAD - 1) / BROAD * BROAD;
}

static struct window window_of(const struct search *s, index_t y, index_t x)
{
    const struct grid *g = &s->grid;
    const index_t h = g->H - g->py, w = g->W - g->px;
    struct window r = {.y0 = y < s->Ry ? 0 : y - s->Ry, .x0 = x < s->Rx ? 0 : x - s->Rx};
    r.high = (y + s->Ry < h ? y + s->Ry : h) + 1 - r.y0;
    r.wide = (x + s->Rx < w ? x + s->Rx : w) + 1 - r.x0;
    r.vectors = search_vectors(r.wide);
    return r;
}

/* Distances of DEEP rows x BROAD vectors of candidates; rows below the last are not looked at. */
INLINE void distances(const struct search *s, const float *reference, const float *candidate, index_t rows,
                      index_t row_of_output, vec *to)
{
    const struct grid *g = &s->grid;
    const index_t plane = g->H * g->stride;
    vec sum[DEEP][BROAD];
    const float *row[DEEP];
    for (int r = 0; r < DEEP; r++) {
        row[r] = candidate + (r < rows ? r : 0) * g->stride;
        for (int v = 0; v < BROAD; v++)
            sum[r][v] = splat(0);
    }
    for (index_t c = 0; c < s->C; c++)
        for (index_t oy = 0; oy < g->py; oy++) {
            const index_t at = c * plane + oy * g->stride;
            for (index_t ox = 0; ox < g->px; ox++) {
                const vec own = splat(reference[at + ox]);
                UNROLL for (int r = 0; r < DEEP; r++)
                    UNROLL for (int v = 0; v < BROAD; v++) {
                        const vec difference = load_anywhere(row[r] + at + ox + v * LANES) - own;
                        sum[r][v] += difference * difference;
                    }
            }
        }
    for (index_t r = 0; r < rows && r < DEEP; r++)
        for (int v = 0; v < BROAD; v++)
            to[r * row_of_output + v] = sum[r][v];
}

/* All of a window; infinite where no patch begins. */
static void distances_of_window(const struct search *s, const struct window *w, index_t y, index_t x, vec *to)
{
    const struct grid *g = &s->grid;
    const float *reference = s->feature + y * g->stride + x;
    for (index_t r = 0; r < w->high; r += DEEP)
        for (index_t v = 0; v < w->vectors; v += BROAD)
            distances(s, reference, s->feature + (w->y0 + r) * g->stride + w->x0 + v * LANES, w->high - r, w->vectors,
                      to + r * w->vectors + v);
    const index_t row = w->vectors * LANES;
    float *all = (float *)to;
    for (index_t r = 0; r < w->high; r++) {
        for (index_t c = w->wide; c < row; c++)
            all[r * row + c] = INFINITY;
        if (s->barred)
            for (index_t c = 0; c < w->wide; c++)
                all[r * row + c] += s->barred[(w->y0 + r) * g->stride + w->x0 + c];
    }
    all[(y - w->y0) * row + x - w->x0] = INFINITY; /* the reference is taken apart */
}

/* How many have bits up to this. */
INLINE index_t count_up_to(const ints *bits, index_t vectors, int32_t most)
{
#if LANES == 16
    const __m512i bound = _mm512_set1_epi32(most), one = _mm512_set1_epi32(1);
    __m512i a = _mm512_setzero_si512(), b = a;
    for (index_t v = 0; v < vectors; v += 2) { /* there is an even number of them */
        const __mmask16 p = _mm512_cmple_epi32_mask((__m512i)bits[v], bound);
        const __mmask16 q = _mm512_cmple_epi32_mask((__m512i)bits[v + 1], bound);
        a = _mm512_mask_add_epi32(a, p, a, one);
        b = _mm512_mask_add_epi32(b, q, b, one);
    }
    return _mm512_reduce_add_epi32(_mm512_add_epi32(a, b));
#elif LANES > 1
    const ints bound = most - (ints){0};
    ints a = {0}, b = {0};
    for (index_t v = 0; v < vectors; v += 2) {
        a -= bits[v] <= bound;
        b -= bits[v + 1] <= bound;
    }
    index_t n = 0;
    for (int l = 0; l < LANES; l++)
        n += a[l] + b[l];
    return n;
#else
    index_t n = 0;
    for (index_t v = 0; v < vectors; v++)
        n += bits[v] <= most;
    return n;
#endif
}

/* The bits, below `end`, up to which at most `wanted` patches lie, all of them if *equal is 0; else *equal more of
 * those just above are wanted.  `hint`: where to look first. */
static int32_t threshold(const ints *bits, index_t vectors, index_t wanted, int32_t end, int32_t hint, index_t *equal)
{
    int32_t low = -1, high = end; /* below `wanted` lie up to low; more than it up to high, if bounded */
    index_t below = 0;
    int32_t middle = hint > 0 && hint < end ? hint : end / 2, step = 1 << 18;
    int bounded = 0;
    *equal = 0;
    while (high - low > 1) {
        const index_t n = count_up_to(bits, vectors, middle);
        if (n == wanted)
            return middle;
        if (n < wanted) {
            low = middle;
            below = n;
        } else {
            high = middle;
            bounded = 1;
        }
        /* out from the hint in growing steps, until there is a bound on either side; then halves */
        if (n < wanted && !bounded && low < end - 1 - step) {
            middle = low + step;
            step *= 4;
            if (step > (1 << 26))
                step = 1 << 26;
        } else if (n > wanted && low < 0 && high > step) {
            middle = high - step;
            step *= 4;
            if (step > (1 << 26))
                step = 1 << 26;
        } else {
            middle = low + (high - low) / 2;
        }
    }
    *equal = bounded ? wanted - below : 0; /* not bounded: there are no more than `below` in all */
    return low;
}

/* The positions in the window of those up to the threshold, and of the first `equal` ones just above it. */
static index_t collect(const struct window *w, const ints *bits, int32_t bound, index_t equal, index_t width,
                       index_t most, int32_t *to)
{
    index_t n = 0;
    const int32_t *each = (const int32_t *)bits;
    const int32_t reach = equal ? bound + 1 : bound;
    for (index_t r = 0; r < w->high; r++)
        for (index_t v = 0; v < w->vectors; v++) {
            const index_t at = (r * w->vectors + v) * LANES;
#if LANES == 16
            unsigned found = _mm512_cmple_epi32_mask((__m512i)bits[r * w->vectors + v], _mm512_set1_epi32(reach));
            for (; found; found &= found - 1) {
                const int l = __builtin_ctz(found);
#else
            for (int l = 0; l < LANES; l++) {
                if (each[at + l] > reach)
                    continue;
#endif
                if (each[at + l] > bound && equal-- <= 0)
                    continue;
                if (n < most)
                    to[n++] = (int32_t)((w->y0 + r) * width + w->x0 + v * LANES + l);
            }
        }
    return n;
}

/* --- the entry ----------------------------------------------------------------------------------------------- */

size_t ISA(nearest_scratch)(const struct search *s)
{
    const index_t high = 2 * s->Ry + 1 < s->grid.H ? 2 * s->Ry + 1 : s->grid.H;
    const index_t wide = 2 * s->Rx + 1 < s->grid.W ? 2 * s->Rx + 1 : s->grid.W;
    return (size_t)(high * search_vectors(wide)) * sizeof(vec) + 64;
}

void ISA(nearest)(const struct search *s, char *scratch, const volatile unsigned char *stop)
{
    const struct grid *g = &s->grid;
    vec *distance = (vec *)(scratch + (64 - (size_t)scratch % 64) % 64);
    int32_t hint = 0, end;
    for (index_t a = g->first; a < g->last && !*stop; a++)
        for (index_t b = 0; b < g->nx; b++) {
            const index_t y = g->rows[a], x = g->cols[b];
            const struct window w = window_of(s, y, x);
            int32_t *to = s->partners + (a * g->nx + b) * g->k;
            distances_of_window(s, &w, y, x, distance);
            index_t n = 1, equal;
            to[0] = (int32_t)(y * g->W + x);
            memcpy(&end, s->farthest.data + (s->farthest.is_plane ? y * g->stride + x : 0), sizeof end);
            end++; /* the bits of the next float */
            if (g->k > 1) {
                const ints *bits = (const ints *)distance;
                hint = threshold(bits, w.high * w.vectors, g->k - 1, end, hint, &equal);
                n += collect(&w, bits, hint, equal, g->W, g->k - 1, to + 1);
            }
            for (; n < g->k; n++)
                to[n] = -1;
        }
}

#endif
