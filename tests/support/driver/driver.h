// CUDA's driver in host memory: what the files of this folder share.
//
// Streams defer their work until the host waits for it, so that reading too early shows.  Device memory is mapped
// only while work of a stream runs, and never again once it is freed: the host that touches it, and a kernel that
// uses it too late, end with a segmentation fault.  Copies remember which allocation they were given.
#pragma once

#define __CUDA_API_VERSION_INTERNAL // declares each version of a function under its own name
#include <cuda.h>

#include <condition_variable>
#include <cstdarg>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace driver
{

using Lock = std::unique_lock<std::mutex>;

struct Stream;

struct Context
{
    int device = 0;
    bool primary = false;
    bool alive = true;
    unsigned flags = 0;
    CUresult lost = CUDA_SUCCESS;   // the error that every later call returns
    std::shared_ptr<Stream> legacy; // the default stream
    std::map<std::thread::id, std::shared_ptr<Stream>> perThread;
    std::vector<std::shared_ptr<Stream>> ending; // destroyed, with work that goes on
};

struct Device
{
    Context* primary = nullptr;
    int retained = 0;
    size_t used = 0;
};

struct Allocation
{
    uint64_t id;
    char* base;
    size_t bytes;
    bool onHost;
    bool registered; // memory of the caller that was page-locked later
    unsigned flags;
    Context* context;
    char* mapping; // whole pages; the allocation ends where they do
    size_t mappingBytes;
    size_t reserved; // bytes of addresses from there on that nothing else gets
};

struct Task
{
    std::function<CUresult()> run;
    bool onDevice = true; // false for a host function, which may not touch device memory
};

// A place in the work of a stream.
struct Record
{
    std::shared_ptr<Stream> stream;
    uint64_t position = 0;
    double milliseconds = 0;
};

struct Event
{
    Context* context;
    unsigned flags;
    std::shared_ptr<Record> last;
    bool captured = false; // recorded in a capture, and so neither complete nor incomplete
};

struct Node
{
    Task task;
    std::shared_ptr<Event> recorded; // of a node that records an event
};

struct Graph
{
    std::vector<Node> nodes;
};

struct Capture
{
    CUstreamCaptureMode mode;
    std::thread::id thread;
    bool valid = true;
    Graph graph;
};

struct Stream
{
    Context* context;
    unsigned flags;
    std::deque<Task> waiting;
    uint64_t queued = 0;
    uint64_t done = 0;
    bool runs = false; // a thread runs a task of it
    std::thread::id runner;
    std::shared_ptr<Capture> capture;
};

struct State
{
    std::mutex mutex;
    std::condition_variable changed;
    int process = 0; // that initialized the driver; none is 0
    std::vector<Device> devices;
    std::map<CUcontext, std::unique_ptr<Context>> contexts;
    std::map<char*, Allocation> memory; // by address
    std::map<char*, size_t> freed;
    std::vector<std::pair<char*, size_t>> reusable; // addresses of freed device memory, the latest last
    std::map<CUstream, std::shared_ptr<Stream>> streams;
    std::map<CUevent, std::shared_ptr<Event>> events;
    std::map<CUgraph, std::shared_ptr<Graph>> graphs;
    std::map<CUgraphExec, std::shared_ptr<Graph>> executables;
    int running = 0; // tasks that may touch device memory
    uint64_t ids = 0;
};

State& state();

// Settings of the environment, FAKE_CUDA_...
long setting(const char* name, long fallback);
std::pair<int, int> capability(int device);

// The contexts of this thread, the current one last.
std::vector<Context*>& stack();

// The current context, or the error of a call without a usable one.
CUresult current(Context** context);

void destroy(Context* context);

// Tell the log about a misuse that CUDA would not notice.
void problem(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Add something to the log's line of the running call.
void detail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Run the body of a function of the driver under the lock, and log it.
CUresult call(const char* name, bool needsInit, const std::function<CUresult(Lock&)>& body);

// Refuse a call on the default stream, which would depend on a stream that is captured.
CUresult refuseImplicit(const Context& context);

// Make a capture invalid, and return the error.
CUresult breakCapture(Stream& stream, CUresult error);

// Refuse a call that CUDA counts as unsafe while this thread captures; that breaks the capture too.
CUresult refuseUnsafe();

// The stream of a handle: one that was created, or one of the defaults.
CUresult find(CUstream handle, std::shared_ptr<Stream>* stream);

// Queue work, or make it a node of the graph that is captured.
CUresult submit(CUstream handle, Task task, std::shared_ptr<Event> recorded = nullptr);

// Run the work of a stream up to a position.
void finish(Lock& lock, const std::shared_ptr<Stream>& stream, uint64_t position);

// Run everything of a context.
void finish(Lock& lock, Context* context);

// Map device memory for the running tasks, or unmap it.
void openMemory(bool open);
void freeMemory(std::map<char*, Allocation>::iterator found);

double now();

// Find an object by its handle.
template <typename Handle, typename Value>
CUresult take(std::map<Handle, std::shared_ptr<Value>>& all, Handle handle, std::shared_ptr<Value>* found)
{
    const auto known = all.find(handle);
    if (known == all.end())
    {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    *found = known->second;
    return CUDA_SUCCESS;
}

// Keep an object, and return its handle.
template <typename Handle, typename Value>
Handle keep(std::map<Handle, std::shared_ptr<Value>>& all, std::shared_ptr<Value> value)
{
    const Handle handle = reinterpret_cast<Handle>(value.get());
    all[handle] = std::move(value);
    return handle;
}

inline bool isComplete(const Record& record)
{
    return record.stream->done >= record.position;
}

} // namespace driver

// The body of a function, which sees the lock as `lock`.
#define DRIVER_CALL(...)                                                                                     \
    driver::call(__func__, true, [=]([[maybe_unused]] driver::Lock& lock)->CUresult __VA_ARGS__)
