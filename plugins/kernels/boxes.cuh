// Boxes, operation by operation as trt_mogface.reference computes them.
#pragma once

#include <cuda_runtime.h>

__device__ __forceinline__ float areaOf(float4 box, float one)
{
    return (box.z - box.x + one) * (box.w - box.y + one);
}

__device__ __forceinline__ float overlapOnAxis(
    float low, float high, float otherLow, float otherHigh, float one)
{
    return fmaxf(fminf(high, otherHigh) - fmaxf(low, otherLow) + one, 0.0F);
}

__device__ __forceinline__ int limited(int value, int limit)
{
    return value < limit ? value : limit;
}
