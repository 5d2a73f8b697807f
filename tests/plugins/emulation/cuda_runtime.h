// CUDA C++ for the host, as much of it as plugins/kernels uses: a kernel's threads are fibers of one thread.
//
// Every block runs to its end before the next begins, and so do the threads of a block between two points at which they
// wait for each other, both in an order drawn from a seed: a result that depends on the order changes with the seed.
// ThreadSanitizer knows what CUDA promises, no more: blocks and threads run side by side, a barrier orders the
// threads of its block, a launch is ordered after the one before it, and a shuffle or a vote orders nothing.
// A dependent launch is ordered after what was done before the last plain one, until its threads wait for the launch before.
// AddressSanitizer sees shared memory as a piece of heap of the size that the launch requested; it is full of garbage.
//
// A kernel that waits where not all of its block arrive, or exchanges values in a warp that is not whole, is stopped.
// So is one of a dependent launch if a thread ends that has not waited for the launch before.
#pragma once

#include "cuda_runtime_api.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>

#define __global__
#define __device__
#define __constant__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

struct dim3
{
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1)
        : x(x_)
        , y(y_)
        , z(z_)
    {
    }
};

struct alignas(16) float4
{
    float x, y, z, w;
};

// Of the thread that runs.
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

enum cudaLaunchAttributeID
{
    cudaLaunchAttributeProgrammaticStreamSerialization = 6
};

struct cudaLaunchAttribute
{
    cudaLaunchAttributeID id;
    union
    {
        int programmaticStreamSerializationAllowed;
    } val;
};

struct cudaLaunchConfig_t
{
    dim3 gridDim;
    dim3 blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
    cudaLaunchAttribute* attrs;
    unsigned numAttrs;
};

struct cudaFuncAttributes
{
    int ptxVersion;
};

namespace emulation
{
// Runs a kernel at once, or in its turn where tests/support/driver is the CUDA driver of the process.
cudaError_t launch(const cudaLaunchConfig_t& config, const std::function<void()>& kernel);

// Hides the host's writes from ThreadSanitizer: those that belong to a launch come before its threads in any case.
void hideWrites(bool hide);

// Waits for the launch before this one.
void awaitLaunch();

// Of the GPU's code, such as 90.
int ptxVersion();

void* sharedMemory(size_t bytes);

void barrier();

// Hands in this lane's value and returns that of another lane.
uint64_t exchange(unsigned mask, uint64_t value, unsigned lane);

// Hands in this lane's vote and returns those of all lanes as bits.
unsigned vote(unsigned mask, bool value);

template <typename T>
T fromLane(unsigned mask, T value, unsigned lane)
{
    static_assert(sizeof(T) <= sizeof(uint64_t));
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    bits = exchange(mask, bits, lane % 32);
    std::memcpy(&value, &bits, sizeof(T));
    return value;
}

inline unsigned lane()
{
    return threadIdx.x % 32;
}
} // namespace emulation

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(
    const cudaLaunchConfig_t* config, void (*kernel)(Parameters...), Arguments... arguments)
{
    emulation::hideWrites(true);
    const auto body = std::make_unique<std::function<void()>>([=] { kernel(arguments...); });
    emulation::hideWrites(false);
    return emulation::launch(*config, *body);
}

template <typename Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel*)
{
    attributes->ptxVersion = emulation::ptxVersion();
    return cudaSuccess;
}

inline void cudaGridDependencySynchronize()
{
    emulation::awaitLaunch();
}

inline void cudaTriggerProgrammaticLaunchCompletion()
{
}

inline void __syncthreads()
{
    emulation::barrier();
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane)
{
    return emulation::fromLane(mask, value, static_cast<unsigned>(lane));
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes)
{
    return emulation::fromLane(mask, value, emulation::lane() ^ static_cast<unsigned>(lanes));
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance)
{
    const unsigned lane = emulation::lane();
    return emulation::fromLane(mask, value, lane < distance ? lane : lane - distance);
}

inline unsigned __ballot_sync(unsigned mask, int vote)
{
    return emulation::vote(mask, vote != 0);
}

inline int atomicAdd(int* address, int value)
{
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}

inline int __popc(unsigned bits)
{
    return __builtin_popcount(bits);
}

inline int __popcll(unsigned long long bits)
{
    return __builtin_popcountll(bits);
}

inline unsigned long long __umul64hi(unsigned long long one, unsigned long long other)
{
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(one) * other >> 64);
}

inline unsigned __float_as_uint(float value)
{
    unsigned bits = 0;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits;
}

inline float __uint_as_float(unsigned bits)
{
    float value = 0.0F;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

using std::isfinite;
