// Weighted sums over the search window, everything between the tile and the result in registers.
//
// formula:  window.cuh; numerator_v = sum_s w (value_j - own_value_i), denominator = sum_s w, peak = max_s w
// pointers: query, key (CHANNELS / PLANES, Z, H, W); value, own_value (VALUES, Z, H, W), VALUES >= 0; vote, bias,
//           scale (Z, H, W); numerator (slices, VALUES, planes, H, W); denominator, peak (slices, planes, H, W)
// thread:   4 adjacent columns x ROWS rows, GROUP shifts along the row at a time
// shared:   query (ROWS WARPS + 2 ry rows of 128), own_value; key, value and vote of one chunk of shifts
// numbers:  sm_90, r = 3, R = 10, bias and peak: 166 registers, 0 spills, 69 KiB, 12 warps on a multiprocessor,
//           18.6 issue slots a useful pair (15.7 bare; 15.5 without values, as the default call's first pass), at
//           most 3.6 Gpixel/s on an H100 (3.9; 4.3): counted 2026-11-30 in the code of NVRTC 13.5; speed not
//           measured (all settings: benchmarks/results/cuda_counts.md); a volume, patches of 3^3, R = 3: 167
//           registers, 0 spills, 87 KiB, 22.8 slots a pair and about 2.9 for loading; a plane of a patch more, 4
// tested:   tests/kernels/test_cuda_emulator.py, test_cuda_slab.py against nlmeans.backends.reference; test_cuda_compile.py
#include "strip.cuh"

#ifndef ROWS
#define ROWS 4
#endif
#ifndef TAIL
#define TAIL 1  // shifts in the last group of a row of the window, 1 or 3
#endif
#ifndef PEAK
#define PEAK 1
#endif
#ifndef BLOCKS
#define BLOCKS 3  // wanted on a multiprocessor at a time: sets the registers a thread may have
#endif

constexpr int STORED = VALUES > 0 ? VALUES : 1;  // no array has length 0
constexpr int BLOCK_ROWS = ROWS * WARPS;
constexpr int QUERY_ROWS = BLOCK_ROWS + 2 * PATCH_Y;
constexpr int HALO = PATCH_X > 0 ? 1 : 0;

// A thread's pixels of the result.
struct Totals {
    float numerator[STORED][ROWS][COLUMNS];
    float denominator[ROWS][COLUMNS], peak[ROWS][COLUMNS];
    float bias[ROWS][COLUMNS], scale[ROWS][COLUMNS];  // of the query pixels, for BIAS == 2
};

// Weights of one row from its column sums, and what they add to the totals.
template <int N, bool VOTES>
__device__ __forceinline__ void add_row(Totals &totals, const float (&column)[N][COLUMNS], const Corner &at,
                                        int row, const Window &window)
{
    float value[STORED][COLUMNS + N - 1], own[STORED][COLUMNS];
    Votes<N == 1, COLUMNS + N - 1> vote;
#pragma unroll
    for (int v = 0; v < VALUES; ++v) {
        read<N == 1>(value[v], at.value + v * at.value_plane + row * at.pitch);
        read(own[v], at.own_value + (v * BLOCK_ROWS + row) * SPAN);
    }
    if (VOTES) vote.read(at.vote + row * at.pitch);

#pragma unroll
    for (int k = 0; k < N; ++k) {
        float S[COLUMNS];
        along_row(S, column[k], window);
#pragma unroll
        for (int j = 0; j < COLUMNS; ++j) {
            float w = weight(S[j], totals.bias[row][j], totals.scale[row][j]);
            if (VOTES) w = vote.at(j + k) ? w : 0.0f;
#pragma unroll
            for (int v = 0; v < VALUES; ++v) totals.numerator[v][row][j] += w * (value[v][j + k] - own[v][j]);
            totals.denominator[row][j] += w;
            if (PEAK) totals.peak[row][j] = fmaxf(totals.peak[row][j], w);
        }
    }
}

// One group of N shifts; `skip` is the place of the one to leave out.
template <int N, bool VOTES>
__device__ __forceinline__ void sweep(Totals &totals, const Corner &at, int skip, const Window &window)
{
    float start[N];
    start_columns(start, skip, window);
    columns<ROWS, false, N, 0>(at, 0, start, window, [&](int row, const float (&column)[N][COLUMNS]) {
        add_row<N, VOTES>(totals, column, at, row, window);
    });
}

// All shifts of a chunk, `at` being its corner: by groups, and at the end of a row of shifts one of TAIL.
template <bool VOTES>
__device__ __forceinline__ void sweep_chunk(Totals &totals, Corner at, const Chunk &chunk, const Window &window)
{
    for (int y = 0; y < chunk.count_y; ++y) {
        const int skip = chunk.dz == 0 && window.own && chunk.dy + y == 0 ? -chunk.dx : -1;
        int dx = 0;
#pragma unroll 1
        for (; dx + GROUP <= chunk.count_x; dx += GROUP)
            sweep<GROUP, VOTES>(totals, at.moved(dx), skip - dx, window);
        if (dx < chunk.count_x) sweep<TAIL, VOTES>(totals, at.moved(dx), skip - dx, window);
        at = at.moved(chunk.pitch);
    }
}

