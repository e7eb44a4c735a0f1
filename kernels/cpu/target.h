#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define NLM_X86 1
#else
#define NLM_X86 0
#endif
