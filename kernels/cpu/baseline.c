#if defined(__GNUC__)
#define LANES 4
#if defined(__SSE2__)
#include <immintrin.h>
#endif
#else
#define LANES 1
#endif
#define NLM(name) name##_baseline
#include "window.h"
