/* The instruction sets that this build has, best first, and the entries that each of them provides: the text of
 * accumulate.h, aggregate.h, nearest.h and combine.h is compiled once for each. */
#ifndef NLM_ISA_H
#define NLM_ISA_H

#include "groups_contract.h"

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define NLM_X86 1
#define EACH_ISA(X) X(avx512) X(avx2) X(baseline)
#else
#define NLM_X86 0
#define EACH_ISA(X) X(baseline)
#endif

#define DECLARE_ENTRIES(isa)                                                                                           \
    size_t accumulate_scratch_##isa(const struct pair *, const struct sums *, const struct band *);                    \
    size_t aggregate_scratch_##isa(const struct pair *, const struct sums *, const struct band *);                     \
    void accumulate_##isa(const struct pair *, const struct sums *, const struct band *, char *);                      \
    void aggregate_##isa(const struct pair *, const struct normalised *, const struct sums *, const struct band *,     \
                         char *);                                                                                      \
    size_t nearest_scratch_##isa(const struct search *);                                                               \
    size_t combine_scratch_##isa(const struct group *);                                                                \
    void nearest_##isa(const struct search *, char *, const volatile unsigned char *);                                 \
    void combine_##isa(const struct group *, char *, const volatile unsigned char *);                                  \
    size_t accumulate_slab_scratch_##isa(const struct slab *, const struct sums *, const struct band *);               \
    size_t aggregate_slab_scratch_##isa(const struct slab *, const struct sums *, const struct band *);                \
    void accumulate_slab_##isa(const struct slab *, const struct sums *, const struct band *, char *);                 \
    void aggregate_slab_##isa(const struct slab *, const struct normalised *, const struct sums *,                     \
                              const struct band *, char *);
EACH_ISA(DECLARE_ENTRIES)
#undef DECLARE_ENTRIES

#endif
