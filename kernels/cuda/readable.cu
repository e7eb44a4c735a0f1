// The window kernels in their plainest form: one thread owns one pixel and nothing is shared.  They are right
// for every parameter and are the path for patch radii above 4; accumulate.cu and aggregate.cu are the quick ones.
//
// formula:  window.cuh; aggregate: p(i, s) = w(i, s) normaliser_i, B_s(x) = sum_o a(o) p(x - o, s)
// pointers: query, key (CHANNELS, H, W); value, own_value, numerator (VALUES, H, W); vote, bias, scale, normaliser, center,
//           denominator, peak (H, W); taps_y, taps_x (2r + 1); p (shifts, H, W)
// thread:   one pixel (weigh: one pixel for each shift of the batch)
// shared:   none
// numbers:  O((2R+1)^2 (2r+1)^2 C) a pixel; not measured
// tested:   tests/kernels/test_cuda_emulator.py against nlmeans.backends.reference
#include "window.cuh"

#ifndef CHANNELS
#define CHANNELS 1
#endif
#ifndef VALUES
#define VALUES 1
#endif

struct Pixel {
    int y, x;
    bool inside;
};

__device__ __forceinline__ Pixel own_pixel(const Window &window)
{
    Pixel i;
    i.y = (int)(blockIdx.x / window.blocks_x) * blockDim.y + threadIdx.y;
    i.x = (int)(blockIdx.x % window.blocks_x) * blockDim.x + threadIdx.x;
    i.inside = i.y < window.height && i.x < window.width;
    return i;
}

__device__ __forceinline__ INDEX offset(int y, int x, const Window &window)
{
    return (INDEX)y * window.width + x;
}

// S(i, s): patches compared sample by sample, reflected at the borders.
__device__ float distance(const float *query, const float *key, const float *taps_y, const float *taps_x,
                          int y, int x, int dy, int dx, const Window &window)
{
    const INDEX plane = (INDEX)window.height * window.width;
    float sum = 0;
    for (int oy = -window.patch_y; oy <= window.patch_y; ++oy) {
        const INDEX row_i = (INDEX)reflect(y + oy, window.height) * window.width;
        const INDEX row_j = (INDEX)reflect(y + dy + oy, window.height) * window.width;
        float line = 0;
        for (int ox = -window.patch_x; ox <= window.patch_x; ++ox) {
            const INDEX at_i = row_i + reflect(x + ox, window.width);
            const INDEX at_j = row_j + reflect(x + dx + ox, window.width);
            float squared = 0;
            for (int c = 0; c < CHANNELS; ++c) {
                const float difference = query[c * plane + at_i] - key[c * plane + at_j];
                squared += difference * difference;
            }
            line += taps_x[ox + window.patch_x] * squared;
        }
        sum += taps_y[oy + window.patch_y] * line;
    }
    return sum;
}

// w(i, s) of a candidate inside the plane.
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
    const float *__restrict__ scale, const float *__restrict__ taps_y, const float *__restrict__ taps_x,
    float *__restrict__ numerator, float *__restrict__ denominator, float *__restrict__ peak, const Window window)
{
    const Pixel pixel = own_pixel(window);
    if (!pixel.inside) return;
    const INDEX plane = (INDEX)window.height * window.width;
    const INDEX i = offset(pixel.y, pixel.x, window);

    float sum[VALUES > 0 ? VALUES : 1] = {};
    float total = 0, highest = 0;
    for (int dy = -window.radius_y; dy <= window.radius_y; ++dy) {
        for (int dx = -window.radius_x; dx <= window.radius_x; ++dx) {
            if (!in_plane(pixel.y + dy, pixel.x + dx, window)) continue;
            if (window.own && dy == 0 && dx == 0) continue;
            const INDEX j = offset(pixel.y + dy, pixel.x + dx, window);
            const float S = distance(query, key, taps_y, taps_x, pixel.y, pixel.x, dy, dx, window);
            const float w = weight(S, vote[j], i, bias, scale, window);
            for (int v = 0; v < VALUES; ++v) sum[v] += w * (value[v * plane + j] - own_value[v * plane + i]);
            total += w;
            highest = fmaxf(highest, w);
        }
    }

    for (int v = 0; v < VALUES; ++v) numerator[v * plane + i] = sum[v];
    denominator[i] = total;
    if (peak) peak[i] = highest;
}

