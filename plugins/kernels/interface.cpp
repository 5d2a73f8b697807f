// The C interface: checks arguments, divides the workspace, starts the stages.
#include "checks.h"
#include "launch.h"
#include "problem.h"
#include "stages.h"
#include "workspace.h"

namespace
{

cudaError_t runDecode(const MogfaceOutputs& outputs, const AnchorGrid& grid,
    const MogfaceThresholds& thresholds, const MogfaceFrame* frames, const DecodeScratch& scratch,
    const MogfaceCandidates& candidates, Launches& launches)
{
    cudaError_t error = collect(outputs, grid.anchorCount, thresholds.score, scratch.segments, launches);
    if (error == cudaSuccess)
    {
        error = cut(scratch.segments, outputs.batch, thresholds.topK, scratch.best, candidates.counts,
            candidates.dropped, nullptr, launches);
    }
    return error == cudaSuccess
        ? decode(outputs, grid, scratch.best, thresholds, frames, candidates, launches)
        : error;
}

cudaError_t runSelect(const MogfaceThresholds& thresholds, const MogfaceCandidates& candidates, int batch,
    int landmarkCount, const MogfaceFrame* frames, const MogfaceDetections& detections, uint64_t* suppressors,
    Launches& launches)
{
    const cudaError_t error = overlaps(candidates, thresholds, batch, false, suppressors, launches);
    return error == cudaSuccess
        ? sweep(candidates, thresholds, batch, landmarkCount, suppressors, frames, detections, launches)
        : error;
}

// The faces of both passes that enter the suppression.
int candidatesOf(const MogfaceThresholds& thresholds)
{
    const int both = 2 * thresholds.maxDetections;
    return both < thresholds.topK ? both : thresholds.topK;
}

cudaError_t runMerge(MogfaceThresholds thresholds, const MogfaceMerging& merging,
    const MogfaceDetections& further, int batch, int landmarkCount, const MogfaceFrame* frames,
    const MogfaceDetections& detections, const MergeScratch& scratch, Launches& launches)
{
    thresholds.topK = candidatesOf(thresholds);
    cudaError_t error = lineUp(
        detections, further, merging, thresholds, frames, batch, landmarkCount, scratch.candidates, launches);
    if (error == cudaSuccess)
    {
        error = overlaps(scratch.candidates, thresholds, batch, true, scratch.suppressors, launches);
    }
    return error == cudaSuccess ? sweep(scratch.candidates, thresholds, batch, landmarkCount,
                                      scratch.suppressors, nullptr, detections, launches)
                                : error;
}

} // namespace

int mogfaceInterface(void)
{
    return MOGFACE_INTERFACE;
}

const char* mogfaceProblem(void)
{
    return lastProblem();
}

const char* mogfaceErrorName(int error)
{
    return cudaGetErrorName(static_cast<cudaError_t>(error));
}

const char* mogfaceErrorText(int error)
{
    return cudaGetErrorString(static_cast<cudaError_t>(error));
}

int mogfaceRunsOnHost(void)
{
#if defined(CUDA_EMULATION)
    return 1;
#else
    return 0;
#endif
}

int mogfaceCudaVersion(void)
{
#if defined(CUDA_EMULATION)
    return 0;
#else
    return CUDART_VERSION;
#endif
}

cudaError_t mogfaceAnchorCount(const MogfaceDetector* detector, int height, int width, int64_t* count)
{
    clearProblem();
    AnchorGrid grid{};
    if (isBad(checkDetector(detector)) || isBad(checkSize(1, height, width))
        || isBad(checkPointer("count", count, alignof(int64_t)))
        || isBad(layOut(*detector, height, width, grid)))
    {
        return cudaErrorInvalidValue;
    }
    *count = grid.anchorCount;
    return cudaSuccess;
}

cudaError_t mogfaceCheckFrames(const MogfaceFrame* frames, int batch, int height, int width)
{
    clearProblem();
    if (isBad(checkPointer("frames", frames, alignof(MogfaceFrame)))
        || isBad(checkSize(batch, height, width)))
    {
        return cudaErrorInvalidValue;
    }
    for (int i = 0; i < batch; ++i)
    {
        if (isBad(checkFrame(frames[i], i, height, width)))
        {
            return cudaErrorInvalidValue;
        }
    }
    return cudaSuccess;
}

cudaError_t mogfaceLetterbox(const MogfaceFrame* frames, int batch, uint32_t pad, uint8_t* images, int height,
    int width, cudaStream_t stream)
{
    clearProblem();
    if (isBad(checkPointer("frames", frames, alignof(MogfaceFrame)))
        || isBad(checkPointer("images", images, 1)) || isBad(checkSize(batch, height, width)))
    {
        return cudaErrorInvalidValue;
    }
    Launches launches(stream, false);
    return letterbox(frames, batch, pad, images, height, width, launches);
}

