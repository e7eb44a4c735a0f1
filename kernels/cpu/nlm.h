/* The window kernel on a processor: what module.c (the binding) and window.c (the loops) share. */
#ifndef NLM_H
#define NLM_H

#include <stddef.h>

typedef ptrdiff_t index_t;

/* One pair of planes (nlmeans/backends/contract.py) and where its sums go; all arrays C-contiguous. */
struct pair {
    index_t C, V, H, W;
    index_t Ry, Rx;       /* search radius, less than H and W */
    index_t ry, rx;       /* patch radius */
    const float *query;   /* (C, H, W) */
    const float *key;     /* (C, H, W), == query within one plane */
    const float *value;   /* (V, H, W) */
    const float *vote;    /* (H, W) */
    const float *taps_y;  /* (2 ry + 1,) */
    const float *taps_x;  /* (2 rx + 1,) */
    const float *bias;    /* (H, W), or one number */
    const float *scale;   /* (H, W), or one number */
    int bias_is_plane, scale_is_plane;
    int own;              /* the shift (0, 0) is the pixel itself */
    int isa;              /* index into the table of instruction sets */
    const float *normaliser; /* (H, W); NULL asks for accumulate, else aggregate */
    const float *centre;     /* (H, W); with own and normaliser only */
    const float *weight_sum; /* (H, W) sum of a pixel's normalised weights; with normaliser only */
    float *numerator;     /* (V, H, W) */
    float *denominator;   /* (H, W) */
    float *peak;          /* (H, W) or NULL */
    float *spill;         /* (V + 1 + peak, above + below, W): sums for the rows around the band */
    index_t above, below; /* rows of the spill: see nlm_spill */
    const volatile unsigned char *stop; /* != 0: give up soon; what was written is then meaningless */
};

/* Sets above and below. */
void nlm_spill(struct pair *p, index_t first, index_t last);

/* Bytes of scratch memory that a band needs. */
size_t nlm_scratch(const struct pair *p, index_t first, index_t last);

/* Sums for the rows first..last-1 of the plane (and into spill). */
void nlm_band(const struct pair *p, index_t first, index_t last, char *scratch);

/* Names of the instruction sets of this build, best first, and whether this processor has them. */
extern const char *const nlm_isa_names[];
extern const int nlm_isa_count;
int nlm_isa_runs(int isa);

#endif
