// The network's numbers, FP32 or FP16, as FP32.
#pragma once

#include <cuda_fp16.h>

__device__ __forceinline__ float asFloat(float value)
{
    return value;
}

__device__ __forceinline__ float asFloat(__half value)
{
    return __half2float(value);
}