// p(i, s) for a batch of shifts, numbered along the rows of the window; shift n of the batch in grid.y.
extern "C" __global__ void weigh(
    const float *__restrict__ query, const float *__restrict__ key, const float *__restrict__ vote,
    const float *__restrict__ bias, const float *__restrict__ scale, const float *__restrict__ taps_y,
    const float *__restrict__ taps_x, const float *__restrict__ normaliser, const float *__restrict__ center,
    float *__restrict__ p, const Window window)
{
    const Pixel pixel = own_pixel(window);
    if (!pixel.inside) return;
    const INDEX plane = (INDEX)window.height * window.width;
    const INDEX i = offset(pixel.y, pixel.x, window);
    const int shift = window.first + (int)blockIdx.y;
    const int dy = shift / (2 * window.radius_x + 1) - window.radius_y;
    const int dx = shift % (2 * window.radius_x + 1) - window.radius_x;

    float w = 0;
    if (window.own && dy == 0 && dx == 0) {
        w = center[i];
    } else if (in_plane(pixel.y + dy, pixel.x + dx, window)) {
        const float S = distance(query, key, taps_y, taps_x, pixel.y, pixel.x, dy, dx, window);
        w = weight(S, vote[offset(pixel.y + dy, pixel.x + dx, window)], i, bias, scale, window);
    }
    p[blockIdx.y * plane + i] = w * normaliser[i];
}

// Sums B_s(x) times the difference of values and 1 over the shifts of the batch, on top of what is there if asked.
extern "C" __global__ void spread(
    const float *__restrict__ p, const float *__restrict__ value, const float *__restrict__ own_value,
    const float *__restrict__ vote, const float *__restrict__ taps_y, const float *__restrict__ taps_x,
    float *__restrict__ numerator, float *__restrict__ denominator, const Window window)
{
    const Pixel pixel = own_pixel(window);
    if (!pixel.inside) return;
    const INDEX plane = (INDEX)window.height * window.width;
    const INDEX i = offset(pixel.y, pixel.x, window);

    float sum[VALUES > 0 ? VALUES : 1] = {};
    float total = 0;
    for (int n = 0; n < window.count; ++n) {
        const int dy = (window.first + n) / (2 * window.radius_x + 1) - window.radius_y;
        const int dx = (window.first + n) % (2 * window.radius_x + 1) - window.radius_x;
        if (!in_plane(pixel.y + dy, pixel.x + dx, window)) continue;
        const INDEX j = offset(pixel.y + dy, pixel.x + dx, window);
        float B = 0;
        for (int oy = -window.patch_y; oy <= window.patch_y; ++oy) {
            for (int ox = -window.patch_x; ox <= window.patch_x; ++ox) {
                if (!in_plane(pixel.y - oy, pixel.x - ox, window)) continue;
                const INDEX at = offset(pixel.y - oy, pixel.x - ox, window);
                B += taps_y[oy + window.patch_y] * taps_x[ox + window.patch_x] * p[n * plane + at];
            }
        }
        B *= vote[j];
        for (int v = 0; v < VALUES; ++v) sum[v] += B * (value[v * plane + j] - own_value[v * plane + i]);
        total += B;
    }

    for (int v = 0; v < VALUES; ++v) numerator[v * plane + i] = sum[v] + (window.add ? numerator[v * plane + i] : 0);
    denominator[i] = total + (window.add ? denominator[i] : 0);
}
