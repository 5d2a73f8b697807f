// Boxes of frames to one size, antialiased: many boxes of a batch in one launch.
//
// The arithmetic is that of Pillow's resize(BILINEAR) on bytes: triangles as weights, of 22 bits, one axis after the other
// with bytes between them.  All weights are ratios of integers (trt_mogface.reference.resample), so that no GPU needs
// double precision.  A block makes a tile of the result.  It walks through the pixels below the tile in chunks: the first
// pass goes to shared memory, the second one adds up in registers, so that a reduction may be as large as it likes.
#include "launch.h"
#include "pixels.cuh"
#include "shared_memory.cuh"
#include "stages.h"

namespace
{

constexpr int kTHREADS = 256;
constexpr int kDEPTH = 4; // lines that a thread makes at once in the first pass, with the same weights
constexpr int kLARGE_TILES = 256; // of one image, from which on there are enough for a GPU
constexpr int kWEIGHT_BITS = 22;
constexpr int kHALF = 1 << (kWEIGHT_BITS - 1);
constexpr int kMAX_SIDE = 1 << 16; // of a box

// A block's part of the result: LANES pixels along the axis of the first pass, LINES along that of the second.
template <int LANES, int LINES>
struct Tile
{
    static constexpr int kLANES = LANES;
    static constexpr int kLINES = LINES;
    static constexpr int kGROUPS = kTHREADS / LANES; // of threads, each with lines of its own
    static constexpr int kCHUNK = kGROUPS * kDEPTH;
    static_assert(LANES * LINES <= kTHREADS, "each thread adds up one pixel in the second pass");
};

// Large images have many tiles.  A small one has few, which may stand for all pixels of a frame: these are divided further.
using LargeTile = Tile<32, 8>;
using SmallTile = Tile<8, 4>;

// A box and its result along one axis.  Distances are in units of 1 / (2 * size) pixels of the box.
struct Axis
{
    int origin; // first pixel of the box, in the frame
    int side;   // pixels of the box
    int size;   // pixels of the result
    int begin;  // pixels of the box that lie within the frame; the others are black
    int end;
};

// Pixels and weights of a pixel of the result.
struct Filter
{
    int begin; // pixels of the box
    int end;
    int reach;        // distance at which the weight is zero
    int64_t offset;   // distance of pixel 0 of the box from the center
    uint64_t twice;   // two sums of the weights before they are scaled
    uint64_t inverse; // 2^64 / twice
};

struct Sums
{
    int blue = kHALF;
    int green = kHALF;
    int red = kHALF;
};

template <typename Tile>
struct ResampleShared
{
    Filter filters[Tile::kLINES]; // of the second pass
    int weights[Tile::kLINES][Tile::kCHUNK];
    uint32_t pixels[Tile::kCHUNK][Tile::kLANES]; // after the first pass
};

__device__ Axis axisOf(int begin, int end, int frameSide, int size)
{
    const int64_t side = static_cast<int64_t>(end) - begin;
    Axis axis{begin, 0, size, 0, 0};
    if (side >= 1 && side <= kMAX_SIDE && begin < frameSide && end > 0)
    {
        axis.side = static_cast<int>(side);
        axis.begin = begin < 0 ? -begin : 0; // at most a side, as the end lies within
        axis.end = end > frameSide ? frameSide - begin : axis.side;
    }
    return axis;
}

__device__ Filter filterAt(const Axis& axis, int index)
{
    const int64_t size = axis.size;
    const int64_t center = (2 * static_cast<int64_t>(index) + 1) * axis.side;
    const int64_t reach = 2 * static_cast<int64_t>(axis.side > axis.size ? axis.side : axis.size);
    const int64_t before = center - reach - size;
    const int64_t begin = before < 0 ? 0 : before / (2 * size) + 1;
    const int64_t beyond = (center + reach + size - 1) / (2 * size);
    const int64_t end = beyond < axis.side ? beyond : axis.side;
    // The sum of distances: negative ones left of the center, which pixel `end` is right of.
    const int64_t count = end - begin;
    const int64_t first = (2 * begin + 1) * size - center;
    const int64_t negative = first < 0 ? (2 * size - 1 - first) / (2 * size) : 0;
    const int64_t distances = count * first + size * count * (count - 1)
        - 2 * (negative * first + size * negative * (negative - 1));
    const uint64_t twice = 2 * static_cast<uint64_t>(reach * count - distances);
    return {static_cast<int>(begin > axis.begin ? begin : axis.begin),
        static_cast<int>(end < axis.end ? end : axis.end), static_cast<int>(reach), size - center, twice,
        ~uint64_t{0} / twice};
}

// The weight of a pixel at a distance within reach, rounded to the nearest of 22 bits.
__device__ int weightAt(const Filter& filter, int distance)
{
    const auto weight = static_cast<uint64_t>(filter.reach - (distance < 0 ? -distance : distance));
    const uint64_t dividend = (weight << (kWEIGHT_BITS + 1)) + filter.twice / 2;
    const uint64_t quotient = __umul64hi(dividend, filter.inverse); // or one less than it should be
    return static_cast<int>(quotient + (dividend - quotient * filter.twice >= filter.twice ? 1 : 0));
}

__device__ int distanceOf(const Filter& filter, const Axis& axis, int pixel)
{
    return static_cast<int>(filter.offset + 2 * static_cast<int64_t>(axis.size) * pixel);
}

// Pixels of a frame by their places along the axis of the first pass and across it.
struct BgrPixels
{
    const uint8_t* plane;
    int64_t along; // bytes from one pixel to the next
    int64_t across;
    __device__ BgrPixels(const MogfaceFrame& frame, bool rowsFirst)
        : plane(static_cast<const uint8_t*>(frame.planes[0]))
        , along(rowsFirst ? frame.pitches[0] : 3)
        , across(rowsFirst ? 3 : frame.pitches[0])
    {
    }
    __device__ Bgr at(int pixel, int line) const
    {
        const uint8_t* bytes = plane + along * pixel + across * line;
        return {bytes[0], bytes[1], bytes[2]};
    }
};

struct YuvPixels
{
    const MogfaceFrame& frame;
    bool rowsFirst;
    __device__ YuvPixels(const MogfaceFrame& frame_, bool rowsFirst_)
        : frame(frame_)
        , rowsFirst(rowsFirst_)
    {
    }
    __device__ Bgr at(int pixel, int line) const
    {
        return rowsFirst ? loadYuv(frame, pixel, line) : loadYuv(frame, line, pixel);
    }
};

__device__ void add(Sums& sums, const Bgr& pixel, int weight)
{
    sums.blue += pixel.blue * weight;
    sums.green += pixel.green * weight;
    sums.red += pixel.red * weight;
}

__device__ Bgr rounded(const Sums& sums)
{
    return {clampTo(sums.blue >> kWEIGHT_BITS, 0, 255), clampTo(sums.green >> kWEIGHT_BITS, 0, 255),
        clampTo(sums.red >> kWEIGHT_BITS, 0, 255)};
}

__device__ uint32_t packed(const Bgr& pixel)
{
    return static_cast<uint32_t>(pixel.blue | pixel.green << 8 | pixel.red << 16);
}

__device__ Bgr unpacked(uint32_t pixel)
{
    return {static_cast<int>(pixel & 0xff), static_cast<int>(pixel >> 8 & 0xff),
        static_cast<int>(pixel >> 16 & 0xff)};
}

// The first pass: this thread's pixel of every kGROUPS-th line from `begin` to `end`.
template <typename Tile, typename Pixels>
__device__ void resampleLines(const Pixels& pixels, const Axis& axis, const Filter& filter, int origin,
    int begin, int end, ResampleShared<Tile>& shared)
{
    const int thread = threadIdx.x;
    const int group = thread / Tile::kLANES;
    Sums sums[kDEPTH];
    int distance = distanceOf(filter, axis, filter.begin);
    for (int i = filter.begin; i < filter.end; ++i, distance += 2 * axis.size)
    {
        const int weight = weightAt(filter, distance);
        for (int j = 0; j < kDEPTH; ++j)
        {
            const int line = begin + group + Tile::kGROUPS * j;
            if (line < end)
            {
                add(sums[j], pixels.at(axis.origin + i, origin + line), weight);
            }
        }
    }
    for (int j = 0; j < kDEPTH; ++j)
    {
        shared.pixels[group + Tile::kGROUPS * j][thread % Tile::kLANES] = packed(rounded(sums[j]));
    }
}

// The weights of the second pass for the lines from `begin` to `end`.
template <typename Tile>
__device__ void weighLines(const Axis& axis, int begin, int end, int filters, ResampleShared<Tile>& shared)
{
    for (int i = threadIdx.x; i < filters * Tile::kCHUNK; i += kTHREADS)
    {
        const Filter& filter = shared.filters[i / Tile::kCHUNK];
        const int line = begin + i % Tile::kCHUNK;
        if (line >= filter.begin && line < filter.end && line < end)
        {
            shared.weights[i / Tile::kCHUNK][line - begin] = weightAt(filter, distanceOf(filter, axis, line));
        }
    }
}

// At least two blocks of a multiprocessor: of less registers some compilers make spills.
template <typename Tile>
__global__ void __launch_bounds__(kTHREADS, 2) resampleKernel(const MogfaceFrame* frames, int batch,
    const int32_t* boxes, const int32_t* indices, bool tallRowsFirst, uint8_t* images, int height, int width)
{
    ResampleShared<Tile>& shared = sharedMemory<ResampleShared<Tile>>();
    const int image = blockIdx.z;
    const int index = indices == nullptr ? image : indices[image];
    const bool hasFrame = index >= 0 && index < batch;
    const MogfaceFrame& frame = frames[hasFrame ? index : 0];
    Axis across = axisOf(0, frame.width, frame.width, width);
    Axis down = axisOf(0, frame.height, frame.height, height);
    if (boxes != nullptr)
    {
        const int32_t* box = boxes + 4 * static_cast<int64_t>(image);
        across = axisOf(box[0], box[2], frame.width, width);
        down = axisOf(box[1], box[3], frame.height, height);
    }
    const bool isBlack = !hasFrame || across.begin == across.end || down.begin == down.end;

    const int rowsLess = down.side - height;
    const bool rowsFirst = tallRowsFirst && !isBlack && rowsLess > 0 && rowsLess > 2 * (across.side - width);
    const Axis one = rowsFirst ? down : across; // of the first pass
    const Axis two = rowsFirst ? across : down;
    const int tile = blockIdx.x;
    const int tiles = ceilDiv(one.size, Tile::kLANES);
    const int firstLine = tile / tiles * Tile::kLINES;
    if (firstLine >= two.size)
    {
        return; // the grid has room for either order
    }
    const int thread = threadIdx.x;
    const int lane = thread % Tile::kLANES;
    const int line = thread / Tile::kLANES;
    const int inOne = tile % tiles * Tile::kLANES + lane;
    const int filters = two.size - firstLine < Tile::kLINES ? two.size - firstLine : Tile::kLINES;
    Sums sums;
    if (!isBlack)
    {
        const Filter filter = filterAt(one, inOne < one.size ? inOne : one.size - 1);
        if (thread < filters)
        {
            shared.filters[thread] = filterAt(two, firstLine + thread);
        }
        __syncthreads();
        const int end = shared.filters[filters - 1].end;
        for (int begin = shared.filters[0].begin; begin < end; begin += Tile::kCHUNK)
        {
            const int chunkEnd = end - begin < Tile::kCHUNK ? end : begin + Tile::kCHUNK;
            if (frame.format == MOGFACE_BGR)
            {
                resampleLines(BgrPixels(frame, rowsFirst), one, filter, two.origin, begin, chunkEnd, shared);
            }
            else
            {
                resampleLines(YuvPixels(frame, rowsFirst), one, filter, two.origin, begin, chunkEnd, shared);
            }
            weighLines(two, begin, chunkEnd, filters, shared);
            __syncthreads();
            if (line < filters)
            {
                const Filter& own = shared.filters[line];
                const int ownEnd = own.end < chunkEnd ? own.end : chunkEnd;
                for (int i = own.begin > begin ? own.begin : begin; i < ownEnd; ++i)
                {
                    add(sums, unpacked(shared.pixels[i - begin][lane]), shared.weights[line][i - begin]);
                }
            }
            __syncthreads();
        }
    }
    if (inOne < one.size && line < filters)
    {
        const int row = rowsFirst ? inOne : firstLine + line;
        const int column = rowsFirst ? firstLine + line : inOne;
        uint8_t* out = images + ((static_cast<size_t>(image) * height + row) * width + column) * 3;
        const Bgr pixel = rounded(sums);
        out[0] = static_cast<uint8_t>(pixel.blue);
        out[1] = static_cast<uint8_t>(pixel.green);
        out[2] = static_cast<uint8_t>(pixel.red);
    }
}

template <typename Tile>
int tilesOf(int height, int width, bool tallRowsFirst)
{
    const int columnsFirst = ceilDiv(width, Tile::kLANES) * ceilDiv(height, Tile::kLINES);
    const int rowsFirst = ceilDiv(height, Tile::kLANES) * ceilDiv(width, Tile::kLINES);
    return tallRowsFirst && rowsFirst > columnsFirst ? rowsFirst : columnsFirst;
}

} // namespace

cudaError_t resample(const MogfaceFrame* frames, int batch, const int32_t* boxes, const int32_t* indices,
    int count, bool tallRowsFirst, uint8_t* images, int height, int width, Launches& launches)
{
    const int large = tilesOf<LargeTile>(height, width, tallRowsFirst);
    if (large >= kLARGE_TILES)
    {
        return launches.add(resampleKernel<LargeTile>, dim3(large, 1, count), kTHREADS,
            sizeof(ResampleShared<LargeTile>), frames, batch, boxes, indices, tallRowsFirst, images, height,
            width);
    }
    const int small = tilesOf<SmallTile>(height, width, tallRowsFirst);
    return launches.add(resampleKernel<SmallTile>, dim3(small, 1, count), kTHREADS,
        sizeof(ResampleShared<SmallTile>), frames, batch, boxes, indices, tallRowsFirst, images, height,
        width);
}
