/* The entries for AVX2 with FMA. */
#include "isa.h"
#if NLM_X86
#include <immintrin.h> /* before the target, which is for the functions of this project */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define LANES 8
#define ISA(name) name##_avx2
#include "accumulate.h"
#include "aggregate.h"
#include "combine.h"
#include "nearest.h"
#include "slab.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
