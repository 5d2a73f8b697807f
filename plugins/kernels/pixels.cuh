// Pixels of frames of all formats, as blue, green and red.
#pragma once

#include "trt_mogface/kernels.h"

#include <cuda_runtime.h>

struct Bgr
{
    int blue;
    int green;
    int red;
};

__device__ inline int clampTo(int value, int low, int high)
{
    return value < low ? low : (value > high ? high : value);
}

// YUV to BGR with 20 fractional bits: trt_mogface.reference.color.factors.
struct YuvFactors
{
    int luma;
    int blueOfU;
    int greenOfU;
    int greenOfV;
    int redOfV;
    int black;
    int gray;
};

constexpr int kFRACTION = 20;

// By ten bits, matrix and range.  BT.601 of limited range and eight bits has the constants of cv2.cvtColor.
static __constant__ const YuvFactors kFACTORS[2][3][2] = {
    {{{1220542, 2116026, -409993, -852492, 1673527, 16, 128},
         {1048576, 1858077, -360853, -748826, 1470104, 0, 128}},
        {{1220945, 2215014, -223607, -558796, 1879825, 16, 128},
            {1048576, 1945738, -196424, -490864, 1651297, 0, 128}},
        {{1220945, 2245811, -196426, -682019, 1760217, 16, 128},
            {1048576, 1972791, -172546, -599107, 1546230, 0, 128}}},
    {{{305236, 528805, -102698, -213115, 418389, 64, 512}, {261375, 463157, -89949, -186658, 366448, 0, 512}},
        {{305236, 553753, -55902, -139699, 469956, 64, 512},
            {261375, 485008, -48962, -122356, 411614, 0, 512}},
        {{305236, 561453, -49106, -170505, 440054, 64, 512},
            {261375, 491751, -43010, -149338, 385424, 0, 512}}}};

// `plane` must be a constant: an index known at run time would move the frame to local memory.
__device__ __forceinline__ int sampleAt(const MogfaceFrame& frame, int plane, int row, int index)
{
    const uint8_t* line = static_cast<const uint8_t*>(frame.planes[plane]) + frame.pitches[plane] * row;
    return frame.format == MOGFACE_P010 ? reinterpret_cast<const uint16_t*>(line)[index] >> 6 : line[index];
}

__device__ inline Bgr loadYuv(const MogfaceFrame& frame, int row, int column)
{
    const YuvFactors& by = kFACTORS[frame.format == MOGFACE_P010 ? 1 : 0][frame.matrix][frame.range];
    const int luma = sampleAt(frame, 0, row, column) - by.black;
    const int y = (luma > 0 ? luma : 0) * by.luma + (1 << (kFRACTION - 1));
    const bool isPlanar = frame.format == MOGFACE_I420;
    const int first = isPlanar ? column / 2 : column / 2 * 2;
    const int u = sampleAt(frame, 1, row / 2, first) - by.gray;
    const int v
        = (isPlanar ? sampleAt(frame, 2, row / 2, first) : sampleAt(frame, 1, row / 2, first + 1)) - by.gray;
    return {clampTo((y + by.blueOfU * u) >> kFRACTION, 0, 255),
        clampTo((y + by.greenOfU * u + by.greenOfV * v) >> kFRACTION, 0, 255),
        clampTo((y + by.redOfV * v) >> kFRACTION, 0, 255)};
}
