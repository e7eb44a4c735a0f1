/* The choice of instruction set. */
#include "nlm.h"
#include "target.h"

#define FOR(isa)                                                        \
    size_t nlm_scratch_##isa(const struct pair *, index_t, index_t);    \
    void nlm_band_##isa(const struct pair *, index_t, index_t, char *);
FOR(baseline)
FOR(avx2)
FOR(avx512)

void nlm_spill(struct pair *p, index_t first, index_t last)
{
    index_t up = p->normaliser ? p->ry : 0, down = p->Ry + up;
    p->above = first < up ? first : up;
    p->below = p->H - last < down ? p->H - last : down;
}

#if NLM_X86
#include <xmmintrin.h>
const char *const nlm_isa_names[] = {"avx512", "avx2", "baseline"};
const int nlm_isa_count = 3;

int nlm_isa_runs(int isa)
{
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (isa == 0)
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    return isa == 1 ? avx2 : 1;
}

/* aggregate wants wide blocks, for their margins: 16 lanes have them only in wide planes (below 2048 columns they take
 * 1.1 to 1.4 times the time of 8, above the same).  accumulate need not follow: 16 and 8 lanes give the same weights. */
static int served_by(const struct pair *p) { return p->isa == 0 && p->normaliser && p->W < 4096 ? 1 : p->isa; }

size_t nlm_scratch(const struct pair *p, index_t first, index_t last)
{
    const int isa = served_by(p);
    return (isa == 0 ? nlm_scratch_avx512 : isa == 1 ? nlm_scratch_avx2 : nlm_scratch_baseline)(p, first, last);
}

void nlm_band(const struct pair *p, index_t first, index_t last, char *scratch)
{
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040); /* flush to zero, denormals are zero: tiny weights would cost 15 % */
    const int isa = served_by(p);
    (isa == 0 ? nlm_band_avx512 : isa == 1 ? nlm_band_avx2 : nlm_band_baseline)(p, first, last, scratch);
    _mm_setcsr(mode);
}
#else
const char *const nlm_isa_names[] = {"baseline"};
const int nlm_isa_count = 1;
int nlm_isa_runs(int isa) { return isa == 0; }
size_t nlm_scratch(const struct pair *p, index_t first, index_t last) { return nlm_scratch_baseline(p, first, last); }
void nlm_band(const struct pair *p, index_t first, index_t last, char *scratch) { nlm_band_baseline(p, first, last, scratch); }
#endif
