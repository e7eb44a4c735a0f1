// Weighted sums over the search window, everything between the tile and the result in registers.
//
// formula:  window.cuh; numerator_v = sum_s w v_j, denominator = sum_s w, peak = max_s w, squares = sum_s w^2
// pointers: query, key (CHANNELS, H, W); value (VALUES, H, W); vote, bias, scale (H, W);
//           numerator (slices, VALUES, H, W); denominator, peak, squares (slices, H, W)
// thread:   4 adjacent columns x ROWS rows, GROUP shifts along the row at a time
// shared:   query (ROWS WARPS + 2 ry rows of 128), key, value and vote of one chunk of shifts
// numbers:  see kernels/README.md: counted issue slots, registers and predicted rate; speed not measured
// tested:   tests/test_cuda_emulator.py against nlmeans.backends.reference
#include "strip.cuh"

#ifndef ROWS
#define ROWS 4
#endif
#ifndef PEAK
#define PEAK 1
#endif
#ifndef SQUARES
#define SQUARES 0
#endif
#ifndef BLOCKS
#define BLOCKS 3  // wanted on a multiprocessor at a time: sets the registers a thread may have
#endif

constexpr int BLOCK_ROWS = ROWS * WARPS;
constexpr int QUERY_ROWS = BLOCK_ROWS + 2 * PATCH_Y;
constexpr int FIRST_KEPT = ROWS - 1;  // rows below this leave the window again: they are summed from below
static_assert(!BOX || PATCH_Y == 0 || FIRST_KEPT <= 2 * PATCH_Y + 1, "one split of the rows must do");

// A thread's pixels of the result.
struct Totals {
    float numerator[VALUES][ROWS][COLUMNS];
    float denominator[ROWS][COLUMNS], peak[ROWS][COLUMNS], squares[ROWS][COLUMNS];
    float bias[ROWS][COLUMNS], scale[ROWS][COLUMNS];  // of the query pixels, for BIAS == 2
};

// The thread's corner of each tile, at the first shift of the group.
struct Corner {
    const float *query, *key, *value, *vote;
    int key_plane, value_plane, pitch;  // words between planes, and between rows
};

// Squared differences of one row: sum over channels, for N shifts and 4 columns.
template <int N>
__device__ __forceinline__ void squared_row(float (&squared)[N][COLUMNS], const Corner &at, int row)
{
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) {
        float a[COLUMNS], b[COLUMNS + N - 1];
        read(a, at.query + (c * QUERY_ROWS + row) * SPAN);
        read(b, at.key + c * at.key_plane + row * at.pitch);
#pragma unroll
        for (int k = 0; k < N; ++k)
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j) {
                const float difference = a[j] - b[j + k];
                squared[k][j] = c == 0 ? difference * difference : squared[k][j] + difference * difference;
            }
    }
}

// Weights of one output row from its patch sums, and what they add to the totals.
template <int N, bool VOTES>
__device__ __forceinline__ void add_row(Totals &totals, const float (&column)[N][COLUMNS], const Corner &at,
                                        int row, const Window &window)
{
    float value[VALUES][COLUMNS + N - 1], vote[COLUMNS + N - 1];
#pragma unroll
    for (int v = 0; v < VALUES; ++v) read(value[v], at.value + v * at.value_plane + row * at.pitch);
    if (VOTES) read(vote, at.vote + row * at.pitch);

#pragma unroll
    for (int k = 0; k < N; ++k) {
        float S[COLUMNS];
        along_row(S, column[k], window);
#pragma unroll
        for (int j = 0; j < COLUMNS; ++j) {
            if (BIAS == 2) S[j] = totals.scale[row][j] * S[j] - totals.bias[row][j];
            float w = fast_exp2(BIAS ? -fmaxf(S[j], 0.0f) : -S[j]);
            if (VOTES) w *= vote[j + k];
#pragma unroll
            for (int v = 0; v < VALUES; ++v) totals.numerator[v][row][j] += w * value[v][j + k];
            totals.denominator[row][j] += w;
            if (PEAK) totals.peak[row][j] = fmaxf(totals.peak[row][j], w);
            if (SQUARES) totals.squares[row][j] += w * w;
        }
    }
}

// One group of N shifts, box patch.  Column sums without subtraction, so that nothing cancels after an edge:
// rows 0 .. ROWS - 2 are summed from below, the others from above, and an output row is one of each.
template <int N, bool VOTES>
__device__ __forceinline__ void sweep_box(Totals &totals, const Corner &at, const float (&start)[N],
                                          const Window &window)
{
    float squared[N][COLUMNS], leaving[ROWS][N][COLUMNS], staying[N][COLUMNS], column[N][COLUMNS];
    constexpr int leaving_rows = PATCH_Y == 0 ? 0 : FIRST_KEPT;
#pragma unroll
    for (int row = leaving_rows - 1; row >= 0; --row) {
        squared_row<N>(squared, at, row);
#pragma unroll
        for (int k = 0; k < N; ++k)
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j)
                leaving[row][k][j] = squared[k][j] + (row == leaving_rows - 1 ? 0.0f : leaving[row + 1][k][j]);
    }
