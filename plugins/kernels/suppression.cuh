// Greedy non-maximum suppression of candidates that lie best first, of any kind of boxes.
//
// overlaps: every pair of candidates is compared once, in tiles of 64 by 64 over the whole GPU; the results are bits.
// sweep: one block per image walks 64 candidates at a time.  One warp decides all 64 together: a candidate without a
// possible suppressor stays, one with a suppressor that stays is dropped, until all are decided.  The kept candidates then
// strike out those after the 64.  So the walk has K / 64 steps, not K.  The bits of up to 512 candidates are copied to
// shared memory first, and no step of their walk waits for memory.
#pragma once

#include "await_launch.cuh"
#include "boxes.cuh"
#include "launch.h"
#include "shared_memory.cuh"
#include "stages.h"

constexpr int kTILE = 64; // candidates of a word of bits
constexpr int kOVERLAP_THREADS = 256;
constexpr int kPARTS = kOVERLAP_THREADS / kTILE; // threads per candidate of a tile
constexpr int kPART = kTILE / kPARTS;
constexpr int kTILES_IN_FLIGHT = 1024; // blocks of a launch; each takes further tiles in turn

template <typename Boxes>
struct OverlapShared
{
    typename Boxes::Box
        boxes[kTILE + kPARTS]; // one gap a part, so that the parts of a warp read different banks
};

// Words of one image: a row of topK for each tile of suppressors.
__device__ inline size_t wordAt(int image, int tileRows, int topK, int tile, int candidate)
{
    return (static_cast<size_t>(image) * tileRows + tile) * topK + candidate;
}

// The tile of that number in the triangle (0, 0) (0, 1) (1, 1) (0, 2) ...: suppressors of tile `row`, others of `column`.
__device__ inline void tileAt(int number, int& row, int& column)
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
__device__ inline int countOf(const int32_t* counts, int image, int topK)
{
    const int count = limited(counts[image], topK);
    return count > 0 ? count : 0;
}

// `Boxes` says what is compared and how: see FloatBoxes and PixelBoxes.
template <typename Boxes>
__global__ void __launch_bounds__(kOVERLAP_THREADS)
    overlapsKernel(const Boxes boxes, int topK, uint16_t* suppressors)
{
    awaitLaunchBefore();
    OverlapShared<Boxes>& shared = sharedMemory<OverlapShared<Boxes>>();
    const int image = blockIdx.y;
    const int count = countOf(boxes.counts, image, topK);
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
        const auto corners = boxes.cornersAt(first + limited(candidate, count - 1));
        const int loaded = row * kTILE + threadIdx.x;
        if (threadIdx.x < kTILE && loaded < count)
        {
            shared.boxes[threadIdx.x + threadIdx.x / kPART]
                = boxes.made(boxes.cornersAt(first + loaded), boxes.labels[first + loaded]);
        }
        __syncthreads();
        if (candidate < count)
        {
            const int apart = boxes.across ? boxes.labels[first + candidate] : -1;
            const auto box = boxes.made(corners, apart);
            unsigned bits = 0;
            for (int i = 0; i < kPART; ++i)
            {
                const auto& winner = shared.boxes[part * (kPART + 1) + i];
                const bool better = row * kTILE + part * kPART + i < candidate;
                if (better && winner.label >= 0 && winner.label != apart && boxes.suppresses(winner, box))
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
    const int32_t* labels;       // of this image; negative if dropped
    const uint64_t* suppressors; // of this image: a row for each tile; in shared memory those of a few
    int pitch;                   // words of a row
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

__device__ inline Diagonal loadDiagonal(const Sweep& sweep, int tile)
{
    const uint64_t* words = sweep.wordsOf(tile);
    const int candidate = tile * kTILE + sweep.lane;
    return {candidate < sweep.count ? words[candidate] : 0,
        candidate + kWARP < sweep.count ? words[candidate + kWARP] : 0};
}

__device__ inline uint64_t ballot(bool low, bool high)
{
    const uint64_t upper = __ballot_sync(kALL_LANES, high);
    return upper << kWARP | __ballot_sync(kALL_LANES, low);
}

// Which of 64 candidates stay.
__device__ inline uint64_t resolve(uint64_t undecided, const Diagonal& by)
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
__device__ inline void begin(const Sweep& sweep, int tiles, const uint64_t* suppressors, int topK)
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
        const bool present = candidate < sweep.count && sweep.labels[candidate] >= 0;
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
__device__ inline void decide(const Sweep& sweep, int tile, const Diagonal& diagonal)
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
__device__ inline void strike(const Sweep& sweep, int tile, uint64_t word)
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
__device__ inline int walk(const Sweep& sweep, int tiles, int enough)
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

// `Output` says where the kept candidates go: see FaceOutput and KeptOutput.
template <typename Output>
__global__ void __launch_bounds__(kSWEEP_THREADS, 1) sweepKernel(const int32_t* counts, const int32_t* labels,
    int topK, int enough, const uint64_t* suppressors, const Output output)
{
    awaitLaunchBefore();
    SweepShared& shared = sharedMemory<SweepShared>();
    const int image = blockIdx.x;
    const auto target = output.of(image); // on its way during the walk
    const int count = countOf(counts, image, topK);
    const int tiles = ceilDiv(count, kTILE);
    const bool few = tiles <= kFEW_TILES;
    suppressors += wordAt(image, ceilDiv(topK, kTILE), topK, 0, 0);
    const Sweep sweep{shared, labels + static_cast<size_t>(image) * topK, few ? shared.words : suppressors,
        few ? kFEW : topK, count, static_cast<int>(threadIdx.x) % kWARP,
        static_cast<int>(threadIdx.x) / kWARP};
    begin(sweep, tiles, suppressors, topK);
    const int walked = walk(sweep, tiles, enough);

    const size_t first = static_cast<size_t>(image) * topK;
    const size_t firstOut = static_cast<size_t>(image) * enough;
    for (int candidate = threadIdx.x; candidate < walked * kTILE; candidate += kSWEEP_THREADS)
    {
        const uint64_t kept = shared.kept[candidate / kTILE];
        const uint64_t bit = uint64_t{1} << (candidate % kTILE);
        const int place = shared.before[candidate / kTILE] + __popcll(kept & (bit - 1));
        if ((kept & bit) != 0 && place < enough)
        {
            output.write(target, first, candidate, firstOut + place);
        }
    }
    const int found = limited(shared.before[walked], enough);
    for (int place = found + static_cast<int>(threadIdx.x); place < enough; place += kSWEEP_THREADS)
    {
        output.writeNothing(firstOut + place);
    }
    if (threadIdx.x == 0)
    {
        output.counts[image] = found;
    }
}

template <typename Boxes>
cudaError_t launchOverlaps(const Boxes& boxes, int topK, int batch, uint64_t* suppressors, Launches& launches)
{
    const int tiles = ceilDiv(topK, kTILE);
    const int all = tiles * (tiles + 1) / 2;
    const int share = ceilDiv(kTILES_IN_FLIGHT, batch);
    return launches.add(overlapsKernel<Boxes>, dim3(all < share ? all : share, batch), kOVERLAP_THREADS,
        sizeof(OverlapShared<Boxes>), boxes, topK, reinterpret_cast<uint16_t*>(suppressors));
}

template <typename Output>
cudaError_t launchSweep(const int32_t* counts, const int32_t* labels, int topK, int enough, int batch,
    const uint64_t* suppressors, const Output& output, Launches& launches)
{
    return launches.add(sweepKernel<Output>, batch, kSWEEP_THREADS, sizeof(SweepShared), counts, labels, topK,
        enough, suppressors, output);
}
