// The exact best K of each image's scores, without sorting them and without a global counter.
//
// collect: a block reads the scores of one segment and writes the keys of those above the threshold, in anchor order.
// cut: one block per image.  Up to K keys are all taken.  Of more, radix selection finds the K-th largest, 11 bits at a
// time from the top: count the keys of every digit, keep the digit with the K-th, continue with the keys that have it,
// stop as soon as all of them are wanted.
#include "await_launch.cuh"
#include "boxes.cuh"
#include "cascade_outputs.cuh"
#include "launch.h"
#include "network_float.cuh"
#include "shared_memory.cuh"
#include "stages.h"

#include <cmath>

namespace
{

constexpr int kCOLLECT_THREADS = 256;
constexpr int kCOLLECT_WARPS = kCOLLECT_THREADS / kWARP;
constexpr int kROUNDS = kSEGMENT / kCOLLECT_THREADS;
static_assert(kROUNDS * kCOLLECT_WARPS == kWARP, "a warp adds up the counts of all rounds of all warps");

struct CollectShared
{
    int counts[kWARP]; // of round r of warp w, at r * kCOLLECT_WARPS + w, which is anchor order
    int nans[kCOLLECT_WARPS];
};

// Returns the sum over the lanes up to and including this one.
__device__ int inclusiveSum(int value, int lane)
{
    for (int distance = 1; distance < kWARP; distance *= 2)
    {
        const int other = __shfl_up_sync(kALL_LANES, value, distance);
        value += lane >= distance ? other : 0;
    }
    return value;
}

// Scores of the anchors of one image.  Of equal ones the lower index is better; what is not finite is dropped later.
template <typename Float>
struct AnchorScores
{
    struct Row
    {
        const Float* scores;
        int count;

        __device__ float at(int index) const
        {
            return asFloat(scores[index]);
        }

        __device__ bool isUsable(int /*index*/, float /*score*/) const
        {
            return true;
        }

        __device__ Key keyOf(float score, int index) const
        {
            return static_cast<Key>(__float_as_uint(score)) << 32 | ~static_cast<uint32_t>(index);
        }
    };

    const Float* scores;
    int count;

    __device__ Row of(int image) const
    {
        return {scores + static_cast<size_t>(image) * count, count};
    }
};

// Scores of the candidates of one image in a cascade.  Of equal ones the higher index is better.
struct CascadeScores
{
    struct Row
    {
        const MogfaceCascadeOutputs& outputs;
        size_t first;
        int image;
        int count;

        __device__ float at(int index) const
        {
            return outputs.scores[first + index];
        }

        // trt_mogface.reference.cascade.accepted
        __device__ bool isUsable(int index, float score) const
        {
            bool finite = isfinite(score);
            for (int i = 0; i < 4; ++i)
            {
                finite = finite && isfinite(offsetAt(outputs, image, index, i));
            }
            for (int i = 0; outputs.landmarks != nullptr && i < 2 * kCASCADE_POINTS; ++i)
            {
                finite = finite && isfinite(outputs.landmarks[(first + index) * 2 * kCASCADE_POINTS + i]);
            }
            return finite;
        }

        __device__ Key keyOf(float score, int index) const
        {
            return static_cast<Key>(__float_as_uint(score)) << 32 | static_cast<uint32_t>(index);
        }
    };

    MogfaceCascadeOutputs outputs;

