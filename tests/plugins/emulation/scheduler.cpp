// Runs blocks and threads.  Compiled without sanitizers: what the scheduler itself reads and writes is no part of a kernel.
#include "cuda_runtime.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>

// There only where a sanitizer is linked in.
extern "C"
{
__attribute__((weak)) void __sanitizer_start_switch_fiber(void** save, const void* bottom, size_t size);
__attribute__((weak)) void __sanitizer_finish_switch_fiber(void* save, const void** bottom, size_t* size);
__attribute__((weak)) void* __tsan_get_current_fiber();
__attribute__((weak)) void* __tsan_create_fiber(unsigned flags);
__attribute__((weak)) void __tsan_switch_to_fiber(void* fiber, unsigned flags);
__attribute__((weak)) void __tsan_acquire(void* address);
__attribute__((weak)) void __tsan_release(void* address);
__attribute__((weak)) void AnnotateIgnoreWritesBegin(const char* file, int line);
__attribute__((weak)) void AnnotateIgnoreWritesEnd(const char* file, int line);
}

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace
{

constexpr unsigned kWARP = 32;
constexpr unsigned kMAX_THREADS = 1024;
// Blocks take fibers in turn: ThreadSanitizer orders two blocks that have one in common.
constexpr unsigned kFIBERS = 2048;
constexpr size_t kMAX_SHARED = 48 << 10;
constexpr int kDEPENDENT_SINCE = 90; // a GPU before it would not wait
constexpr size_t kSTACK = 256 << 10;
constexpr unsigned kTSAN_NO_ORDER = 1; // a switch of fibers is no synchronization

// Where threads wait for each other: all of them have arrived when the generation moves on.
struct Meeting
{
    unsigned arrived = 0;
    unsigned generation = 0;
};

struct Warp : Meeting
{
    uint64_t values[2][kWARP]; // of this generation and the one before, which late lanes still read
};

// Where code goes on that has given way to other code.
using Place = void* [5];

struct Fiber
{
    Place place;
    char* stack = nullptr;
    bool isNew = true;
    bool done = false;
    bool hasAwaited = false; // the launch before
    const Meeting* waits = nullptr;
    unsigned since = 0; // the generation in which it began to wait
    void* fakeStack = nullptr;
    void* tsan = nullptr;
};

struct Block
{
    unsigned threads;
    unsigned live;
    Meeting barrier;
    std::vector<Warp> warps;
    char* shared;
    size_t sharedBytes;
    // Two addresses represent the barrier for ThreadSanitizer, one per generation in turn: with a single address
    // a late thread would also be ordered after the work of others since they left the barrier.
    char* order;
};

std::mutex oneLaunch;
std::mt19937 random_(0);
Place scheduler;
void* schedulerFakeStack;
void* schedulerTsan;
const void* schedulerStack;
size_t schedulerStackBytes;
Block* block;
Fiber* running;
const std::function<void()>* body;
// Their addresses stand for the order of launches: a kernel comes before what is done after it, and after what was done
// before its launch, of dependent launches before the last plain one.
char begun;
char ended[2]; // of this launch and of the one before, in turn
bool dependent;
unsigned launches[2]; // plain ones and dependent ones so far
int device = 90;      // the GPU's compute capability and the driver's version
int driver = 13000;

char* endOf(unsigned launch)
{
    return ended + launch % 2;
}

unsigned launched()
{
    return launches[0] + launches[1];
}

[[noreturn]] void stop(const char* what)
{
    std::fprintf(stderr, "emulation: block (%u, %u, %u), thread %u: %s\n", blockIdx.x, blockIdx.y, blockIdx.z,
        threadIdx.x, what);
    std::abort();
}

void threadMain();

// Enters a fiber at its beginning, on its own stack.
[[noreturn]] void begin(Fiber& fiber)
{
    fiber.isNew = false;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = fiber.stack;
    context.uc_stack.ss_size = kSTACK;
    context.uc_link = nullptr;
    makecontext(&context, threadMain, 0);
    setcontext(&context);
    std::abort();
}

// A call of its own: a function that jumps within itself would not keep its registers.
[[noreturn, gnu::noipa]] void go(Place& place)
{
    __builtin_longjmp(place, 1);
}

// Unlike swapcontext these make no system call, and AddressSanitizer clears no whole stack for them.
[[gnu::noinline]] void leave(Fiber& fiber)
{
    if (__builtin_setjmp(fiber.place) == 0)
    {
        go(scheduler);
    }
}

[[gnu::noinline]] void enter(Fiber& fiber)
{
    if (__builtin_setjmp(scheduler) == 0)
    {
        fiber.isNew ? begin(fiber) : go(fiber.place);
    }
}

void switchToScheduler(Fiber& fiber)
{
    if (__sanitizer_start_switch_fiber)
    {
        __sanitizer_start_switch_fiber(&fiber.fakeStack, schedulerStack, schedulerStackBytes);
    }
    if (__tsan_switch_to_fiber)
    {
        __tsan_switch_to_fiber(schedulerTsan, kTSAN_NO_ORDER);
    }
    leave(fiber);
    if (__sanitizer_finish_switch_fiber)
    {
        __sanitizer_finish_switch_fiber(fiber.fakeStack, nullptr, nullptr);
    }
}

void resume(Fiber& fiber, unsigned index)
{
    threadIdx = dim3(index, 0, 0);
    running = &fiber;
    if (__sanitizer_start_switch_fiber)
    {
        __sanitizer_start_switch_fiber(&schedulerFakeStack, fiber.stack, kSTACK);
    }
    if (__tsan_switch_to_fiber)
    {
        __tsan_switch_to_fiber(fiber.tsan, kTSAN_NO_ORDER);
    }
    enter(fiber);
    if (__sanitizer_finish_switch_fiber)
    {
        __sanitizer_finish_switch_fiber(schedulerFakeStack, nullptr, nullptr);
    }
}

void threadMain()
{
    if (__sanitizer_finish_switch_fiber)
    {
        __sanitizer_finish_switch_fiber(nullptr, &schedulerStack, &schedulerStackBytes);
    }
    Fiber& self = *running;
    while (true)
    {
        if (__tsan_acquire)
        {
            __tsan_acquire(&begun);
        }
        (*body)();
        if (dependent && !self.hasAwaited)
        {
            stop("ends without having waited for the launch before its own");
        }
        if (__tsan_release)
        {
            __tsan_release(endOf(launched()));
        }
        self.done = true;
        --block->live;
        switchToScheduler(self); // until a block takes this fiber again
    }
}

// ThreadSanitizer orders a fiber after all that came before the one that makes it: so none of the kernels' writes may.
void* makeTsanFiber()
{
    static void* maker = __tsan_create_fiber(0);
    __tsan_switch_to_fiber(maker, kTSAN_NO_ORDER);
    void* made = __tsan_create_fiber(0);
    __tsan_switch_to_fiber(schedulerTsan, kTSAN_NO_ORDER);
    return made;
}

void start(Fiber& fiber)
{
    if (fiber.stack == nullptr)
    {
        fiber.stack = static_cast<char*>(mmap(
            nullptr, kSTACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        fiber.tsan = __tsan_create_fiber ? makeTsanFiber() : nullptr;
    }
    fiber.done = false;
    fiber.hasAwaited = false;
    fiber.waits = nullptr;
}

void meet(Meeting& meeting, unsigned expected)
{
    Fiber& self = *running;
    const unsigned index = threadIdx.x;
    if (++meeting.arrived == expected)
    {
        meeting.arrived = 0;
        ++meeting.generation;
        return;
    }
    self.waits = &meeting;
    self.since = meeting.generation;
    switchToScheduler(self);
    self.waits = nullptr;
    threadIdx = dim3(index, 0, 0);
}

// Hands in this lane's value and returns those of all lanes.
const uint64_t* valuesOfWarp(unsigned mask, uint64_t value)
{
    if (mask != 0xffffffffU)
    {
        stop("exchanges values with a part of its warp, which the emulation does not know");
    }
    Warp& warp = block->warps[threadIdx.x / kWARP];
    uint64_t* values = warp.values[warp.generation % 2];
    values[threadIdx.x % kWARP] = value;
    meet(warp, kWARP);
    return values;
}

// Memory of the blocks of a launch.  No address is used twice: ThreadSanitizer would see two blocks write to one place.
using Memory = std::vector<std::unique_ptr<char[]>>;

char* allocate(Memory& memory, size_t bytes)
{
    emulation::hideWrites(true);
    memory.emplace_back(new char[bytes]);
    std::memset(memory.back().get(), static_cast<int>(random_() | 1), bytes); // garbage
    emulation::hideWrites(false);
    return memory.back().get();
}

void runBlock(const cudaLaunchConfig_t& config, Memory& memory)
{
    static std::vector<Fiber> all(kFIBERS);
    static unsigned next = 0;
    const unsigned threads = config.blockDim.x;
    next = next + threads > kFIBERS ? 0 : next;
    Fiber* fibers = &all[next];
    next += threads;
    Block now{threads, threads, {}, std::vector<Warp>((threads + kWARP - 1) / kWARP),
        allocate(memory, config.dynamicSmemBytes), config.dynamicSmemBytes, allocate(memory, 2)};
    if (__tsan_release && !dependent)
    {
        __tsan_release(&begun);
    }
    block = &now;
    for (unsigned i = 0; i < threads; ++i)
    {
        start(fibers[i]);
    }
    std::vector<unsigned> order(threads);
    std::iota(order.begin(), order.end(), 0U);
    while (now.live > 0)
    {
        bool moved = false;
        std::shuffle(order.begin(), order.end(), random_);
        for (const unsigned index : order)
        {
            Fiber& fiber = fibers[index];
            if (!fiber.done && (fiber.waits == nullptr || fiber.waits->generation != fiber.since))
            {
                resume(fiber, index);
                moved = true;
            }
        }
        if (!moved)
        {
            stop(now.barrier.arrived > 0 ? "waits at a barrier that not all threads of the block reach"
                                         : "waits for lanes of its warp that never arrive");
        }
    }
    block = nullptr;
}

void run(const cudaLaunchConfig_t& config, const std::function<void()>& kernel)
{
    const dim3& blocks = config.gridDim;
    const std::lock_guard<std::mutex> lock(oneLaunch);
    dependent = config.numAttrs > 0 && config.attrs->val.programmaticStreamSerializationAllowed != 0;
    ++launches[dependent ? 1 : 0];
    Memory memory;
    blockDim = config.blockDim;
    gridDim = blocks;
    body = &kernel;
    schedulerTsan = __tsan_get_current_fiber ? __tsan_get_current_fiber() : nullptr;
    std::vector<unsigned> order(blocks.x * blocks.y * blocks.z);
    std::iota(order.begin(), order.end(), 0U);
    std::shuffle(order.begin(), order.end(), random_);
    for (const unsigned number : order)
    {
        blockIdx = dim3(number % blocks.x, number / blocks.x % blocks.y, number / blocks.x / blocks.y);
        runBlock(config, memory);
    }
    if (__tsan_acquire)
    {
        __tsan_acquire(endOf(launched()));
    }
}

// Queues work in a stream of the tests' driver, which runs it with the data once or more and drops the data.
using Queue = int (*)(cudaStream_t stream, void (*run)(void*), void* data, void (*drop)(void*));

Queue findQueue()
{
    void* const driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    return driver == nullptr ? nullptr : reinterpret_cast<Queue>(dlsym(driver, "fakeCudaLaunch"));
}

} // namespace

namespace emulation
{

cudaError_t launch(const cudaLaunchConfig_t& config, const std::function<void()>& kernel)
{
    const dim3& threads = config.blockDim;
    const dim3& blocks = config.gridDim;
    if (threads.x == 0 || threads.x > kMAX_THREADS || threads.x % kWARP != 0 || threads.y != 1
        || threads.z != 1 || blocks.x == 0 || blocks.y == 0 || blocks.y > 65535 || blocks.z == 0
        || blocks.z > 65535 || config.dynamicSmemBytes > kMAX_SHARED
        || (config.numAttrs > 0 && device < kDEPENDENT_SINCE))
    {
        return cudaErrorInvalidConfiguration;
    }
    static const Queue queue = findQueue();
    if (queue == nullptr)
    {
        run(config, kernel);
        return cudaSuccess;
    }
    using Launch = std::pair<cudaLaunchConfig_t, std::function<void()>>;
    const auto once = [](void* data)
    {
        const Launch& launch = *static_cast<Launch*>(data);
        run(launch.first, launch.second);
    };
    // The driver of the tests runs a stream in order: a dependent launch is a plain one there, and its
    // attributes, which the caller owns, are not kept.
    cudaLaunchConfig_t plain = config;
    plain.attrs = nullptr;
    plain.numAttrs = 0;
    return static_cast<cudaError_t>(queue(config.stream, once, new Launch(plain, kernel),
        [](void* data) { delete static_cast<Launch*>(data); }));
}

void hideWrites(bool hide)
{
    const auto annotate = hide ? AnnotateIgnoreWritesBegin : AnnotateIgnoreWritesEnd;
    if (annotate)
    {
        annotate(__FILE__, __LINE__);
    }
}

void awaitLaunch()
{
    running->hasAwaited = true;
    if (__tsan_acquire)
    {
        __tsan_acquire(endOf(launched() - 1));
    }
}

int ptxVersion()
{
    return device;
}

void* sharedMemory(size_t bytes)
{
    if (bytes > block->sharedBytes)
    {
        stop("uses more shared memory than the launch requested");
    }
    return block->shared;
}

void barrier()
{
    char* const order = block->order + block->barrier.generation % 2;
    if (__tsan_release)
    {
        __tsan_release(order);
    }
    meet(block->barrier, block->threads);
    if (__tsan_acquire)
    {
        __tsan_acquire(order);
    }
}

uint64_t exchange(unsigned mask, uint64_t value, unsigned lane)
{
    return valuesOfWarp(mask, value)[lane];
}

unsigned vote(unsigned mask, bool value)
{
    const uint64_t* votes = valuesOfWarp(mask, value ? 1 : 0);
    unsigned bits = 0;
    for (unsigned lane = 0; lane < kWARP; ++lane)
    {
        bits |= static_cast<unsigned>(votes[lane]) << lane;
    }
    return bits;
}

} // namespace emulation

namespace
{

struct Error
{
    cudaError_t code;
    const char* name;
    const char* text;
};

constexpr Error kERRORS[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorDeviceUninitialized, "cudaErrorDeviceUninitialized", "invalid device context"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
        "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
        "operation failed due to a previous error during capture"},
};

Error described(cudaError_t code)
{
    const auto found = std::find_if(
        std::begin(kERRORS), std::end(kERRORS), [=](const Error& e) { return e.code == code; });
    return found == std::end(kERRORS) ? Error{code, "unknown error", "unknown error"} : *found;
}

} // namespace

const char* cudaGetErrorName(cudaError_t error)
{
    return described(error).name;
}

const char* cudaGetErrorString(cudaError_t error)
{
    return described(error).text;
}

cudaError_t cudaDriverGetVersion(int* version)
{
    *version = driver;
    return cudaSuccess;
}

// The GPU's compute capability, times ten, and the version of its driver.
extern "C" __attribute__((visibility("default"))) void emulationDevice(int capability, int driverVersion)
{
    device = capability;
    driver = driverVersion;
}

// The number of plain launches, or of dependent ones, so far.
extern "C" __attribute__((visibility("default"))) unsigned emulationLaunches(int areDependent)
{
    return launches[areDependent];
}

// The order of blocks and threads of the launches that follow.
extern "C" __attribute__((visibility("default"))) void emulationSeed(unsigned seed)
{
    random_.seed(seed);
}
