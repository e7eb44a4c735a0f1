// The part of CUDA C++ that the kernels use, for a host compiler: g++ compiles the very same .cu files.
//
// One OS thread; each CUDA thread is a fiber that runs to its next synchronisation.  See runtime.cpp.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct Triple {
    unsigned x, y, z;
};
extern Triple threadIdx, blockIdx, blockDim, gridDim;  // set at each switch: only one fiber runs at a time

struct alignas(16) float4 {
    float x, y, z, w;
};

inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }

namespace emulator {

void *shared_memory();                          // of the running block, exactly as large as the launch said
int barrier(int predicate, int line);           // __syncthreads_and
uint64_t shuffle(unsigned mask, uint64_t value, int source, int line);
int lane();

struct Launch {
    Triple grid, block;
    size_t shared_bytes;
    void **arguments;  // as for cuLaunchKernel: where each argument lies
};
using Body = void (*)(void **arguments);
const char *run(const Launch &launch, Body body);  // null, or what went wrong

// Kernels by name.
struct Entry {
    const char *name;
    Body body;
    Entry *next;
    Entry(const char *name, Body body);
};
Body find(const char *name);

template <class... A, size_t... I>
void call(void (*kernel)(A...), void **arguments, std::index_sequence<I...>)
{
    kernel(*static_cast<std::remove_const_t<A> *>(arguments[I])...);
}

template <class... A>
void call(void (*kernel)(A...), void **arguments)
{
    call(kernel, arguments, std::index_sequence_for<A...>());
}

template <class T>
T exchange(unsigned mask, T value, int source, int line)
{
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    bits = shuffle(mask, bits, source, line);
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

}  // namespace emulator

#define EMULATE(kernel) \
    static emulator::Entry entry_##kernel(#kernel, [](void **arguments) { emulator::call(kernel, arguments); });

#define DYNAMIC_SHARED(type, name) type *const name = static_cast<type *>(emulator::shared_memory())

inline void __syncthreads(int line = __builtin_LINE()) { emulator::barrier(1, line); }
inline int __syncthreads_and(int predicate, int line = __builtin_LINE()) { return emulator::barrier(predicate, line); }

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int line = __builtin_LINE())
{
    return emulator::exchange(mask, value, source, line);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int line = __builtin_LINE())
{
    const int source = emulator::lane() - (int)delta;
    return emulator::exchange(mask, value, source < 0 ? emulator::lane() : source, line);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int line = __builtin_LINE())
{
    const int source = emulator::lane() + (int)delta;
    return emulator::exchange(mask, value, source > 31 ? emulator::lane() : source, line);
}

// As exact as the hardware's: off by up to 2^-22, and nothing below the smallest normal number.
inline float fast_exp2(float x)
{
    const float y = exp2f(x);
    if (y < 1.17549435e-38f) return 0.0f;
    uint32_t bits;
    std::memcpy(&bits, &y, sizeof bits);
    return y == 1.0f ? y : y * (1.0f + (bits & 1 ? 1.0f : -1.0f) * 0x1p-22f);
}
