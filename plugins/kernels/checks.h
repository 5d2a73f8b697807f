// Checks of the C interface's arguments.  Each refuses with the argument's name (problem.h) or succeeds.
#pragma once

#include "stages.h"
#include "workspace.h"

constexpr int kMAX_LANDMARKS = 68;

inline bool isBad(cudaError_t error)
{
    return error != cudaSuccess;
}

cudaError_t checkSize(int batch, int height, int width);

cudaError_t checkPointer(const char* name, const void* pointer, size_t alignment);

cudaError_t checkDetector(const MogfaceDetector* detector);

cudaError_t checkThresholds(const MogfaceThresholds* thresholds);

cudaError_t checkMerging(const MogfaceMerging* merging);

cudaError_t checkLandmarkCount(int landmarkCount);

// The levels for one size of the network input, and A.
cudaError_t layOut(const MogfaceDetector& detector, int height, int width, AnchorGrid& grid);

cudaError_t checkProblem(const MogfaceDetector* detector, const MogfaceThresholds* thresholds, int batch,
    int height, int width, AnchorGrid& grid);

cudaError_t checkOutputs(const MogfaceOutputs& outputs, int landmarkCount);

cudaError_t checkCandidates(const MogfaceCandidates* candidates, int landmarkCount);

cudaError_t checkDetections(const char* name, const MogfaceDetections* detections, int landmarkCount);

cudaError_t checkFramesPointer(const MogfaceFrame* frames); // which may be null

// Boxes and their frames, either of which may be null.
cudaError_t checkBoxes(const int32_t* boxes, const int32_t* indices, int count, int batch);

// Number of candidates or places of an image in a cascade.
cudaError_t checkCapacity(const char* name, int capacity);

cudaError_t checkCascadeOutputs(const char* name, const MogfaceCascadeOutputs& outputs);

cudaError_t checkCascadeThresholds(const MogfaceCascadeThresholds* thresholds);

cudaError_t checkWindows(const MogfaceWindows* windows);

cudaError_t checkCrops(const MogfaceCrops* crops);

cudaError_t checkTallies(const MogfaceTallies* tallies);

cudaError_t checkClipping(const MogfaceThresholds& thresholds, const MogfaceFrame* frames);

// TRT_MOGFACE_LAUNCH, which chooses between plain launches, the default, and dependent ones.
cudaError_t readLaunchKind(bool& dependent);

cudaError_t checkWorkspace(const Workspace& laidOut, const void* workspace, size_t given);

cudaError_t checkFrame(const MogfaceFrame& frame, int index, int height, int width);