cudaError_t mogfaceResample(const MogfaceFrame* frames, int batch, const int32_t* boxes,
    const int32_t* indices, int count, int tallRowsFirst, uint8_t* images, int height, int width,
    cudaStream_t stream)
{
    clearProblem();
    if (isBad(checkPointer("frames", frames, alignof(MogfaceFrame)))
        || isBad(checkPointer("images", images, 1)) || isBad(checkSize(batch, height, width))
        || isBad(checkBoxes(boxes, indices, count, batch)))
    {
        return cudaErrorInvalidValue;
    }
    Launches launches(stream, false);
    return resample(
        frames, batch, boxes, indices, count, tallRowsFirst != 0, images, height, width, launches);
}

cudaError_t mogfaceDecodeWorkspace(const MogfaceDetector* detector, const MogfaceThresholds* thresholds,
    int batch, int height, int width, size_t* bytes)
{
    clearProblem();
    AnchorGrid grid{};
    if (isBad(checkProblem(detector, thresholds, batch, height, width, grid))
        || isBad(checkPointer("bytes", bytes, alignof(size_t))))
    {
        return cudaErrorInvalidValue;
    }
    Workspace laidOut(nullptr);
    laidOut.decodeScratch(batch, grid.anchorCount, thresholds->topK);
    *bytes = laidOut.bytes();
    return cudaSuccess;
}

cudaError_t mogfaceSelectWorkspace(const MogfaceThresholds* thresholds, int batch, size_t* bytes)
{
    clearProblem();
    if (isBad(checkThresholds(thresholds)) || isBad(checkSize(batch, 1, 1))
        || isBad(checkPointer("bytes", bytes, alignof(size_t))))
    {
        return cudaErrorInvalidValue;
    }
    Workspace laidOut(nullptr);
    laidOut.suppressors(batch, thresholds->topK);
    *bytes = laidOut.bytes();
    return cudaSuccess;
}

cudaError_t mogfaceMergeWorkspace(
    const MogfaceThresholds* thresholds, int batch, int landmarkCount, size_t* bytes)
{
    clearProblem();
    if (isBad(checkThresholds(thresholds)) || isBad(checkSize(batch, 1, 1))
        || isBad(checkLandmarkCount(landmarkCount)) || isBad(checkPointer("bytes", bytes, alignof(size_t))))
    {
        return cudaErrorInvalidValue;
    }
    Workspace laidOut(nullptr);
    laidOut.mergeScratch(batch, candidatesOf(*thresholds), landmarkCount);
    *bytes = laidOut.bytes();
    return cudaSuccess;
}

cudaError_t mogfaceDetectWorkspace(const MogfaceDetector* detector, const MogfaceThresholds* thresholds,
    int batch, int height, int width, size_t* bytes)
{
    clearProblem();
    AnchorGrid grid{};
    if (isBad(checkProblem(detector, thresholds, batch, height, width, grid))
        || isBad(checkPointer("bytes", bytes, alignof(size_t))))
    {
        return cudaErrorInvalidValue;
    }
    Workspace laidOut(nullptr);
    laidOut.detectScratch(batch, grid, thresholds->topK);
    *bytes = laidOut.bytes();
    return cudaSuccess;
}

cudaError_t mogfaceDecode(const MogfaceDetector* detector, const MogfaceThresholds* thresholds,
    const MogfaceOutputs* outputs, const MogfaceFrame* frames, const MogfaceCandidates* candidates,
    void* workspace, size_t workspaceBytes, cudaStream_t stream)
{
    clearProblem();
    AnchorGrid grid{};
    if (isBad(checkPointer("outputs", outputs, alignof(MogfaceOutputs)))
        || isBad(checkProblem(detector, thresholds, outputs->batch, outputs->height, outputs->width, grid))
        || isBad(checkOutputs(*outputs, grid.landmarkCount)) || isBad(checkFramesPointer(frames))
        || isBad(checkCandidates(candidates, grid.landmarkCount)))
    {
        return cudaErrorInvalidValue;
    }
    Workspace laidOut(workspace);
    const DecodeScratch scratch = laidOut.decodeScratch(outputs->batch, grid.anchorCount, thresholds->topK);
    bool dependent = false;
    if (isBad(checkWorkspace(laidOut, workspace, workspaceBytes)) || isBad(readLaunchKind(dependent)))
    {
        return cudaErrorInvalidValue;
    }
    Launches launches(stream, dependent);
    return runDecode(*outputs, grid, *thresholds, frames, scratch, *candidates, launches);
}

