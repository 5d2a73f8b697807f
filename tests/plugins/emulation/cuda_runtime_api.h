// The part of CUDA's runtime API that launchers may use, for the host: whatever allocates, copies or waits is missing on
// purpose, so that a launcher that does so does not compile here.
#pragma once

#define CUDA_EMULATION 1

#include <cstddef>
#include <cstdint>

using cudaStream_t = struct CUstream_st*;

enum cudaError_t
{
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorInvalidConfiguration = 9
};

const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
