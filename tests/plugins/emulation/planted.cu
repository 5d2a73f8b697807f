// Small kernels that show what the emulation does; the first argument names one, and the second seeds the order of threads.
#include "await_launch.cuh"
#include "launch.h"
#include "shared_memory.cuh"

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include <cuda_fp16.h>

extern "C" void emulationSeed(unsigned seed);

namespace
{

constexpr int kTHREADS = 128;

struct Values
{
    int of[kTHREADS];
};

void say(cudaError_t error)
{
    if (error != cudaSuccess)
    {
        std::printf("%s\n", cudaGetErrorName(error));
    }
}

template <typename... Parameters, typename... Arguments>
void run(void (*kernel)(Parameters...), dim3 grid, int threads, size_t sharedBytes, Arguments... arguments)
{
    Launches launches(nullptr, false);
    say(launches.add(kernel, grid, threads, sharedBytes, arguments...));
}

void print(const std::vector<int>& values)
{
    for (const int value : values)
    {
        std::printf("%d ", value);
    }
    std::printf("\n");
}

__device__ int opposite()
{
    return (threadIdx.x + blockDim.x / 2) % blockDim.x;
}

// Every thread reads what one of another warp wrote.
__global__ void exchangeKernel(int* out, bool wait)
{
    Values& shared = sharedMemory<Values>();
    shared.of[threadIdx.x] = threadIdx.x;
    if (wait)
    {
        __syncthreads();
    }
    out[threadIdx.x] = shared.of[opposite()];
}

void exchange(bool wait)
{
    std::vector<int> out(kTHREADS);
    run(exchangeKernel, 1, kTHREADS, sizeof(Values), out.data(), wait);
}

// The same again and again: what is read in one round is overwritten in the next.
__global__ void roundsKernel(int* out, bool waitBeforeReading, bool waitBeforeWriting)
{
    Values& shared = sharedMemory<Values>();
    int sum = 0;
    for (int round = 0; round < 3; ++round)
    {
        shared.of[threadIdx.x] = threadIdx.x + round;
        if (waitBeforeReading)
        {
            __syncthreads();
        }
        sum += shared.of[opposite()];
        if (waitBeforeWriting)
        {
            __syncthreads();
        }
    }
    out[threadIdx.x] = sum;
}

void rounds(bool waitBeforeReading, bool waitBeforeWriting)
{
    std::vector<int> out(kTHREADS);
    run(roundsKernel, 1, kTHREADS, sizeof(Values), out.data(), waitBeforeReading, waitBeforeWriting);
}

// Only between two barriers do the threads get in each other's way.
__global__ void betweenBarriersKernel(int* out)
{
    Values& shared = sharedMemory<Values>();
    __syncthreads();
    shared.of[threadIdx.x] = threadIdx.x;
    const int seen = shared.of[opposite()];
    __syncthreads();
    out[threadIdx.x] = seen;
}

void betweenBarriers()
{
    std::vector<int> out(kTHREADS);
    run(betweenBarriersKernel, 1, kTHREADS, sizeof(Values), out.data());
}

__global__ void shuffleAsBarrierKernel(int* out)
{
    Values& shared = sharedMemory<Values>();
    shared.of[threadIdx.x] = threadIdx.x;
    __shfl_sync(kALL_LANES, 0, 0);
    out[threadIdx.x] = shared.of[threadIdx.x ^ 1];
}

void shuffleAsBarrier()
{
    std::vector<int> out(kTHREADS);
    run(shuffleAsBarrierKernel, 1, kTHREADS, sizeof(Values), out.data());
}

__global__ void countKernel(int* sum, bool atomic)
{
    if (threadIdx.x != 0)
    {
        return;
    }
    if (atomic)
    {
        atomicAdd(sum, 1);
    }
    else
    {
        ++*sum;
    }
}

__global__ void awaitingCountKernel(int* sum)
{
    awaitLaunchBefore();
    if (threadIdx.x == 0)
    {
        ++*sum;
    }
}

void countBlocks(int blocks, bool atomic)
{
    std::vector<int> sum(1);
    run(countKernel, blocks, kTHREADS, 0, sum.data(), atomic);
    print(sum);
}

void countLaunches()
{
    std::vector<int> sum(1, 7);
    run(countKernel, 1, kTHREADS, 0, sum.data(), false);
    ++sum[0];
    run(countKernel, 1, kTHREADS, 0, sum.data(), false);
    print(sum);
}

// A chain: each launch reads what the one before it wrote, from another thread, and the third what the first one wrote.
__global__ void linkKernel(const int* first, const int* second, int* out, bool wait)
{
    if (wait)
    {
        awaitLaunchBefore();
    }
    out[threadIdx.x]
        = 1 + (first == nullptr ? 0 : first[opposite()]) + (second == nullptr ? 0 : second[opposite()]);
}

void chain(bool dependent, bool wait)
{
    std::vector<int> first(kTHREADS);
    std::vector<int> second(kTHREADS);
    std::vector<int> third(kTHREADS);
    const int* none = nullptr;
    Launches launches(nullptr, dependent);
    say(launches.add(linkKernel, 1, kTHREADS, 0, none, none, first.data(), true));
    say(launches.add(linkKernel, 1, kTHREADS, 0, first.data(), none, second.data(), true));
    say(launches.add(linkKernel, 1, kTHREADS, 0, first.data(), second.data(), third.data(), wait));
    print(third);
}

// Waits too late: after it has read.
__global__ void lateKernel(const int* before, int* out)
{
    const int seen = before[opposite()];
    awaitLaunchBefore();
    out[threadIdx.x] = seen;
}

void waitLate()
{
    std::vector<int> first(kTHREADS);
    std::vector<int> second(kTHREADS);
    const int* none = nullptr;
    Launches launches(nullptr, true);
    say(launches.add(linkKernel, 1, kTHREADS, 0, none, none, first.data(), true));
    say(launches.add(lateKernel, 1, kTHREADS, 0, first.data(), second.data()));
}

// A dependent launch orders its own blocks no more than another one does.
void countInDependent()
{
    std::vector<int> sum(1);
    Launches launches(nullptr, true);
    say(launches.add(awaitingCountKernel, 1, kTHREADS, 0, sum.data()));
    say(launches.add(awaitingCountKernel, 2, kTHREADS, 0, sum.data()));
}

__global__ void shiftKernel(int* out, int by)
{
    out[static_cast<int>(threadIdx.x) + by] = 1;
}

void writeGlobal(int by)
{
    std::vector<int> out(kTHREADS);
    out.shrink_to_fit();
    run(shiftKernel, 1, kTHREADS, 0, out.data(), by);
}

__global__ void shiftSharedKernel(int by)
{
    sharedMemory<Values>().of[static_cast<int>(threadIdx.x) + by] = 1;
}

void writeShared(int by)
{
    run(shiftSharedKernel, 1, kTHREADS, sizeof(Values), by);
}

void requestLessShared()
{
    run(shiftSharedKernel, 1, kTHREADS, sizeof(Values) - 1, 0);
}

__global__ void overflowKernel(int* out, int by)
{
    out[threadIdx.x] = by + static_cast<int>(threadIdx.x);
}

void overflow()
{
    std::vector<int> out(kTHREADS);
    run(overflowKernel, 1, kTHREADS, 0, out.data(), INT_MAX);
}

__global__ void someWaitKernel(int threads)
{
    if (static_cast<int>(threadIdx.x) < threads)
    {
        __syncthreads();
    }
}

void someWait()
{
    run(someWaitKernel, 1, kTHREADS, 0, kTHREADS - 1);
}

__global__ void someLanesKernel(unsigned mask)
{
    if (threadIdx.x % kWARP != 3)
    {
        __ballot_sync(mask, 1);
    }
}

void someLanes(unsigned mask)
{
    run(someLanesKernel, 1, kTHREADS, 0, mask);
}

__global__ void readSharedKernel(int* out)
{
    out[threadIdx.x] = sharedMemory<Values>().of[threadIdx.x];
}

void readShared()
{
    std::vector<int> out(kTHREADS);
    run(readSharedKernel, 1, kTHREADS, sizeof(Values), out.data());
    print(out);
}

// A permutation of the threads, and different values in them.
__device__ int made(int thread)
{
    return thread * 37 % 101;
}

__global__ void warpKernel(int* out)
{
    const int thread = threadIdx.x;
    int* mine = out + 5 * thread;
    mine[0] = __shfl_sync(kALL_LANES, made(thread), made(thread / kWARP) % 11 + 5);
    mine[1] = __shfl_xor_sync(kALL_LANES, made(thread), 12);
    mine[2] = __shfl_up_sync(kALL_LANES, made(thread), 3);
    mine[3] = static_cast<int>(__ballot_sync(kALL_LANES, made(thread) % 3 == 0));
    const auto wide = static_cast<uint64_t>(made(thread)) << 40;
    mine[4] = static_cast<int>(__shfl_xor_sync(kALL_LANES, wide, 1) >> 40);
}

void warps()
{
    std::vector<int> out(5 * kTHREADS);
    run(warpKernel, 1, kTHREADS, 0, out.data());
    print(out);
}

__global__ void histogramKernel(int* counts, int* places)
{
    const int thread = blockIdx.x * blockDim.x + threadIdx.x;
    places[thread] = atomicAdd(&counts[made(thread) % 7], 1);
}

void histogram()
{
    std::vector<int> counts(7);
    std::vector<int> places(3 * kTHREADS);
    run(histogramKernel, 3, kTHREADS, 0, counts.data(), places.data());
    print(counts);
    print(places);
}

__global__ void orderKernel(int* taken, int* order)
{
    order[atomicAdd(taken, 1)] = blockIdx.x * blockDim.x + threadIdx.x;
}

void orderOfThreads()
{
    std::vector<int> taken(1);
    std::vector<int> order(3 * kTHREADS);
    run(orderKernel, 3, kTHREADS, 0, taken.data(), order.data());
    print(order);
}

__global__ void gridKernel(int* out, int* dimensions)
{
    if (threadIdx.x != 0)
    {
        return;
    }
    const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    out[block] = 100 * blockIdx.z + 10 * blockIdx.y + blockIdx.x;
    dimensions[block] = 1000 * blockDim.x + 100 * gridDim.z + 10 * gridDim.y + gridDim.x;
}

void grid()
{
    std::vector<int> out(24);
    std::vector<int> dimensions(24);
    run(gridKernel, dim3(2, 3, 4), 32, 0, out.data(), dimensions.data());
    print(out);
    print(dimensions);
}

__global__ void nothingKernel()
{
}

void configurations()
{
    const struct
    {
        dim3 grid;
        dim3 block;
        size_t shared;
    } refused[] = {{0, 32, 0}, {dim3(1, 65536), 32, 0}, {dim3(1, 1, 65536), 32, 0}, {1, 0, 0}, {1, 1056, 0},
        {1, 33, 0}, {1, dim3(32, 2), 0}, {1, 32, (48 << 10) + 1}};
    for (const auto& one : refused)
    {
        Launches launches(nullptr, false);
        say(launches.add(nothingKernel, one.grid, one.block, one.shared));
    }
}

void halves()
{
    for (unsigned bits = 0; bits < 65536; ++bits)
    {
        std::printf("%08x\n", __float_as_uint(__half2float(__half{static_cast<uint16_t>(bits)})));
    }
}

const std::map<std::string, void (*)()> kKERNELS{
    {"exchange", [] { exchange(true); }},
    {"exchange without a barrier", [] { exchange(false); }},
    {"rounds", [] { rounds(true, true); }},
    {"rounds without the first barrier", [] { rounds(false, true); }},
    {"rounds without the second barrier", [] { rounds(true, false); }},
    {"exchange between barriers", betweenBarriers},
    {"shuffle instead of a barrier", shuffleAsBarrier},
    {"count blocks", [] { countBlocks(5, true); }},
    {"count two blocks without an atomic", [] { countBlocks(2, false); }},
    {"count three blocks without an atomic", [] { countBlocks(3, false); }},
    {"count launches", countLaunches},
    {"chain", [] { chain(false, true); }},
    {"chain of dependent launches", [] { chain(true, true); }},
    {"chain whose last launch does not wait", [] { chain(true, false); }},
    {"wait too late", waitLate},
    {"count two blocks of a dependent launch without an atomic", countInDependent},
    {"write global", [] { writeGlobal(0); }},
    {"write global beyond the end", [] { writeGlobal(1); }},
    {"write global before the start", [] { writeGlobal(-1); }},
    {"write shared", [] { writeShared(0); }},
    {"write shared beyond the end", [] { writeShared(1); }},
    {"write shared before the start", [] { writeShared(-1); }},
    {"request less shared memory", requestLessShared},
    {"overflow", overflow},
    {"some threads wait", someWait},
    {"some lanes vote", [] { someLanes(kALL_LANES); }},
    {"some lanes vote in a mask of their own", [] { someLanes(kALL_LANES & ~8U); }},
    {"read shared", readShared},
    {"warps", warps},
    {"histogram", histogram},
    {"order", orderOfThreads},
    {"grid", grid},
    {"configurations", configurations},
    {"halves", halves},
};

} // namespace

int main(int count, char** arguments)
{
    const auto found = kKERNELS.find(count > 1 ? arguments[1] : "");
    if (found == kKERNELS.end())
    {
        std::fprintf(stderr, "no such kernel\n");
        return 2;
    }
    emulationSeed(count > 2 ? static_cast<unsigned>(std::atoi(arguments[2])) : 0U);
    found->second();
    return 0;
}
