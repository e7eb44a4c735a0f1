// What the register kernels share: a thread's strip of 4 columns, its tile in shared memory, its sums.
//
// A warp covers 128 adjacent columns, 4 a lane; the warps of a block are stacked in y.  Sums along the row need
// up to PATCH_X columns of the neighbouring lanes, which come by shuffle; so `halo` lanes at either end of the
// warp only supply columns and own no output.
#pragma once
#include "window.cuh"

#ifndef CHANNELS
#define CHANNELS 1
#endif
#ifndef VALUES
#define VALUES 1
#endif
#ifndef PATCH_Y
#define PATCH_Y 3
#endif
#ifndef PATCH_X
#define PATCH_X 3
#endif
#ifndef BOX
#define BOX 1  // 1: all taps equal, their weight is in window.gain; 0: separable taps
#endif
#ifndef BIAS
#define BIAS 1  // 0: none; 1: a number; 2: bias and scale of each query pixel
#endif
#ifndef WARPS
#define WARPS 4
#endif
#ifndef TAIL
#define TAIL 1  // shifts in the last group of a row of the window: 1 or 3
#endif

constexpr int COLUMNS = 4;             // of a thread: one 16-byte read
constexpr int LANES = 32;
constexpr int SPAN = COLUMNS * LANES;  // columns of a block
constexpr int GROUP = 4;               // shifts along the row worked on together
constexpr unsigned ALL = 0xffffffffu;
constexpr float NEVER = 1e30f;         // a distance whose weight is 0

// A shift-independent place of the block in the plane: tile row 0 and column 0 of the thread strips.
struct Place {
    int y, x;
};

// Copies features with their reflection into `tile`: (CHANNELS, rows, columns), plane row y and column x first.
__device__ __forceinline__ void load_features(float *tile, const float *plane, int rows, int columns, int y, int x,
                                              const Window &window)
{
    for (int row = threadIdx.y; row < rows; row += WARPS) {
        const INDEX line = (INDEX)reflect(y + row, window.height) * window.width;
        for (int column = threadIdx.x; column < columns; column += LANES) {
            const INDEX at = line + reflect(x + column, window.width);
#pragma unroll
            for (int c = 0; c < CHANNELS; ++c)
                tile[(c * rows + row) * columns + column] =
                    window.gain * plane[c * ((INDEX)window.height * window.width) + at];
        }
    }
}

// Copies candidates into `values` (VALUES, rows, columns) and `votes` (rows, columns), 0 where nothing votes.
// True when every one of them votes.
__device__ __forceinline__ bool load_candidates(float *values, float *votes, const float *value, const float *vote,
                                                int rows, int columns, int y, int x, const Window &window)
{
    bool all = true;
    for (int row = threadIdx.y; row < rows; row += WARPS) {
        const bool real_row = y + row >= 0 && y + row < window.height;
        for (int column = threadIdx.x; column < columns; column += LANES) {
            const bool real = real_row && x + column >= 0 && x + column < window.width;
            const INDEX at = (INDEX)(y + row) * window.width + (x + column);
            const float counts = real ? vote[at] : 0.0f;
            all = all && counts == 1.0f;
            votes[row * columns + column] = counts;
#pragma unroll
            for (int v = 0; v < VALUES; ++v)
                values[(v * rows + row) * columns + column] =
                    real ? value[v * ((INDEX)window.height * window.width) + at] : 0.0f;
        }
    }
    return all;
}

// COUNT values from an address that is a multiple of 16 bytes.
template <int COUNT>
__device__ __forceinline__ void read(float (&to)[COUNT], const float *from)
{
#pragma unroll
    for (int n = 0; n < COUNT; n += 4) {
        const float4 quad = *reinterpret_cast<const float4 *>(from + n);
        const float four[4] = {quad.x, quad.y, quad.z, quad.w};
#pragma unroll
        for (int m = 0; m < 4 && n + m < COUNT; ++m) to[n + m] = four[m];
    }
}

// Sum over 2 PATCH_X + 1 columns around each of the four, all taps 1, without a running difference:
// each side's part of a neighbour is one of its prefix or suffix sums.
__device__ __forceinline__ void box_along_row(float (&sums)[COLUMNS], const float (&c)[COLUMNS])
{
    const float first2 = c[0] + c[1], last2 = c[2] + c[3];
    const float first[5] = {0, c[0], first2, first2 + c[2], first2 + last2};
    const float last[5] = {0, c[3], last2, c[1] + last2, first2 + last2};
    float from_left[5], from_right[5];
#pragma unroll
    for (int n = 1; n <= PATCH_X; ++n) {
        from_left[n] = __shfl_up_sync(ALL, last[n], 1);
        from_right[n] = __shfl_down_sync(ALL, first[n], 1);
    }
#pragma unroll
    for (int j = 0; j < COLUMNS; ++j) {
        const int begin = j - PATCH_X, end = j + PATCH_X + 1;  // columns of this thread, cut to 0..4
        if (begin <= 0 && end >= COLUMNS)
            sums[j] = first[4];
        else if (begin <= 0)
            sums[j] = first[end];
        else if (end >= COLUMNS)
            sums[j] = last[COLUMNS - begin];
        else
            sums[j] = PATCH_X == 0 ? c[j] : c[1] + (begin == 0 ? c[0] : c[2]);
        if (begin < 0) sums[j] += from_left[-begin];
        if (end > COLUMNS) sums[j] += from_right[end - COLUMNS];
    }
}

// The same with separable taps.
__device__ __forceinline__ void taps_along_row(float (&sums)[COLUMNS], const float (&c)[COLUMNS],
                                               const Window &window)
{
    float line[COLUMNS + 2 * PATCH_X];
#pragma unroll
    for (int n = 0; n < PATCH_X; ++n) {
        line[n] = __shfl_up_sync(ALL, c[COLUMNS - PATCH_X + n], 1);
        line[PATCH_X + COLUMNS + n] = __shfl_down_sync(ALL, c[n], 1);
    }
#pragma unroll
    for (int n = 0; n < COLUMNS; ++n) line[PATCH_X + n] = c[n];
#pragma unroll
    for (int j = 0; j < COLUMNS; ++j) {
        sums[j] = window.taps_x[0] * line[j];
#pragma unroll
        for (int o = 1; o <= 2 * PATCH_X; ++o) sums[j] += window.taps_x[o] * line[j + o];
    }
}

__device__ __forceinline__ void along_row(float (&sums)[COLUMNS], const float (&c)[COLUMNS], const Window &window)
{
    if (BOX)
        box_along_row(sums, c);
    else
        taps_along_row(sums, c, window);
}
