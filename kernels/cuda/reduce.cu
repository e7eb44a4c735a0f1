// Puts the slices of a window together, always in the same order.
//
// formula:  total_n = sum (or max) over slices of partial_(slice, n)
// pointers: partial (slices, count); total (count)
// thread:   one sample
// shared:   none
// numbers:  limited by memory: 4 (slices + 1) bytes a sample; not measured
// tested:   tests/kernels/test_cuda_emulator.py, through accumulate in slices
extern "C" __global__ void reduce(const float *__restrict__ partial, float *__restrict__ total, long long count,
                                  int slices, int maximum)
{
    const long long n = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= count) return;
    float result = partial[n];
    for (int slice = 1; slice < slices; ++slice) {
        const float next = partial[slice * count + n];
        result = maximum ? fmaxf(result, next) : result + next;
    }
    total[n] = result;
}
