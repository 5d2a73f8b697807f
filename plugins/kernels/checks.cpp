#include "checks.h"

#include "problem.h"

#include <cfloat>
#include <climits>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace
{

constexpr int kMAX_SIDE = 1 << 16;     // pixels, strides and anchor sides beyond it are mistakes
constexpr int kMAX_CAPACITY = 1 << 26; // candidates of an image beyond it are mistakes

bool within(double value, double low, double high)
{
    return value >= low && value <= high; // NaN is not
}

cudaError_t checkLevel(const MogfaceLevel& level, int index)
{
    if (level.stride < 1 || level.stride > kMAX_SIDE)
    {
        return refuse("detector.levels[%d].stride %d: must lie within 1..%d", index, level.stride, kMAX_SIDE);
    }
    if (level.sideCount < 1 || level.sideCount > MOGFACE_MAX_SIDES)
    {
        return refuse("detector.levels[%d].sideCount %d: must lie within 1..%d", index, level.sideCount,
            MOGFACE_MAX_SIDES);
    }
    for (int i = 0; i < level.sideCount; ++i)
    {
        if (!(level.sides[i] > 0.0 && level.sides[i] <= kMAX_SIDE))
        {
            return refuse("detector.levels[%d].sides[%d] %g: must be positive", index, i, level.sides[i]);
        }
    }
    return cudaSuccess;
}

size_t elementSize(const MogfaceOutputs& outputs)
{
    return outputs.type == MOGFACE_FP16 ? sizeof(uint16_t) : sizeof(float);
}

} // namespace

cudaError_t readLaunchKind(bool& dependent)
{
    const char* named = std::getenv("TRT_MOGFACE_LAUNCH");
    const char* kind = named != nullptr && *named != '\0' ? named : "plain";
    dependent = std::strcmp(kind, "dependent") == 0;
    if (dependent || std::strcmp(kind, "plain") == 0)
    {
        return cudaSuccess;
    }
    return refuse("TRT_MOGFACE_LAUNCH %.40s: must be plain or dependent", kind);
}

cudaError_t checkSize(int batch, int height, int width)
{
    if (batch < 1 || batch > MOGFACE_MAX_BATCH)
    {
        return refuse("batch %d: must lie within 1..%d", batch, MOGFACE_MAX_BATCH);
    }
    if (height < 1 || height > kMAX_SIDE)
    {
        return refuse("height %d: must lie within 1..%d", height, kMAX_SIDE);
    }
    if (width < 1 || width > kMAX_SIDE)
    {
        return refuse("width %d: must lie within 1..%d", width, kMAX_SIDE);
    }
    return cudaSuccess;
}

cudaError_t checkPointer(const char* name, const void* pointer, size_t alignment)
{
    if (pointer == nullptr)
    {
        return refuse("%s: must not be null", name);
    }
    if (reinterpret_cast<uintptr_t>(pointer) % alignment != 0)
    {
        return refuse("%s %p: must be aligned to %zu bytes", name, pointer, alignment);
    }
    return cudaSuccess;
}

cudaError_t checkDetector(const MogfaceDetector* detector)
{
    if (isBad(checkPointer("detector", detector, alignof(MogfaceDetector))))
    {
        return cudaErrorInvalidValue;
    }
    if (detector->levelCount < 1 || detector->levelCount > MOGFACE_MAX_LEVELS)
    {
        return refuse(
            "detector.levelCount %d: must lie within 1..%d", detector->levelCount, MOGFACE_MAX_LEVELS);
    }
    if (detector->coding < MOGFACE_SSD || detector->coding > MOGFACE_DISTANCE)
    {
        return refuse("detector.coding %d: not a MogfaceCoding", detector->coding);
    }
    if (detector->landmarkCount < 0 || detector->landmarkCount > kMAX_LANDMARKS)
    {
        return refuse(
            "detector.landmarkCount %d: must lie within 0..%d", detector->landmarkCount, kMAX_LANDMARKS);
    }
    if (!std::isfinite(detector->varianceCenter) || !std::isfinite(detector->varianceSize)
        || !std::isfinite(detector->center))
    {
        return refuse("detector: variances and center must be finite");
    }
    for (int i = 0; i < detector->levelCount; ++i)
    {
        if (isBad(checkLevel(detector->levels[i], i)))
        {
            return cudaErrorInvalidValue;
        }
    }
    return cudaSuccess;
}

