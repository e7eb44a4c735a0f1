#if defined(__GNUC__)
#define LANES 4
#if defined(__SSE2__)
#include <immintrin.h>
#endif
#else
#define LANES 1
#endif
#define NLM_BAND nlm_band_baseline
#include "window.h"
