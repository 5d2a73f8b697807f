// Between the networks of a cascade: candidates of each image in, boxes for the next network or faces out.
//
// collect and cut (top_k.cu) find the best candidates.  order puts them in their places, best first, with the boxes that
// are compared.  overlaps and sweep (suppression.cuh) leave the places of those that stay.  A last kernel writes these.
// Boxes are doubles and every operation is rounded as in trt_mogface.reference.cascade: there are few of them.
#include "cascade_outputs.cuh"
#include "rank.cuh"
#include "suppression.cuh"

#include <cmath>

namespace
{

constexpr int kTHREADS = 256;
constexpr int kBLOCK = 1024; // of a kernel with one block per image
constexpr int kWARPS = kBLOCK / kWARP;
constexpr double kLARGEST_SIDE = 4.0; // of a box, in shorter sides of the image
constexpr int kCELL = 12;
constexpr int kSTRIDE = 2;

struct alignas(16) Corners
{
    double x0;
    double y0;
    double x1;
    double y1;
};

struct Sides
{
    double width;
    double height;
};

__device__ Sides sidesOf(const Corners& box)
{
    return {box.x1 - box.x0 + 1.0, box.y1 - box.y0 + 1.0};
}

// trt_mogface.reference.cascade.calibrate
__device__ Corners calibrated(
    const Corners& box, const MogfaceCascadeOutputs& outputs, int image, int candidate)
{
    const Sides sides = sidesOf(box);
    return {box.x0 + sides.width * offsetAt(outputs, image, candidate, 0),
        box.y0 + sides.height * offsetAt(outputs, image, candidate, 1),
        box.x1 + sides.width * offsetAt(outputs, image, candidate, 2),
        box.y1 + sides.height * offsetAt(outputs, image, candidate, 3)};
}

// trt_mogface.reference.cascade.square
__device__ Corners squareAround(const Corners& box)
{
    const Sides sides = sidesOf(box);
    const double longer = fmax(sides.width, sides.height);
    const double x = box.x0 + sides.width * 0.5 - longer * 0.5;
    const double y = box.y0 + sides.height * 0.5 - longer * 0.5;
    return {rint(x), rint(y), rint(x + longer - 1.0), rint(y + longer - 1.0)};
}

// trt_mogface.reference.cascade.croppable
__device__ bool isCroppable(const Corners& box, int height, int width)
{
    const Sides sides = sidesOf(box);
    const double largest = kLARGEST_SIDE * (height < width ? height : width);
    return box.x0 < width && box.y0 < height && box.x1 >= 0.0 && box.y1 >= 0.0 && sides.width >= 1.0
        && sides.height >= 1.0 && sides.width <= largest && sides.height <= largest;
}

__device__ bool fitsSinglePrecision(double value)
{
    return fabs(value) < 3.4028234663852886e38; // the largest float
}

struct Point
{
    double x;
    double y;
};

// A landmark in pixels of the image: all x of a candidate lie before all y.
__device__ Point landmarkAt(
    const Corners& box, const MogfaceCascadeOutputs& outputs, size_t candidate, int which)
{
    const float* points = outputs.landmarks + candidate * 2 * kCASCADE_POINTS;
    const Sides sides = sidesOf(box);
    return {box.x0 + sides.width * points[which], box.y0 + sides.height * points[kCASCADE_POINTS + which]};
}

// The box that is compared with others, for each kind of candidate; `false` drops it.

struct Cells
{
    int columns;
    double scale;

    __device__ bool place(
        const MogfaceCascadeOutputs& /*outputs*/, int /*image*/, int cell, Corners& box) const
    {
        const double x = kSTRIDE * (cell % columns) + 1.0;
        const double y = kSTRIDE * (cell / columns) + 1.0;
        box = {rint(x / scale), rint(y / scale), rint((x + kCELL) / scale), rint((y + kCELL) / scale)};
        return true;
    }
};

struct Given
{
    const Corners* boxes;

