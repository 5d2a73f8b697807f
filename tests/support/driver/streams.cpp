// Streams, and the work that is queued in them.
#include "driver.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

using namespace driver;

namespace
{

std::shared_ptr<Record> tail(const std::shared_ptr<Stream>& stream)
{
    auto record = std::make_shared<Record>();
    record->stream = stream;
    record->position = stream->queued;
    return record;
}

void push(Stream& stream, Task task)
{
    stream.waiting.push_back(std::move(task));
    ++stream.queued;
}

Task waiting(const std::shared_ptr<Record>& record)
{
    return {[record]
        {
            Lock lock(state().mutex);
            finish(lock, record->stream, record->position);
            return CUDA_SUCCESS;
        },
        false};
}

// The default stream waits for the others of its context, and they for it.
void orderDefault(Context& context, const std::shared_ptr<Stream>& stream)
{
    if (stream == context.legacy)
    {
        for (auto& [handle, other] : state().streams)
        {
            if (other->context == &context && !(other->flags & CU_STREAM_NON_BLOCKING) && !other->capture
                && other->done < other->queued)
            {
                push(*stream, waiting(tail(other)));
            }
        }
    }
    else if (!(stream->flags & CU_STREAM_NON_BLOCKING) && context.legacy->done < context.legacy->queued)
    {
        push(*stream, waiting(tail(context.legacy)));
    }
}

void record(const std::shared_ptr<Event>& event, const std::shared_ptr<Stream>& stream)
{
    auto made = std::make_shared<Record>();
    made->stream = stream;
    push(*stream,
        {[made]
            {
                made->milliseconds = now();
                return CUDA_SUCCESS;
            },
            false});
    made->position = stream->queued;
    event->last = made;
    event->captured = false;
}

CUresult newStream(CUstream* handle, unsigned flags)
{
    Context* context = nullptr;
    if (const CUresult error = current(&context))
    {
        return error;
    }
    auto made = std::make_shared<Stream>();
    made->context = context;
    made->flags = flags;
    *handle = keep(state().streams, std::move(made));
    detail("%p, flags %u", static_cast<void*>(*handle), flags);
    return flags > CU_STREAM_NON_BLOCKING ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

} // namespace

double driver::now()
{
    using Milliseconds = std::chrono::duration<double, std::milli>;
    return Milliseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

CUresult driver::find(CUstream handle, std::shared_ptr<Stream>* stream)
{
    Context* context = nullptr;
    if (const CUresult error = current(&context))
    {
        return error;
    }
    if (handle == nullptr || handle == CU_STREAM_LEGACY)
    {
        *stream = context->legacy;
        return CUDA_SUCCESS;
    }
    if (handle == CU_STREAM_PER_THREAD)
    {
        std::shared_ptr<Stream>& mine = context->perThread[std::this_thread::get_id()];
        if (mine == nullptr)
        {
            mine = std::make_shared<Stream>();
            mine->context = context;
        }
        *stream = mine;
        return CUDA_SUCCESS;
    }
    return take(state().streams, handle, stream);
}

CUresult driver::submit(CUstream handle, Task task, std::shared_ptr<Event> recorded)
{
    std::shared_ptr<Stream> stream;
    if (const CUresult error = find(handle, &stream))
    {
        return error;
    }
    Context& context = *stream->context;
    if (stream == context.legacy)
    {
        if (const CUresult error = refuseImplicit(context))
        {
            return error;
        }
    }
    if (stream->capture)
    {
        if (!stream->capture->valid)
        {
            return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        }
        stream->capture->graph.nodes.push_back({std::move(task), std::move(recorded)});
        return CUDA_SUCCESS;
    }
    orderDefault(context, stream);
    if (recorded)
    {
        record(recorded, stream);
    }
    else
    {
        push(*stream, std::move(task));
    }
    return CUDA_SUCCESS;
}

void driver::finish(Lock& lock, const std::shared_ptr<Stream>& stream, uint64_t position)
{
    while (stream->done < position)
    {
        if (stream->runs && stream->runner == std::this_thread::get_id())
        {
            std::fputs("driver: work of a stream waits for itself\n", stderr);
            std::abort();
        }
        if (stream->runs)
        {
            state().changed.wait(lock);
            continue;
        }
        const Task task = std::move(stream->waiting.front());
        stream->waiting.pop_front();
        stream->runs = true;
        stream->runner = std::this_thread::get_id();
        if (task.onDevice)
        {
            openMemory(true);
        }
        lock.unlock();
        const CUresult result = stream->context->lost ? CUDA_SUCCESS : task.run();
        lock.lock();
        if (task.onDevice)
        {
            openMemory(false);
        }
        if (result)
        {
            stream->context->lost = result;
        }
        stream->runs = false;
        ++stream->done;
        state().changed.notify_all();
    }
}

void driver::finish(Lock& lock, Context* context)
{
    std::vector<std::shared_ptr<Stream>> all = std::move(context->ending);
    all.push_back(context->legacy);
    for (auto& [thread, stream] : context->perThread)
    {
        all.push_back(stream);
    }
    for (auto& [handle, stream] : state().streams)
    {
        if (stream->context == context)
        {
            all.push_back(stream);
        }
    }
    for (const std::shared_ptr<Stream>& stream : all)
    {
        finish(lock, stream, stream->queued);
    }
}

// Called by kernels compiled for the host: queue a launch, which may run more than once as part of a graph.
extern "C" CUresult fakeCudaLaunch(CUstream handle, void (*run)(void*), void* data, void (*drop)(void*))
{
    const std::shared_ptr<void> shared(data,
        [drop](void* gone)
        {
            if (drop != nullptr)
            {
                drop(gone);
            }
        });
    return DRIVER_CALL({
        std::shared_ptr<Stream> stream;
        Context* context = nullptr;
        CUresult error = current(&context);
        error = error ? error : find(handle, &stream);
        if (error)
        {
            return error;
        }
        if (stream->context != context)
        {
            problem("a kernel is launched on device %d into a stream of device %d", context->device,
                stream->context->device);
            return CUDA_ERROR_INVALID_HANDLE;
        }
        detail("stream %p", static_cast<void*>(handle));
        return submit(handle,
            {[=]
                {
                    run(shared.get());
                    return CUDA_SUCCESS;
                }});
    });
}

extern "C"
{
CUresult cuStreamCreate(CUstream* handle, unsigned flags)
{
    return DRIVER_CALL({ return newStream(handle, flags); });
}

CUresult cuStreamCreateWithPriority(CUstream* handle, unsigned flags, int)
{
    return DRIVER_CALL({ return newStream(handle, flags); });
}

CUresult cuStreamDestroy_v2(CUstream handle)
{
    return DRIVER_CALL({
        std::shared_ptr<Stream> stream;
        Context* context = nullptr;
        CUresult error = current(&context);
        error = error ? error : take(state().streams, handle, &stream);
        if (error)
        {
            return error;
        }
        if (stream->capture)
        {
            problem("a stream is destroyed while it is captured");
        }
        detail("%p", static_cast<void*>(handle));
        state().streams.erase(handle);
        stream->context->ending.push_back(stream);
        return CUDA_SUCCESS;
    });
}

CUresult cuStreamGetFlags(CUstream handle, unsigned* flags)
{
    return DRIVER_CALL({
        std::shared_ptr<Stream> stream;
        const CUresult error = find(handle, &stream);
        *flags = error ? 0 : stream->flags;
        return error;
    });
}

CUresult cuStreamGetCtx(CUstream handle, CUcontext* context)
{
    return DRIVER_CALL({
        std::shared_ptr<Stream> stream;
        const CUresult error = find(handle, &stream);
        *context = error ? nullptr : reinterpret_cast<CUcontext>(stream->context);
        return error;
    });
}

CUresult cuStreamGetDevice(CUstream handle, CUdevice* device)
{
    return DRIVER_CALL({
        std::shared_ptr<Stream> stream;
        const CUresult error = find(handle, &stream);
        *device = error ? 0 : stream->context->device;
        return error;
    });
}

CUresult cuStreamQuery(CUstream handle)
{
    return DRIVER_CALL({
        std::shared_ptr<Stream> stream;
        CUresult error = find(handle, &stream);
        if (!error && stream->capture)
        {
            return breakCapture(*stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        }
        error = error ? error : refuseUnsafe();
        if (error || stream->done == stream->queued)
        {
            return error;
        }
        finish(lock, stream, stream->done + 1); // so that a loop of queries ends
        return CUDA_ERROR_NOT_READY;
    });
}

CUresult cuStreamSynchronize(CUstream handle)
{
    return DRIVER_CALL({
        std::shared_ptr<Stream> stream;
        CUresult error = find(handle, &stream);
        if (!error && stream->capture)
        {
            return breakCapture(*stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        }
        error = error ? error : refuseUnsafe();
        error = error || stream != stream->context->legacy ? error : refuseImplicit(*stream->context);
        if (error)
        {
            return error;
        }
        orderDefault(*stream->context, stream);
        finish(lock, stream, stream->queued);
        return stream->context->lost;
    });
}

CUresult cuStreamWaitEvent(CUstream handle, CUevent eventHandle, unsigned flags)
{
    return DRIVER_CALL({
        std::shared_ptr<Stream> stream;
        std::shared_ptr<Event> event;
        CUresult error = find(handle, &stream);
        error = error ? error : take(state().events, eventHandle, &event);
        if (error)
        {
            return error;
        }
        const bool external = flags & CU_EVENT_WAIT_EXTERNAL;
        if (stream->capture ? !external && !event->captured : external)
        {
            return stream->capture ? breakCapture(*stream, CUDA_ERROR_STREAM_CAPTURE_ISOLATION)
                                   : CUDA_ERROR_INVALID_VALUE;
        }
        if (event->captured && !stream->capture)
        {
            problem("a stream joins a capture, which this driver does not know");
            return CUDA_ERROR_NOT_SUPPORTED;
        }
        if (event->captured || event->last == nullptr)
        {
            return CUDA_SUCCESS;
        }
        return submit(handle, waiting(event->last));
    });
}

CUresult cuLaunchHostFunc(CUstream handle, CUhostFn function, void* data)
{
    return DRIVER_CALL({
        return submit(handle,
            {[=]
                {
                    function(data);
                    return CUDA_SUCCESS;
                },
                false});
    });
}

} // extern "C"
