// The place of a key among all: the number of larger keys.
//
// K (K - 1) comparisons spread over the whole GPU are fewer sequential steps than any sort of K keys by one block.
#pragma once

#include "launch.h"
#include "shared_memory.cuh"
#include "stages.h"

constexpr int kRANK_THREADS = 256;
constexpr int kRANK_PARTS = 8; // threads that count for one key
constexpr int kRANK_KEYS = kRANK_THREADS / kRANK_PARTS;
constexpr int kRANK_LOADS = 4; // keys that a thread loads at a time
constexpr int kRANK_CHUNK = kRANK_THREADS * kRANK_LOADS;

struct RankShared
{
    Key keys[kRANK_CHUNK];
};

// Returns how many keys are larger than this one, to each of its threads.  The keys pass through shared memory, so that a
// chunk of them is one access to memory for the whole block.
__device__ inline int countLarger(RankShared& shared, const Key* keys, int count, Key key)
{
    int larger = 0;
    for (int base = 0; base < count; base += kRANK_CHUNK)
    {
        Key loaded[kRANK_LOADS];
        for (int i = 0; i < kRANK_LOADS; ++i) // all loads are issued before the first is used
        {
            const int at = base + i * kRANK_THREADS + static_cast<int>(threadIdx.x);
            loaded[i] = keys[at < count ? at : 0]; // beyond them any, which is not compared
        }
        __syncthreads(); // the chunk before has been compared
        for (int i = 0; i < kRANK_LOADS; ++i)
        {
            shared.keys[i * kRANK_THREADS + threadIdx.x] = loaded[i];
        }
        __syncthreads();
        const int inChunk = count - base < kRANK_CHUNK ? count - base : kRANK_CHUNK;
        for (int i = threadIdx.x % kRANK_PARTS; i < inChunk; i += kRANK_PARTS)
        {
            larger += shared.keys[i] > key ? 1 : 0;
        }
    }
    for (int distance = kRANK_PARTS / 2; distance > 0; distance /= 2)
    {
        larger += __shfl_xor_sync(kALL_LANES, larger, distance);
    }
    return larger;
}
