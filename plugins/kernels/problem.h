// Why a call was refused: one line a thread, as errno is one number a thread.
#pragma once

#include <cuda_runtime_api.h>

__attribute__((format(printf, 1, 2))) cudaError_t refuse(const char* format, ...);
void clearProblem();
const char* lastProblem();