    __device__ Row of(int image) const
    {
        const int given = outputs.counts == nullptr ? outputs.capacity : outputs.counts[image];
        return {
            outputs, static_cast<size_t>(image) * outputs.capacity, image, limited(given, outputs.capacity)};
    }
};

template <typename Scores>
__global__ void __launch_bounds__(kCOLLECT_THREADS)
    collectKernel(const __grid_constant__ Scores scores, float threshold, Segments out)
{
    awaitLaunchBefore();
    CollectShared& shared = sharedMemory<CollectShared>();
    const int lane = threadIdx.x % kWARP;
    const int warp = threadIdx.x / kWARP;
    const size_t segment = static_cast<size_t>(blockIdx.y) * out.segments + blockIdx.x;
    const int first = blockIdx.x * kSEGMENT + threadIdx.x;
    const auto row = scores.of(blockIdx.y);

    float score[kROUNDS];
    for (int round = 0; round < kROUNDS; ++round) // all loads are issued before the first is used
    {
        const int index = first + round * kCOLLECT_THREADS;
        score[round] = index < row.count ? row.at(index) : 0.0F; // never above a threshold
    }
    unsigned votes[kROUNDS];
    int nans = 0;
    for (int round = 0; round < kROUNDS; ++round)
    {
        const bool isCandidate = score[round] > threshold;
        if (isCandidate && !row.isUsable(first + round * kCOLLECT_THREADS, score[round]))
        {
            score[round] = NAN;
        }
        votes[round] = __ballot_sync(kALL_LANES, score[round] > threshold);
        nans += __popc(__ballot_sync(kALL_LANES, score[round] != score[round]));
        if (lane == 0)
        {
            shared.counts[round * kCOLLECT_WARPS + warp] = __popc(votes[round]);
        }
    }
    if (lane == 0)
    {
        shared.nans[warp] = nans;
    }
    __syncthreads();

    const int mine = shared.counts[lane];
    const int upTo = inclusiveSum(mine, lane);
    Key* keys = out.keys + segment * kSEGMENT;
    for (int round = 0; round < kROUNDS; ++round)
    {
        const int start = __shfl_sync(kALL_LANES, upTo - mine, round * kCOLLECT_WARPS + warp);
        if (score[round] > threshold)
        {
            const int before = __popc(votes[round] & ((1U << lane) - 1U));
            keys[start + before] = row.keyOf(score[round], first + round * kCOLLECT_THREADS);
        }
    }
    if (threadIdx.x == kWARP - 1)
    {
        out.counts[segment] = upTo;
        int sum = 0;
        for (int w = 0; w < kCOLLECT_WARPS; ++w)
        {
            sum += shared.nans[w];
        }
        out.nans[segment] = sum;
    }
}

constexpr int kCUT_THREADS = 1024;
constexpr int kCUT_WARPS = kCUT_THREADS / kWARP;
constexpr int kGROUP = 16;    // threads for a segment: the 34 of 34,125 anchors are read in one turn
constexpr int kIN_FLIGHT = 8; // loads of a thread
constexpr int kKEY_BITS = 64;
constexpr int kDIGIT_BITS = 11;
constexpr int kDIGITS = 1 << kDIGIT_BITS;
static_assert(kDIGITS == 2 * kCUT_THREADS, "a thread has two digits of the histogram");

struct CutShared
{
    int histogram[kDIGITS];
    int warpSums[kCUT_WARPS];
    int total;
    int nans;
    int taken;
    // Of the digit in which the K-th largest key falls:
    int digit;
    int above;  // keys with a larger digit
    int inside; // keys with this one
};

// Calls visit(key) for every key of this image, once; a group of threads takes whole segments.
template <typename Visit>
__device__ void forEachKey(const Segments& segments, int image, Visit visit)
{
    for (int s = threadIdx.x / kGROUP; s < segments.segments; s += kCUT_THREADS / kGROUP)
    {
        const size_t segment = static_cast<size_t>(image) * segments.segments + s;
        const int count = segments.counts[segment];
        const Key* keys = segments.keys + segment * kSEGMENT;
        for (int base = threadIdx.x % kGROUP; base < count; base += kGROUP * kIN_FLIGHT)
        {
            Key loaded[kIN_FLIGHT];
            for (int i = 0; i < kIN_FLIGHT; ++i) // all loads are issued before the first is used
            {
                const int at = base + i * kGROUP;
                loaded[i] = keys[at < count ? at : base];
            }
            for (int i = 0; i < kIN_FLIGHT; ++i)
            {
                if (base + i * kGROUP < count)
                {
                    visit(loaded[i]);
                }
            }
        }
    }
}

// Finds the digit of the wanted-th largest counted key, and stores it in shared memory.
__device__ void findDigit(CutShared& shared, int wanted)
{
    const int lane = threadIdx.x % kWARP;
    const int warp = threadIdx.x / kWARP;
    // Thread t has the digits high and high - 1, so sums over threads run from the largest digit down.
    const int high = kDIGITS - 1 - 2 * static_cast<int>(threadIdx.x);
    const int counts[2] = {shared.histogram[high], shared.histogram[high - 1]};
    const int upTo = inclusiveSum(counts[0] + counts[1], lane);
    if (lane == kWARP - 1)
    {
        shared.warpSums[warp] = upTo;
    }
    __syncthreads();
    const int warpSum = shared.warpSums[lane];
    const int before = __shfl_sync(kALL_LANES, inclusiveSum(warpSum, lane) - warpSum, warp);
    int above = before + upTo - counts[0] - counts[1];
    for (int i = 0; i < 2; ++i)
    {
        if (above < wanted && wanted <= above + counts[i])
        {
            shared.digit = high - i;
            shared.above = above;
            shared.inside = counts[i];
        }
        above += counts[i];
    }
    __syncthreads();
}

// Returns the smallest of the largest `wanted` keys; there are more keys than that.
__device__ Key radixSelect(CutShared& shared, const Segments& segments, int image, int wanted)
{
    Key prefix = 0;
    for (int high = kKEY_BITS;;)
    {
        const int low = high > kDIGIT_BITS ? high - kDIGIT_BITS : 0;
        for (int i = threadIdx.x; i < kDIGITS; i += kCUT_THREADS)
        {
            shared.histogram[i] = 0;
        }
        __syncthreads();
        forEachKey(segments, image,
            [&](Key key)
            {
                if (high == kKEY_BITS || key >> high == prefix)
                {
                    atomicAdd(&shared.histogram[(key >> low) & ((Key{1} << (high - low)) - 1)], 1);
                }
            });
        __syncthreads();
        findDigit(shared, wanted);
        prefix = prefix << (high - low) | static_cast<Key>(shared.digit);
        wanted -= shared.above;
        if (shared.inside == wanted) // keys are distinct: true at the last digit at the latest
        {
            return prefix << low;
        }
        high = low;
    }
}

__global__ void __launch_bounds__(kCUT_THREADS)
    cutKernel(Segments segments, int topK, Key* best, int* counts, int* nans, int* beyond)
{
    awaitLaunchBefore();
    CutShared& shared = sharedMemory<CutShared>();
    const int image = blockIdx.x;
    if (threadIdx.x == 0)
    {
        shared.total = 0;
        shared.nans = 0;
        shared.taken = 0;
    }
    __syncthreads();
    for (int s = threadIdx.x; s < segments.segments; s += kCUT_THREADS)
    {
        const size_t segment = static_cast<size_t>(image) * segments.segments + s;
        const int count = segments.counts[segment];
        const int nanCount = segments.nans[segment];
        atomicAdd(&shared.total, count);
        atomicAdd(&shared.nans, nanCount);
    }
    __syncthreads();
    const Key smallest = shared.total > topK ? radixSelect(shared, segments, image, topK) : 0;
    // Places are taken in any order: the next stage orders the keys.
    forEachKey(segments, image,
        [&](Key key)
        {
            if (key >= smallest)
            {
                best[static_cast<size_t>(image) * topK + atomicAdd(&shared.taken, 1)] = key;
            }
        });
    if (threadIdx.x == 0)
    {
        counts[image] = shared.total < topK ? shared.total : topK;
        nans[image] = shared.nans;
        if (beyond != nullptr)
        {
            beyond[image] = shared.total > topK ? shared.total - topK : 0;
        }
    }
}

} // namespace

