// Events.
#include "driver.h"

using namespace driver;

namespace
{

CUresult checkedEvent(CUevent handle, std::shared_ptr<Event>* event)
{
    const CUresult error = take(state().events, handle, event);
    return error || !(*event)->captured ? error : CUDA_ERROR_CAPTURED_EVENT;
}

} // namespace

extern "C"
{
CUresult cuEventCreate(CUevent* handle, unsigned flags)
{
    return DRIVER_CALL({
        Context* context = nullptr;
        if (const CUresult error = current(&context))
        {
            return error;
        }
        auto made = std::make_shared<Event>();
        made->context = context;
        made->flags = flags;
        *handle = keep(state().events, std::move(made));
        detail("%p, flags %u", static_cast<void*>(*handle), flags);
        return CUDA_SUCCESS;
    });
}

CUresult cuEventDestroy_v2(CUevent handle)
{
    return DRIVER_CALL({
        Context* context = nullptr;
        if (const CUresult error = current(&context))
        {
            return error;
        }
        detail("%p", static_cast<void*>(handle));
        return state().events.erase(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
    });
}

CUresult cuEventRecordWithFlags(CUevent handle, CUstream streamHandle, unsigned flags)
{
    return DRIVER_CALL({
        std::shared_ptr<Event> event;
        std::shared_ptr<Stream> stream;
        CUresult error = find(streamHandle, &stream);
        error = error ? error : take(state().events, handle, &event);
        if (error)
        {
            return error;
        }
        detail("%p, stream %p", static_cast<void*>(handle), static_cast<void*>(streamHandle));
        if (event->context != stream->context)
        {
            problem("an event of device %d is recorded in a stream of device %d", event->context->device,
                stream->context->device);
            return CUDA_ERROR_INVALID_HANDLE;
        }
        const bool external = flags & CU_EVENT_RECORD_EXTERNAL;
        if (external && !stream->capture)
        {
            return CUDA_ERROR_INVALID_VALUE;
        }
        if (stream->capture && stream->capture->valid && !external)
        {
            event->captured = true;
            return CUDA_SUCCESS;
        }
        return submit(streamHandle, {}, event);
    });
}

CUresult cuEventRecord(CUevent handle, CUstream stream)
{
    return cuEventRecordWithFlags(handle, stream, 0);
}

CUresult cuEventQuery(CUevent handle)
{
    return DRIVER_CALL({
        std::shared_ptr<Event> event;
        CUresult error = checkedEvent(handle, &event);
        error = error ? error : refuseUnsafe();
        if (error || event->last == nullptr || isComplete(*event->last))
        {
            return error;
        }
        finish(lock, event->last->stream, event->last->stream->done + 1); // so that a loop of queries ends
        return CUDA_ERROR_NOT_READY;
    });
}

CUresult cuEventSynchronize(CUevent handle)
{
    return DRIVER_CALL({
        std::shared_ptr<Event> event;
        CUresult error = checkedEvent(handle, &event);
        error = error ? error : refuseUnsafe();
        if (error || event->last == nullptr)
        {
            return error;
        }
        const std::shared_ptr<Record> last = event->last;
        finish(lock, last->stream, last->position);
        return last->stream->context->lost;
    });
}

CUresult cuEventElapsedTime(float* milliseconds, CUevent beginHandle, CUevent endHandle)
{
    return DRIVER_CALL({
        std::shared_ptr<Event> begin;
        std::shared_ptr<Event> end;
        CUresult error = checkedEvent(beginHandle, &begin);
        error = error ? error : checkedEvent(endHandle, &end);
        if (error)
        {
            return error;
        }
        if (!begin->last || !end->last || (begin->flags | end->flags) & CU_EVENT_DISABLE_TIMING
            || begin->context != end->context)
        {
            return CUDA_ERROR_INVALID_HANDLE;
        }
        if (!isComplete(*begin->last) || !isComplete(*end->last))
        {
            return CUDA_ERROR_NOT_READY;
        }
        *milliseconds = static_cast<float>(end->last->milliseconds - begin->last->milliseconds);
        return CUDA_SUCCESS;
    });
}

CUresult cuEventElapsedTime_v2(float* milliseconds, CUevent begin, CUevent end)
{
    return cuEventElapsedTime(milliseconds, begin, end);
}

} // extern "C"
