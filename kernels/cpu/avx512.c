#include "target.h"
#if NLM_X86
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,prefer-vector-width=512"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,prefer-vector-width=512")
#endif
#define LANES 16
#define NLM(name) name##_avx512
#include "window.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
