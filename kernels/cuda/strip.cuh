// What the register kernels share: a thread's strip of 4 columns, its tile in shared memory, its sums.
//
// A warp covers 128 adjacent columns, 4 a lane; the warps of a block are stacked in y.  Sums along the row need
// up to PATCH_X columns of the neighbouring lanes, which come by shuffle; so `halo` lanes at either end of the
// warp only supply columns and own no output.
#pragma once
#include "window.cuh"

#ifndef DEEP
#define DEEP 0      // 1: planes of a volume; 0: one plane against another, and no register for what is 0
#endif
#ifndef PLANES
#define PLANES 1    // of a patch, along z
#endif
#ifndef CHANNELS
#define CHANNELS 1  // the planes of a patch are as many channels: PLANES for each of the image
#endif
#ifndef VALUES
#define VALUES 1
#endif
#ifndef UNROLLED_CHANNELS
#define UNROLLED_CHANNELS CHANNELS  // 1 needs fewer registers
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
typedef unsigned char Vote;            // 0 or 1, in shared memory
constexpr int COLUMNS = 4;             // of a thread: one 16-byte read
constexpr int LANES = 32;
constexpr int SPAN = COLUMNS * LANES;  // columns of a block
constexpr int GROUP = 4;               // shifts along the row worked on together
constexpr unsigned ALL = 0xffffffffu;
constexpr float NEVER = 1e30f;         // a distance whose weight is 0 ...
constexpr float LEAST_SCALE = 1e-20f;  // ... even with this scale

// Copies features of the patches around plane z with their reflection into `tile`: (CHANNELS, rows, columns),
// plane row y and column x first.
__device__ __forceinline__ void load_features(float *tile, const float *feature, int rows, int columns, int z, int y,
                                              int x, const Window &window)
{
    const float *plane[CHANNELS];
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) {
        const int other = PLANES == 1 ? z : reflect(z + c % PLANES - PLANES / 2, window.depth);
        plane[c] = plane_of(feature, (DEEP ? c / PLANES * window.depth : c) + other, window);
    }
    for (int row = threadIdx.y; row < rows; row += WARPS) {
        const INDEX line = (INDEX)reflect(y + row, window.height) * window.width;
        for (int column = threadIdx.x; column < columns; column += LANES) {
            const INDEX at = line + reflect(x + column, window.width);
#pragma unroll
            for (int c = 0; c < CHANNELS; ++c)
                tile[(c * rows + row) * columns + column] =
                    (PLANES == 1 ? window.gain : window.gain * window.roots_z[c % PLANES]) * plane[c][at];
        }
    }
}

// Copies values of plane z into `tile` (VALUES, rows, columns), 0 outside the plane.
__device__ __forceinline__ void load_values(float *tile, const float *value, int rows, int columns, int z, int y,
                                            int x, const Window &window)
{
    const INDEX stack = (DEEP ? window.depth : 1) * plane_size(window);
    value = plane_of(value, z, window);
    for (int row = threadIdx.y; row < rows; row += WARPS)
        for (int column = threadIdx.x; column < columns; column += LANES) {
            const bool inside = in_plane(y + row, x + column, window);
            const INDEX at = (INDEX)(y + row) * window.width + (x + column);
#pragma unroll
            for (int v = 0; v < VALUES; ++v)
                tile[(v * rows + row) * columns + column] =
                    inside ? value[v * stack + at] : 0.0f;
        }
}

// Copies votes of plane z into `tile` (rows, columns), 0 outside the plane; true when all that this thread saw are 1.
__device__ __forceinline__ bool load_votes(Vote *tile, const float *vote, int rows, int columns, int z, int y, int x,
                                           const Window &window)
{
    vote = plane_of(vote, z, window);
    bool all = true;
    for (int row = threadIdx.y; row < rows; row += WARPS)
        for (int column = threadIdx.x; column < columns; column += LANES) {
            const bool inside = in_plane(y + row, x + column, window);
            const float counts = inside ? vote[(INDEX)(y + row) * window.width + (x + column)] : 0.0f;
            tile[row * columns + column] = (Vote)counts;
            all = all && counts == 1.0f;
        }
    return all;
}

// COUNT values from an address that is a multiple of 16 bytes; ANYWHERE, that is any.
template <bool ANYWHERE = false, int COUNT>
__device__ __forceinline__ void read(float (&to)[COUNT], const float *from)
{
#pragma unroll
    for (int n = 0; n < COUNT; n += COLUMNS) {
        float quad[COLUMNS];
        if (ANYWHERE) {
#pragma unroll
            for (int m = 0; m < COLUMNS; ++m) quad[m] = from[n + m];
        } else {
            const float4 four = *reinterpret_cast<const float4 *>(from + n);
            quad[0] = four.x, quad[1] = four.y, quad[2] = four.z, quad[3] = four.w;
        }
#pragma unroll
        for (int m = 0; m < COLUMNS && n + m < COUNT; ++m) to[n + m] = quad[m];
    }
}