cudaError_t collect(
    const MogfaceOutputs& outputs, int anchorCount, float threshold, Segments segments, Launches& launches)
{
    const dim3 grid(segments.segments, outputs.batch);
    const auto run = [&](auto kernel, auto scores)
    {
        return launches.add(
            kernel, grid, kCOLLECT_THREADS, sizeof(CollectShared), scores, threshold, segments);
    };
    if (outputs.type == MOGFACE_FP16)
    {
        using Scores = AnchorScores<__half>;
        return run(collectKernel<Scores>, Scores{static_cast<const __half*>(outputs.scores), anchorCount});
    }
    using Scores = AnchorScores<float>;
    return run(collectKernel<Scores>, Scores{static_cast<const float*>(outputs.scores), anchorCount});
}

cudaError_t collect(
    const MogfaceCascadeOutputs& outputs, float threshold, Segments segments, Launches& launches)
{
    return launches.add(collectKernel<CascadeScores>, dim3(segments.segments, outputs.batch),
        kCOLLECT_THREADS, sizeof(CollectShared), CascadeScores{outputs}, threshold, segments);
}

cudaError_t cut(Segments segments, int batch, int topK, Key* best, int* counts, int* nans, int* beyond,
    Launches& launches)
{
    return launches.add(
        cutKernel, batch, kCUT_THREADS, sizeof(CutShared), segments, topK, best, counts, nans, beyond);
}
