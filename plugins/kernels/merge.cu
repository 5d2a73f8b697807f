// The faces of two passes over the same images become candidates of one suppression.
//
// Both lists are best first: a face's place is its own number and that of the better ones of the other pass, by bisection.
#include "await_launch.cuh"
#include "boxes.cuh"
#include "launch.h"
#include "stages.h"

namespace
{

constexpr int kTHREADS = 256;

// As in trt_mogface.reference.merge.
constexpr float kINSIDE = 0.7F;
constexpr float kSAME = 0.35F;
constexpr float kDOUBT = 2.0F;

// The faces of one image in one pass.
struct Faces
{
    const float4* boxes;
    const float* scores;
    const float* landmarks;
    int count;
};

__device__ Faces facesOf(const MogfaceDetections& pass, int image, int most, int landmarkCount)
{
    const size_t first = static_cast<size_t>(image) * most;
    const int count = limited(pass.counts[image], most);
    return {reinterpret_cast<const float4*>(pass.boxes) + first, pass.scores + first,
        landmarkCount > 0 ? pass.landmarks + 2 * landmarkCount * first : nullptr, count > 0 ? count : 0};
}

// How many scores of a descending list are greater than this one, or not less.
__device__ int countBetter(const Faces& faces, float score, bool equalToo)
{
    int low = 0;
    int high = faces.count;
    while (low < high)
    {
        const int middle = (low + high) / 2;
        const float other = faces.scores[middle];
        if (other > score || (equalToo && other == score))
        {
            low = middle + 1;
        }
        else
        {
            high = middle;
        }
    }
    return low;
}

// Operation by operation as trt_mogface.reference.merge.overruled.
__device__ bool isOverruled(
    const Faces& first, int at, const Faces& second, const MogfaceMerging& merging, float network, float one)
{
    const float4 box = first.boxes[at];
    const float area = areaOf(box, one);
    const bool isVisible = area * network >= merging.visible;
    const bool isLarge = area * network >= merging.large;
    bool isConfirmed = false;
    for (int i = 0; i < second.count; ++i)
    {
        const float4 by = second.boxes[i];
        const float common
            = overlapOnAxis(box.x, box.z, by.x, by.z, one) * overlapOnAxis(box.y, box.w, by.y, by.w, one);
        if (!(first.scores[at] <= kDOUBT * second.scores[i]))
        {
            continue;
        }
        const float other = areaOf(by, one);
        if (isVisible && area < other && other * network >= merging.large && common >= kINSIDE * area)
        {
            return true;
        }
        isConfirmed = isConfirmed || common >= kSAME * (area + other - common);
    }
    return isLarge && !isConfirmed;
}

__device__ void writeCandidate(
    const Faces& from, int at, int anchor, int landmarkCount, const MogfaceCandidates& to, size_t place)
{
    reinterpret_cast<float4*>(to.boxes)[place] = from.boxes[at];
    to.scores[place] = from.scores[at];
    to.anchors[place] = anchor;
    for (int i = 0; i < 2 * landmarkCount; ++i)
    {
        to.landmarks[2 * landmarkCount * place + i]
            = from.landmarks[2 * landmarkCount * static_cast<size_t>(at) + i];
    }
}

__global__ void __launch_bounds__(kTHREADS) lineUpKernel(const MogfaceDetections firstPass,
    const MogfaceDetections secondPass, const MogfaceMerging merging, float one, int most, int topK,
    const MogfaceFrame* frames, int landmarkCount, const MogfaceCandidates candidates)
{
    awaitLaunchBefore();
    const int image = blockIdx.y;
    const MogfaceFrame& frame = frames[image];
    const float network = frame.scaleX * frame.scaleY;
    const bool takesPart = limited(frame.contentHeight, frame.contentWidth) > merging.largestFace;
    const Faces first = facesOf(firstPass, image, most, landmarkCount);
    Faces second = facesOf(secondPass, image, most, landmarkCount);
    second.count = takesPart ? second.count : 0;

    const int number = blockIdx.x * kTHREADS + threadIdx.x;
    const bool isSecond = number >= most;
    const Faces& own = isSecond ? second : first;
    const int at = isSecond ? number - most : number;
    if (at < own.count)
    {
        const int place = at + countBetter(isSecond ? first : second, own.scores[at], isSecond);
        int anchor = isSecond ? 1 : 0;
        if (place < topK)
        {
            if (!isSecond && takesPart && isOverruled(first, at, second, merging, network, one))
            {
                anchor = -1;
            }
            writeCandidate(
                own, at, anchor, landmarkCount, candidates, static_cast<size_t>(image) * topK + place);
        }
    }
    if (number == 0)
    {
        candidates.counts[image] = limited(first.count + second.count, topK);
        if (takesPart && firstPass.dropped != nullptr)
        {
            firstPass.dropped[image] += secondPass.dropped[image];
        }
    }
}

} // namespace

cudaError_t lineUp(const MogfaceDetections& first, const MogfaceDetections& second,
    const MogfaceMerging& merging, const MogfaceThresholds& thresholds, const MogfaceFrame* frames, int batch,
    int landmarkCount, const MogfaceCandidates& candidates, Launches& launches)
{
    const int most = thresholds.maxDetections;
    return launches.add(lineUpKernel, dim3(ceilDiv(2 * most, kTHREADS), batch), kTHREADS, 0, first, second,
        merging, thresholds.inclusiveAreas != 0 ? 1.0F : 0.0F, most, thresholds.topK, frames, landmarkCount,
        candidates);
}