// COUNT votes, four in a register, from an address that is a multiple of four of them; ANYWHERE, that is any.
template <bool ANYWHERE, int COUNT>
struct Votes {
    unsigned words[(COUNT + 3) / 4];

    __device__ __forceinline__ void read(const Vote *from)
    {
#pragma unroll
        for (int n = 0; n < (COUNT + 3) / 4; ++n) {
            if (!ANYWHERE) {
                words[n] = *reinterpret_cast<const unsigned *>(from + 4 * n);
            } else {
                words[n] = 0;
#pragma unroll
                for (int m = 0; m < 4 && 4 * n + m < COUNT; ++m) words[n] |= (unsigned)from[4 * n + m] << 8 * m;
            }
        }
    }

    __device__ __forceinline__ bool at(int n) const { return words[n / 4] & 1u << 8 * (n % 4); }
};

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

// The thread's corner of each tile, at the first shift of a group.
struct Corner {
    const float *query, *own_value, *key, *value;
    const Vote *vote;
    int query_plane, key_plane, value_plane, pitch;  // words between planes, and between rows

    // So many words further in the tiles of the candidates; query and own_value belong to the pixels.
    __device__ __forceinline__ Corner moved(int words) const
    {
        Corner to = *this;
        to.key += words;
        to.value += words;
        to.vote += words;
        return to;
    }
};

// What a column sum starts from, for each shift: never counts where it is the place `skip`.
template <int N>
__device__ __forceinline__ void start_columns(float (&start)[N], int skip, const Window &window)
{
#pragma unroll
    for (int k = 0; k < N; ++k) start[k] = k == skip ? NEVER : (BIAS == 1 ? window.start : 0.0f);
}

// Squared differences of one row: sum over channels, for 4 columns and the N shifts from FIRST on.
// A single shift may lie anywhere, groups begin at a multiple of 16 bytes.
constexpr int unrolled_channels = UNROLLED_CHANNELS; // nvcc expands no macro in a pragma

template <int N, int FIRST>
__device__ __forceinline__ void squared_row(float (&squared)[N][COLUMNS], const Corner &at, int row)
{
#pragma unroll unrolled_channels
    for (int c = 0; c < CHANNELS; ++c) {
        float a[COLUMNS], b[COLUMNS + FIRST + N - 1];
        read(a, at.query + c * at.query_plane + row * SPAN);
        read<N == 1>(b, at.key + c * at.key_plane + row * at.pitch);
#pragma unroll
        for (int k = 0; k < N; ++k)
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j) {
                const float difference = a[j] - b[j + FIRST + k];
                squared[k][j] = c == 0 ? difference * difference : squared[k][j] + difference * difference;
            }
    }
}

// Column sums of COUNT rows, box patch, handed to `use(row, column)` downwards or (UP) upwards.  No
// subtraction, so that nothing cancels after an edge: the first COUNT - 1 rows, which leave again, are
// summed against the order, the others with it, and a column sum is one of each.
template <int COUNT, bool UP, int N, int FIRST, class Use>
__device__ __forceinline__ void box_columns(const Corner &at, int first_row, const float (&start)[N], const Use &use)
{
    constexpr int leaving_rows = PATCH_Y == 0 ? 0 : COUNT - 1, last = COUNT - 1 + 2 * PATCH_Y;
    static_assert(leaving_rows <= 2 * PATCH_Y + 1, "one split of the rows must do");
    float squared[N][COLUMNS], leaving[COUNT][N][COLUMNS], staying[N][COLUMNS], column[N][COLUMNS];
#pragma unroll
    for (int row = leaving_rows - 1; row >= 0; --row) {
        squared_row<N, FIRST>(squared, at, first_row + (UP ? last - row : row));
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

    const auto enter = [&](int row) {
        squared_row<N, FIRST>(squared, at, first_row + (UP ? last - row : row));
#pragma unroll
        for (int k = 0; k < N; ++k)
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j)
                staying[k][j] = squared[k][j] + (PATCH_Y == 0 ? start[k] : staying[k][j]);
    };
#pragma unroll
    for (int row = leaving_rows; row < 2 * PATCH_Y; ++row) enter(row);
#pragma unroll
    for (int row = 0; row < COUNT; ++row) {
        if (row + 2 * PATCH_Y >= leaving_rows) enter(row + 2 * PATCH_Y);
#pragma unroll
        for (int k = 0; k < N; ++k)
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j)
                column[k][j] = row < leaving_rows ? staying[k][j] + leaving[row][k][j] : staying[k][j];
        use(UP ? COUNT - 1 - row : row, column);
    }
}

