// The stages before and after the network, in their order.  interface.cpp has checked the arguments.
#pragma once

#include "trt_mogface/kernels.h"

// A candidate as one number: the larger, the better.  Scores above a threshold of at least 0 are positive floats, whose
// bits order as they do; of equal scores the lower anchor index gives the larger key, in a cascade the higher index of
// the candidate.  Keys of an image are distinct.
using Key = uint64_t;

class Launches; // launch.h

constexpr int kSEGMENT = 1024; // anchors whose candidates one block stores side by side

// Candidates by place of origin: those of segment s of image n begin at keys[(n * segments + s) * kSEGMENT].
struct Segments
{
    Key* keys;    // [N, segments, kSEGMENT]
    int* counts;  // [N, segments]
    int* nans;    // [N, segments]: scores that are not numbers
    int segments; // of one image
};

// The detector's levels for one size of the network input.
struct AnchorGrid
{
    struct Level
    {
        double sides[MOGFACE_MAX_SIDES];
        int first; // anchor index
        int rows;
        int columns;
        int stride;
        int sideCount;
    };
    Level levels[MOGFACE_MAX_LEVELS];
    double center;
    float varianceCenter;
    float varianceSize;
    int height; // of the network input
    int width;
    int levelCount;
    int coding;
    int inclusive;
    int spread;
    int landmarkCount;
    int anchorCount;
};

// Candidates of a cascade on their way to boxes.
struct CascadeScratch
{
    Segments segments;
    Key* best;     // [N, K]
    int* counts;   // [N]
    int* nans;     // [N]
    int* beyond;   // [N]: candidates beyond K
    int* order;    // [N, K]: candidates, best first; -1 for one that single precision cannot hold
    double* boxes; // [N, K, 4]: their boxes
    uint64_t* suppressors;
    int* keptCounts; // [N]
    int* kept;       // [N, K]: places of those that stay, in `order`
    int topK;        // K
};

// frames -> the network input
cudaError_t letterbox(const MogfaceFrame* frames, int batch, uint32_t pad, uint8_t* images, int height,
    int width, Launches& launches);

// boxes of frames, or whole frames without boxes -> images of one size
cudaError_t resample(const MogfaceFrame* frames, int batch, const int32_t* boxes, const int32_t* indices,
    int count, bool tallRowsFirst, uint8_t* images, int height, int width, Launches& launches);

// scores -> segments
cudaError_t collect(
    const MogfaceOutputs& outputs, int anchorCount, float threshold, Segments segments, Launches& launches);

// the same of a network of a cascade; candidates that are not finite count as scores that are not numbers
cudaError_t collect(
    const MogfaceCascadeOutputs& outputs, float threshold, Segments segments, Launches& launches);

// segments -> keys of the best topK of each image in any order [N, topK], their number, that of NaN scores and, unless
// null, that of candidates beyond topK [N]
cudaError_t cut(Segments segments, int batch, int topK, Key* best, int* counts, int* nans, int* beyond,
    Launches& launches);

// keys, deltas, landmarks -> candidates, best first
cudaError_t decode(const MogfaceOutputs& outputs, const AnchorGrid& grid, const Key* best,
    const MogfaceThresholds& thresholds, const MogfaceFrame* frames, const MogfaceCandidates& candidates,
    Launches& launches);

// the faces of two passes -> the best topK as candidates, best first; the anchor is the pass, or -1 if overruled
cudaError_t lineUp(const MogfaceDetections& first, const MogfaceDetections& second,
    const MogfaceMerging& merging, const MogfaceThresholds& thresholds, const MogfaceFrame* frames, int batch,
    int landmarkCount, const MogfaceCandidates& candidates, Launches& launches);

// candidates -> bit i of suppressors[n, w, j]: candidate 64 w + i suppresses j; for 64 w + i < j only.  Across: only for
// candidates of different anchors
cudaError_t overlaps(const MogfaceCandidates& candidates, const MogfaceThresholds& thresholds, int batch,
    bool across, uint64_t* suppressors, Launches& launches);

// candidates and suppressors -> faces
cudaError_t sweep(const MogfaceCandidates& candidates, const MogfaceThresholds& thresholds, int batch,
    int landmarkCount, const uint64_t* suppressors, const MogfaceFrame* frames,
    const MogfaceDetections& detections, Launches& launches);

// A cascade's networks: their outputs -> windows of a pyramid level, boxes to be cropped, faces
cudaError_t cascadeWindows(const MogfaceCascadeOutputs& outputs, int columns, double scale,
    const MogfaceCascadeThresholds& thresholds, const MogfaceWindows& windows, int first,
    const MogfaceTallies& tallies, const CascadeScratch& scratch, Launches& launches);

cudaError_t cascadeBoxes(const MogfaceCascadeOutputs& outputs, const double* boxes,
    const MogfaceCascadeThresholds& thresholds, int height, int width, const MogfaceCrops& crops,
    const MogfaceTallies& tallies, const CascadeScratch& scratch, Launches& launches);

cudaError_t cascadeFaces(const MogfaceCascadeOutputs& outputs, const double* boxes,
    const MogfaceCascadeThresholds& thresholds, int maxDetections, const MogfaceFrame* frames,
    const MogfaceDetections& detections, const CascadeScratch& scratch, Launches& launches);

// outputs of a part of the candidates -> their place among all
cudaError_t cascadeGather(
    const MogfaceCascadeOutputs& part, int first, const MogfaceCascadeOutputs& all, Launches& launches);
