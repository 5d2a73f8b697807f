// Captures of streams, and the graphs that they make.
#include "driver.h"

#include <utility>

using namespace driver;

namespace
{

thread_local CUstreamCaptureMode captureMode = CU_STREAM_CAPTURE_MODE_GLOBAL;

} // namespace

CUresult driver::refuseImplicit(const Context& context)
{
    for (auto& [handle, other] : state().streams)
    {
        if (other->context == &context && other->capture && !(other->flags & CU_STREAM_NON_BLOCKING))
        {
            other->capture->valid = false;
            return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
        }
    }
    return CUDA_SUCCESS;
}

CUresult driver::breakCapture(Stream& stream, CUresult error)
{
    stream.capture->valid = false;
    return error;
}

CUresult driver::refuseUnsafe()
{
    if (captureMode == CU_STREAM_CAPTURE_MODE_RELAXED)
    {
        return CUDA_SUCCESS;
    }
    CUresult result = CUDA_SUCCESS;
    for (auto& [handle, stream] : state().streams)
    {
        Capture* const capture = stream->capture.get();
        if (capture == nullptr || capture->mode == CU_STREAM_CAPTURE_MODE_RELAXED)
        {
            continue;
        }
        const bool global
            = capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL && captureMode == CU_STREAM_CAPTURE_MODE_GLOBAL;
        if (capture->thread == std::this_thread::get_id() || global)
        {
            result = breakCapture(*stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        }
    }
    return result;
}

// Called by the TensorRT of the tests: whether this thread captures a stream.
extern "C" int fakeCudaCaptures()
{
    const Lock lock(state().mutex);
    for (const auto& [handle, stream] : state().streams)
    {
        if (stream->capture && stream->capture->thread == std::this_thread::get_id())
        {
            return 1;
        }
    }
    return 0;
}

extern "C"
{
CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode)
{
    return DRIVER_CALL({
        std::swap(captureMode, *mode);
        return CUDA_SUCCESS;
    });
}

CUresult cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode)
{
    return DRIVER_CALL({
        std::shared_ptr<Stream> stream;
        if (const CUresult error = find(handle, &stream))
        {
            return error;
        }
        if (stream == stream->context->legacy)
        {
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
        if (stream->capture)
        {
            return CUDA_ERROR_ILLEGAL_STATE;
        }
        stream->capture = std::make_shared<Capture>();
        stream->capture->mode = mode;
        stream->capture->thread = std::this_thread::get_id();
        return CUDA_SUCCESS;
    });
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph* graph)
{
    return DRIVER_CALL({
        *graph = nullptr;
        std::shared_ptr<Stream> stream;
        if (const CUresult error = find(handle, &stream))
        {
            return error;
        }
        if (!stream->capture)
        {
            return CUDA_ERROR_ILLEGAL_STATE;
        }
        if (stream->capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED
            && stream->capture->thread != std::this_thread::get_id())
        {
            return breakCapture(*stream, CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
        }
        const std::shared_ptr<Capture> capture = std::move(stream->capture);
        if (!capture->valid)
        {
            return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        }
        *graph = keep(state().graphs, std::make_shared<Graph>(capture->graph));
        detail("%zu nodes", capture->graph.nodes.size());
        return CUDA_SUCCESS;
    });
}

CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus* status)
{
    return DRIVER_CALL({
        std::shared_ptr<Stream> stream;
        CUresult error = find(handle, &stream);
        error = error || stream != stream->context->legacy ? error : refuseImplicit(*stream->context);
        if (error)
        {
            return error;
        }
        *status = !stream->capture   ? CU_STREAM_CAPTURE_STATUS_NONE
            : stream->capture->valid ? CU_STREAM_CAPTURE_STATUS_ACTIVE
                                     : CU_STREAM_CAPTURE_STATUS_INVALIDATED;
        return CUDA_SUCCESS;
    });
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec* executable, CUgraph handle, unsigned long long)
{
    return DRIVER_CALL({
        std::shared_ptr<Graph> graph;
        if (const CUresult error = take(state().graphs, handle, &graph))
        {
            return error;
        }
        *executable = keep(state().executables, std::make_shared<Graph>(*graph));
        return CUDA_SUCCESS;
    });
}

CUresult cuGraphDestroy(CUgraph handle)
{
    return DRIVER_CALL({ return state().graphs.erase(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; });
}

CUresult cuGraphExecDestroy(CUgraphExec handle)
{
    return DRIVER_CALL(
        { return state().executables.erase(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; });
}

CUresult cuGraphLaunch(CUgraphExec handle, CUstream streamHandle)
{
    return DRIVER_CALL({
        std::shared_ptr<Graph> graph;
        std::shared_ptr<Stream> stream;
        CUresult error = find(streamHandle, &stream);
        error = error ? error : take(state().executables, handle, &graph);
        if (!error && stream->capture)
        {
            return breakCapture(*stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        }
        for (const Node& node : error ? std::vector<Node>() : graph->nodes)
        {
            error = error ? error : submit(streamHandle, node.task, node.recorded);
        }
        return error;
    });
}

} // extern "C"