    __device__ bool place(const MogfaceCascadeOutputs& outputs, int image, int candidate, Corners& box) const
    {
        box = boxes[static_cast<size_t>(image) * outputs.capacity + candidate];
        return true;
    }
};

struct Calibrated
{
    const Corners* boxes;

    __device__ bool place(const MogfaceCascadeOutputs& outputs, int image, int candidate, Corners& box) const
    {
        const size_t index = static_cast<size_t>(image) * outputs.capacity + candidate;
        const Corners before = boxes[index];
        box = calibrated(before, outputs, image, candidate);
        bool fits = fitsSinglePrecision(box.x0) && fitsSinglePrecision(box.y0) && fitsSinglePrecision(box.x1)
            && fitsSinglePrecision(box.y1);
        for (int i = 0; i < kCASCADE_POINTS; ++i)
        {
            const Point point = landmarkAt(before, outputs, index, i);
            fits = fits && fitsSinglePrecision(point.x) && fitsSinglePrecision(point.y);
        }
        return fits;
    }
};

template <typename Kind>
__global__ void __launch_bounds__(kRANK_THREADS)
    orderKernel(const __grid_constant__ MogfaceCascadeOutputs outputs, const Kind kind, const Key* best,
        const int* counts, int topK, int* order, Corners* boxes, int32_t* dropped)
{
    awaitLaunchBefore();
    const int image = blockIdx.y;
    const int count = counts[image];
    if (static_cast<int>(blockIdx.x) * kRANK_KEYS >= count)
    {
        return;
    }
    const int index = blockIdx.x * kRANK_KEYS + threadIdx.x / kRANK_PARTS;
    const size_t first = static_cast<size_t>(image) * topK;
    const Key key = index < count ? best[first + index] : 0;
    const int place = countLarger(sharedMemory<RankShared>(), best + first, count, key);
    if (threadIdx.x % kRANK_PARTS != 0 || index >= count)
    {
        return;
    }
    const int candidate = static_cast<int>(static_cast<uint32_t>(key));
    Corners box{};
    const bool isUsable = kind.place(outputs, image, candidate, box);
    order[first + place] = isUsable ? candidate : -1;
    boxes[first + place] = box;
    if (!isUsable)
    {
        atomicAdd(&dropped[image], 1);
    }
}

// Candidates as trt_mogface.reference.cascade.suppress compares them, operation by operation.
struct PixelBoxes
{
    struct Box
    {
        Corners corners;
        double area;
        int label; // the candidate; negative if dropped
    };

    const int* counts;
    const int* labels;
    const Corners* corners;
    double threshold;
    bool smaller; // whether overlaps are relative to the smaller of two boxes
    bool across;  // whether only boxes of different labels are compared: never

    __device__ Corners cornersAt(size_t index) const
    {
        return corners[index];
    }

    __device__ Box made(const Corners& of, int label) const
    {
        const Sides sides = sidesOf(of);
        return {of, sides.width * sides.height, label};
    }

    __device__ bool suppresses(const Box& winner, const Box& other) const
    {
        const Corners& one = winner.corners;
        const Corners& two = other.corners;
        const double across_ = fmax(0.0, fmin(one.x1, two.x1) - fmax(one.x0, two.x0) + 1.0);
        const double down = fmax(0.0, fmin(one.y1, two.y1) - fmax(one.y0, two.y0) + 1.0);
        const double common = across_ * down;
        if (common == 0.0)
        {
            return false; // spares most pairs the division; areas are positive, or nothing is suppressed
        }
        const double whole = smaller ? fmin(winner.area, other.area) : winner.area + other.area - common;
        return common / whole > threshold;
    }
};

// Places of those that stay.
struct KeptOutput
{
    int* counts;
    int* kept;

    __device__ int of(int image) const
    {
        return image;
    }

    __device__ void write(int /*image*/, size_t /*first*/, int place, size_t to) const
    {
        kept[to] = place;
    }

