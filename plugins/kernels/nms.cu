// Greedy non-maximum suppression of candidates that lie best first.
//
// overlaps: every pair of candidates is compared once, in tiles of 64 by 64 over the whole GPU; the results are bits.
// sweep: one block per image walks 64 candidates at a time.  One warp decides all 64 together: a candidate without a
// possible suppressor stays, one with a suppressor that stays is dropped, until all are decided.  The kept candidates then
// strike out those after the 64.  So the walk has K / 64 steps, not K.  The bits of up to 512 candidates are copied to
// shared memory first, and no step of their walk waits for memory.
#include "await_launch.cuh"
#include "boxes.cuh"
#include "launch.h"
#include "shared_memory.cuh"
#include "stages.h"

namespace
{

constexpr int kTILE = 64; // candidates of a word of bits
constexpr int kOVERLAP_THREADS = 256;
constexpr int kPARTS = kOVERLAP_THREADS / kTILE; // threads per candidate of a tile
constexpr int kPART = kTILE / kPARTS;
constexpr int kTILES_IN_FLIGHT = 1024; // blocks of a launch; each takes further tiles in turn

struct Box
{
    float4 corners;
    float area;
    int anchor; // negative if dropped
};

struct OverlapShared
{
    Box boxes[kTILE + kPARTS]; // one gap a part, so that the parts of a warp read different banks
};

// Operation by operation as trt_mogface.reference.nms: an IoU that is not a number suppresses.
__device__ bool suppresses(const Box& winner, const Box& other, float threshold, float one)
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

__device__ float4 cornersAt(const MogfaceCandidates& candidates, size_t index)
{
    return reinterpret_cast<const float4*>(candidates.boxes)[index];
}

// Words of one image: a row of topK for each tile of suppressors.
__device__ size_t wordAt(int image, int tileRows, int topK, int tile, int candidate)
{
    return (static_cast<size_t>(image) * tileRows + tile) * topK + candidate;
}

// The tile of that number in the triangle (0, 0) (0, 1) (1, 1) (0, 2) ...: suppressors of tile `row`, others of `column`.
__device__ void tileAt(int number, int& row, int& column)
{
    column = static_cast<int>((sqrtf(8.0F * static_cast<float>(number) + 1.0F) - 1.0F) / 2.0F);
    while (column * (column + 1) / 2 > number)
    {
        --column;
    }
    while ((column + 1) * (column + 2) / 2 <= number)
    {
        ++column;
    }
    row = number - column * (column + 1) / 2;
}

// Candidates of an image, within bounds even if the caller's memory was overwritten.
__device__ int countOf(const MogfaceCandidates& candidates, int image, int topK)
{
    const int count = limited(candidates.counts[image], topK);
    return count > 0 ? count : 0;
}

__global__ void __launch_bounds__(kOVERLAP_THREADS) overlapsKernel(const MogfaceCandidates candidates,
    int topK, float threshold, float one, int across, uint16_t* suppressors)
{
    awaitLaunchBefore();
    OverlapShared& shared = sharedMemory<OverlapShared>();
    const int image = blockIdx.y;
    const int count = countOf(candidates, image, topK);
    const size_t first = static_cast<size_t>(image) * topK;
    const int tileRows = ceilDiv(topK, kTILE);
    const int tiles = ceilDiv(count, kTILE);
    for (int number = blockIdx.x; number < tiles * (tiles + 1) / 2; number += gridDim.x)
    {
        int row = 0;
        int column = 0;
        tileAt(number, row, column);
        const int candidate = column * kTILE + threadIdx.x / kPARTS;
        const int part = threadIdx.x % kPARTS;
        // Not used before the barrier, so that the accesses of both rows are on their way together.
        const float4 corners = cornersAt(candidates, first + limited(candidate, count - 1));
        const int loaded = row * kTILE + threadIdx.x;
        if (threadIdx.x < kTILE && loaded < count)
        {
            const float4 winner = cornersAt(candidates, first + loaded);
            const int anchor = candidates.anchors[first + loaded];
            shared.boxes[threadIdx.x + threadIdx.x / kPART] = {winner, areaOf(winner, one), anchor};
        }
        __syncthreads();
        if (candidate < count)
        {
            const int apart = across != 0 ? candidates.anchors[first + candidate] : -1;
            const Box box{corners, areaOf(corners, one), apart};
            unsigned bits = 0;
            for (int i = 0; i < kPART; ++i)
            {
                const Box& winner = shared.boxes[part * (kPART + 1) + i];
                const bool better = row * kTILE + part * kPART + i < candidate;
                if (better && winner.anchor >= 0 && winner.anchor != apart
                    && suppresses(winner, box, threshold, one))
                {
                    bits |= 1U << i;
                }
            }
            suppressors[wordAt(image, tileRows, topK, row, candidate) * kPARTS + part]
                = static_cast<uint16_t>(bits);
        }
        __syncthreads();
    }
}

constexpr int kSWEEP_THREADS = 1024;
constexpr int kMAX_TILES = MOGFACE_MAX_TOP_K / kTILE;
constexpr int kFEW_TILES = 8; // for whose words shared memory has room
constexpr int kFEW = kFEW_TILES * kTILE;
static_assert(kFEW <= kSWEEP_THREADS, "a thread copies the words of one candidate");

struct SweepShared
{
    uint64_t words[kFEW_TILES * kFEW]; // suppressors of a few candidates
    unsigned alive[2 * kMAX_TILES];    // one bit per candidate: neither dropped nor struck out so far
    uint64_t kept[kMAX_TILES];
    int before[kMAX_TILES + 1]; // kept in the tiles before this one
};

// One image and the state of its suppression.
struct Sweep
{
    SweepShared& shared;
    const MogfaceCandidates& candidates;
    const uint64_t* suppressors; // of this image: a row for each tile; in shared memory those of a few
    int pitch;                   // words of a row
    size_t first;                // candidate of this image
    int count;
    int lane;
    int warp;

