// Outputs of a cascade's networks.
#pragma once

#include "trt_mogface/kernels.h"

#include <cuda_runtime.h>

constexpr int kCASCADE_POINTS = 5; // of a face

__device__ inline float offsetAt(const MogfaceCascadeOutputs& outputs, int image, int index, int which)
{
    const size_t first = static_cast<size_t>(image) * outputs.capacity;
    return outputs.planar != 0
        ? outputs.offsets[4 * first + static_cast<size_t>(which) * outputs.capacity + index]
        : outputs.offsets[4 * (first + index) + which];
}