    __device__ void writeNothing(size_t /*to*/) const
    {
    }
};

// The windows that stay, and zeros in the other places of the level.
__global__ void __launch_bounds__(kTHREADS)
    windowsKernel(const __grid_constant__ MogfaceCascadeOutputs outputs, const CascadeScratch scratch,
        const MogfaceWindows windows, int first, const MogfaceTallies tallies)
{
    awaitLaunchBefore();
    const int image = blockIdx.y;
    const int place = blockIdx.x * kTHREADS + threadIdx.x;
    if (place < scratch.topK)
    {
        const size_t from = static_cast<size_t>(image) * scratch.topK;
        const size_t to = static_cast<size_t>(image) * windows.capacity + first + place;
        if (place < scratch.keptCounts[image])
        {
            const size_t ordered = from + scratch.kept[from + place];
            const int candidate = scratch.order[ordered];
            reinterpret_cast<Corners*>(windows.boxes)[to]
                = reinterpret_cast<const Corners*>(scratch.boxes)[ordered];
            windows.scores[to] = outputs.scores[static_cast<size_t>(image) * outputs.capacity + candidate];
            for (int i = 0; i < 4; ++i)
            {
                windows.offsets[4 * to + i] = offsetAt(outputs, image, candidate, i);
            }
        }
        else
        {
            windows.scores[to] = 0.0F;
        }
    }
    if (place == 0)
    {
        const bool begins = first == 0;
        tallies.dropped[image] = (begins ? 0 : tallies.dropped[image]) + scratch.nans[image];
        tallies.truncated[image] = (begins ? 0 : tallies.truncated[image]) + scratch.beyond[image];
    }
}

struct SquaresShared
{
    int counts[kWARPS];
};

// The squares around calibrated boxes that can be cropped, in the order of the boxes.  One block per image.
__global__ void __launch_bounds__(kBLOCK)
    squaresKernel(const __grid_constant__ MogfaceCascadeOutputs outputs, const CascadeScratch scratch,
        int height, int width, const MogfaceCrops crops, const MogfaceTallies tallies)
{
    awaitLaunchBefore();
    SquaresShared& shared = sharedMemory<SquaresShared>();
    const int image = blockIdx.x;
    const int lane = threadIdx.x % kWARP;
    const int warp = threadIdx.x / kWARP;
    const int count = scratch.keptCounts[image];
    const size_t from = static_cast<size_t>(image) * scratch.topK;
    const size_t firstOut = static_cast<size_t>(image) * crops.capacity;
    int found = 0;
    for (int base = 0; base < count; base += kBLOCK)
    {
        const int place = base + static_cast<int>(threadIdx.x);
        Corners box{};
        bool isUsable = false;
        if (place < count)
        {
            const size_t ordered = from + scratch.kept[from + place];
            const Corners before = reinterpret_cast<const Corners*>(scratch.boxes)[ordered];
            box = squareAround(calibrated(before, outputs, image, scratch.order[ordered]));
            isUsable = isCroppable(box, height, width);
        }
        const unsigned vote = __ballot_sync(kALL_LANES, isUsable);
        if (lane == 0)
        {
            shared.counts[warp] = __popc(vote);
        }
        __syncthreads();
        int before = found + __popc(vote & ((1U << lane) - 1U));
        for (int i = 0; i < kWARPS; ++i)
        {
            before += i < warp ? shared.counts[i] : 0;
            found += shared.counts[i];
        }
        __syncthreads();
        if (isUsable && before < crops.capacity)
        {
            const size_t to = firstOut + before;
            crops.boxes[4 * to] = static_cast<int32_t>(box.x0);
            crops.boxes[4 * to + 1] = static_cast<int32_t>(box.y0);
            crops.boxes[4 * to + 2] = static_cast<int32_t>(box.x1) + 1;
            crops.boxes[4 * to + 3] = static_cast<int32_t>(box.y1) + 1;
            crops.indices[to] = image;
            reinterpret_cast<Corners*>(crops.inside)[to] = {
                fmax(box.x0, 0.0), fmax(box.y0, 0.0), fmin(box.x1, width - 1.0), fmin(box.y1, height - 1.0)};
        }
    }
    for (int place = found + static_cast<int>(threadIdx.x); place < crops.capacity; place += kBLOCK)
    {
        crops.indices[firstOut + place] = -1;
        for (int i = 0; i < 4; ++i)
        {
            crops.boxes[4 * (firstOut + place) + i] = 0;
        }
    }
    if (threadIdx.x == 0)
    {
        crops.counts[image] = limited(found, crops.capacity);
        tallies.dropped[image] += scratch.nans[image];
        tallies.truncated[image]
            += scratch.beyond[image] + (found > crops.capacity ? found - crops.capacity : 0);
    }
}

// The faces that stay, in pixels of the frame, and zeros.
__global__ void __launch_bounds__(kTHREADS) facesKernel(const __grid_constant__ MogfaceCascadeOutputs outputs,
    const Corners* boxes, const CascadeScratch scratch, int maxDetections, const MogfaceFrame* frames,
    const MogfaceDetections out)
{
    awaitLaunchBefore();
    const int image = blockIdx.y;
    const int place = blockIdx.x * kTHREADS + threadIdx.x;
    const int count = scratch.keptCounts[image];
    if (place == 0)
    {
        out.counts[image] = count;
        out.dropped[image] += scratch.nans[image];
    }
    if (place >= maxDetections)
    {
        return;
    }
    const size_t to = static_cast<size_t>(image) * maxDetections + place;
    auto* corners = reinterpret_cast<float4*>(out.boxes);
    if (place >= count)
    {
        corners[to] = float4{};
        out.scores[to] = 0.0F;
        for (int i = 0; i < 2 * kCASCADE_POINTS; ++i)
        {
            out.landmarks[to * 2 * kCASCADE_POINTS + i] = 0.0F;
        }
        return;
    }
    const double scaleX = frames == nullptr ? 1.0 : static_cast<double>(frames[image].scaleX);
    const double scaleY = frames == nullptr ? 1.0 : static_cast<double>(frames[image].scaleY);
    const size_t from = static_cast<size_t>(image) * scratch.topK;
    const size_t ordered = from + scratch.kept[static_cast<size_t>(image) * maxDetections + place];
    const size_t candidate = static_cast<size_t>(image) * outputs.capacity + scratch.order[ordered];
    const Corners box = reinterpret_cast<const Corners*>(scratch.boxes)[ordered];
    float4 mapped{};
    mapped.x = static_cast<float>(box.x0 / scaleX);
    mapped.y = static_cast<float>(box.y0 / scaleY);
    mapped.z = static_cast<float>(box.x1 / scaleX);
    mapped.w = static_cast<float>(box.y1 / scaleY);
    corners[to] = mapped;
    out.scores[to] = outputs.scores[candidate];
    for (int i = 0; i < kCASCADE_POINTS; ++i)
    {
        const Point point = landmarkAt(boxes[candidate], outputs, candidate, i);
        out.landmarks[to * 2 * kCASCADE_POINTS + 2 * i] = static_cast<float>(point.x / scaleX);
        out.landmarks[to * 2 * kCASCADE_POINTS + 2 * i + 1] = static_cast<float>(point.y / scaleY);
    }
}

__global__ void __launch_bounds__(kTHREADS)
    gatherKernel(const MogfaceCascadeOutputs part, int first, const MogfaceCascadeOutputs all)
{
    const int row = blockIdx.x * kTHREADS + threadIdx.x;
    if (row >= part.capacity)
    {
        return;
    }
    const size_t to = static_cast<size_t>(first) + row;
    all.scores[to] = part.scores[row];
    for (int i = 0; i < 4; ++i)
    {
        all.offsets[4 * to + i] = part.offsets[4 * row + i];
    }
    for (int i = 0; part.landmarks != nullptr && i < 2 * kCASCADE_POINTS; ++i)
    {
        all.landmarks[2 * kCASCADE_POINTS * to + i] = part.landmarks[2 * kCASCADE_POINTS * row + i];
    }
}

// Candidates -> the places of those that stay.
template <typename Kind>
cudaError_t suppress(const MogfaceCascadeOutputs& outputs, const Kind& kind,
    const MogfaceCascadeThresholds& thresholds, bool smaller, int enough, int32_t* dropped,
    const CascadeScratch& scratch, Launches& launches)
{
    const int batch = outputs.batch;
    auto* boxes = reinterpret_cast<Corners*>(scratch.boxes);
    cudaError_t error = collect(outputs, thresholds.score, scratch.segments, launches);
    if (error == cudaSuccess)
    {
        error = cut(scratch.segments, batch, scratch.topK, scratch.best, scratch.counts, scratch.nans,
            scratch.beyond, launches);
    }
    if (error == cudaSuccess)
    {
        error = launches.add(orderKernel<Kind>, dim3(ceilDiv(scratch.topK, kRANK_KEYS), batch), kRANK_THREADS,
            sizeof(RankShared), outputs, kind, scratch.best, scratch.counts, scratch.topK, scratch.order,
            boxes, dropped);
    }
    if (error == cudaSuccess)
    {
        const PixelBoxes compared{scratch.counts, scratch.order, boxes, thresholds.overlap, smaller, false};
        error = launchOverlaps(compared, scratch.topK, batch, scratch.suppressors, launches);
    }
    return error == cudaSuccess
        ? launchSweep(scratch.counts, scratch.order, scratch.topK, enough, batch, scratch.suppressors,
              KeptOutput{scratch.keptCounts, scratch.kept}, launches)
        : error;
}

} // namespace

