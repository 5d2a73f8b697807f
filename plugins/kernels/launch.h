// Kernel launches.
#pragma once

#include <cuda_runtime.h>

constexpr int kWARP = 32;
constexpr unsigned kALL_LANES = 0xffffffffU;

// The launches of one call, in one stream.
//
// The first begins when all earlier work of the stream has ended.  A dependent one comes to the GPU while the launch
// before it runs, and its threads wait there (await_launch.cuh): a part of the time that a launch takes is hidden.
class Launches
{
public:
    Launches(cudaStream_t stream, bool dependent)
        : mStream(stream)
        , mDependent(dependent)
    {
    }

    template <typename... Parameters, typename... Arguments>
    cudaError_t add(
        void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t sharedBytes, Arguments... arguments)
    {
        cudaLaunchConfig_t config{};
        config.gridDim = grid;
        config.blockDim = block;
        config.dynamicSmemBytes = sharedBytes;
        config.stream = mStream;
        cudaLaunchAttribute attribute{};
        attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attribute.val.programmaticStreamSerializationAllowed = 1;
        if (mDependent && !mFirst && canWait(kernel))
        {
            config.attrs = &attribute;
            config.numAttrs = 1;
        }
        mFirst = false;
        return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
    }

private:
    // Whether this GPU runs code that waits, compiled for 9.0 or later (a library made for 8.0 only may run on it too), and
    // whether its driver captures dependent launches in graphs.
    template <typename Kernel>
    static bool canWait(Kernel* kernel)
    {
        cudaFuncAttributes code{};
        int driver = 0;
        return cudaFuncGetAttributes(&code, kernel) == cudaSuccess && code.ptxVersion >= 90
            && cudaDriverGetVersion(&driver) == cudaSuccess && driver >= 12030;
    }

    cudaStream_t mStream;
    bool mDependent;
    bool mFirst = true;
};

__host__ __device__ constexpr int ceilDiv(int value, int divisor)
{
    return value / divisor + (value % divisor != 0);
}
