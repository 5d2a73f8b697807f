// Reason for which a call was refused: one line per thread, like errno.
#pragma once

#include <cuda_runtime_api.h>

__attribute__((format(printf, 1, 2))) cudaError_t refuse(const char* format, ...);
void clearProblem();
const char* lastProblem();
