// Devices and contexts.
#include "driver.h"

#include <cstdio>
#include <cstring>
#include <unistd.h>

using namespace driver;

namespace
{

thread_local std::vector<Context*> contexts;

CUresult checkDevice(CUdevice device)
{
    return device >= 0 && device < static_cast<int>(state().devices.size()) ? CUDA_SUCCESS
                                                                            : CUDA_ERROR_INVALID_DEVICE;
}

CUcontext handleOf(Context* context)
{
    return reinterpret_cast<CUcontext>(context);
}

Context* newContext(CUdevice device, bool primary, unsigned flags)
{
    auto made = std::make_unique<Context>();
    made->device = device;
    made->primary = primary;
    made->flags = flags;
    made->legacy = std::make_shared<Stream>();
    made->legacy->context = made.get();
    Context* const context = made.get();
    state().contexts[handleOf(context)] = std::move(made);
    return context;
}

CUresult find(CUcontext handle, Context** context)
{
    const auto found = state().contexts.find(handle);
    if (found == state().contexts.end())
    {
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    *context = found->second.get();
    return (*context)->alive ? CUDA_SUCCESS : CUDA_ERROR_CONTEXT_IS_DESTROYED;
}

} // namespace

std::vector<Context*>& driver::stack()
{
    return contexts;
}

CUresult driver::current(Context** context)
{
    if (contexts.empty())
    {
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    *context = contexts.back();
    return (*context)->alive ? (*context)->lost : CUDA_ERROR_CONTEXT_IS_DESTROYED;
}

void driver::destroy(Context* context)
{
    State& all = state();
    for (auto at = all.memory.begin(); at != all.memory.end();)
    {
        const auto found = at++;
        if (found->second.context == context)
        {
            freeMemory(found);
        }
    }
    for (auto at = all.streams.begin(); at != all.streams.end();)
    {
        at = at->second->context == context ? all.streams.erase(at) : std::next(at);
    }
    for (auto at = all.events.begin(); at != all.events.end();)
    {
        at = at->second->context == context ? all.events.erase(at) : std::next(at);
    }
    context->alive = false;
}

extern "C"
{
CUresult cuInit(unsigned flags)
{
    return call("cuInit", false,
        [=](Lock&)
        {
            State& all = state();
            if (flags != 0)
            {
                return CUDA_ERROR_INVALID_VALUE;
            }
            const long count = setting("DEVICES", 2);
            if (count < 1)
            {
                return CUDA_ERROR_NO_DEVICE;
            }
            if (all.process == 0)
            {
                all.devices.resize(static_cast<size_t>(count));
                all.process = getpid();
            }
            return all.process == getpid() ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
        });
}

CUresult cuDriverGetVersion(int* version)
{
    return call("cuDriverGetVersion", false,
        [=](Lock&)
        {
            *version = static_cast<int>(setting("VERSION", 13000));
            return CUDA_SUCCESS;
        });
}

CUresult cuDeviceGetCount(int* count)
{
    return DRIVER_CALL({
        *count = static_cast<int>(state().devices.size());
        return CUDA_SUCCESS;
    });
}

CUresult cuDeviceGet(CUdevice* device, int ordinal)
{
    return DRIVER_CALL({
        *device = ordinal;
        return checkDevice(ordinal);
    });
}

CUresult cuDeviceGetName(char* name, int length, CUdevice device)
{
    return DRIVER_CALL({
        std::snprintf(name, static_cast<size_t>(length), "Host GPU %d", device);
        return checkDevice(device);
    });
}

CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device)
{
    return DRIVER_CALL({
        std::memset(uuid, 0, sizeof(*uuid));
        uuid->bytes[0] = static_cast<char>(device + 1);
        return checkDevice(device);
    });
}

CUresult cuDeviceGetPCIBusId(char* text, int length, CUdevice device)
{
    return DRIVER_CALL({
        std::snprintf(text, static_cast<size_t>(length), "0000:%02X:00.0", device + 1);
        return checkDevice(device);
    });
}

CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device)
{
    return DRIVER_CALL({
        *bytes = static_cast<size_t>(setting("MEMORY", 1L << 32));
        return checkDevice(device);
    });
}

CUresult cuDeviceComputeCapability(int* major, int* minor, CUdevice device)
{
    return DRIVER_CALL({
        std::tie(*major, *minor) = capability(device);
        return checkDevice(device);
    });
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute which, CUdevice device)
{
    return DRIVER_CALL({
        switch (which)
        {
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = capability(device).first; break;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = capability(device).second; break;
        case CU_DEVICE_ATTRIBUTE_INTEGRATED: *value = setting("INTEGRATED", 0) != 0; break;
        case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
        case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY: *value = 1; break;
        case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 8; break;
        case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
        case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
        default: *value = 0;
        }
        return checkDevice(device);
    });
}

CUresult cuDeviceCanAccessPeer(int* can, CUdevice device, CUdevice peer)
{
    return DRIVER_CALL({
        *can = 0;
        return checkDevice(device) == CUDA_SUCCESS ? checkDevice(peer) : CUDA_ERROR_INVALID_DEVICE;
    });
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device)
{
    return DRIVER_CALL({
        if (checkDevice(device) != CUDA_SUCCESS)
        {
            return CUDA_ERROR_INVALID_DEVICE;
        }
        Device& owner = state().devices[static_cast<size_t>(device)];
        if (owner.retained++ == 0)
        {
            owner.primary = newContext(device, true, 0);
        }
        *context = handleOf(owner.primary);
        detail("device %d, retained %d", device, owner.retained);
        return CUDA_SUCCESS;
    });
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    return DRIVER_CALL({
        if (checkDevice(device) != CUDA_SUCCESS)
        {
            return CUDA_ERROR_INVALID_DEVICE;
        }
        Device& owner = state().devices[static_cast<size_t>(device)];
        if (owner.retained == 0)
        {
            return CUDA_ERROR_INVALID_CONTEXT;
        }
        if (--owner.retained == 0)
        {
            destroy(owner.primary);
            owner.primary = nullptr;
        }
        detail("device %d, retained %d", device, owner.retained);
        return CUDA_SUCCESS;
    });
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned* flags, int* active)
{
    return DRIVER_CALL({
        *flags = 0;
        *active
            = checkDevice(device) == CUDA_SUCCESS && state().devices[static_cast<size_t>(device)].retained;
        return checkDevice(device);
    });
}

CUresult cuCtxCreate_v2(CUcontext* context, unsigned flags, CUdevice device)
{
    return DRIVER_CALL({
        if (checkDevice(device) != CUDA_SUCCESS)
        {
            return CUDA_ERROR_INVALID_DEVICE;
        }
        stack().push_back(newContext(device, false, flags));
        *context = handleOf(stack().back());
        detail("device %d", device);
        return CUDA_SUCCESS;
    });
}

CUresult cuCtxCreate_v4(CUcontext* context, CUctxCreateParams*, unsigned flags, CUdevice device)
{
    return cuCtxCreate_v2(context, flags, device);
}

CUresult cuCtxDestroy_v2(CUcontext handle)
{
    return DRIVER_CALL({
        Context* context = nullptr;
        if (const CUresult error = find(handle, &context))
        {
            return error;
        }
        if (context->primary)
        {
            problem("a primary context is destroyed like one of the caller's");
            return CUDA_ERROR_INVALID_CONTEXT;
        }
        destroy(context);
        if (!stack().empty() && stack().back() == context)
        {
            stack().pop_back();
        }
        return CUDA_SUCCESS;
    });
}

CUresult cuCtxDetach(CUcontext handle)
{
    Context* context = nullptr;
    {
        const Lock lock(state().mutex);
        if (find(handle, &context) == CUDA_SUCCESS && !context->primary)
        {
            context = nullptr;
        }
    }
    if (context == nullptr)
    {
        return cuCtxDestroy_v2(handle);
    }
    return DRIVER_CALL({ return CUDA_ERROR_INVALID_CONTEXT; });
}

CUresult cuCtxPushCurrent_v2(CUcontext handle)
{
    return DRIVER_CALL({
        Context* context = nullptr;
        if (const CUresult error = find(handle, &context))
        {
            return error;
        }
        stack().push_back(context);
        return CUDA_SUCCESS;
    });
}

CUresult cuCtxPopCurrent_v2(CUcontext* handle)
{
    return DRIVER_CALL({
        if (stack().empty())
        {
            return CUDA_ERROR_INVALID_CONTEXT;
        }
        if (handle != nullptr)
        {
            *handle = handleOf(stack().back());
        }
        stack().pop_back();
        return CUDA_SUCCESS;
    });
}

CUresult cuCtxSetCurrent(CUcontext handle)
{
    return DRIVER_CALL({
        Context* context = nullptr;
        const CUresult error = handle == nullptr ? CUDA_SUCCESS : find(handle, &context);
        if (error)
        {
            return error;
        }
        if (!stack().empty())
        {
            stack().pop_back();
        }
        if (context != nullptr)
        {
            stack().push_back(context);
            detail("device %d", context->device);
        }
        return CUDA_SUCCESS;
    });
}

CUresult cuCtxGetCurrent(CUcontext* handle)
{
    return DRIVER_CALL({
        *handle = stack().empty() ? nullptr : handleOf(stack().back());
        return CUDA_SUCCESS;
    });
}

CUresult cuCtxGetDevice(CUdevice* device)
{
    return DRIVER_CALL({
        if (stack().empty())
        {
            return CUDA_ERROR_INVALID_CONTEXT;
        }
        *device = stack().back()->device;
        return CUDA_SUCCESS;
    });
}

CUresult cuCtxGetFlags(unsigned* flags)
{
    return DRIVER_CALL({
        Context* context = nullptr;
        const CUresult error = current(&context);
        *flags = error ? 0 : context->flags;
        return error;
    });
}

CUresult cuCtxGetApiVersion(CUcontext handle, unsigned* version)
{
    return DRIVER_CALL({
        Context* context = nullptr;
        *version = 3020;
        return handle == nullptr ? CUDA_SUCCESS : find(handle, &context);
    });
}

CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest)
{
    return DRIVER_CALL({
        *least = 0;
        *greatest = 0;
        return CUDA_SUCCESS;
    });
}

CUresult cuCtxSynchronize(void)
{
    return DRIVER_CALL({
        Context* context = nullptr;
        if (const CUresult error = current(&context))
        {
            return error;
        }
        bool captures = false;
        for (auto& [handle, stream] : state().streams)
        {
            if (stream->context == context && stream->capture)
            {
                stream->capture->valid = false;
                captures = true;
            }
        }
        if (captures)
        {
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
        finish(lock, context);
        return context->lost;
    });
}

} // extern "C"
