// What every kernel of the window shares: the arguments, the border rule, the exponential.
//
//     S(i, s) = sum_c sum_o a(o) (query_c(i + o) - key_c(j + o))^2        j = i + s, a(o) = taps_y(oy) taps_x(ox)
//     w(i, s) = 2^-max(scale_i S(i, s) - bias_i, 0) * vote_j              j inside the plane, else 0
//
// Planes are (H, W) float32, row after row; stacks of planes follow one another.  i is a query pixel, s a
// shift of the search window, j its candidate.  kernels/README.md tells which function does which step of the
// NumPy reference.
//
// A volume is a stack of DEPTH planes for each channel and value, and shifts and patches go along z too:
// S(i, s) = sum_oz a(oz) S_oz(i, s), of the planes z + oz and z + dz + oz, reflected by index at the ends.  One
// plane against another is a volume of depth 1.  Results have the planes that are to be denoised only.
#pragma once

#ifndef INDEX
#define INDEX int  // type of an offset into a plane; long long where a stack has 2^29 samples or more
#endif
#ifndef MAX_TAPS
#define MAX_TAPS 9  // the register kernels go to patch radius 4
#endif

#ifndef DYNAMIC_SHARED  // a host emulation brings its own pair
#define DYNAMIC_SHARED(type, name) extern __shared__ type name[]

// 2^x, relative error 2^-22; results below 2^-126 are 0.
__device__ __forceinline__ float fast_exp2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
#endif

// One launch's numbers, passed by value; the launch plan has the same fields in the same order.
struct Window {
    int depth, height, width;          // of a volume; 1 plane in a pair
    int first_plane, planes;           // those to denoise
    int radius_z, radius_y, radius_x;  // search radius
    int patch_z, patch_y, patch_x;     // patch radius
    int own;                 // 1 when query and key are one: the pixel itself, the shift 0, is left out
    int blocks, blocks_x;    // blocks that cover a plane, and a row of it
    int chunk_y, chunk_x;    // shifts whose tile is in shared memory at a time
    int chunks_y, chunks_x;  // how many such chunks make one plane of the window; the last ones may be smaller
    int slices;              // grid.z: chunk n belongs to slice n % slices
    int first, count;        // shifts of a batch, for the kernels that keep a weight plane a shift
    int add;                 // 1 when `spread` adds to what is there
    float bias, scale;       // where they are numbers
    float gain;              // factor of the features: sqrt of a box tap, and of a scale that is a number
    float start;             // what a column sum starts from: -bias / sum of the horizontal taps
    float roots_z[MAX_TAPS];  // square roots of the taps along z, factors of the features
    float taps_y[MAX_TAPS], taps_x[MAX_TAPS];
};

// Index of the symmetric reflection, folded modulo 2n: any index, any n >= 1.
__device__ __forceinline__ int reflect(int index, int n)
{
    if (index < 0) index = -1 - index;
    if (index >= n) {
        index %= 2 * n;
        if (index >= n) index = 2 * n - 1 - index;
    }
    return index;
}

// Samples of a plane.
__device__ __forceinline__ INDEX plane_size(const Window &window) { return (INDEX)window.height * window.width; }

// Plane z of a stack; none of none.
__device__ __forceinline__ const float *plane_of(const float *stack, int z, const Window &window)
{
    return stack ? stack + z * plane_size(window) : stack;
}

__device__ __forceinline__ bool in_plane(int y, int x, const Window &window)
{
    return y >= 0 && y < window.height && x >= 0 && x < window.width;
}
