#include "target.h"
#if NLM_X86
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define LANES 8
#define NLM(name) name##_avx2
#include "window.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