cudaError_t cascadeWindows(const MogfaceCascadeOutputs& outputs, int columns, double scale,
    const MogfaceCascadeThresholds& thresholds, const MogfaceWindows& windows, int first,
    const MogfaceTallies& tallies, const CascadeScratch& scratch, Launches& launches)
{
    const cudaError_t error = suppress(
        outputs, Cells{columns, scale}, thresholds, false, scratch.topK, tallies.dropped, scratch, launches);
    return error == cudaSuccess
        ? launches.add(windowsKernel, dim3(ceilDiv(scratch.topK, kTHREADS), outputs.batch), kTHREADS, 0,
              outputs, scratch, windows, first, tallies)
        : error;
}

cudaError_t cascadeBoxes(const MogfaceCascadeOutputs& outputs, const double* boxes,
    const MogfaceCascadeThresholds& thresholds, int height, int width, const MogfaceCrops& crops,
    const MogfaceTallies& tallies, const CascadeScratch& scratch, Launches& launches)
{
    const Given kind{reinterpret_cast<const Corners*>(boxes)};
    const cudaError_t error
        = suppress(outputs, kind, thresholds, false, scratch.topK, tallies.dropped, scratch, launches);
    return error == cudaSuccess ? launches.add(squaresKernel, outputs.batch, kBLOCK, sizeof(SquaresShared),
                                      outputs, scratch, height, width, crops, tallies)
                                : error;
}

cudaError_t cascadeFaces(const MogfaceCascadeOutputs& outputs, const double* boxes,
    const MogfaceCascadeThresholds& thresholds, int maxDetections, const MogfaceFrame* frames,
    const MogfaceDetections& detections, const CascadeScratch& scratch, Launches& launches)
{
    const auto* corners = reinterpret_cast<const Corners*>(boxes);
    const cudaError_t error = suppress(
        outputs, Calibrated{corners}, thresholds, true, maxDetections, detections.dropped, scratch, launches);
    return error == cudaSuccess
        ? launches.add(facesKernel, dim3(ceilDiv(maxDetections, kTHREADS), outputs.batch), kTHREADS, 0,
              outputs, corners, scratch, maxDetections, frames, detections)
        : error;
}

cudaError_t cascadeGather(
    const MogfaceCascadeOutputs& part, int first, const MogfaceCascadeOutputs& all, Launches& launches)
{
    return launches.add(gatherKernel, ceilDiv(part.capacity, kTHREADS), kTHREADS, 0, part, first, all);
}
