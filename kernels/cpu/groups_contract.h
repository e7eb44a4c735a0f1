/* The two entries of NL-Ridge and what they are given: nlmeans/backends/groups, some rows of references at a time.
 *
 *     nearest     for each reference patch the k nearest patches of its window
 *     combine     for each group of patches their best linear combinations, and the patches put back in their places
 *
 * A patch is called by its first row and column.  Planes have `stride` >= W + PATCH_MARGIN columns, so that rows of
 * patches are read as whole vectors: what lies in columns W and up is never used.
 */
#ifndef NLM_GROUPS_CONTRACT_H
#define NLM_GROUPS_CONTRACT_H

#include "contract.h"

#include <stdint.h>

enum { PATCH_MARGIN = 32 };

/* The patches of a picture, and those of them that are references. */
struct grid {
    index_t H, W, stride;  /* of the planes */
    index_t py, px;        /* samples of a patch, at most H and W */
    index_t ny, nx;        /* how many rows and columns of references */
    const int32_t *rows;   /* (ny,) ascending, each at most H - py */
    const int32_t *cols;   /* (nx,) ascending, each at most W - px */
    index_t first, last;   /* the rows of references at hand: first .. last - 1 */
    index_t k;             /* patches of a group, the reference among them */
};

struct search {
    struct grid grid;
    index_t C, Ry, Rx;
    const float *feature;      /* (C, H, stride) */
    const float *barred;       /* (H, stride) at the first pixel of a patch: 0, or infinity: no partner; or NULL */
    struct per_query farthest; /* d of a partner, at most; finite: (H, stride) at the reference, or one for all */
    int32_t *partners;         /* (ny, nx, k) y W + x of each patch, the reference first, then by position; -1: none */
};

struct group {
    struct grid grid;
    index_t V;
    const float *noisy;         /* (V, H, stride) */
    const float *basis;         /* (V, H, stride) what the combinations are made for, == noisy in the first step */
    struct per_query variance;  /* of a patch's samples, summed: (H, stride) at its first pixel, or one for all */
    float ridge;                /* .. times this in Q */
    int weighted;               /* patches by their risk; else equally */
    const int32_t *partners;    /* (ny, nx, k) */
    index_t above, rows;        /* the first row of the sums and how many there are */
    float *numerator;           /* (V, rows, stride) sum over patches of weight times change, on top of what is there */
    float *votes;               /* (rows, stride) sum of the weights at the first pixels of patches, likewise */
};

size_t nearest_scratch(int isa, const struct search *);
size_t combine_scratch(int isa, const struct group *);
void nearest(int isa, const struct search *, char *scratch, const volatile unsigned char *stop);
void combine(int isa, const struct group *, char *scratch, const volatile unsigned char *stop);

#endif
