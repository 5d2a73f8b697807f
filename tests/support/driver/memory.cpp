// Memory of devices and page-locked memory of the host, and copies between them.
#include "driver.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

using namespace driver;

namespace
{

constexpr size_t kALIGNMENT = 256;
constexpr size_t kFILLED = 16U << 20; // bytes of an allocation that are filled with garbage
constexpr int kGARBAGE = 0xA5;
constexpr size_t kRESERVED
    = 64U << 20; // bytes of addresses of an allocation on a device, which may grow in place

using Found = std::map<char*, Allocation>::iterator;

size_t rounded(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

// The allocation that an address lies in.
Found find(const void* address)
{
    auto& memory = state().memory;
    char* const at = static_cast<char*>(const_cast<void*>(address));
    auto found = memory.upper_bound(at);
    if (found == memory.begin())
    {
        return memory.end();
    }
    --found;
    return at < found->second.base + found->second.bytes ? found : memory.end();
}

bool isFreed(const void* address)
{
    char* const at = static_cast<char*>(const_cast<void*>(address));
    auto found = state().freed.upper_bound(at);
    return found != state().freed.begin() && at < (--found)->first + found->second;
}

// Addresses for whole pages: new ones, or with FAKE_CUDA_REUSE those of the device memory that was freed last.
std::pair<char*, size_t> reserve(size_t bytes, bool onHost)
{
    auto& reusable = state().reusable;
    const auto fits = [=](const std::pair<char*, size_t>& each) { return each.second >= bytes; };
    const auto found = std::find_if(reusable.rbegin(), reusable.rend(), fits);
    if (!onHost && found != reusable.rend())
    {
        const std::pair<char*, size_t> again = *found;
        reusable.erase(std::next(found).base());
        return again;
    }
    const size_t whole = onHost ? bytes : std::max(bytes, kRESERVED);
    void* const made = mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return {made == MAP_FAILED ? nullptr : static_cast<char*>(made), whole};
}

void map(char* at, size_t bytes, int access)
{
    mmap(at, bytes, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
}

char* allocate(Context* context, size_t bytes, bool onHost, unsigned flags)
{
    const size_t whole = rounded(bytes, static_cast<size_t>(sysconf(_SC_PAGESIZE)));
    const auto [mapping, reserved] = reserve(whole, onHost);
    if (mapping == nullptr)
    {
        return nullptr;
    }
    map(mapping, whole, PROT_READ | PROT_WRITE);
    char* const base = mapping + (whole - rounded(bytes, kALIGNMENT));
    std::memset(base, kGARBAGE, std::min(bytes, kFILLED));
    State& all = state();
    all.memory[base] = {++all.ids, base, bytes, onHost, false, flags, context, mapping, whole, reserved};
    all.freed.erase(base);
    if (!onHost)
    {
        all.devices[static_cast<size_t>(context->device)].used += bytes;
        if (all.running == 0)
        {
            mprotect(mapping, whole, PROT_NONE);
        }
    }
    detail("%zu bytes at %p", bytes, static_cast<void*>(base));
    return base;
}

// One end of a copy.
struct End
{
    char* at;
    uint64_t id = 0; // none of memory that the driver does not know
    char* base = nullptr;
    bool onHost = true;
};

// Check one end; memory of the device must be known, memory of the host need not.
CUresult end(const void* address, size_t bytes, bool hostAllowed, End* found)
{
    *found = {static_cast<char*>(const_cast<void*>(address))};
    const Found known = ::find(address);
    if (known == state().memory.end())
    {
        if (isFreed(address))
        {
            problem("use of freed memory at %p", address);
            return CUDA_ERROR_INVALID_VALUE;
        }
        return hostAllowed && address != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    }
    const Allocation& allocation = known->second;
    if (found->at + bytes > allocation.base + allocation.bytes)
    {
        problem("a copy of %zu bytes leaves its allocation of %zu bytes at offset %zu", bytes,
            allocation.bytes, static_cast<size_t>(found->at - allocation.base));
        return CUDA_ERROR_INVALID_VALUE;
    }
    found->id = allocation.id;
    found->base = allocation.base;
    found->onHost = allocation.onHost;
    return CUDA_SUCCESS;
}

bool isThere(const End& end)
{
    if (end.id == 0)
    {
        return true;
    }
    const Lock lock(state().mutex);
    const auto found = state().memory.find(end.base);
    if (found == state().memory.end() || found->second.id != end.id)
    {
        problem("work that was queued or captured uses memory at %p, which was freed since",
            static_cast<void*>(end.at));
        return false;
    }
    return true;
}

Task moving(const End& target, const End& source, size_t bytes)
{
    return {[=]
        {
            if (!isThere(target) || !isThere(source))
            {
                return CUDA_ERROR_ILLEGAL_ADDRESS;
            }
            std::memmove(target.at, source.at, bytes);
            return CUDA_SUCCESS;
        }};
}

CUresult wait(Lock& lock, CUstream handle)
{
    std::shared_ptr<Stream> stream;
    if (const CUresult error = driver::find(handle, &stream))
    {
        return error;
    }
    finish(lock, stream, stream->queued);
    return stream->context->lost;
}

CUresult copy(Lock& lock, const void* target, const void* source, size_t bytes, CUstream handle,
    bool hostTarget, bool hostSource, bool blocks)
{
    Context* context = nullptr;
    if (const CUresult error = current(&context))
    {
        return error;
    }
    detail("%zu bytes from %p to %p, stream %p", bytes, source, target, static_cast<void*>(handle));
    if (bytes == 0)
    {
        return CUDA_SUCCESS;
    }
    End there;
    End here;
    std::shared_ptr<Stream> stream;
    CUresult error = end(target, bytes, hostTarget, &there);
    error = error ? error : end(source, bytes, hostSource, &here);
    error = error ? error : driver::find(handle, &stream);
    error = error || !blocks ? error : refuseUnsafe();
    if (error)
    {
        return error;
    }
    Task task = moving(there, here, bytes);
    if (here.id == 0 && !stream->capture)
    {
        // CUDA has read pageable memory when it returns.
        auto staged = std::make_shared<std::vector<char>>(here.at, here.at + bytes);
        task.run = [=]
        {
            End memory{staged->data()};
            return moving(there, memory, bytes).run();
        };
    }
    error = submit(handle, std::move(task));
    const bool pageable = there.id == 0 && !stream->capture; // CUDA has written it when it returns
    return error || !(blocks || pageable) ? error : wait(lock, handle);
}

template <typename T>
CUresult fill(Lock& lock, CUdeviceptr target, T value, size_t count, CUstream handle, bool blocks)
{
    End there;
    CUresult error = end(reinterpret_cast<void*>(target), count * sizeof(T), false, &there);
    error = error || !blocks ? error : refuseUnsafe();
    error = error ? error
                  : submit(handle,
                        {[=]
                            {
                                if (!isThere(there))
                                {
                                    return CUDA_ERROR_ILLEGAL_ADDRESS;
                                }
                                std::fill_n(reinterpret_cast<T*>(there.at), count, value);
                                return CUDA_SUCCESS;
                            }});
    return error || !blocks ? error : wait(lock, handle);
}

CUresult release(const void* address, bool onHost)
{
    Context* context = nullptr;
    CUresult error = current(&context);
    error = error ? error : refuseUnsafe();
    if (error)
    {
        return error;
    }
    const auto found = state().memory.find(static_cast<char*>(const_cast<void*>(address)));
    if (found == state().memory.end() || found->second.onHost != onHost)
    {
        problem("%p is freed, which is %s", address, isFreed(address) ? "freed already" : "no such memory");
        return CUDA_ERROR_INVALID_VALUE;
    }
    detail("%zu bytes at %p", found->second.bytes, address);
    freeMemory(found);
    return CUDA_SUCCESS;
}

void attribute(CUpointer_attribute which, void* data, const Allocation& allocation, char* at)
{
    switch (which)
    {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
        *static_cast<CUcontext*>(data) = reinterpret_cast<CUcontext>(allocation.context);
        break;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        *static_cast<unsigned*>(data) = allocation.onHost ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
        break;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
        *static_cast<CUdeviceptr*>(data) = reinterpret_cast<CUdeviceptr>(at);
        break;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        *static_cast<void**>(data) = allocation.onHost ? at : nullptr;
        break;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED: *static_cast<unsigned*>(data) = 0; break;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *static_cast<int*>(data) = allocation.context->device; break;
    default: break;
    }
}

size_t sizeOf(CUpointer_attribute which)
{
    return which == CU_POINTER_ATTRIBUTE_MEMORY_TYPE || which == CU_POINTER_ATTRIBUTE_IS_MANAGED
            || which == CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
        ? sizeof(int)
        : sizeof(void*);
}

} // namespace

void driver::openMemory(bool open)
{
    State& all = state();
    all.running += open ? 1 : -1;
    if (all.running != (open ? 1 : 0))
    {
        return; // other tasks run
    }
    for (auto& [base, allocation] : all.memory)
    {
        if (!allocation.onHost)
        {
            mprotect(allocation.mapping, allocation.mappingBytes, open ? PROT_READ | PROT_WRITE : PROT_NONE);
        }
    }
}

void driver::freeMemory(std::map<char*, Allocation>::iterator found)
{
    State& all = state();
    const Allocation gone = found->second;
    all.memory.erase(found);
    if (!gone.onHost)
    {
        all.devices[static_cast<size_t>(gone.context->device)].used -= gone.bytes;
    }
    if (!gone.registered)
    {
        all.freed[gone.base] = gone.bytes;
        map(gone.mapping, gone.mappingBytes, PROT_NONE); // so that a kernel that still uses it is stopped
        if (!gone.onHost && setting("REUSE", 0))
        {
            all.reusable.emplace_back(gone.mapping, gone.reserved);
        }
    }
}

extern "C"
{
CUresult cuMemGetInfo_v2(size_t* free, size_t* total)
{
    return DRIVER_CALL({
        Context* context = nullptr;
        if (const CUresult error = current(&context))
        {
            return error;
        }
        *total = static_cast<size_t>(setting("MEMORY", 1L << 32));
        *free = *total - state().devices[static_cast<size_t>(context->device)].used;
        return CUDA_SUCCESS;
    });
}

CUresult cuMemAlloc_v2(CUdeviceptr* address, size_t bytes)
{
    return DRIVER_CALL({
        Context* context = nullptr;
        CUresult error = current(&context);
        error = error ? error : refuseUnsafe();
        if (error || bytes == 0)
        {
            return error ? error : CUDA_ERROR_INVALID_VALUE;
        }
        const size_t total = static_cast<size_t>(setting("MEMORY", 1L << 32));
        detail("%zu bytes", bytes);
        if (bytes > total - state().devices[static_cast<size_t>(context->device)].used)
        {
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
        *address = reinterpret_cast<CUdeviceptr>(allocate(context, bytes, false, 0));
        return *address == 0 ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
    });
}

CUresult cuMemFree_v2(CUdeviceptr address)
{
    return DRIVER_CALL(
        { return address == 0 ? CUDA_SUCCESS : release(reinterpret_cast<void*>(address), false); });
}

CUresult cuMemHostAlloc(void** address, size_t bytes, unsigned flags)
{
    return DRIVER_CALL({
        Context* context = nullptr;
        CUresult error = current(&context);
        error = error ? error : refuseUnsafe();
        if (error || bytes == 0)
        {
            return error ? error : CUDA_ERROR_INVALID_VALUE;
        }
        *address = allocate(context, bytes, true, flags);
        return *address == nullptr ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
    });
}

CUresult cuMemAllocHost_v2(void** address, size_t bytes)
{
    return cuMemHostAlloc(address, bytes, 0);
}

CUresult cuMemFreeHost(void* address)
{
    return DRIVER_CALL({ return release(address, true); });
}

CUresult cuMemHostRegister_v2(void* address, size_t bytes, unsigned flags)
{
    return DRIVER_CALL({
        Context* context = nullptr;
        CUresult error = current(&context);
        error = error ? error : refuseUnsafe();
        if (error || address == nullptr || bytes == 0)
        {
            return error ? error : CUDA_ERROR_INVALID_VALUE;
        }
        if (::find(address) != state().memory.end())
        {
            return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
        }
        State& all = state();
        char* const base = static_cast<char*>(address);
        all.memory[base] = {++all.ids, base, bytes, true, true, flags, context, nullptr, 0, 0};
        return CUDA_SUCCESS;
    });
}

CUresult cuMemHostUnregister(void* address)
{
    return DRIVER_CALL({
        const auto found = state().memory.find(static_cast<char*>(address));
        if (found == state().memory.end() || !found->second.registered)
        {
            return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
        }
        freeMemory(found);
        return CUDA_SUCCESS;
    });
}

CUresult cuMemHostGetFlags(unsigned* flags, void* address)
{
    return DRIVER_CALL({
        const Found found = ::find(address);
        if (found == state().memory.end() || !found->second.onHost)
        {
            return CUDA_ERROR_INVALID_VALUE;
        }
        *flags = found->second.flags;
        return CUDA_SUCCESS;
    });
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr* device, void* address, unsigned flags)
{
    return DRIVER_CALL({
        const Found found = ::find(address);
        if (found == state().memory.end() || !found->second.onHost || flags != 0)
        {
            return CUDA_ERROR_INVALID_VALUE;
        }
        *device = reinterpret_cast<CUdeviceptr>(address);
        return CUDA_SUCCESS;
    });
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* bytes, CUdeviceptr address)
{
    return DRIVER_CALL({
        const Found found = ::find(reinterpret_cast<void*>(address));
        if (found == state().memory.end())
        {
            return CUDA_ERROR_NOT_FOUND;
        }
        *base = reinterpret_cast<CUdeviceptr>(found->second.base);
        *bytes = found->second.bytes;
        return CUDA_SUCCESS;
    });
}

CUresult cuPointerGetAttribute(void* data, CUpointer_attribute which, CUdeviceptr address)
{
    return DRIVER_CALL({
        char* const at = reinterpret_cast<char*>(address);
        const Found found = ::find(at);
        if (found == state().memory.end())
        {
            return CUDA_ERROR_INVALID_VALUE;
        }
        attribute(which, data, found->second, at);
        return CUDA_SUCCESS;
    });
}

CUresult cuPointerGetAttributes(unsigned count, CUpointer_attribute* which, void** data, CUdeviceptr address)
{
    return DRIVER_CALL({
        char* const at = reinterpret_cast<char*>(address);
        const Found found = ::find(at);
        for (unsigned i = 0; i < count; ++i)
        {
            std::memset(data[i], 0, sizeOf(which[i]));
            if (found != state().memory.end())
            {
                attribute(which[i], data[i], found->second, at);
            }
        }
        return CUDA_SUCCESS;
    });
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr target, const void* source, size_t bytes)
{
    return DRIVER_CALL(
        { return copy(lock, reinterpret_cast<void*>(target), source, bytes, nullptr, false, true, true); });
}

CUresult cuMemcpyDtoH_v2(void* target, CUdeviceptr source, size_t bytes)
{
    return DRIVER_CALL(
        { return copy(lock, target, reinterpret_cast<void*>(source), bytes, nullptr, true, false, true); });
}

CUresult cuMemcpyDtoD_v2(CUdeviceptr target, CUdeviceptr source, size_t bytes)
{
    return DRIVER_CALL({
        return copy(lock, reinterpret_cast<void*>(target), reinterpret_cast<void*>(source), bytes, nullptr,
            false, false, false);
    });
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void* source, size_t bytes, CUstream stream)
{
    return DRIVER_CALL(
        { return copy(lock, reinterpret_cast<void*>(target), source, bytes, stream, false, true, false); });
}

CUresult cuMemcpyDtoHAsync_v2(void* target, CUdeviceptr source, size_t bytes, CUstream stream)
{
    return DRIVER_CALL(
        { return copy(lock, target, reinterpret_cast<void*>(source), bytes, stream, true, false, false); });
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr target, CUdeviceptr source, size_t bytes, CUstream stream)
{
    return DRIVER_CALL({
        return copy(lock, reinterpret_cast<void*>(target), reinterpret_cast<void*>(source), bytes, stream,
            false, false, false);
    });
}

CUresult cuMemcpy(CUdeviceptr target, CUdeviceptr source, size_t bytes)
{
    return DRIVER_CALL({
        return copy(lock, reinterpret_cast<void*>(target), reinterpret_cast<void*>(source), bytes, nullptr,
            true, true, true);
    });
}

CUresult cuMemcpyAsync(CUdeviceptr target, CUdeviceptr source, size_t bytes, CUstream stream)
{
    return DRIVER_CALL({
        return copy(lock, reinterpret_cast<void*>(target), reinterpret_cast<void*>(source), bytes, stream,
            true, true, false);
    });
}

CUresult cuMemsetD8_v2(CUdeviceptr target, unsigned char value, size_t count)
{
    return DRIVER_CALL({ return fill(lock, target, value, count, nullptr, true); });
}

CUresult cuMemsetD8Async(CUdeviceptr target, unsigned char value, size_t count, CUstream stream)
{
    return DRIVER_CALL({ return fill(lock, target, value, count, stream, false); });
}

CUresult cuMemsetD32_v2(CUdeviceptr target, unsigned value, size_t count)
{
    return DRIVER_CALL({ return fill(lock, target, value, count, nullptr, true); });
}

CUresult cuMemsetD32Async(CUdeviceptr target, unsigned value, size_t count, CUstream stream)
{
    return DRIVER_CALL({ return fill(lock, target, value, count, stream, false); });
}

} // extern "C"
