// The window kernels in their plainest form: one thread owns one pixel and nothing is shared.  They are right
// for every parameter and are the path for patch radii above 4; accumulate.cu and aggregate.cu are the quick ones.
//
// formula:  window.cuh; aggregate: p(i, s) = w(i, s) normaliser_i, B_s(x) = sum_o a(o) p(x - o, s)
// pointers: query, key (CHANNELS, Z, H, W); value, own_value (VALUES, Z, H, W); vote, bias, scale (Z, H, W);
//           numerator (VALUES, planes, H, W); normaliser, center, denominator, peak (planes, H, W);
//           taps_z, taps_y, taps_x (2r + 1); p (shifts, planes, H, W)
// thread:   one pixel (weigh: one pixel for each shift of the batch)
// shared:   none
// numbers:  O((2R+1)^n (2r+1)^n C) a pixel; not measured
// tested:   tests/kernels/test_cuda_emulator.py, test_cuda_slab.py against nlmeans.backends.reference
#include "window.cuh"

#ifndef CHANNELS
#define CHANNELS 1
#endif
#ifndef VALUES
#define VALUES 1
#endif

struct Pixel {
    int z, y, x;
    int result;  // plane of the results
    bool inside;
};

__device__ __forceinline__ Pixel own_pixel(const Window &window)
{
    Pixel i;
    const int block = blockIdx.x % window.blocks;
    i.result = blockIdx.x / window.blocks;
    i.z = window.first_plane + i.result;
    i.y = block / window.blocks_x * (int)blockDim.y + threadIdx.y;
    i.x = block % window.blocks_x * (int)blockDim.x + threadIdx.x;
    i.inside = i.y < window.height && i.x < window.width;
    return i;
}

struct Shift {
    int dz, dy, dx;
};

// Shift n of the window, along its rows.
__device__ __forceinline__ Shift shift_of(int n, const Window &window)
{
    const int columns = 2 * window.radius_x + 1, rows = 2 * window.radius_y + 1, line = n / columns;
    Shift s;
    s.dz = line / rows - window.radius_z;
    s.dy = line % rows - window.radius_y;
    s.dx = n % columns - window.radius_x;
    return s;
}

__device__ __forceinline__ int shifts_of(const Window &window)
{
    return (2 * window.radius_z + 1) * (2 * window.radius_y + 1) * (2 * window.radius_x + 1);
}

__device__ __forceinline__ bool has_candidate(const Pixel &i, const Shift &s, const Window &window)
{
    return i.z + s.dz >= 0 && i.z + s.dz < window.depth && in_plane(i.y + s.dy, i.x + s.dx, window);
}

__device__ __forceinline__ bool is_itself(const Shift &s, const Window &window)
{
    return window.own && s.dz == 0 && s.dy == 0 && s.dx == 0;
}

__device__ __forceinline__ INDEX offset(int z, int y, int x, const Window &window)
{
    return ((INDEX)z * window.height + y) * window.width + x;
}

// S(i, s): patches compared sample by sample, reflected at the borders.
__device__ float distance(const float *query, const float *key, const float *taps_z, const float *taps_y,
                          const float *taps_x, const Pixel &i, const Shift &s, const Window &window)
{
    const INDEX stack = window.depth * plane_size(window);
    float sum = 0;
    for (int oz = -window.patch_z; oz <= window.patch_z; ++oz) {
        const int z_i = reflect(i.z + oz, window.depth), z_j = reflect(i.z + s.dz + oz, window.depth);
        float plane = 0;
        for (int oy = -window.patch_y; oy <= window.patch_y; ++oy) {
            const int y_i = reflect(i.y + oy, window.height), y_j = reflect(i.y + s.dy + oy, window.height);
            float line = 0;
            for (int ox = -window.patch_x; ox <= window.patch_x; ++ox) {
                const INDEX at_i = offset(z_i, y_i, reflect(i.x + ox, window.width), window);
                const INDEX at_j = offset(z_j, y_j, reflect(i.x + s.dx + ox, window.width), window);
                float squared = 0;
                for (int c = 0; c < CHANNELS; ++c) {
                    const float difference = query[c * stack + at_i] - key[c * stack + at_j];
                    squared += difference * difference;
                }
                line += taps_x[ox + window.patch_x] * squared;
            }
            plane += taps_y[oy + window.patch_y] * line;
        }
        sum += taps_z[oz + window.patch_z] * plane;
    }
    return sum;
}

// w(i, s) of a candidate inside the volume.
__device__ float weight(float distance, float vote, INDEX i, const float *bias, const float *scale,
                        const Window &window)
{
    const float bias_i = bias ? bias[i] : window.bias;
    const float scale_i = scale ? scale[i] : window.scale;
    return fast_exp2(-fmaxf(scale_i * distance - bias_i, 0.0f)) * vote;
}

