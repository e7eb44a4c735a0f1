// Every patch votes for all of its pixels: two windows of sums, one for the distances and one for the weights.
//
// formula:  p(i, s) = w(i, s) normaliser_i, B_s(x) = sum_o a(o) p(x - o, s) over patch centres in the plane;
//           numerator_v(x) = sum_s B_s(x) vote(x + s) (value(x + s) - own_value(x)),
//           denominator(x) = sum_s B_s(x) vote(x + s)
// pointers: as in accumulate.cu; normaliser (planes, H, W).  The pixel itself, the shift 0, is left to `spread`
// thread:   4 adjacent columns x ROWS rows of the result, PAIR shifts along the row at a time
// shared:   query, normaliser, own_value; key, value and vote of one chunk of shifts
// numbers:  sm_90, r = 3, R = 10, bias: 253 registers, 0 spills, 113 KiB, 8 warps on a multiprocessor,
//           36.0 issue slots a useful pair, at most 1.56 Gpixel/s on an H100: counted 2026-11-30 in the code of
//           NVRTC 13.5; speed not measured (all settings: benchmarks/results/cuda_counts.md); a volume, patches of
//           3^3, R = 3: 162 registers, 0 spills, 103 KiB, 38.2 slots a pair and about 3.4 for loading
// tested:   tests/kernels/test_cuda_emulator.py, test_cuda_slab.py against nlmeans.backends.reference; test_cuda_compile.py
#include "strip.cuh"

#ifndef ROWS
#define ROWS 8
#endif
#ifndef BLOCKS
#define BLOCKS 2  // wanted on a multiprocessor at a time: sets the registers a thread may have
#endif

constexpr int PAIR = 2;
constexpr int HALO = (2 * PATCH_X + COLUMNS - 1) / COLUMNS;  // lanes whose weights or sums miss neighbours
constexpr int BLOCK_ROWS = ROWS * WARPS;
constexpr int WEIGHT_ROWS = BLOCK_ROWS + 2 * PATCH_Y;  // rows of p that the block's result needs
constexpr int QUERY_ROWS = WEIGHT_ROWS + 2 * PATCH_Y;
constexpr int LEAVING = PATCH_Y == 0 ? 0 : ROWS - 1;  // rows of p that leave again, as in box_columns

// A thread's pixels of the result.
struct Totals {
    float numerator[VALUES][ROWS][COLUMNS];
    float denominator[ROWS][COLUMNS];
};

// The thread's corner of the tiles (WEIGHT_ROWS, SPAN) that belong to the query pixels.
struct Query {
    const float *normaliser, *bias, *scale;
};

// p of one row from its column sums.
template <int N, int FIRST, bool VOTES>
__device__ __forceinline__ void weights_of_row(float (&p)[N][COLUMNS], const float (&column)[N][COLUMNS],
                                               const Query &query, const Corner &at, int row, const Window &window)
{
    float normaliser[COLUMNS], bias[COLUMNS], scale[COLUMNS];
    Votes<N == 1, COLUMNS + FIRST + N - 1> vote;
    read(normaliser, query.normaliser + row * SPAN);
    if (VOTES) vote.read(at.vote + row * at.pitch);
    if (BIAS == 2) {
        read(bias, query.bias + row * SPAN);
        read(scale, query.scale + row * SPAN);
    }
#pragma unroll
    for (int k = 0; k < N; ++k) {
        float S[COLUMNS];
        along_row(S, column[k], window);
#pragma unroll
        for (int j = 0; j < COLUMNS; ++j) {
            p[k][j] = (BIAS == 2 ? weight(S[j], bias[j], scale[j]) : weight(S[j], 0, 0)) * normaliser[j];
            if (VOTES) p[k][j] = vote.at(j + FIRST + k) ? p[k][j] : 0.0f;
        }
    }
}

// B of one row of the result from its column sums, and what it adds.
template <int N, int FIRST, bool VOTES>
__device__ __forceinline__ void add_row(Totals &totals, const float (&column)[N][COLUMNS], const Corner &at,
                                        int row, const Window &window)
{
    float value[VALUES][COLUMNS + FIRST + N - 1], own[VALUES][COLUMNS];
    Votes<N == 1, COLUMNS + FIRST + N - 1> vote;
#pragma unroll
    for (int v = 0; v < VALUES; ++v) {
        read<N == 1>(value[v], at.value + v * at.value_plane + row * at.pitch);
        read(own[v], at.own_value + (v * BLOCK_ROWS + row) * SPAN);
    }
    if (VOTES) vote.read(at.vote + (row + PATCH_Y) * at.pitch);
#pragma unroll
    for (int k = 0; k < N; ++k) {
        float B[COLUMNS];
        along_row(B, column[k], window);
#pragma unroll
        for (int j = 0; j < COLUMNS; ++j) {
            if (VOTES) B[j] = vote.at(j + FIRST + k) ? B[j] : 0.0f;
#pragma unroll
            for (int v = 0; v < VALUES; ++v)
                totals.numerator[v][row][j] += B[j] * (value[v][j + FIRST + k] - own[v][j]);
            totals.denominator[row][j] += B[j];
        }
    }
}