    __device__ const uint64_t* wordsOf(int tile) const
    {
        return suppressors + static_cast<size_t>(tile) * pitch;
    }
};

// Suppressions among the 64 candidates of a tile: lane l has the words of candidates l and l + 32.
struct Diagonal
{
    uint64_t low;
    uint64_t high;
};

__device__ Diagonal loadDiagonal(const Sweep& sweep, int tile)
{
    const uint64_t* words = sweep.wordsOf(tile);
    const int candidate = tile * kTILE + sweep.lane;
    return {candidate < sweep.count ? words[candidate] : 0,
        candidate + kWARP < sweep.count ? words[candidate + kWARP] : 0};
}

__device__ uint64_t ballot(bool low, bool high)
{
    const uint64_t upper = __ballot_sync(kALL_LANES, high);
    return upper << kWARP | __ballot_sync(kALL_LANES, low);
}

// Which of 64 candidates stay.
__device__ uint64_t resolve(uint64_t undecided, const Diagonal& by)
{
    uint64_t kept = 0;
    while (undecided != 0) // the best undecided one is decided in each round
    {
        const uint64_t possible = kept | undecided;
        kept |= undecided & ballot((by.low & possible) == 0, (by.high & possible) == 0);
        undecided &= ~(kept | ballot((by.low & kept) != 0, (by.high & kept) != 0));
    }
    return kept;
}

// Initially every candidate is alive that was not dropped.  The words of a few are copied to shared memory.
__device__ void begin(const Sweep& sweep, int tiles, const uint64_t* suppressors, int topK)
{
    uint64_t words[kFEW_TILES] = {};
    const int own = threadIdx.x;
    const bool copies = tiles <= kFEW_TILES && own < sweep.count;
    for (int tile = 0; copies && tile < kFEW_TILES; ++tile) // all loads are issued before the first is used
    {
        words[tile] = suppressors[static_cast<size_t>(limited(tile, own / kTILE)) * topK + own];
    }
    for (int base = sweep.warp * kWARP; base < tiles * kTILE; base += kSWEEP_THREADS)
    {
        const int candidate = base + sweep.lane;
        const bool present
            = candidate < sweep.count && sweep.candidates.anchors[sweep.first + candidate] >= 0;
        const unsigned vote = __ballot_sync(kALL_LANES, present);
        if (sweep.lane == 0)
        {
            sweep.shared.alive[base / kWARP] = vote;
        }
    }
    for (int tile = 0; copies && tile < kFEW_TILES; ++tile)
    {
        sweep.shared.words[tile * kFEW + own] = words[tile];
    }
    if (threadIdx.x == 0)
    {
        sweep.shared.before[0] = 0;
    }
    __syncthreads();
}

// One warp decides a tile.
__device__ void decide(const Sweep& sweep, int tile, const Diagonal& diagonal)
{
    SweepShared& shared = sweep.shared;
    const uint64_t alive
        = static_cast<uint64_t>(shared.alive[2 * tile + 1]) << kWARP | shared.alive[2 * tile];
    const uint64_t kept = resolve(alive, diagonal);
    if (sweep.lane == 0)
    {
        shared.kept[tile] = kept;
        shared.before[tile + 1] = shared.before[tile] + __popcll(kept);
    }
}

// All warps strike out the later candidates that the kept of a tile suppress.  `word` is this thread's first.
__device__ void strike(const Sweep& sweep, int tile, uint64_t word)
{
    const uint64_t kept = sweep.shared.kept[tile];
    for (int base = (tile + 1) * kTILE + sweep.warp * kWARP; kept != 0 && base < sweep.count;
        base += kSWEEP_THREADS)
    {
        const unsigned vote = __ballot_sync(kALL_LANES, (word & kept) != 0);
        if (sweep.lane == 0)
        {
            sweep.shared.alive[base / kWARP] &= ~vote;
        }
        const int next = base + kSWEEP_THREADS + sweep.lane;
        word = next < sweep.count ? sweep.wordsOf(tile)[next] : 0;
    }
}

// Walks the tiles until enough candidates are kept; returns the number of tiles.  The loads of a step overlap the step
// before.
__device__ int walk(const Sweep& sweep, int tiles, int enough)
{
    Diagonal diagonal = loadDiagonal(sweep, 0);
    int tile = 0;
    for (; tile < tiles && sweep.shared.before[tile] < enough; ++tile)
    {
        const int behind = (tile + 1) * kTILE + static_cast<int>(threadIdx.x);
        const uint64_t word = behind < sweep.count ? sweep.wordsOf(tile)[behind] : 0;
        if (sweep.warp == 0)
        {
            const Diagonal next = tile + 1 < tiles ? loadDiagonal(sweep, tile + 1) : Diagonal{};
            decide(sweep, tile, diagonal);
            diagonal = next;
        }
        __syncthreads();
        strike(sweep, tile, word);
        __syncthreads();
    }
    return tile;
}

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

__global__ void __launch_bounds__(kSWEEP_THREADS, 1)
    sweepKernel(const MogfaceCandidates candidates, int topK, int maxDetections, int clip, int landmarkCount,
        const uint64_t* suppressors, const MogfaceFrame* frames, const MogfaceDetections out)
{
    awaitLaunchBefore();
    SweepShared& shared = sharedMemory<SweepShared>();
    const int image = blockIdx.x;
    const Mapping mapping = mappingTo(frames, image, clip != 0); // on its way during the walk
    const size_t first = static_cast<size_t>(image) * topK;
    const int count = countOf(candidates, image, topK);
    const int tiles = ceilDiv(count, kTILE);
    const bool few = tiles <= kFEW_TILES;
    suppressors += wordAt(image, ceilDiv(topK, kTILE), topK, 0, 0);
    const Sweep sweep{shared, candidates, few ? shared.words : suppressors, few ? kFEW : topK, first, count,
        static_cast<int>(threadIdx.x) % kWARP, static_cast<int>(threadIdx.x) / kWARP};
    begin(sweep, tiles, suppressors, topK);
    const int walked = walk(sweep, tiles, maxDetections);

    const size_t firstOut = static_cast<size_t>(image) * maxDetections;
    for (int candidate = threadIdx.x; candidate < walked * kTILE; candidate += kSWEEP_THREADS)
    {
        const uint64_t kept = shared.kept[candidate / kTILE];
        const uint64_t bit = uint64_t{1} << (candidate % kTILE);
        const int place = shared.before[candidate / kTILE] + __popcll(kept & (bit - 1));
        if ((kept & bit) != 0 && place < maxDetections)
        {
            writeFace(candidates, first + candidate, landmarkCount, mapping, out, firstOut + place);
        }
    }
    const int found = limited(shared.before[walked], maxDetections);
    for (int place = found + static_cast<int>(threadIdx.x); place < maxDetections; place += kSWEEP_THREADS)
    {
        writeNothing(landmarkCount, out, firstOut + place);
    }
    if (threadIdx.x == 0)
    {
        out.counts[image] = found;
    }
}

} // namespace

cudaError_t overlaps(const MogfaceCandidates& candidates, const MogfaceThresholds& thresholds, int batch,
    bool across, uint64_t* suppressors, Launches& launches)
{
    const int tiles = ceilDiv(thresholds.topK, kTILE);
    const int all = tiles * (tiles + 1) / 2;
    const int share = ceilDiv(kTILES_IN_FLIGHT, batch);
    return launches.add(overlapsKernel, dim3(all < share ? all : share, batch), kOVERLAP_THREADS,
        sizeof(OverlapShared), candidates, thresholds.topK, thresholds.iou,
        thresholds.inclusiveAreas != 0 ? 1.0F : 0.0F, across, reinterpret_cast<uint16_t*>(suppressors));
}

cudaError_t sweep(const MogfaceCandidates& candidates, const MogfaceThresholds& thresholds, int batch,
    int landmarkCount, const uint64_t* suppressors, const MogfaceFrame* frames,
    const MogfaceDetections& detections, Launches& launches)
{
    return launches.add(sweepKernel, batch, kSWEEP_THREADS, sizeof(SweepShared), candidates, thresholds.topK,
        thresholds.maxDetections, thresholds.clip, landmarkCount, suppressors, frames, detections);
}
