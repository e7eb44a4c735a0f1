/* The two entries and what they are given: nlmeans/backends/contract.py, a band of rows at a time.
 *
 *     S(i, s) = sum_c sum_o a(o) (query_c(i + o) - key_c(j + o))^2, j = i + s     a(o) = taps_y(oy) taps_x(ox)
 *     w(i, s) = 2^-max(scale_i S(i, s) - bias_i, 0) vote_j                        j inside the plane, else 0
 *
 * All arrays are C-contiguous.
 */
#ifndef NLM_CONTRACT_H
#define NLM_CONTRACT_H

#include <stddef.h>

typedef ptrdiff_t index_t;

/* A number for each query pixel, or one for all. */
struct per_query {
    const float *data; /* (H, W) if it is a plane, else (1,) */
    int is_plane;
};

/* A query plane against a key plane. */
struct pair {
    index_t C, V, H, W;  /* channels of a feature, values, height, width */
    index_t Ry, Rx;      /* search radius, less than H and W */
    index_t ry, rx;      /* patch radius */
    const float *query;  /* (C, H, W) */
    const float *key;    /* (C, H, W), == query within one plane */
    const float *value;  /* (V, H, W) of the key plane */
    const float *own_value; /* (V, H, W) of the query plane, == value within one plane */
    const float *vote;   /* (H, W) 1 where a candidate may be averaged, else 0 */
    const float *taps_y; /* (2 ry + 1,) symmetric */
    const float *taps_x; /* (2 rx + 1,) symmetric */
    struct per_query bias, scale;
    int own;             /* the shift (0, 0) is the pixel itself */
};

/* What makes p(i, s) = w(i, s) normaliser_i of a weight. */
struct normalised {
    const float *normaliser; /* (H, W) */
    const float *center;     /* (H, W) the weight of the pixel itself; looked at only where the pair is own */
    const float *weight_sum; /* (H, W) sum_s p(i, s) */
    int anew;                /* sums of p along x anew at every pixel, for values far from all others (spread.h) */
};

/* What comes out; an entry first clears the rows of its band. */
struct sums {
    float *numerator;   /* (V, H, W) */
    float *denominator; /* (H, W) */
    float *peak;        /* (H, W) max_s w(i, s), accumulate only */
    int has_peak;       /* whether that is asked for */
};

/* Planes of a volume, each against all planes of its search window.  A patch is as deep as taps_z is long; a plane
 * outside the volume is compared as its mirror image and is no candidate. */
struct slab {
    index_t C, V, Z, H, W;
    index_t Rz, Ry, Rx;    /* search radius, less than Z, H and W */
    index_t rz, ry, rx;    /* patch radius */
    index_t first, last;   /* the planes first..last-1 are those to denoise */
    const float *feature;  /* (C, Z, H, W) */
    const float *value;    /* (V, Z, H, W) */
    const float *vote;     /* (Z, H, W) */
    const float *taps_z, *taps_y, *taps_x;
    struct per_query bias, scale; /* planes of (Z, H, W), or a number */
};

/* The rows first..last-1 of the query plane, and the rows above and below them that their sums reach: within one
 * plane a weight serves its candidate too, and in aggregate it goes to the patch around its pixel. */
struct band {
    index_t first, last;
    index_t above, below;
    float *spill; /* (V + 1 + has_peak, above + below, W): sums for the rows outside, on top of what is there */
    const volatile unsigned char *stop; /* != 0: give up soon; what was written is then meaningless */
};

/* Set `above` and `below` from the other numbers. */
void accumulate_reach(const struct pair *, struct band *);
void aggregate_reach(const struct pair *, struct band *);

/* The same for a slab, whose sums are of last - first planes: numerator (V, n, H, W), denominator and peak (n, H, W),
 * spill (V + 1 + has_peak, above + below, n, W); in aggregate normaliser, center and weight_sum are (n, H, W). */
void accumulate_slab_reach(const struct slab *, struct band *);
void aggregate_slab_reach(const struct slab *, struct band *);

/* Bytes of scratch memory that a band needs, on instruction set number `isa`. */
size_t accumulate_scratch(int isa, const struct pair *, const struct sums *, const struct band *);
size_t aggregate_scratch(int isa, const struct pair *, const struct sums *, const struct band *);

size_t accumulate_slab_scratch(int isa, const struct slab *, const struct sums *, const struct band *);
size_t aggregate_slab_scratch(int isa, const struct slab *, const struct sums *, const struct band *);

/* Sums over the search window, without the pixel itself where the pair is own:
 * numerator = sum_s w (value_j - own_value_i), denominator = sum_s w, peak = max_s w. */
void accumulate(int isa, const struct pair *, const struct sums *, const struct band *, char *scratch);

/* The same with every weight spread over its patch: with B_s(x) = sum_o a(o) p(x - o, s) over patch centres inside
 * the plane, numerator = sum_s B_s(x) vote_j (value_j - own_value_x) and denominator = sum_s B_s(x) vote_j,
 * j = x + s. */
void aggregate(int isa, const struct pair *, const struct normalised *, const struct sums *, const struct band *,
               char *scratch);

/* Both for the planes of a slab, without the pixels themselves in accumulate_slab. */
void accumulate_slab(int isa, const struct slab *, const struct sums *, const struct band *, char *scratch);
void aggregate_slab(int isa, const struct slab *, const struct normalised *, const struct sums *, const struct band *,
                    char *scratch);

/* The instruction sets of this build, best first, and whether this processor runs them. */
extern const int isa_count;
const char *isa_name(int isa);
int isa_runs(int isa);

#endif
