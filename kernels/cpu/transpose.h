/* EIGHT floats of each of LANES places into EIGHT vectors with a lane for each place, and back. */
#ifndef NLM_TRANSPOSE_H
#define NLM_TRANSPOSE_H

#include "lanes.h"

enum { EIGHT = 8 };

#if LANES == 16 || LANES == 8
#if LANES == 16
#define LOW(a, b) (vec)_mm512_unpacklo_ps((__m512)(a), (__m512)(b))
#define HIGH(a, b) (vec)_mm512_unpackhi_ps((__m512)(a), (__m512)(b))
#define LOW2(a, b) (vec)_mm512_shuffle_ps((__m512)(a), (__m512)(b), 0x44)
#define HIGH2(a, b) (vec)_mm512_shuffle_ps((__m512)(a), (__m512)(b), 0xee)
#else
#define LOW(a, b) (vec)_mm256_unpacklo_ps((__m256)(a), (__m256)(b))
#define HIGH(a, b) (vec)_mm256_unpackhi_ps((__m256)(a), (__m256)(b))
#define LOW2(a, b) (vec)_mm256_shuffle_ps((__m256)(a), (__m256)(b), 0x44)
#define HIGH2(a, b) (vec)_mm256_shuffle_ps((__m256)(a), (__m256)(b), 0xee)
#endif

/* Lane l of vector i of each 4 x 4 block becomes lane i of vector l. */
INLINE void transpose4(vec r[4])
{
    const vec a = LOW(r[0], r[1]), b = LOW(r[2], r[3]), c = HIGH(r[0], r[1]), d = HIGH(r[2], r[3]);
    r[0] = LOW2(a, b);
    r[1] = HIGH2(a, b);
    r[2] = LOW2(c, d);
    r[3] = HIGH2(c, d);
}

/* Four samples, from each place of a quarter of four lanes: one vector of four places. */
#if LANES == 16
INLINE vec four_places(const float *const from[LANES], int place, int offset)
{
    __m512 r = _mm512_castps128_ps512(_mm_loadu_ps(from[place] + offset));
    r = _mm512_insertf32x4(r, _mm_loadu_ps(from[place + 4] + offset), 1);
    r = _mm512_insertf32x4(r, _mm_loadu_ps(from[place + 8] + offset), 2);
    return (vec)_mm512_insertf32x4(r, _mm_loadu_ps(from[place + 12] + offset), 3);
}
INLINE void add_four(__m128 x, float *to) { _mm_storeu_ps(to, _mm_add_ps(_mm_loadu_ps(to), x)); }
INLINE __m128 quarter(vec x, int q)
{
    switch (q) {
    case 0: return _mm512_extractf32x4_ps((__m512)x, 0);
    case 1: return _mm512_extractf32x4_ps((__m512)x, 1);
    case 2: return _mm512_extractf32x4_ps((__m512)x, 2);
    default: return _mm512_extractf32x4_ps((__m512)x, 3);
    }
}
#else
INLINE vec four_places(const float *const from[LANES], int place, int offset)
{
    const __m256 r = _mm256_castps128_ps256(_mm_loadu_ps(from[place] + offset));
    return (vec)_mm256_insertf128_ps(r, _mm_loadu_ps(from[place + 4] + offset), 1);
}
INLINE void add_four(__m128 x, float *to) { _mm_storeu_ps(to, _mm_add_ps(_mm_loadu_ps(to), x)); }
INLINE __m128 quarter(vec x, int q)
{
    return q ? _mm256_extractf128_ps((__m256)x, 1) : _mm256_castps256_ps128((__m256)x);
}
#endif

INLINE void gather_eight(const float *const from[LANES], vec to[EIGHT])
{
    UNROLL for (int half = 0; half < EIGHT; half += 4)
    {
        UNROLL for (int i = 0; i < 4; i++)
            to[half + i] = four_places(from, i, half);
        transpose4(to + half);
    }
}

/* Adds them to the floats at each of the first `places` places, one place after the other. */
INLINE void add_eight(vec from[EIGHT], float *const to[LANES], int places)
{
    transpose4(from);
    transpose4(from + 4);
    UNROLL for (int l = 0; l < LANES; l++)
        if (l < places) {
            add_four(quarter(from[l % 4], l / 4), to[l]);
            add_four(quarter(from[4 + l % 4], l / 4), to[l] + 4);
        }
}

#else

INLINE void gather_eight(const float *const from[LANES], vec to[EIGHT])
{
    for (int i = 0; i < EIGHT; i++)
        for (int l = 0; l < LANES; l++)
            SET_LANE(to[i], l, from[l][i]);
}

INLINE void add_eight(vec from[EIGHT], float *const to[LANES], int places)
{
    for (int l = 0; l < places; l++)
        for (int i = 0; i < EIGHT; i++)
            to[l][i] += ((const float *)&from[i])[l];
}

#endif

#endif
