// The selected keys become candidates: each is put in its place, best first, and its box and landmarks are decoded.
//
// Anchors are computed from the index.
#include "await_launch.cuh"
#include "launch.h"
#include "network_float.cuh"
#include "rank.cuh"
#include "stages.h"

namespace
{

struct Anchor
{
    float x; // center
    float y;
    float width;
    float height;
};

// One axis of trt_mogface.reference.anchors, operation by operation.
__device__ void placeOnAxis(const AnchorGrid& grid, int stride, double side, int cell, int cells, int extent,
    float& center, float& size)
{
    double middle = cell + grid.center;
    if (grid.spread != 0)
    {
        middle = middle * extent / cells;
        side = side < extent ? side : extent;
    }
    else
    {
        middle *= stride;
    }
    if (grid.inclusive == 0)
    {
        center = static_cast<float>(middle);
        size = static_cast<float>(side);
        return;
    }
    // By way of float32 corners, as in the published MogPriorBox.
    const double half = (side - 1.0) / 2.0;
    const float low = static_cast<float>(middle - half);
    const float high = static_cast<float>(middle + half);
    center = (low + high) / 2.0F;
    size = high - low + 1.0F;
}

__device__ Anchor anchorAt(const AnchorGrid& grid, int index)
{
    int l = 0;
    while (l + 1 < grid.levelCount && index >= grid.levels[l + 1].first)
    {
        ++l;
    }
    const AnchorGrid::Level& level = grid.levels[l];
    const int inLevel = index - level.first;
    const int cell = inLevel / level.sideCount;
    const double side = level.sides[inLevel % level.sideCount];
    Anchor anchor{};
    placeOnAxis(
        grid, level.stride, side, cell % level.columns, level.columns, grid.width, anchor.x, anchor.width);
    placeOnAxis(
        grid, level.stride, side, cell / level.columns, level.rows, grid.height, anchor.y, anchor.height);
    return anchor;
}

// One axis of trt_mogface.reference.decode.decode_boxes, operation by operation.
__device__ void decodeAxis(
    const AnchorGrid& grid, float center, float size, float delta, float sizeDelta, float& low, float& high)
{
    if (grid.coding == MOGFACE_DISTANCE)
    {
        low = center - delta * size;
        high = center + sizeDelta * size;
        return;
    }
    const float one = grid.inclusive != 0 ? 1.0F : 0.0F;
    const float middle = center + delta * grid.varianceCenter * size;
    const float extent = size * expf(sizeDelta * grid.varianceSize);
    low = middle - (extent - one) / 2.0F;
    high = extent + (low - one);
}

template <typename Float>
__device__ float4 decodeBox(const AnchorGrid& grid, const Anchor& anchor, const Float* deltas)
{
    float4 box{};
    decodeAxis(grid, anchor.x, anchor.width, asFloat(deltas[0]), asFloat(deltas[2]), box.x, box.z);
    decodeAxis(grid, anchor.y, anchor.height, asFloat(deltas[1]), asFloat(deltas[3]), box.y, box.w);
    return box;
}

// Writes the points of a face and returns whether all are finite.
template <typename Float>
__device__ bool decodeLandmarks(
    const AnchorGrid& grid, const Anchor& anchor, const Float* deltas, float* points)
{
    const float factor = grid.coding == MOGFACE_SSD ? grid.varianceCenter : 1.0F;
    bool finite = true;
    for (int i = 0; i < grid.landmarkCount; ++i)
    {
        const float x = anchor.x + asFloat(deltas[2 * i]) * factor * anchor.width;
        const float y = anchor.y + asFloat(deltas[2 * i + 1]) * factor * anchor.height;
        points[2 * i] = x;
        points[2 * i + 1] = y;
        finite = finite && isfinite(x) && isfinite(y);
    }
    return finite;
}

// As trt_mogface.reference.select.cut: zeros have no sign.
__device__ float cutAt(float value, float limit)
{
    const float inside = value > 0.0F ? value : 0.0F;
    return inside < limit ? inside : limit;
}

__device__ float4 cutBox(const AnchorGrid& grid, const MogfaceFrame* frames, int image, float4 box)
{
    const auto width = static_cast<float>(frames != nullptr ? frames[image].contentWidth : grid.width);
    const auto height = static_cast<float>(frames != nullptr ? frames[image].contentHeight : grid.height);
    return {cutAt(box.x, width), cutAt(box.y, height), cutAt(box.z, width), cutAt(box.w, height)};
}

template <typename Float>
__global__ void __launch_bounds__(kRANK_THREADS)
    decodeKernel(const __grid_constant__ AnchorGrid grid, const Float* deltas, const Float* landmarks,
        const Key* best, int topK, int cut, const MogfaceFrame* frames, const MogfaceCandidates out)
{
    awaitLaunchBefore();
    const int image = blockIdx.y;
    const int count = out.counts[image];
    if (static_cast<int>(blockIdx.x) * kRANK_KEYS >= count)
    {
        return;
    }
    const int index = blockIdx.x * kRANK_KEYS + threadIdx.x / kRANK_PARTS;
    const Key* keys = best + static_cast<size_t>(image) * topK;
    const Key key = index < count ? keys[index] : 0;
    const int place = countLarger(sharedMemory<RankShared>(), keys, count, key);
    if (threadIdx.x % kRANK_PARTS != 0 || index >= count)
    {
        return;
    }
    const int anchorIndex = static_cast<int>(~static_cast<uint32_t>(key));
    const float score = __uint_as_float(static_cast<uint32_t>(key >> 32));
    const size_t from = static_cast<size_t>(image) * grid.anchorCount + anchorIndex;
    const size_t to = static_cast<size_t>(image) * topK + place;
    const Anchor anchor = anchorAt(grid, anchorIndex);
    const float4 box = decodeBox(grid, anchor, deltas + 4 * from);
    bool finite = isfinite(score) && isfinite(box.x) && isfinite(box.y) && isfinite(box.z) && isfinite(box.w);
    if (grid.landmarkCount > 0)
    {
        const int width = 2 * grid.landmarkCount;
        finite
            = decodeLandmarks(grid, anchor, landmarks + from * width, out.landmarks + to * width) && finite;
    }
    reinterpret_cast<float4*>(out.boxes)[to] = cut != 0 ? cutBox(grid, frames, image, box) : box;
    out.scores[to] = score;
    out.anchors[to] = finite ? anchorIndex : -1;
    if (!finite)
    {
        atomicAdd(&out.dropped[image], 1);
    }
}

} // namespace

cudaError_t decode(const MogfaceOutputs& outputs, const AnchorGrid& grid, const Key* best,
    const MogfaceThresholds& thresholds, const MogfaceFrame* frames, const MogfaceCandidates& candidates,
    Launches& launches)
{
    const dim3 blocks(ceilDiv(thresholds.topK, kRANK_KEYS), outputs.batch);
    const auto run = [&](auto kernel)
    {
        return launches.add(kernel, blocks, kRANK_THREADS, sizeof(RankShared), grid, outputs.deltas,
            outputs.landmarks, best, thresholds.topK, thresholds.cut, frames, candidates);
    };
    return outputs.type == MOGFACE_FP16 ? run(decodeKernel<__half>) : run(decodeKernel<float>);
}
