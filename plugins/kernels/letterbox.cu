// Frames into the network input: converted from YUV, scaled, padded; a batch of different sizes in one launch.
//
// The arithmetic is that of cv2.resize(INTER_LINEAR) on bytes: weights of 11 bits, a full horizontal sum, a vertical sum
// that drops 4, 16 and 2 bits.  A block computes the weights of its columns and rows once, in double precision as OpenCV
// does, in which many GPUs are slow.
#include "launch.h"
#include "pixels.cuh"
#include "shared_memory.cuh"
#include "stages.h"

namespace
{

constexpr int kCOLUMNS = 128; // of a block's tile of the network input
constexpr int kROWS = 8;
constexpr int kTHREADS
    = kWARP * kROWS; // one warp per row; a thread takes every 32nd column, so that accesses coalesce
constexpr float kWEIGHT_ONE = 2048.0F;

// Two neighbors and their weights.
struct Tap
{
    int first;
    int second;
    int firstWeight;
    int secondWeight;
};

struct LetterboxShared
{
    Tap columns[kCOLUMNS];
    Tap rows[kROWS];
};

// Position of pixel `index` of the network input among `size` pixels of the frame.  Beyond the first and the last pixel
// OpenCV drops the fraction across and repeats the pixel down.
__device__ Tap tapAt(int index, double step, int size, bool isColumn)
{
    float fraction = static_cast<float>((index + 0.5) * step - 0.5);
    int first = static_cast<int>(floorf(fraction));
    fraction -= static_cast<float>(first);
    if (isColumn && (first < 0 || first >= size - 1))
    {
        fraction = 0.0F;
    }
    return {clampTo(first, 0, size - 1), clampTo(first + 1, 0, size - 1),
        static_cast<int>(rintf((1.0F - fraction) * kWEIGHT_ONE)),
        static_cast<int>(rintf(fraction * kWEIGHT_ONE))};
}

// Two pixels of a row, as bytes B G R B G R.
struct Pair
{
    uint64_t bytes;
    __device__ Bgr at(int pixel) const
    {
        const auto three = static_cast<uint32_t>(bytes >> (24 * pixel));
        return {static_cast<int>(three & 0xff), static_cast<int>(three >> 8 & 0xff),
            static_cast<int>(three >> 16 & 0xff)};
    }
};

// Loads two neighbors in two or three aligned words, unless a word would reach beyond the frame's memory.
__device__ Pair loadPair(const MogfaceFrame& frame, int row, const Tap& columns)
{
    const auto* begin = static_cast<const uint8_t*>(frame.planes[0]);
    const int64_t pitch = frame.pitches[0];
    const uint8_t* end = begin + pitch * (frame.height - 1) + 3 * static_cast<int64_t>(frame.width);
    const uint8_t* first = begin + pitch * row + 3 * static_cast<int64_t>(columns.first);
    const int shift = static_cast<int>(reinterpret_cast<uintptr_t>(first) % sizeof(uint32_t));
    const uint8_t* aligned = first - shift;
    if (columns.second == columns.first + 1 && aligned >= begin && aligned + 3 * sizeof(uint32_t) <= end)
    {
        const auto* words = reinterpret_cast<const uint32_t*>(aligned);
        const uint64_t low = static_cast<uint64_t>(words[1]) << 32 | words[0];
        const uint64_t high = shift == 3 ? words[2] : 0;
        return {shift == 0 ? low : low >> (8 * shift) | high << (64 - 8 * shift)};
    }
    const uint8_t* second = begin + pitch * row + 3 * static_cast<int64_t>(columns.second);
    Pair pair{0};
    for (int i = 0; i < 3; ++i)
    {
        pair.bytes
            |= static_cast<uint64_t>(first[i]) << (8 * i) | static_cast<uint64_t>(second[i]) << (8 * (3 + i));
    }
    return pair;
}

__device__ void loadRow(const MogfaceFrame& frame, int row, const Tap& columns, Bgr& first, Bgr& second)
{
    if (frame.format == MOGFACE_BGR)
    {
        const Pair pair = loadPair(frame, row, columns);
        first = pair.at(0);
        second = pair.at(1);
        return;
    }
    first = loadYuv(frame, row, columns.first);
    second = loadYuv(frame, row, columns.second);
}

__device__ int blend(int topLeft, int topRight, int bottomLeft, int bottomRight, const Tap& row,
    const Tap& column, bool toEven)
{
    const int top = topLeft * column.firstWeight + topRight * column.secondWeight;
    const int bottom = bottomLeft * column.firstWeight + bottomRight * column.secondWeight;
    const int sum = ((row.firstWeight * (top >> 4)) >> 16) + ((row.secondWeight * (bottom >> 4)) >> 16);
    const int half = toEven ? 1 + (sum >> 2 & 1) : 2;
    return clampTo((sum + half) >> 2, 0, 255);
}

// OpenCV computes halving as averaging, with one difference: where an odd frame ends in the middle of a network pixel, the
// average of two is rounded to even.
__device__ Bgr pixelAt(const MogfaceFrame& frame, const Tap& row, const Tap& column, bool isHalving)
{
    const bool toEven = isHalving && (row.first == row.second || column.first == column.second);
    Bgr topLeft{};
    Bgr topRight{};
    Bgr bottomLeft{};
    Bgr bottomRight{};
    loadRow(frame, row.first, column, topLeft, topRight);
    loadRow(frame, row.second, column, bottomLeft, bottomRight);
    return {blend(topLeft.blue, topRight.blue, bottomLeft.blue, bottomRight.blue, row, column, toEven),
        blend(topLeft.green, topRight.green, bottomLeft.green, bottomRight.green, row, column, toEven),
        blend(topLeft.red, topRight.red, bottomLeft.red, bottomRight.red, row, column, toEven)};
}

__global__ void __launch_bounds__(kTHREADS)
    letterboxKernel(const MogfaceFrame* frames, uint32_t pad, uint8_t* images, int height, int width)
{
    LetterboxShared& shared = sharedMemory<LetterboxShared>();
    const MogfaceFrame frame = frames[blockIdx.z];
    const int firstColumn = blockIdx.x * kCOLUMNS;
    const int firstRow = blockIdx.y * kROWS;
    const int thread = threadIdx.x;
    if (thread < kCOLUMNS && firstColumn + thread < frame.contentWidth)
    {
        shared.columns[thread] = tapAt(firstColumn + thread, frame.stepX, frame.width, true);
    }
    if (thread < kROWS && firstRow + thread < frame.contentHeight)
    {
        shared.rows[thread] = tapAt(firstRow + thread, frame.stepY, frame.height, false);
    }
    __syncthreads();

    const int inBlock = thread / kWARP;
    const int row = firstRow + inBlock;
    if (row >= height)
    {
        return;
    }
    const bool isHalving = frame.stepX == 2.0 && frame.stepY == 2.0;
    uint8_t* out = images + (static_cast<size_t>(blockIdx.z) * height + row) * width * 3;
    for (int i = thread % kWARP; i < kCOLUMNS && firstColumn + i < width; i += kWARP)
    {
        const int column = firstColumn + i;
        Bgr pixel{static_cast<int>(pad & 0xff), static_cast<int>(pad >> 8 & 0xff),
            static_cast<int>(pad >> 16 & 0xff)};
        if (row < frame.contentHeight && column < frame.contentWidth)
        {
            pixel = pixelAt(frame, shared.rows[inBlock], shared.columns[i], isHalving);
        }
        out[3 * column] = static_cast<uint8_t>(pixel.blue);
        out[3 * column + 1] = static_cast<uint8_t>(pixel.green);
        out[3 * column + 2] = static_cast<uint8_t>(pixel.red);
    }
}

} // namespace

cudaError_t letterbox(const MogfaceFrame* frames, int batch, uint32_t pad, uint8_t* images, int height,
    int width, Launches& launches)
{
    const dim3 grid(ceilDiv(width, kCOLUMNS), ceilDiv(height, kROWS), batch);
    return launches.add(
        letterboxKernel, grid, kTHREADS, sizeof(LetterboxShared), frames, pad, images, height, width);
}