#pragma unroll
    for (int k = 0; k < N; ++k)
#pragma unroll
        for (int j = 0; j < COLUMNS; ++j) staying[k][j] = start[k];

#pragma unroll
    for (int row = 0; row < ROWS; ++row) {
        // Rows that enter with this output row: all that stay, with the first.
#pragma unroll
        for (int enters = 0; enters < ROWS + 2 * PATCH_Y; ++enters) {
            if (enters < leaving_rows || enters > row + 2 * PATCH_Y) continue;
            if (row > 0 && enters < row + 2 * PATCH_Y) continue;
            squared_row<N>(squared, at, enters);
#pragma unroll
            for (int k = 0; k < N; ++k)
#pragma unroll
                for (int j = 0; j < COLUMNS; ++j)
                    staying[k][j] = squared[k][j] + (PATCH_Y == 0 ? start[k] : staying[k][j]);
        }
#pragma unroll
        for (int k = 0; k < N; ++k)
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j)
                column[k][j] = row < leaving_rows ? staying[k][j] + leaving[row][k][j] : staying[k][j];
        add_row<N, VOTES>(totals, column, at, row, window);
    }
}

// One group of N shifts, any separable taps.
template <int N, bool VOTES>
__device__ __forceinline__ void sweep_taps(Totals &totals, const Corner &at, const float (&start)[N],
                                           const Window &window)
{
    float squared[N][COLUMNS], column[ROWS][N][COLUMNS];
#pragma unroll
    for (int row = 0; row < ROWS; ++row)
#pragma unroll
        for (int k = 0; k < N; ++k)
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j) column[row][k][j] = start[k];

#pragma unroll
    for (int enters = 0; enters < ROWS + 2 * PATCH_Y; ++enters) {
        squared_row<N>(squared, at, enters);
#pragma unroll
        for (int row = 0; row < ROWS; ++row)
            if (row <= enters && enters <= row + 2 * PATCH_Y)
#pragma unroll
                for (int k = 0; k < N; ++k)
#pragma unroll
                    for (int j = 0; j < COLUMNS; ++j)
                        column[row][k][j] += window.taps_y[enters - row] * squared[k][j];
        if (enters >= 2 * PATCH_Y)
            add_row<N, VOTES>(totals, column[enters - 2 * PATCH_Y], at, enters - 2 * PATCH_Y, window);
    }
}

// One group of N shifts; `skip` is the place of the shift (0, 0) in it, if it is to be left out.
template <int N, bool VOTES>
__device__ __forceinline__ void sweep(Totals &totals, const Corner &at, int skip, const Window &window)
{
    float start[N];
#pragma unroll
    for (int k = 0; k < N; ++k) start[k] = k == skip ? NEVER : (BIAS == 1 ? window.start : 0.0f);
    if (BOX)
        sweep_box<N, VOTES>(totals, at, start, window);
    else
        sweep_taps<N, VOTES>(totals, at, start, window);
}

// All shifts of a chunk: rows dy of the window, and along each groups of GROUP with a last one of TAIL.
template <bool VOTES>
__device__ __forceinline__ void sweep_chunk(Totals &totals, const Corner &corner, int first_dy, int count_y,
                                            int first_dx, int count_x, bool has_tail, const Window &window)
{
    const int groups = (count_x - (has_tail ? TAIL : 0)) / GROUP;
    for (int y = 0; y < count_y; ++y) {
        Corner at = corner;
        at.key += y * at.pitch;
        at.value += y * at.pitch;
        at.vote += y * at.pitch;
        int skip = window.own && first_dy + y == 0 ? -first_dx : -GROUP - 1;
#pragma unroll 1
        for (int group = 0; group < groups; ++group) {
            sweep<GROUP, VOTES>(totals, at, skip, window);
            at.key += GROUP;
            at.value += GROUP;
            at.vote += GROUP;
            skip -= GROUP;
        }
        if (has_tail) sweep<TAIL, VOTES>(totals, at, skip, window);
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
            totals.denominator[row][j] = totals.peak[row][j] = totals.squares[row][j] = 0;
            if (BIAS != 2) continue;
            const bool real = y + row < window.height && x + j >= 0 && x + j < window.width;
            const INDEX i = (INDEX)(y + row) * window.width + (x + j);
            totals.bias[row][j] = real && bias ? bias[i] : window.bias;
            // A scale of 0 must not make NEVER count.
            totals.scale[row][j] = fmaxf(real && scale ? scale[i] : window.scale, 1e-20f);
        }
}

