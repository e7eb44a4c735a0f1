/* formula.weight: w = 2^-max(scale S - bias, 0), the vote apart. */
#ifndef NLM_WEIGHT_H
#define NLM_WEIGHT_H

#include "lanes.h"

#include <math.h>

enum { GREATEST_EXPONENT = 126 }; /* from here on weights are tiny */

/* The clamp: >= 0, and without AVX-512, whose exponential needs no bound, <= limit. */
INLINE vec clamped(vec s, vec limit)
{
    s = at_least(s, splat(0));
#if LANES != 16
    s = at_most(s, limit);
#else
    (void)limit;
#endif
    return s;
}

/* 2^-s for s in [0, GREATEST_EXPONENT] (AVX-512: s >= 0), relative error <= 3e-6; exactly 1 at s = 0.
 * A minimax polynomial of degree 4 for 2^f, f in [-1/2, 1/2], its constant term rounded to 1. */
struct exponential {
    vec magic, c[5];
};

INLINE struct exponential exponential(void)
{
    const float c[] = {1, 6.931241843e-1f, 2.402403817e-1f, 5.590662826e-2f, 9.585382389e-3f};
    struct exponential e = {.magic = splat(12582912)}; /* 1.5 * 2^23: adding it rounds to an integer; without AVX-512 */
    HOLD(e.magic);
    for (int i = 0; i < 5; i++) {
        e.c[i] = splat(c[i]);
        HOLD(e.c[i]);
    }
    return e;
}

INLINE vec exp2_of_minus(const struct exponential *e, vec s)
{
#if LANES == 1
    (void)e;
    return exp2f(-s);
#else
#if LANES == 16
    vec x = -s, z = (vec)_mm512_roundscale_ps((__m512)x, 8), f = x - z;
#elif LANES == 8 /* rounded apart from z: a shorter chain */
    vec z = e->magic - s, f = (vec)_mm256_round_ps((__m256)s, 8) - s;
#else
    vec z = e->magic - s, f = (e->magic - z) - s;
#endif
    vec p = e->c[3] + f * e->c[4];
    p = e->c[2] + f * p;
    p = e->c[1] + f * p;
    p = e->c[0] + f * p;
#if LANES == 16
    return (vec)_mm512_scalef_ps((__m512)p, (__m512)z); /* p 2^z */
#else
    typedef int ivec __attribute__((vector_size(4 * LANES)));
    return (vec)((ivec)p + ((ivec)z << 23)); /* the integer goes into the exponent */
#endif
#endif
}

/* Weights in place of `count` sums, which are clamped already. */
static void weigh(vec *sums, index_t count)
{
    const struct exponential e = exponential();
    for (index_t t = 0; t < count; t++)
        sums[t] = exp2_of_minus(&e, sums[t]);
}

/* The same for [rows][COLUMNS] sums with a bias and a scale of their own, in rows of `stride`. */
static void weigh_by_planes(vec *sums, const vec *bias, const vec *scale, index_t stride, index_t rows)
{
    const struct exponential e = exponential();
    for (index_t row = 0; row < rows; row++) {
        for (int t = 0; t < COLUMNS; t++)
            sums[t] = exp2_of_minus(&e, clamped(scale[t] * sums[t] - bias[t], splat(GREATEST_EXPONENT)));
        sums += COLUMNS;
        bias += stride;
        scale += stride;
    }
}

#endif
