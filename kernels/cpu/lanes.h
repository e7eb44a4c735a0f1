/* Vectors of LANES floats, for one instruction set, and how much of the work is done at a time. */
#ifndef NLM_LANES_H
#define NLM_LANES_H

#include "isa.h"

/* The file that chooses an instruction set defines LANES and ISA; else it is what every processor has. */
#ifndef LANES
#if defined(__GNUC__)
#define LANES 4
#else
#define LANES 1 /* plain C, for compilers without vector types */
#endif
#endif
#ifndef ISA
#define ISA(name) name##_baseline
#endif

#if LANES > 1 && (defined(__x86_64__) || defined(__i386__))
#include <immintrin.h>
#endif

/* One step of the work: so many rows and vectors along x. */
enum { ROWS = 8, COLUMNS = 8, STEP = ROWS * COLUMNS };

/* The most shifts along x whose sums fit the registers, and X(1) .. X(SHIFTS). */
#if LANES == 16
enum { SHIFTS = 8 };
#define EACH_SHIFTS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#else
enum { SHIFTS = 6 };
#define EACH_SHIFTS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#endif

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline, unused))
#define UNROLL _Pragma("GCC unroll 16")
#else
#define INLINE static inline
#define UNROLL
#endif

#if LANES > 1
typedef float vec __attribute__((vector_size(4 * LANES)));
#define SET_LANE(x, l, number) (x)[l] = (number)
#else
typedef float vec;
#define SET_LANE(x, l, number) (x) = (number)
#endif

INLINE vec splat(float x) { return x - (vec){0}; }

/* For bounds >= 0: then floats are ordered as integers are, which leaves the ports that add free. */
#if LANES == 16
INLINE vec at_least(vec a, vec bound) { return (vec)_mm512_max_epi32((__m512i)a, (__m512i)bound); }
#elif LANES == 8
INLINE vec at_most(vec a, vec bound) { return (vec)_mm256_min_epi32((__m256i)a, (__m256i)bound); }
INLINE vec at_least(vec a, vec bound) { return (vec)_mm256_max_epi32((__m256i)a, (__m256i)bound); }
#elif LANES == 4 && defined(__SSE2__)
INLINE vec at_most(vec a, vec bound) { return (vec)_mm_min_ps((__m128)a, (__m128)bound); }
INLINE vec at_least(vec a, vec bound) { return (vec)_mm_max_ps((__m128)a, (__m128)bound); }
#elif LANES == 4
INLINE vec at_most(vec a, vec bound)
{
    for (int l = 0; l < LANES; l++)
        a[l] = a[l] < bound[l] ? a[l] : bound[l];
    return a;
}
INLINE vec at_least(vec a, vec bound)
{
    for (int l = 0; l < LANES; l++)
        a[l] = a[l] > bound[l] ? a[l] : bound[l];
    return a;
}
#else
INLINE vec at_most(vec a, vec bound) { return a < bound ? a : bound; }
INLINE vec at_least(vec a, vec bound) { return a > bound ? a : bound; }
#endif

/* Keeps a value in a register where the compiler would rather load it again and again, or an address that moves from
 * row to row where it would rather have one for each row. */
#if defined(__GNUC__) && defined(__x86_64__)
#define HOLD(x) __asm__("" : "+x"(x))
#define HOLD_ADDRESS(x) __asm__("" : "+r"(x))
#else
#define HOLD(x) (void)(x)
#define HOLD_ADDRESS(x) (void)(x)
#endif

#endif
