/* The choice of instruction set. */
#include "nlm.h"
#include "target.h"

int nlm_band_baseline(const struct pair *, index_t, index_t);
int nlm_band_avx2(const struct pair *, index_t, index_t);
int nlm_band_avx512(const struct pair *, index_t, index_t);
int nlm_spread_baseline(const struct pair *, index_t, index_t);
int nlm_spread_avx2(const struct pair *, index_t, index_t);
int nlm_spread_avx512(const struct pair *, index_t, index_t);

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

typedef int (*loops)(const struct pair *, index_t, index_t);
static const loops accumulate[] = {nlm_band_avx512, nlm_band_avx2, nlm_band_baseline};
static const loops aggregate[] = {nlm_spread_avx512, nlm_spread_avx2, nlm_spread_baseline};

int nlm_band(const struct pair *p, index_t first, index_t last)
{
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040); /* flush to zero, denormals are zero: tiny weights would cost 15 % */
    int failed = (p->normaliser ? aggregate : accumulate)[p->isa](p, first, last);
    _mm_setcsr(mode);
    return failed;
}
#else
const char *const nlm_isa_names[] = {"baseline"};
const int nlm_isa_count = 1;
int nlm_isa_runs(int isa) { return isa == 0; }

int nlm_band(const struct pair *p, index_t first, index_t last)
{
    return (p->normaliser ? nlm_spread_baseline : nlm_band_baseline)(p, first, last);
}
#endif