__device__ __forceinline__ void start_totals(Totals &totals, int y, int x, const float *bias, const float *scale,
                                             const Window &window)
{
#pragma unroll
    for (int row = 0; row < ROWS; ++row)
#pragma unroll
        for (int j = 0; j < COLUMNS; ++j) {
#pragma unroll
            for (int v = 0; v < VALUES; ++v) totals.numerator[v][row][j] = 0;
            totals.denominator[row][j] = totals.peak[row][j] = 0;
            if (BIAS != 2) continue;
            const bool inside = in_plane(y + row, x + j, window);
            const INDEX i = (INDEX)(y + row) * window.width + (x + j);
            totals.bias[row][j] = inside && bias ? bias[i] : window.bias;
            totals.scale[row][j] = inside && scale ? scale[i] : window.scale;
        }
}

__device__ __forceinline__ void write_totals(const Totals &totals, const Place<HALO> &here, float *numerator,
                                             float *denominator, float *peak, const Window &window)
{
    const INDEX stack = (DEEP ? window.planes : 1) * plane_size(window), start = here.result * plane_size(window);
#pragma unroll
    for (int row = 0; row < ROWS; ++row)
#pragma unroll
        for (int j = 0; j < COLUMNS; ++j) {
            const int y = here.y + row, x = here.x + j;
            if (!in_plane(y, x, window)) continue;
            const INDEX i = start + (INDEX)y * window.width + x;
            const INDEX at = blockIdx.z * stack + i;
#pragma unroll
            for (int v = 0; v < VALUES; ++v)
                numerator[(blockIdx.z * VALUES + v) * stack + i] = totals.numerator[v][row][j];
            denominator[at] = totals.denominator[row][j];
            if (PEAK) peak[at] = totals.peak[row][j];
        }
}

extern "C" __global__ void __launch_bounds__(LANES * WARPS, BLOCKS)
accumulate(const float *__restrict__ query, const float *__restrict__ key, const float *__restrict__ value,
           const float *__restrict__ own_value, const float *__restrict__ vote, const float *__restrict__ bias,
           const float *__restrict__ scale, float *__restrict__ numerator, float *__restrict__ denominator,
           float *__restrict__ peak, const Window window)
{
    DYNAMIC_SHARED(float4, shared);
    const Place<HALO> here(ROWS, window);

    float *const query_tile = reinterpret_cast<float *>(shared);
    float *const own_tile = query_tile + CHANNELS * QUERY_ROWS * SPAN;
    float *const key_tile = own_tile + VALUES * BLOCK_ROWS * SPAN;
    load_features(query_tile, query, QUERY_ROWS, SPAN, here.z, here.block_y - PATCH_Y, here.block_x, window);
    load_values(own_tile, own_value, BLOCK_ROWS, SPAN, here.z, here.block_y, here.block_x, window);

    Totals totals;
    start_totals(totals, here.y, here.x, plane_of(bias, here.z, window), plane_of(scale, here.z, window), window);

    for (int n = blockIdx.z; n < Chunk::all(window); n += window.slices) {
        const Chunk chunk(n, window);
        const int z = here.z + chunk.dz;
        if (DEEP && (z < 0 || z >= window.depth)) continue;  // the whole block
        const int key_rows = QUERY_ROWS + chunk.count_y - 1, value_rows = BLOCK_ROWS + chunk.count_y - 1;
        float *const value_tile = key_tile + CHANNELS * key_rows * chunk.pitch;
        Vote *const vote_tile = reinterpret_cast<Vote *>(value_tile + VALUES * value_rows * chunk.pitch);
        const int y = here.block_y + chunk.dy, x = here.block_x + chunk.dx;

        __syncthreads();  // the chunk before is done with the tiles
        load_features(key_tile, key, key_rows, chunk.pitch, z, y - PATCH_Y, x, window);
        load_values(value_tile, value, value_rows, chunk.pitch, z, y, x, window);
        const bool all = load_votes(vote_tile, vote, value_rows, chunk.pitch, z, y, x, window);
        const bool all_vote = __syncthreads_and(all);
        if (here.y >= window.height) continue;  // a whole warp below the plane

        Corner at;
        const int own_corner = here.warp * ROWS * SPAN + here.lane * COLUMNS;
        at.query = query_tile + own_corner;
        at.own_value = own_tile + own_corner;
        const int corner = here.warp * ROWS * chunk.pitch + here.lane * COLUMNS;
        at.key = key_tile + corner;
        at.value = value_tile + corner;
        at.vote = vote_tile + corner;
        at.query_plane = QUERY_ROWS * SPAN;
        at.key_plane = key_rows * chunk.pitch;
        at.value_plane = value_rows * chunk.pitch;
        at.pitch = chunk.pitch;
        if (all_vote)
            sweep_chunk<false>(totals, at, chunk, window);
        else
            sweep_chunk<true>(totals, at, chunk, window);
    }

    if (here.owns()) write_totals(totals, here, numerator, denominator, peak, window);
}
