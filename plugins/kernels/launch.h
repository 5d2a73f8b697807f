// Kernel launches.
#pragma once

#include <cuda_runtime.h>

constexpr int kWARP = 32;
constexpr unsigned kALL_LANES = 0xffffffffU;

template <typename... Parameters, typename... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t sharedBytes,
    cudaStream_t stream, Arguments... arguments)
{
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = sharedBytes;
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

__host__ __device__ constexpr int ceilDiv(int value, int divisor)
{
    return value / divisor + (value % divisor != 0);
}
