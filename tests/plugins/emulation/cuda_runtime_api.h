// The part of CUDA's runtime API that launchers may use, for the host, in C: whatever allocates, copies or waits is missing
// on purpose, so that a launcher that does so does not compile here.
#pragma once

#define CUDA_EMULATION 1

#include <stddef.h>
#include <stdint.h>

typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t; // TensorRT's headers speak of it

typedef enum cudaError
{
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorDeviceUninitialized = 201,
    cudaErrorInvalidResourceHandle = 400,
    cudaErrorIllegalAddress = 700,
    cudaErrorStreamCaptureUnsupported = 900,
    cudaErrorStreamCaptureInvalidated = 901
} cudaError_t;

#ifdef __cplusplus
extern "C"
{
#endif
const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaDriverGetVersion(int* version);
#ifdef __cplusplus
}
#endif
