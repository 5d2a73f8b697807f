// A kernel's part of a dependent launch: see Launches.
#pragma once

#include <cuda_runtime.h>

// The first statement of every kernel of a call with several launches.  All threads wait, those without work too: so the
// end of a launch implies the end of all before it.
__device__ __forceinline__ void awaitLaunchBefore()
{
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
    cudaGridDependencySynchronize();           // the launch before has ended, and what it wrote is visible
    cudaTriggerProgrammaticLaunchCompletion(); // the launch after may come and wait in its turn
#endif
}