extern "C" __global__ void accumulate_readable(
    const float *__restrict__ query, const float *__restrict__ key, const float *__restrict__ value,
    const float *__restrict__ own_value, const float *__restrict__ vote, const float *__restrict__ bias,
    const float *__restrict__ scale, const float *__restrict__ taps_z, const float *__restrict__ taps_y,
    const float *__restrict__ taps_x, float *__restrict__ numerator, float *__restrict__ denominator,
    float *__restrict__ peak, const Window window)
{
    const Pixel pixel = own_pixel(window);
    if (!pixel.inside) return;
    const INDEX stack = window.depth * plane_size(window), results = window.planes * plane_size(window);
    const INDEX i = offset(pixel.z, pixel.y, pixel.x, window);

    float sum[VALUES > 0 ? VALUES : 1] = {};
    float total = 0, highest = 0;
    for (int n = 0; n < shifts_of(window); ++n) {
        const Shift s = shift_of(n, window);
        if (!has_candidate(pixel, s, window) || is_itself(s, window)) continue;
        const INDEX j = offset(pixel.z + s.dz, pixel.y + s.dy, pixel.x + s.dx, window);
        const float S = distance(query, key, taps_z, taps_y, taps_x, pixel, s, window);
        const float w = weight(S, vote[j], i, bias, scale, window);
        for (int v = 0; v < VALUES; ++v) sum[v] += w * (value[v * stack + j] - own_value[v * stack + i]);
        total += w;
        highest = fmaxf(highest, w);
    }

    const INDEX at = offset(pixel.result, pixel.y, pixel.x, window);
    for (int v = 0; v < VALUES; ++v) numerator[v * results + at] = sum[v];
    denominator[at] = total;
    if (peak) peak[at] = highest;
}

// p(i, s) for a batch of shifts, numbered along the rows of the window; shift n of the batch in grid.y.
extern "C" __global__ void weigh(
    const float *__restrict__ query, const float *__restrict__ key, const float *__restrict__ vote,
    const float *__restrict__ bias, const float *__restrict__ scale, const float *__restrict__ taps_z,
    const float *__restrict__ taps_y, const float *__restrict__ taps_x, const float *__restrict__ normaliser,
    const float *__restrict__ center, float *__restrict__ p, const Window window)
{
    const Pixel pixel = own_pixel(window);
    if (!pixel.inside) return;
    const INDEX i = offset(pixel.z, pixel.y, pixel.x, window);
    const INDEX at = offset(pixel.result, pixel.y, pixel.x, window);
    const Shift s = shift_of(window.first + (int)blockIdx.y, window);

    float w = 0;
    if (is_itself(s, window)) {
        w = center[at];
    } else if (has_candidate(pixel, s, window)) {
        const INDEX j = offset(pixel.z + s.dz, pixel.y + s.dy, pixel.x + s.dx, window);
        const float S = distance(query, key, taps_z, taps_y, taps_x, pixel, s, window);
        w = weight(S, vote[j], i, bias, scale, window);
    }
    p[blockIdx.y * (window.planes * plane_size(window)) + at] = w * normaliser[at];
}

// Sums B_s(x) times the difference of values and 1 over the shifts of the batch, on top of what is there if asked.
extern "C" __global__ void spread(
    const float *__restrict__ p, const float *__restrict__ value, const float *__restrict__ own_value,
    const float *__restrict__ vote, const float *__restrict__ taps_y, const float *__restrict__ taps_x,
    float *__restrict__ numerator, float *__restrict__ denominator, const Window window)
{
    const Pixel pixel = own_pixel(window);
    if (!pixel.inside) return;
    const INDEX stack = window.depth * plane_size(window), results = window.planes * plane_size(window);
    const INDEX i = offset(pixel.z, pixel.y, pixel.x, window);
    const INDEX own = offset(pixel.result, pixel.y, pixel.x, window);

    float sum[VALUES > 0 ? VALUES : 1] = {};
    float total = 0;
    for (int n = 0; n < window.count; ++n) {
        const Shift s = shift_of(window.first + n, window);
        if (!has_candidate(pixel, s, window)) continue;
        const INDEX j = offset(pixel.z + s.dz, pixel.y + s.dy, pixel.x + s.dx, window);
        float B = 0;
        for (int oy = -window.patch_y; oy <= window.patch_y; ++oy) {
            for (int ox = -window.patch_x; ox <= window.patch_x; ++ox) {
                if (!in_plane(pixel.y - oy, pixel.x - ox, window)) continue;
                const INDEX at = offset(pixel.result, pixel.y - oy, pixel.x - ox, window);
                B += taps_y[oy + window.patch_y] * taps_x[ox + window.patch_x] * p[n * results + at];
            }
        }
        B *= vote[j];
        for (int v = 0; v < VALUES; ++v) sum[v] += B * (value[v * stack + j] - own_value[v * stack + i]);
        total += B;
    }

    for (int v = 0; v < VALUES; ++v)
        numerator[v * results + own] = sum[v] + (window.add ? numerator[v * results + own] : 0);
    denominator[own] = total + (window.add ? denominator[own] : 0);
}
