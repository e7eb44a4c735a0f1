/* The entries for AVX-512. */
#include "isa.h"
#if NLM_X86
#include <immintrin.h> /* before the target, which is for the functions of this project */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,prefer-vector-width=512")
#endif
#define LANES 16
#define ISA(name) name##_avx512
#include "accumulate.h"
#include "aggregate.h"
#include "combine.h"
#include "nearest.h"
#include "slab.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
