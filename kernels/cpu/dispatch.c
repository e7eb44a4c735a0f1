/* accumulate, aggregate, nearest and combine on the instruction set that is asked for. */
#include "contract.h"
#include "isa.h"

static index_t least(index_t a, index_t b) { return a < b ? a : b; }

/* `reach`: how far from its pixel a weight's sums go. */
static void set_reach(const struct pair *p, struct band *band, index_t reach)
{
    band->above = least(band->first, reach);
    band->below = least(p->H - band->last, p->Ry + reach);
}

void accumulate_reach(const struct pair *p, struct band *band) { set_reach(p, band, 0); }
void aggregate_reach(const struct pair *p, struct band *band) { set_reach(p, band, p->ry); }

/* Between two planes a weight serves pixels above as well. */
static void set_slab_reach(const struct slab *s, struct band *band, index_t reach)
{
    band->above = least(band->first, s->Ry + reach);
    band->below = least(s->H - band->last, s->Ry + reach);
}

void accumulate_slab_reach(const struct slab *s, struct band *band) { set_slab_reach(s, band, 0); }
void aggregate_slab_reach(const struct slab *s, struct band *band) { set_slab_reach(s, band, s->ry); }

/* --- what the processor is and how it counts ----------------------------------------------------------------- */

static int runs_baseline(void) { return 1; }

#if NLM_X86
#include <xmmintrin.h>

static int runs_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int runs_avx512(void)
{
    return runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
}

/* Flush to zero, denormals are zero: tiny weights would cost 15 %.  Gives back how it was. */
static unsigned without_denormals(void)
{
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    return before;
}

static void restore(unsigned before) { _mm_setcsr(before); }
#else
static unsigned without_denormals(void) { return 0; }
static void restore(unsigned before) { (void)before; }
#endif

/* --- the choice ---------------------------------------------------------------------------------------------- */

#define NUMBER(isa) number_##isa,
enum { EACH_ISA(NUMBER) count };

static const struct {
    const char *name;
    int (*runs)(void);
    size_t (*accumulate_scratch)(const struct pair *, const struct sums *, const struct band *);
    size_t (*aggregate_scratch)(const struct pair *, const struct sums *, const struct band *);
    void (*accumulate)(const struct pair *, const struct sums *, const struct band *, char *);
    void (*aggregate)(const struct pair *, const struct normalised *, const struct sums *, const struct band *,
                      char *);
    size_t (*nearest_scratch)(const struct search *);
    size_t (*combine_scratch)(const struct group *);
    void (*nearest)(const struct search *, char *, const volatile unsigned char *);
    void (*combine)(const struct group *, char *, const volatile unsigned char *);
    size_t (*accumulate_slab_scratch)(const struct slab *, const struct sums *, const struct band *);
    size_t (*aggregate_slab_scratch)(const struct slab *, const struct sums *, const struct band *);
    void (*accumulate_slab)(const struct slab *, const struct sums *, const struct band *, char *);
    void (*aggregate_slab)(const struct slab *, const struct normalised *, const struct sums *, const struct band *,
                           char *);
} entries[] = {
#define ENTRIES(isa)                                                                                                   \
    {#isa,                                                                                                             \
     runs_##isa,                                                                                                       \
     accumulate_scratch_##isa,                                                                                         \
     aggregate_scratch_##isa,                                                                                          \
     accumulate_##isa,                                                                                                 \
     aggregate_##isa,                                                                                                  \
     nearest_scratch_##isa,                                                                                           \
     combine_scratch_##isa,                                                                                            \
     nearest_##isa,                                                                                                    \
     combine_##isa,                                                                                                    \
     accumulate_slab_scratch_##isa,                                                                                    \
     aggregate_slab_scratch_##isa,                                                                                     \
     accumulate_slab_##isa,                                                                                            \
     aggregate_slab_##isa},
    EACH_ISA(ENTRIES)};

const int isa_count = count;
const char *isa_name(int isa) { return entries[isa].name; }
int isa_runs(int isa) { return entries[isa].runs(); }

/* aggregate wants wide stripes, for their margins: 16 lanes have them in wide planes only.  Time by that of 8 lanes,
 * r = 1 to 4, R = 5 to 10, 1 and 3 channels: 0.96 to 1.16 at 128 columns, 0.81 to 1.02 at 384, 0.77 to 0.93 at 1024
 * (AMD EPYC of family 26, model 2, 2026-11-30).  accumulate need not follow: 16 and 8 lanes give the same weights. */
static int served_by(int isa, const struct pair *p)
{
#if NLM_X86
    if (isa == number_avx512 && p->W < 384)
        return number_avx2;
#endif
    (void)p;
    return isa;
}

size_t accumulate_scratch(int isa, const struct pair *p, const struct sums *sums, const struct band *band)
{
    return entries[isa].accumulate_scratch(p, sums, band);
}

size_t aggregate_scratch(int isa, const struct pair *p, const struct sums *sums, const struct band *band)
{
    return entries[served_by(isa, p)].aggregate_scratch(p, sums, band);
}

void accumulate(int isa, const struct pair *p, const struct sums *sums, const struct band *band, char *scratch)
{
    const unsigned before = without_denormals();
    entries[isa].accumulate(p, sums, band, scratch);
    restore(before);
}

void aggregate(int isa, const struct pair *p, const struct normalised *normalised, const struct sums *sums,
               const struct band *band, char *scratch)
{
    const unsigned before = without_denormals();
    entries[served_by(isa, p)].aggregate(p, normalised, sums, band, scratch);
    restore(before);
}

size_t nearest_scratch(int isa, const struct search *search) { return entries[isa].nearest_scratch(search); }
size_t combine_scratch(int isa, const struct group *group) { return entries[isa].combine_scratch(group); }

void nearest(int isa, const struct search *search, char *scratch, const volatile unsigned char *stop)
{
    entries[isa].nearest(search, scratch, stop); /* denormal distances are as good as any */
}

void combine(int isa, const struct group *group, char *scratch, const volatile unsigned char *stop)
{
    const unsigned before = without_denormals();
    entries[isa].combine(group, scratch, stop);
    restore(before);
}

/* --- slabs --------------------------------------------------------------------------------------------------- */

/* Planes are lanes: where 8 lanes stay less empty than 16, they are faster (16 take 0.7 times the time when full). */
static int served_slab_by(int isa, const struct slab *s)
{
#if NLM_X86
    const index_t planes = s->last - s->first;
    if (isa == number_avx512 && 7 * ((planes + 15) / 16 * 2) > 10 * ((planes + 7) / 8))
        return number_avx2;
#endif
    (void)s;
    return isa;
}

size_t accumulate_slab_scratch(int isa, const struct slab *s, const struct sums *sums, const struct band *band)
{
    return entries[served_slab_by(isa, s)].accumulate_slab_scratch(s, sums, band);
}

size_t aggregate_slab_scratch(int isa, const struct slab *s, const struct sums *sums, const struct band *band)
{
    return entries[served_slab_by(isa, s)].aggregate_slab_scratch(s, sums, band);
}

void accumulate_slab(int isa, const struct slab *s, const struct sums *sums, const struct band *band, char *scratch)
{
    const unsigned before = without_denormals();
    entries[served_slab_by(isa, s)].accumulate_slab(s, sums, band, scratch);
    restore(before);
}

void aggregate_slab(int isa, const struct slab *s, const struct normalised *normalised, const struct sums *sums,
                    const struct band *band, char *scratch)
{
    const unsigned before = without_denormals();
    entries[served_slab_by(isa, s)].aggregate_slab(s, normalised, sums, band, scratch);
    restore(before);
}