cudaError_t checkThresholds(const MogfaceThresholds* thresholds)
{
    if (isBad(checkPointer("thresholds", thresholds, alignof(MogfaceThresholds))))
    {
        return cudaErrorInvalidValue;
    }
    if (!within(thresholds->score, 0.0, 1.0))
    {
        return refuse("thresholds.score %g: must lie within 0..1", thresholds->score);
    }
    if (!within(thresholds->iou, 0.0, 1.0))
    {
        return refuse("thresholds.iou %g: must lie within 0..1", thresholds->iou);
    }
    if (thresholds->topK < 1 || thresholds->topK > MOGFACE_MAX_TOP_K)
    {
        return refuse("thresholds.topK %d: must lie within 1..%d", thresholds->topK, MOGFACE_MAX_TOP_K);
    }
    if (thresholds->maxDetections < 1 || thresholds->maxDetections > thresholds->topK)
    {
        return refuse("thresholds.maxDetections %d: must lie within 1..%d, topK", thresholds->maxDetections,
            thresholds->topK);
    }
    return cudaSuccess;
}

cudaError_t checkMerging(const MogfaceMerging* merging)
{
    if (isBad(checkPointer("merging", merging, alignof(MogfaceMerging))))
    {
        return cudaErrorInvalidValue;
    }
    if (!within(merging->large, 0.0, FLT_MAX) || !within(merging->visible, 0.0, FLT_MAX)
        || !within(merging->largestFace, 0.0, FLT_MAX))
    {
        return refuse("merging: areas %g, %g and largest face %g must be finite and not negative",
            merging->large, merging->visible, merging->largestFace);
    }
    return cudaSuccess;
}

cudaError_t checkLandmarkCount(int landmarkCount)
{
    if (landmarkCount < 0 || landmarkCount > kMAX_LANDMARKS)
    {
        return refuse("landmarkCount %d: must lie within 0..%d", landmarkCount, kMAX_LANDMARKS);
    }
    return cudaSuccess;
}

cudaError_t layOut(const MogfaceDetector& detector, int height, int width, AnchorGrid& grid)
{
    grid = {};
    int64_t count = 0;
    for (int i = 0; i < detector.levelCount; ++i)
    {
        const MogfaceLevel& from = detector.levels[i];
        AnchorGrid::Level& to = grid.levels[i];
        to.first = static_cast<int>(count);
        to.stride = from.stride;
        to.rows = (height + from.stride - 1) / from.stride;
        to.columns = (width + from.stride - 1) / from.stride;
        to.sideCount = from.sideCount;
        for (int side = 0; side < from.sideCount; ++side)
        {
            to.sides[side] = from.sides[side];
        }
        count += static_cast<int64_t>(to.rows) * to.columns * from.sideCount;
        if (count > INT_MAX - kSEGMENT)
        {
            return refuse("height %d, width %d: more than 2^31 anchors", height, width);
        }
    }
    grid.anchorCount = static_cast<int>(count);
    grid.center = detector.center;
    grid.varianceCenter = detector.varianceCenter;
    grid.varianceSize = detector.varianceSize;
    grid.height = height;
    grid.width = width;
    grid.levelCount = detector.levelCount;
    grid.coding = detector.coding;
    grid.inclusive = detector.inclusive;
    grid.spread = detector.spread;
    grid.landmarkCount = detector.landmarkCount;
    return cudaSuccess;
}

cudaError_t checkProblem(const MogfaceDetector* detector, const MogfaceThresholds* thresholds, int batch,
    int height, int width, AnchorGrid& grid)
{
    if (isBad(checkDetector(detector)) || isBad(checkThresholds(thresholds))
        || isBad(checkSize(batch, height, width)))
    {
        return cudaErrorInvalidValue;
    }
    return layOut(*detector, height, width, grid);
}

