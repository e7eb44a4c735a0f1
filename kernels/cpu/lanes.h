/* Vectors of LANES floats, for one instruction set; included by window.h, once per translation unit. */

/* One step of the work: so many rows and vectors along x; and shifts along x whose sums fit the registers. */
enum { ROWS = 8, COLUMNS = 8, SHIFTS = LANES == 16 ? 8 : 6, STEP = ROWS * COLUMNS };
enum { MOST_FIXED = 9 }; /* patches up to this size have loops of their own */

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline, unused))
#define UNROLL _Pragma("GCC unroll 16")
typedef float vec __attribute__((vector_size(4 * LANES)));
#define SET_LANE(x, l, number) (x)[l] = (number)
#else /* one lane: plain C for compilers without vector types */
#define INLINE static inline
#define UNROLL
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

enum { GREATEST_EXPONENT = 126 }; /* from here on weights are tiny */

/* >= 0, and without AVX-512, which needs no bound, <= limit */
INLINE vec bounded(vec s, vec limit)
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
