// The caller's workspace, divided piece by piece.  With a null base only the size is counted.
#pragma once

#include "stages.h"

constexpr size_t kWORKSPACE_ALIGNMENT = 256; // of cudaMalloc

struct DecodeScratch
{
    Segments segments;
    Key* best; // [N, K]
};

struct MergeScratch
{
    MogfaceCandidates candidates;
    uint64_t* suppressors;
};

struct DetectScratch
{
    DecodeScratch decode;
    MogfaceCandidates candidates;
    uint64_t* suppressors;
};

class Workspace
{
public:
    explicit Workspace(void* base)
        : mBase(reinterpret_cast<uintptr_t>(base))
    {
    }

    size_t bytes() const
    {
        return mBytes;
    }

    DecodeScratch decodeScratch(int batch, int anchorCount, int topK)
    {
        DecodeScratch scratch{};
        const int segments = (anchorCount + kSEGMENT - 1) / kSEGMENT;
        const size_t all = static_cast<size_t>(batch) * segments;
        scratch.segments = {take<Key>(all * kSEGMENT), take<int>(all), take<int>(all), segments};
        scratch.best = take<Key>(static_cast<size_t>(batch) * topK);
        return scratch;
    }

    // [N, ceil(K / 64), K]
    uint64_t* suppressors(int batch, int topK)
    {
        return take<uint64_t>(static_cast<size_t>(batch) * ((topK + 63) / 64) * topK);
    }

    DetectScratch detectScratch(int batch, const AnchorGrid& grid, int topK)
    {
        DetectScratch scratch{};
        scratch.decode = decodeScratch(batch, grid.anchorCount, topK);
        scratch.candidates = candidates(batch, topK, grid.landmarkCount);
        scratch.suppressors = suppressors(batch, topK);
        return scratch;
    }

    CascadeScratch cascadeScratch(int batch, int capacity, int topK)
    {
        CascadeScratch scratch{};
        const DecodeScratch decode = decodeScratch(batch, capacity, topK);
        const size_t all = static_cast<size_t>(batch) * topK;
        scratch.segments = decode.segments;
        scratch.best = decode.best;
        scratch.counts = take<int>(batch);
        scratch.nans = take<int>(batch);
        scratch.beyond = take<int>(batch);
        scratch.order = take<int>(all);
        scratch.boxes = take<double>(4 * all);
        scratch.suppressors = suppressors(batch, topK);
        scratch.keptCounts = take<int>(batch);
        scratch.kept = take<int>(all);
        scratch.topK = topK;
        return scratch;
    }

    MergeScratch mergeScratch(int batch, int topK, int landmarkCount)
    {
        MergeScratch scratch{};
        scratch.candidates = candidates(batch, topK, landmarkCount);
        scratch.suppressors = suppressors(batch, topK);
        return scratch;
    }

private:
    MogfaceCandidates candidates(int batch, int topK, int landmarkCount)
    {
        const size_t all = static_cast<size_t>(batch) * topK;
        return {take<int32_t>(batch), take<int32_t>(batch), take<int32_t>(all), take<float>(4 * all),
            take<float>(all), take<float>(2 * all * landmarkCount)};
    }

    template <typename T>
    T* take(size_t count)
    {
        const uintptr_t piece = mBase + mBytes;
        mBytes
            += (count * sizeof(T) + kWORKSPACE_ALIGNMENT - 1) / kWORKSPACE_ALIGNMENT * kWORKSPACE_ALIGNMENT;
        return reinterpret_cast<T*>(piece);
    }

    uintptr_t mBase;
    size_t mBytes = 0;
};