cudaError_t checkOutputs(const MogfaceOutputs& outputs, int landmarkCount)
{
    if (outputs.type != MOGFACE_FP32 && outputs.type != MOGFACE_FP16)
    {
        return refuse("outputs.type %d: not a MogfaceType", outputs.type);
    }
    const size_t size = elementSize(outputs);
    if (isBad(checkPointer("outputs.scores", outputs.scores, size))
        || isBad(checkPointer("outputs.deltas", outputs.deltas, size))
        || (landmarkCount > 0 && isBad(checkPointer("outputs.landmarks", outputs.landmarks, size))))
    {
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

cudaError_t checkCandidates(const MogfaceCandidates* candidates, int landmarkCount)
{
    if (isBad(checkPointer("candidates", candidates, alignof(MogfaceCandidates)))
        || isBad(checkPointer("candidates.counts", candidates->counts, sizeof(int32_t)))
        || isBad(checkPointer("candidates.dropped", candidates->dropped, sizeof(int32_t)))
        || isBad(checkPointer("candidates.anchors", candidates->anchors, sizeof(int32_t)))
        || isBad(checkPointer("candidates.boxes", candidates->boxes, 4 * sizeof(float)))
        || isBad(checkPointer("candidates.scores", candidates->scores, sizeof(float)))
        || (landmarkCount > 0
            && isBad(checkPointer("candidates.landmarks", candidates->landmarks, sizeof(float)))))
    {
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

namespace
{

cudaError_t checkMember(const char* name, const char* member, const void* pointer, size_t alignment)
{
    char full[40];
    std::snprintf(full, sizeof(full), "%s.%s", name, member);
    return checkPointer(full, pointer, alignment);
}

} // namespace

cudaError_t checkDetections(const char* name, const MogfaceDetections* detections, int landmarkCount)
{
    if (isBad(checkPointer(name, detections, alignof(MogfaceDetections)))
        || isBad(checkMember(name, "counts", detections->counts, sizeof(int32_t)))
        || isBad(checkMember(name, "boxes", detections->boxes, 4 * sizeof(float)))
        || isBad(checkMember(name, "scores", detections->scores, sizeof(float)))
        || (landmarkCount > 0 && isBad(checkMember(name, "landmarks", detections->landmarks, sizeof(float)))))
    {
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

cudaError_t checkFramesPointer(const MogfaceFrame* frames)
{
    return frames != nullptr ? checkPointer("frames", frames, alignof(MogfaceFrame)) : cudaSuccess;
}

cudaError_t checkBoxes(const int32_t* boxes, const int32_t* indices, int count, int batch)
{
    if (count < 1 || count > MOGFACE_MAX_BOXES)
    {
        return refuse("count %d: must lie within 1..%d", count, MOGFACE_MAX_BOXES);
    }
    if (indices == nullptr && count != batch)
    {
        return refuse("count %d: must be %d, the batch, without indices", count, batch);
    }
    if ((boxes != nullptr && isBad(checkPointer("boxes", boxes, sizeof(int32_t))))
        || (indices != nullptr && isBad(checkPointer("indices", indices, sizeof(int32_t)))))
    {
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

cudaError_t checkCapacity(const char* name, int capacity)
{
    if (capacity < 1 || capacity > kMAX_CAPACITY)
    {
        return refuse("%s %d: must lie within 1..%d", name, capacity, kMAX_CAPACITY);
    }
    return cudaSuccess;
}

cudaError_t checkCascadeOutputs(const char* name, const MogfaceCascadeOutputs& outputs)
{
    char capacity[40];
    std::snprintf(capacity, sizeof(capacity), "%s.capacity", name);
    if (isBad(checkSize(outputs.batch, 1, 1)) || isBad(checkCapacity(capacity, outputs.capacity))
        || isBad(checkMember(name, "scores", outputs.scores, sizeof(float)))
        || isBad(checkMember(name, "offsets", outputs.offsets, sizeof(float)))
        || (outputs.landmarks != nullptr
            && isBad(checkMember(name, "landmarks", outputs.landmarks, sizeof(float))))
        || (outputs.counts != nullptr && isBad(checkMember(name, "counts", outputs.counts, sizeof(int32_t)))))
    {
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

cudaError_t checkCascadeThresholds(const MogfaceCascadeThresholds* thresholds)
{
    if (isBad(checkPointer("thresholds", thresholds, alignof(MogfaceCascadeThresholds))))
    {
        return cudaErrorInvalidValue;
    }
    if (!within(thresholds->score, 0.0, 1.0) || !within(thresholds->overlap, 0.0, 1.0))
    {
        return refuse("thresholds: score %g and overlap %g must lie within 0..1", thresholds->score,
            thresholds->overlap);
    }
    if (thresholds->limit < 1 || thresholds->limit > MOGFACE_MAX_TOP_K)
    {
        return refuse("thresholds.limit %d: must lie within 1..%d", thresholds->limit, MOGFACE_MAX_TOP_K);
    }
    return cudaSuccess;
}

cudaError_t checkWindows(const MogfaceWindows* windows)
{
    if (isBad(checkPointer("windows", windows, alignof(MogfaceWindows)))
        || isBad(checkCapacity("windows.capacity", windows->capacity))
        || isBad(checkMember("windows", "boxes", windows->boxes, 2 * sizeof(double)))
        || isBad(checkMember("windows", "scores", windows->scores, sizeof(float)))
        || isBad(checkMember("windows", "offsets", windows->offsets, sizeof(float))))
    {
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

cudaError_t checkCrops(const MogfaceCrops* crops)
{
    if (isBad(checkPointer("crops", crops, alignof(MogfaceCrops)))
        || isBad(checkCapacity("crops.capacity", crops->capacity))
        || isBad(checkMember("crops", "counts", crops->counts, sizeof(int32_t)))
        || isBad(checkMember("crops", "boxes", crops->boxes, sizeof(int32_t)))
        || isBad(checkMember("crops", "indices", crops->indices, sizeof(int32_t)))
        || isBad(checkMember("crops", "inside", crops->inside, 2 * sizeof(double))))
    {
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

cudaError_t checkTallies(const MogfaceTallies* tallies)
{
    if (isBad(checkPointer("tallies", tallies, alignof(MogfaceTallies)))
        || isBad(checkMember("tallies", "dropped", tallies->dropped, sizeof(int32_t)))
        || isBad(checkMember("tallies", "truncated", tallies->truncated, sizeof(int32_t))))
    {
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

cudaError_t checkClipping(const MogfaceThresholds& thresholds, const MogfaceFrame* frames)
{
    if (frames == nullptr && thresholds.clip != 0)
    {
        return refuse("frames: must not be null with thresholds.clip");
    }
    return checkFramesPointer(frames);
}

cudaError_t checkWorkspace(const Workspace& laidOut, const void* workspace, size_t given)
{
    if (isBad(checkPointer("workspace", workspace, kWORKSPACE_ALIGNMENT)))
    {
        return cudaErrorInvalidValue;
    }
    if (given < laidOut.bytes())
    {
        return refuse("workspaceBytes %zu: must be at least %zu", given, laidOut.bytes());
    }
    return cudaSuccess;
}

namespace
{

// Bytes of a row of a plane.
int64_t rowBytes(const MogfaceFrame& frame, int plane)
{
    const int64_t half = (static_cast<int64_t>(frame.width) + 1) / 2;
    switch (frame.format)
    {
    case MOGFACE_BGR: return 3 * static_cast<int64_t>(frame.width);
    case MOGFACE_I420: return plane == 0 ? frame.width : half;
    default: return (plane == 0 ? frame.width : 2 * half) * (frame.format == MOGFACE_P010 ? 2 : 1);
    }
}

cudaError_t checkPlane(const MogfaceFrame& frame, int index, int plane)
{
    const int64_t pitch = frame.pitches[plane];
    const int64_t row = rowBytes(frame, plane);
    const int alignment = frame.format == MOGFACE_P010 ? 2 : 1;
    if (frame.planes[plane] == nullptr)
    {
        return refuse("frames[%d].planes[%d]: must not be null", index, plane);
    }
    if (reinterpret_cast<uintptr_t>(frame.planes[plane]) % alignment != 0 || pitch % alignment != 0)
    {
        return refuse(
            "frames[%d].planes[%d]: must be aligned to %d bytes, as must its pitch", index, plane, alignment);
    }
    if (pitch < row)
    {
        return refuse("frames[%d].pitches[%d] %lld: must be at least %lld, the bytes of a row", index, plane,
            static_cast<long long>(pitch), static_cast<long long>(row));
    }
    return cudaSuccess;
}

cudaError_t checkColors(const MogfaceFrame& frame, int index)
{
    if (frame.format < MOGFACE_BGR || frame.format > MOGFACE_P010)
    {
        return refuse("frames[%d].format %d: not a MogfaceFormat", index, frame.format);
    }
    if (frame.matrix < MOGFACE_BT601 || frame.matrix > MOGFACE_BT2020)
    {
        return refuse("frames[%d].matrix %d: not a MogfaceMatrix", index, frame.matrix);
    }
    if (frame.range < MOGFACE_LIMITED || frame.range > MOGFACE_FULL)
    {
        return refuse("frames[%d].range %d: not a MogfaceRange", index, frame.range);
    }
    return cudaSuccess;
}

int planeCount(const MogfaceFrame& frame)
{
    return frame.format == MOGFACE_BGR ? 1 : (frame.format == MOGFACE_I420 ? 3 : 2);
}

} // namespace

cudaError_t checkFrame(const MogfaceFrame& frame, int index, int height, int width)
{
    if (isBad(checkColors(frame, index)))
    {
        return cudaErrorInvalidValue;
    }
    if (frame.height < 1 || frame.height > kMAX_SIDE || frame.width < 1 || frame.width > kMAX_SIDE)
    {
        return refuse("frames[%d]: %d rows and %d columns must lie within 1..%d", index, frame.height,
            frame.width, kMAX_SIDE);
    }
    for (int plane = 0; plane < planeCount(frame); ++plane)
    {
        if (isBad(checkPlane(frame, index, plane)))
        {
            return cudaErrorInvalidValue;
        }
    }
    if (frame.contentHeight < 1 || frame.contentHeight > height || frame.contentWidth < 1
        || frame.contentWidth > width)
    {
        return refuse("frames[%d]: content of %d x %d must fit %d x %d", index, frame.contentHeight,
            frame.contentWidth, height, width);
    }
    if (!within(frame.stepX, 1e-6, kMAX_SIDE) || !within(frame.stepY, 1e-6, kMAX_SIDE)
        || !within(frame.scaleX, 1e-6, 1e6) || !within(frame.scaleY, 1e-6, 1e6))
    {
        return refuse("frames[%d]: scales %g, %g and steps %g, %g must be positive and finite", index,
            frame.scaleX, frame.scaleY, frame.stepX, frame.stepY);
    }
    return cudaSuccess;
}