// The N shifts of a group from FIRST on.  Rows of p come in two runs: those that leave the window of the
// result again, upwards, then the others, downwards; so both windows are summed without subtraction.
template <int N, int FIRST, bool VOTES>
__device__ __forceinline__ void sweep(Totals &totals, const Query &query, const Corner &at, int skip,
                                      const Window &window)
{
    float start[N], p[N][COLUMNS], sums[ROWS][N][COLUMNS], staying[N][COLUMNS] = {};
    start_columns(start, skip - FIRST, window);
    if constexpr (!BOX) {
#pragma unroll
        for (int row = 0; row < ROWS; ++row)
#pragma unroll
            for (int k = 0; k < N; ++k)
#pragma unroll
                for (int j = 0; j < COLUMNS; ++j) sums[row][k][j] = 0;
    }

    // Row n of p, into the column sums of every row of the result that it belongs to.
    const auto enter = [&](int n, const float (&column)[N][COLUMNS]) {
        weights_of_row<N, FIRST, VOTES>(p, column, query, at, n, window);
        if constexpr (!BOX) {
#pragma unroll
            for (int row = 0; row < ROWS; ++row)
                if (row <= n && n <= row + 2 * PATCH_Y)
#pragma unroll
                    for (int k = 0; k < N; ++k)
#pragma unroll
                        for (int j = 0; j < COLUMNS; ++j) sums[row][k][j] += window.taps_y[n - row] * p[k][j];
        }
    };
    const auto finish = [&](int row) {
        float column[N][COLUMNS];
#pragma unroll
        for (int k = 0; k < N; ++k)
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j)
                column[k][j] = !BOX          ? sums[row][k][j]
                               : row < LEAVING ? staying[k][j] + sums[row][k][j]
                                               : staying[k][j];
        add_row<N, FIRST, VOTES>(totals, column, at, row, window);
    };

    if constexpr (LEAVING > 0) {
        columns<LEAVING, true, N, FIRST>(at, 0, start, window, [&](int n, const float (&column)[N][COLUMNS]) {
            enter(n, column);
            if constexpr (BOX) {
#pragma unroll
                for (int k = 0; k < N; ++k)
#pragma unroll
                    for (int j = 0; j < COLUMNS; ++j)
                        sums[n][k][j] = p[k][j] + (n == LEAVING - 1 ? 0.0f : sums[n + 1][k][j]);
            }
        });
        if (2 * PATCH_Y < LEAVING) finish(0);
    }
    columns<ROWS + 2 * PATCH_Y - LEAVING, false, N, FIRST>(
        at, LEAVING, start, window, [&](int n, const float (&column)[N][COLUMNS]) {
            enter(n + LEAVING, column);
#pragma unroll
            for (int k = 0; k < N; ++k)
#pragma unroll
                for (int j = 0; j < COLUMNS; ++j) staying[k][j] = PATCH_Y == 0 ? p[k][j] : staying[k][j] + p[k][j];
            if (n + LEAVING >= 2 * PATCH_Y) finish(n + LEAVING - 2 * PATCH_Y);
        });
}

// All shifts of a chunk, `at` being its corner.  Where everything votes, by pairs: the first and the second of
// each group in loops of their own, since together they would need more registers than there are.
__device__ __forceinline__ void sweep_chunk(Totals &totals, const Query &query, Corner at, const Chunk &chunk,
                                            bool all_vote, const Window &window)
{
    for (int y = 0; y < chunk.count_y; ++y) {
        const int skip = chunk.dz == 0 && window.own && chunk.dy + y == 0 ? -chunk.dx : -1;
        int dx = 0;
        if (all_vote) {
#pragma unroll 1
            for (dx = 0; dx + PAIR <= chunk.count_x; dx += GROUP)
                sweep<PAIR, 0, false>(totals, query, at.moved(dx), skip - dx, window);
#pragma unroll 1
            for (dx = 0; dx + GROUP <= chunk.count_x; dx += GROUP)
                sweep<PAIR, PAIR, false>(totals, query, at.moved(dx), skip - dx, window);
            dx = chunk.count_x / PAIR * PAIR;
        }
#pragma unroll 1
        for (; dx < chunk.count_x; ++dx) sweep<1, 0, true>(totals, query, at.moved(dx), skip - dx, window);
        at = at.moved(chunk.pitch);
    }
}