cudaError_t mogfaceSelect(const MogfaceThresholds* thresholds, const MogfaceCandidates* candidates, int batch,
    int landmarkCount, const MogfaceFrame* frames, const MogfaceDetections* detections, void* workspace,
    size_t workspaceBytes, cudaStream_t stream)
{
    clearProblem();
    if (isBad(checkLandmarkCount(landmarkCount)) || isBad(checkThresholds(thresholds))
        || isBad(checkSize(batch, 1, 1)) || isBad(checkCandidates(candidates, landmarkCount))
        || isBad(checkDetections("detections", detections, landmarkCount))
        || isBad(checkClipping(*thresholds, frames)))
    {
        return cudaErrorInvalidValue;
    }
    Workspace laidOut(workspace);
    uint64_t* suppressors = laidOut.suppressors(batch, thresholds->topK);
    bool dependent = false;
    if (isBad(checkWorkspace(laidOut, workspace, workspaceBytes)) || isBad(readLaunchKind(dependent)))
    {
        return cudaErrorInvalidValue;
    }
    Launches launches(stream, dependent);
    return runSelect(
        *thresholds, *candidates, batch, landmarkCount, frames, *detections, suppressors, launches);
}

cudaError_t mogfaceDetect(const MogfaceDetector* detector, const MogfaceThresholds* thresholds,
    const MogfaceOutputs* outputs, const MogfaceFrame* frames, const MogfaceDetections* detections,
    void* workspace, size_t workspaceBytes, cudaStream_t stream)
{
    clearProblem();
    AnchorGrid grid{};
    if (isBad(checkPointer("outputs", outputs, alignof(MogfaceOutputs)))
        || isBad(checkProblem(detector, thresholds, outputs->batch, outputs->height, outputs->width, grid))
        || isBad(checkOutputs(*outputs, grid.landmarkCount))
        || isBad(checkDetections("detections", detections, grid.landmarkCount))
        || isBad(checkClipping(*thresholds, frames)))
    {
        return cudaErrorInvalidValue;
    }
    Workspace laidOut(workspace);
    DetectScratch scratch = laidOut.detectScratch(outputs->batch, grid, thresholds->topK);
    bool dependent = false;
    if (isBad(checkWorkspace(laidOut, workspace, workspaceBytes)) || isBad(readLaunchKind(dependent)))
    {
        return cudaErrorInvalidValue;
    }
    if (detections->dropped != nullptr)
    {
        scratch.candidates.dropped = detections->dropped;
    }
    Launches launches(stream, dependent);
    const cudaError_t error
        = runDecode(*outputs, grid, *thresholds, frames, scratch.decode, scratch.candidates, launches);
    return error == cudaSuccess ? runSelect(*thresholds, scratch.candidates, outputs->batch,
                                      grid.landmarkCount, frames, *detections, scratch.suppressors, launches)
                                : error;
}

cudaError_t mogfaceMerge(const MogfaceThresholds* thresholds, const MogfaceMerging* merging,
    const MogfaceDetections* further, int batch, int landmarkCount, const MogfaceFrame* frames,
    const MogfaceDetections* detections, void* workspace, size_t workspaceBytes, cudaStream_t stream)
{
    clearProblem();
    if (isBad(checkLandmarkCount(landmarkCount)) || isBad(checkThresholds(thresholds))
        || isBad(checkMerging(merging)) || isBad(checkSize(batch, 1, 1))
        || isBad(checkDetections("further", further, landmarkCount))
        || isBad(checkPointer("frames", frames, alignof(MogfaceFrame)))
        || isBad(checkDetections("detections", detections, landmarkCount)))
    {
        return cudaErrorInvalidValue;
    }
    if (detections->dropped != nullptr
        && isBad(checkPointer("further.dropped", further->dropped, sizeof(int32_t))))
    {
        return cudaErrorInvalidValue;
    }
    Workspace laidOut(workspace);
    const MergeScratch scratch = laidOut.mergeScratch(batch, candidatesOf(*thresholds), landmarkCount);
    bool dependent = false;
    if (isBad(checkWorkspace(laidOut, workspace, workspaceBytes)) || isBad(readLaunchKind(dependent)))
    {
        return cudaErrorInvalidValue;
    }
    Launches launches(stream, dependent);
    return runMerge(
        *thresholds, *merging, *further, batch, landmarkCount, frames, *detections, scratch, launches);
}
