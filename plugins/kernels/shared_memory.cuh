// A block's shared memory, sized by the launch: one structure per kernel.
#pragma once

#include <cuda_runtime.h>

#if defined(__CUDACC__)
template <typename Storage>
__device__ __forceinline__ Storage& sharedMemory()
{
    extern __shared__ __align__(16) unsigned char bytes[];
    return *reinterpret_cast<Storage*>(bytes);
}
#else // the emulation gives each block its own memory, of the size that the launch requested
template <typename Storage>
Storage& sharedMemory()
{
    return *static_cast<Storage*>(emulation::sharedMemory(sizeof(Storage)));
}
#endif