// Copies a plane of the query pixels in the rows of p into `tile`, times `gain`; `otherwise` outside the plane,
// and everywhere without a plane.
__device__ __forceinline__ void load_query(float *tile, const float *plane, float gain, float otherwise,
                                           const Place<HALO> &here, const Window &window)
{
    for (int row = threadIdx.y; row < WEIGHT_ROWS; row += WARPS)
        for (int column = threadIdx.x; column < SPAN; column += LANES) {
            const int y = here.block_y - PATCH_Y + row, x = here.block_x + column;
            tile[row * SPAN + column] =
                plane && in_plane(y, x, window) ? gain * plane[(INDEX)y * window.width + x] : otherwise;
        }
}

__device__ __forceinline__ void write_totals(const Totals &totals, const Place<HALO> &here, float *numerator,
                                             float *denominator, const Window &window)
{
    const INDEX stack = (DEEP ? window.planes : 1) * plane_size(window), start = here.result * plane_size(window);
#pragma unroll
    for (int row = 0; row < ROWS; ++row)
#pragma unroll
        for (int j = 0; j < COLUMNS; ++j) {
            const int y = here.y + row, x = here.x + j;
            if (!in_plane(y, x, window)) continue;
            const INDEX i = start + (INDEX)y * window.width + x;
#pragma unroll
            for (int v = 0; v < VALUES; ++v)
                numerator[(blockIdx.z * VALUES + v) * stack + i] = totals.numerator[v][row][j];
            denominator[blockIdx.z * stack + i] = totals.denominator[row][j];
        }
}

extern "C" __global__ void __launch_bounds__(LANES * WARPS, BLOCKS)
aggregate(const float *__restrict__ query, const float *__restrict__ key, const float *__restrict__ value,
          const float *__restrict__ own_value, const float *__restrict__ vote, const float *__restrict__ bias,
          const float *__restrict__ scale, const float *__restrict__ normaliser, float *__restrict__ numerator,
          float *__restrict__ denominator, const Window window)
{
    DYNAMIC_SHARED(float4, shared);
    const Place<HALO> here(ROWS, window);

    float *const query_tile = reinterpret_cast<float *>(shared);
    float *const normaliser_tile = query_tile + CHANNELS * QUERY_ROWS * SPAN;
    float *const bias_tile = normaliser_tile + WEIGHT_ROWS * SPAN;
    float *const scale_tile = bias_tile + (BIAS == 2 ? WEIGHT_ROWS * SPAN : 0);
    float *const own_tile = scale_tile + (BIAS == 2 ? WEIGHT_ROWS * SPAN : 0);
    float *const key_tile = own_tile + VALUES * BLOCK_ROWS * SPAN;
    load_features(query_tile, query, QUERY_ROWS, SPAN, here.z, here.block_y - 2 * PATCH_Y, here.block_x, window);
    load_values(own_tile, own_value, BLOCK_ROWS, SPAN, here.z, here.block_y, here.block_x, window);
    // Only patch centres in the plane count, so the normaliser is 0 outside.
    load_query(normaliser_tile, plane_of(normaliser, here.result, window),
               BOX ? window.taps_y[0] * window.taps_x[0] : 1.0f, 0.0f, here, window);
    if (BIAS == 2) {
        load_query(bias_tile, plane_of(bias, here.z, window), 1.0f, window.bias, here, window);
        load_query(scale_tile, plane_of(scale, here.z, window), 1.0f, window.scale, here, window);
    }

    Totals totals = {};
    Query own;
    const int own_corner = here.warp * ROWS * SPAN + here.lane * COLUMNS;
    own.normaliser = normaliser_tile + own_corner;
    own.bias = bias_tile + own_corner;
    own.scale = scale_tile + own_corner;

    for (int n = blockIdx.z; n < Chunk::all(window); n += window.slices) {
        const Chunk chunk(n, window);
        const int z = here.z + chunk.dz;
        if (DEEP && (z < 0 || z >= window.depth)) continue;  // the whole block
        const int key_rows = QUERY_ROWS + chunk.count_y - 1, vote_rows = WEIGHT_ROWS + chunk.count_y - 1;
        const int value_rows = BLOCK_ROWS + chunk.count_y - 1;
        float *const value_tile = key_tile + CHANNELS * key_rows * chunk.pitch;
        Vote *const vote_tile = reinterpret_cast<Vote *>(value_tile + VALUES * value_rows * chunk.pitch);
        const int y = here.block_y + chunk.dy, x = here.block_x + chunk.dx;

        __syncthreads();  // the chunk before is done with the tiles
        load_features(key_tile, key, key_rows, chunk.pitch, z, y - 2 * PATCH_Y, x, window);
        load_values(value_tile, value, value_rows, chunk.pitch, z, y, x, window);
        const bool all = load_votes(vote_tile, vote, vote_rows, chunk.pitch, z, y - PATCH_Y, x, window);
        const bool all_vote = __syncthreads_and(all);
        if (here.y >= window.height) continue;  // a whole warp below the plane

        Corner at;
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
        sweep_chunk(totals, own, at, chunk, all_vote, window);
    }

    if (here.owns()) write_totals(totals, here, numerator, denominator, window);
}