// The same with any separable taps.
template <int COUNT, bool UP, int N, int FIRST, class Use>
__device__ __forceinline__ void taps_columns(const Corner &at, int first_row, const float (&start)[N],
                                             const Window &window, const Use &use)
{
    constexpr int last = COUNT - 1 + 2 * PATCH_Y;
    float squared[N][COLUMNS], column[COUNT][N][COLUMNS];
#pragma unroll
    for (int row = 0; row < COUNT; ++row)
#pragma unroll
        for (int k = 0; k < N; ++k)
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j) column[row][k][j] = start[k];

#pragma unroll
    for (int enters = 0; enters <= last; ++enters) {
        squared_row<N, FIRST>(squared, at, first_row + (UP ? last - enters : enters));
#pragma unroll
        for (int row = 0; row < COUNT; ++row)
            if (row <= enters && enters <= row + 2 * PATCH_Y)
#pragma unroll
                for (int k = 0; k < N; ++k)
#pragma unroll
                    for (int j = 0; j < COLUMNS; ++j)
                        column[row][k][j] +=
                            window.taps_y[UP ? 2 * PATCH_Y - (enters - row) : enters - row] * squared[k][j];
        if (enters >= 2 * PATCH_Y)
            use(UP ? last - enters : enters - 2 * PATCH_Y, column[enters - 2 * PATCH_Y]);
    }
}

template <int COUNT, bool UP, int N, int FIRST, class Use>
__device__ __forceinline__ void columns(const Corner &at, int first_row, const float (&start)[N],
                                        const Window &window, const Use &use)
{
    if (BOX)
        box_columns<COUNT, UP, N, FIRST>(at, first_row, start, use);
    else
        taps_columns<COUNT, UP, N, FIRST>(at, first_row, start, window, use);
}

// w of a patch sum, before the vote.
__device__ __forceinline__ float weight(float S, float bias, float scale)
{
    if (BIAS == 2) S = fmaxf(scale, LEAST_SCALE) * S - bias;
    return fast_exp2(BIAS ? -fmaxf(S, 0.0f) : -S);
}

// Where a block's threads stand, and which columns they own.
template <int HALO>
struct Place {
    int lane, warp;  // HALO lanes at either end own no output
    int z, block_y, block_x, y, x;
    int result;  // plane of the results

    __device__ __forceinline__ Place(int rows, const Window &window)
    {
        lane = threadIdx.x;
        warp = __shfl_sync(ALL, (int)threadIdx.y, 0);  // says to the compiler that a warp agrees on it
        const unsigned block = DEEP ? blockIdx.x % window.blocks : blockIdx.x;
        result = DEEP ? (int)(blockIdx.x / window.blocks) : 0;
        z = DEEP ? window.first_plane + result : 0;
        block_y = (int)(block / window.blocks_x) * rows * WARPS;
        block_x = (int)(block % window.blocks_x) * (SPAN - 2 * HALO * COLUMNS) - HALO * COLUMNS;
        y = block_y + warp * rows;
        x = block_x + lane * COLUMNS;
    }

    __device__ __forceinline__ bool owns() const { return lane >= HALO && lane < LANES - HALO; }
};

// Chunk n of the window: its shifts, from (dz, dy, dx) on.
struct Chunk {
    int dz, dy, dx, count_y, count_x;
    int pitch;      // groups read whole quads: up to 3 columns past the last candidate

    // How many there are.
    static __device__ __forceinline__ int all(const Window &window)
    {
        return (DEEP ? 2 * window.radius_z + 1 : 1) * window.chunks_y * window.chunks_x;
    }

    __device__ __forceinline__ Chunk(int n, const Window &window)
    {
        const int line = n / window.chunks_x, column = n % window.chunks_x;
        const int row = DEEP ? line % window.chunks_y : line;
        dz = DEEP ? line / window.chunks_y - window.radius_z : 0;
        dy = row * window.chunk_y - window.radius_y;
        dx = column * window.chunk_x - window.radius_x;
        count_y = min(window.chunk_y, window.radius_y + 1 - dy);
        count_x = column == window.chunks_x - 1 ? window.radius_x + 1 - dx : window.chunk_x;
        pitch = SPAN + ((count_x + 2) & ~3);
    }
};