__device__ __forceinline__ void write_totals(const Totals &totals, int y, int x, float *numerator,
                                             float *denominator, float *peak, float *squares, const Window &window)
{
    const INDEX plane = (INDEX)window.height * window.width;
#pragma unroll
    for (int row = 0; row < ROWS; ++row)
#pragma unroll
        for (int j = 0; j < COLUMNS; ++j) {
            if (y + row >= window.height || x + j < 0 || x + j >= window.width) continue;
            const INDEX i = (INDEX)(y + row) * window.width + (x + j);
            const INDEX at = blockIdx.z * plane + i;
#pragma unroll
            for (int v = 0; v < VALUES; ++v)
                numerator[(blockIdx.z * VALUES + v) * plane + i] = totals.numerator[v][row][j];
            denominator[at] = totals.denominator[row][j];
            if (PEAK) peak[at] = totals.peak[row][j];
            if (SQUARES) squares[at] = totals.squares[row][j];
        }
}

extern "C" __global__ void __launch_bounds__(LANES * WARPS, BLOCKS)
accumulate(const float *__restrict__ query, const float *__restrict__ key, const float *__restrict__ value,
           const float *__restrict__ vote, const float *__restrict__ bias, const float *__restrict__ scale,
           float *__restrict__ numerator, float *__restrict__ denominator, float *__restrict__ peak,
           float *__restrict__ squares, const Window window)
{
    DYNAMIC_SHARED(float4, shared);
    constexpr int halo = PATCH_X > 0 ? 1 : 0;
    const int lane = threadIdx.x;
    const int warp = __shfl_sync(ALL, (int)threadIdx.y, 0);  // says to the compiler that a warp agrees on it
    const int block_y = (int)(blockIdx.x / window.blocks_x) * BLOCK_ROWS;
    const int block_x = (int)(blockIdx.x % window.blocks_x) * (SPAN - 2 * halo * COLUMNS) - halo * COLUMNS;
    const int y = block_y + warp * ROWS, x = block_x + lane * COLUMNS;

    float *const query_tile = reinterpret_cast<float *>(shared);
    float *const chunk_tile = query_tile + CHANNELS * QUERY_ROWS * SPAN;
    load_features(query_tile, query, QUERY_ROWS, SPAN, block_y - PATCH_Y, block_x, window);

    Totals totals;
    start_totals(totals, y, x, bias, scale, window);

    for (int chunk = blockIdx.z; chunk < window.chunks_y * window.chunks_x; chunk += window.slices) {
        const int row = chunk / window.chunks_x, column = chunk % window.chunks_x;
        const int first_dy = row * window.chunk_y - window.radius_y;
        const int first_dx = column * window.chunk_x - window.radius_x;
        const bool last_column = column == window.chunks_x - 1;
        const int count_y = min(window.chunk_y, window.radius_y + 1 - first_dy);
        const int count_x = last_column ? window.radius_x + 1 - first_dx : window.chunk_x;

        // Groups read whole quads: up to 3 columns past the last candidate.
        const int pitch = SPAN + ((count_x + 2) & ~3);
        const int key_rows = QUERY_ROWS + count_y - 1, value_rows = BLOCK_ROWS + count_y - 1;
        float *const key_tile = chunk_tile;
        float *const value_tile = key_tile + CHANNELS * key_rows * pitch;
        float *const vote_tile = value_tile + VALUES * value_rows * pitch;

        __syncthreads();  // the chunk before is done with the tiles
        load_features(key_tile, key, key_rows, pitch, block_y - PATCH_Y + first_dy, block_x + first_dx, window);
        const bool all = load_candidates(value_tile, vote_tile, value, vote, value_rows, pitch, block_y + first_dy,
                                         block_x + first_dx, window);
        const bool all_vote = __syncthreads_and(all);
        if (y >= window.height) continue;  // a whole warp below the plane

        Corner at;
        at.query = query_tile + warp * ROWS * SPAN + lane * COLUMNS;
        at.key = key_tile + warp * ROWS * pitch + lane * COLUMNS;
        at.value = value_tile + warp * ROWS * pitch + lane * COLUMNS;
        at.vote = vote_tile + warp * ROWS * pitch + lane * COLUMNS;
        at.key_plane = key_rows * pitch;
        at.value_plane = value_rows * pitch;
        at.pitch = pitch;
        if (all_vote)
            sweep_chunk<false>(totals, at, first_dy, count_y, first_dx, count_x, last_column, window);
        else
            sweep_chunk<true>(totals, at, first_dy, count_y, first_dx, count_x, last_column, window);
    }

    if (lane >= halo && lane < LANES - halo) write_totals(totals, y, x, numerator, denominator, peak, squares, window);
}
