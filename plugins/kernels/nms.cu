// Suppression of the candidates of one network, and their way to the frame.
#include "suppression.cuh"

namespace
{

// Candidates as trt_mogface.reference.nms compares them, operation by operation: an IoU that is not a number suppresses.
struct FloatBoxes
{
    struct Box
    {
        float4 corners;
        float area;
        int label; // the anchor; negative if dropped
    };

    const int32_t* counts;
    const int32_t* labels;
    const float4* corners;
    float threshold;
    float one;
    bool across; // whether only boxes of different labels are compared

    __device__ float4 cornersAt(size_t index) const
    {
        return corners[index];
    }

    __device__ Box made(float4 of, int label) const
    {
        return {of, areaOf(of, one), label};
    }

    __device__ bool suppresses(const Box& winner, const Box& other) const
    {
        const float width
            = overlapOnAxis(winner.corners.x, winner.corners.z, other.corners.x, other.corners.z, one);
        const float height
            = overlapOnAxis(winner.corners.y, winner.corners.w, other.corners.y, other.corners.w, one);
        const float intersection = width * height;
        const float both = winner.area + other.area - intersection;
        if (intersection == 0.0F && both > 0.0F)
        {
            return false; // the result of the division, which most pairs are spared
        }
        return !(intersection / both <= threshold);
    }
};

// From the network input to the frame.
struct Mapping
{
    float scaleX;
    float scaleY;
    int width;
    int height;
    bool clip;
};

__device__ float inFrame(float value, float scale, int limit, bool clip)
{
    const float mapped = value / scale;
    return clip ? fminf(fmaxf(mapped, 0.0F), static_cast<float>(limit)) : mapped;
}

__device__ Mapping mappingTo(const MogfaceFrame* frames, int image, bool clip)
{
    if (frames == nullptr)
    {
        return {1.0F, 1.0F, 0, 0, false};
    }
    const MogfaceFrame& frame = frames[image];
    return {frame.scaleX, frame.scaleY, frame.width, frame.height, clip};
}

__device__ void writeFace(const MogfaceCandidates& candidates, size_t from, int landmarkCount,
    const Mapping& mapping, const MogfaceDetections& out, size_t to)
{
    const float4 box = reinterpret_cast<const float4*>(candidates.boxes)[from];
    float4 mapped{};
    mapped.x = inFrame(box.x, mapping.scaleX, mapping.width, mapping.clip);
    mapped.y = inFrame(box.y, mapping.scaleY, mapping.height, mapping.clip);
    mapped.z = inFrame(box.z, mapping.scaleX, mapping.width, mapping.clip);
    mapped.w = inFrame(box.w, mapping.scaleY, mapping.height, mapping.clip);
    reinterpret_cast<float4*>(out.boxes)[to] = mapped;
    out.scores[to] = candidates.scores[from];
    const int width = 2 * landmarkCount;
    for (int i = 0; i < width; i += 2)
    {
        out.landmarks[to * width + i] = candidates.landmarks[from * width + i] / mapping.scaleX;
        out.landmarks[to * width + i + 1] = candidates.landmarks[from * width + i + 1] / mapping.scaleY;
    }
}

__device__ void writeNothing(int landmarkCount, const MogfaceDetections& out, size_t to)
{
    reinterpret_cast<float4*>(out.boxes)[to] = float4{};
    out.scores[to] = 0.0F;
    const int width = 2 * landmarkCount;
    for (int i = 0; i < width; ++i)
    {
        out.landmarks[to * width + i] = 0.0F;
    }
}

struct FaceOutput
{
    int32_t* counts;
    MogfaceCandidates candidates;
    MogfaceDetections out;
    const MogfaceFrame* frames;
    int landmarkCount;
    bool clip;

    __device__ Mapping of(int image) const
    {
        return mappingTo(frames, image, clip);
    }

    __device__ void write(const Mapping& mapping, size_t first, int candidate, size_t to) const
    {
        writeFace(candidates, first + candidate, landmarkCount, mapping, out, to);
    }

    __device__ void writeNothing(size_t to) const
    {
        ::writeNothing(landmarkCount, out, to);
    }
};

} // namespace

cudaError_t overlaps(const MogfaceCandidates& candidates, const MogfaceThresholds& thresholds, int batch,
    bool across, uint64_t* suppressors, Launches& launches)
{
    const FloatBoxes boxes{candidates.counts, candidates.anchors,
        reinterpret_cast<const float4*>(candidates.boxes), thresholds.iou,
        thresholds.inclusiveAreas != 0 ? 1.0F : 0.0F, across};
    return launchOverlaps(boxes, thresholds.topK, batch, suppressors, launches);
}

cudaError_t sweep(const MogfaceCandidates& candidates, const MogfaceThresholds& thresholds, int batch,
    int landmarkCount, const uint64_t* suppressors, const MogfaceFrame* frames,
    const MogfaceDetections& detections, Launches& launches)
{
    const FaceOutput output{
        detections.counts, candidates, detections, frames, landmarkCount, thresholds.clip != 0};
    return launchSweep(candidates.counts, candidates.anchors, thresholds.topK, thresholds.maxDetections,
        batch, suppressors, output, launches);
}
