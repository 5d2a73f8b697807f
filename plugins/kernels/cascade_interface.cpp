// The C interface of a cascade: checks arguments, divides the workspace, starts the stages.
#include "checks.h"
#include "launch.h"
#include "problem.h"
#include "stages.h"
#include "workspace.h"

namespace
{

int candidatesOf(const MogfaceCascadeThresholds& thresholds, int capacity)
{
    return thresholds.limit < capacity ? thresholds.limit : capacity;
}

cudaError_t checkProblem(const MogfaceCascadeOutputs* outputs, const MogfaceCascadeThresholds* thresholds)
{
    if (isBad(checkPointer("outputs", outputs, alignof(MogfaceCascadeOutputs)))
        || isBad(checkCascadeOutputs("outputs", *outputs)) || isBad(checkCascadeThresholds(thresholds)))
    {
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

cudaError_t divide(const MogfaceCascadeOutputs& outputs, const MogfaceCascadeThresholds& thresholds,
    void* workspace, size_t workspaceBytes, CascadeScratch& scratch, bool& dependent)
{
    Workspace laidOut(workspace);
    scratch
        = laidOut.cascadeScratch(outputs.batch, outputs.capacity, candidatesOf(thresholds, outputs.capacity));
    return isBad(checkWorkspace(laidOut, workspace, workspaceBytes)) || isBad(readLaunchKind(dependent))
        ? cudaErrorInvalidValue
        : cudaSuccess;
}

} // namespace

cudaError_t mogfaceCascadeWorkspace(int batch, int capacity, int limit, size_t* bytes)
{
    clearProblem();
    const MogfaceCascadeThresholds thresholds{0.0, 0.0F, limit};
    if (isBad(checkSize(batch, 1, 1)) || isBad(checkCapacity("capacity", capacity))
        || isBad(checkCascadeThresholds(&thresholds)) || isBad(checkPointer("bytes", bytes, alignof(size_t))))
    {
        return cudaErrorInvalidValue;
    }
    Workspace laidOut(nullptr);
    laidOut.cascadeScratch(batch, capacity, candidatesOf(thresholds, capacity));
    *bytes = laidOut.bytes();
    return cudaSuccess;
}

cudaError_t mogfaceCascadeWindows(const MogfaceCascadeOutputs* outputs, int columns, double scale,
    const MogfaceCascadeThresholds* thresholds, const MogfaceWindows* windows, int first,
    const MogfaceTallies* tallies, void* workspace, size_t workspaceBytes, cudaStream_t stream)
{
    clearProblem();
    if (isBad(checkProblem(outputs, thresholds)) || isBad(checkWindows(windows))
        || isBad(checkTallies(tallies)))
    {
        return cudaErrorInvalidValue;
    }
    if (columns < 1 || outputs->capacity % columns != 0)
    {
        return refuse("columns %d: must divide the %d cells", columns, outputs->capacity);
    }
    if (!(scale > 1e-6 && scale < 1e6))
    {
        return refuse("scale %g: must be positive", scale);
    }
    const int places = candidatesOf(*thresholds, outputs->capacity);
    if (first < 0 || first > windows->capacity - places)
    {
        return refuse("first %d: must leave %d of %d places", first, places, windows->capacity);
    }
    CascadeScratch scratch{};
    bool dependent = false;
    if (isBad(divide(*outputs, *thresholds, workspace, workspaceBytes, scratch, dependent)))
    {
        return cudaErrorInvalidValue;
    }
    Launches launches(stream, dependent);
    return cascadeWindows(
        *outputs, columns, scale, *thresholds, *windows, first, *tallies, scratch, launches);
}

cudaError_t mogfaceCascadeBoxes(const MogfaceCascadeOutputs* outputs, const double* boxes,
    const MogfaceCascadeThresholds* thresholds, int height, int width, const MogfaceCrops* crops,
    const MogfaceTallies* tallies, void* workspace, size_t workspaceBytes, cudaStream_t stream)
{
    clearProblem();
    if (isBad(checkProblem(outputs, thresholds)) || isBad(checkPointer("boxes", boxes, 2 * sizeof(double)))
        || isBad(checkSize(outputs->batch, height, width)) || isBad(checkCrops(crops))
        || isBad(checkTallies(tallies)))
    {
        return cudaErrorInvalidValue;
    }
    CascadeScratch scratch{};
    bool dependent = false;
    if (isBad(divide(*outputs, *thresholds, workspace, workspaceBytes, scratch, dependent)))
    {
        return cudaErrorInvalidValue;
    }
    Launches launches(stream, dependent);
    return cascadeBoxes(*outputs, boxes, *thresholds, height, width, *crops, *tallies, scratch, launches);
}

cudaError_t mogfaceCascadeFaces(const MogfaceCascadeOutputs* outputs, const double* boxes,
    const MogfaceCascadeThresholds* thresholds, int maxDetections, const MogfaceFrame* frames,
    const MogfaceDetections* detections, void* workspace, size_t workspaceBytes, cudaStream_t stream)
{
    clearProblem();
    if (isBad(checkProblem(outputs, thresholds))
        || isBad(checkPointer("outputs.landmarks", outputs->landmarks, sizeof(float)))
        || isBad(checkPointer("boxes", boxes, 2 * sizeof(double))) || isBad(checkFramesPointer(frames))
        || isBad(checkDetections("detections", detections, 1))
        || isBad(checkPointer("detections.dropped", detections->dropped, sizeof(int32_t))))
    {
        return cudaErrorInvalidValue;
    }
    const int most = candidatesOf(*thresholds, outputs->capacity);
    if (maxDetections < 1 || maxDetections > most)
    {
        return refuse("maxDetections %d: must lie within 1..%d", maxDetections, most);
    }
    CascadeScratch scratch{};
    bool dependent = false;
    if (isBad(divide(*outputs, *thresholds, workspace, workspaceBytes, scratch, dependent)))
    {
        return cudaErrorInvalidValue;
    }
    Launches launches(stream, dependent);
    return cascadeFaces(*outputs, boxes, *thresholds, maxDetections, frames, *detections, scratch, launches);
}

cudaError_t mogfaceCascadeGather(
    const MogfaceCascadeOutputs* part, int first, const MogfaceCascadeOutputs* all, cudaStream_t stream)
{
    clearProblem();
    if (isBad(checkPointer("part", part, alignof(MogfaceCascadeOutputs)))
        || isBad(checkPointer("all", all, alignof(MogfaceCascadeOutputs)))
        || isBad(checkCascadeOutputs("part", *part)) || isBad(checkCascadeOutputs("all", *all)))
    {
        return cudaErrorInvalidValue;
    }
    if (part->planar != 0 || all->planar != 0 || (part->landmarks == nullptr) != (all->landmarks == nullptr))
    {
        return refuse("part: must be laid out as all, and not planar");
    }
    const int64_t rows = static_cast<int64_t>(all->batch) * all->capacity;
    if (part->batch != 1 || first < 0 || first > rows - part->capacity)
    {
        return refuse(
            "first %d: must leave %d of %lld rows", first, part->capacity, static_cast<long long>(rows));
    }
    Launches launches(stream, false);
    return cascadeGather(*part, first, *all, launches);
}
