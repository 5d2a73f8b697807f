// State, log, errors, and the lookup of functions by name.
#include "driver.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <unistd.h>

using namespace driver;

extern "C" const char* const fakeCudaStubs[]; // the functions that only return an error

namespace
{

thread_local std::string details;

std::FILE* logFile()
{
    static std::FILE* const file = []
    {
        const char* const path = std::getenv("FAKE_CUDA_LOG");
        return path == nullptr ? nullptr : std::fopen(path, "a");
    }();
    return file;
}

int threadNumber()
{
    static int count = 0; // guarded by the lock
    thread_local const int number = count++;
    return number;
}

void log(const char* name, CUresult result)
{
    if (logFile() != nullptr)
    {
        const int device = stack().empty() ? -1 : stack().back()->device;
        std::fprintf(logFile(), "thread %d device %d %s %d %s\n", threadNumber(), device, name, result,
            details.c_str());
        std::fflush(logFile());
    }
    details.clear();
}

std::string formatted(const char* format, va_list arguments)
{
    char text[300];
    std::vsnprintf(text, sizeof(text), format, arguments);
    return text;
}

// FAKE_CUDA_FAIL=name=error lets every call of a function fail.
CUresult planned(const char* name)
{
    const char* const plan = std::getenv("FAKE_CUDA_FAIL");
    const size_t length = std::strlen(name);
    const bool fails = plan != nullptr && std::strncmp(plan, name, length) == 0 && plan[length] == '=';
    return fails ? static_cast<CUresult>(std::atoi(plan + length + 1)) : CUDA_SUCCESS;
}

struct Error
{
    CUresult code;
    const char* name;
    const char* text;
};

#define ERROR(code, text) {code, #code, text}
constexpr Error kERRORS[] = {
    ERROR(CUDA_SUCCESS, "no error"),
    ERROR(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    ERROR(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    ERROR(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
    ERROR(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
    ERROR(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
    ERROR(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
    ERROR(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
    ERROR(CUDA_ERROR_ILLEGAL_STATE, "the operation cannot be performed in the present state"),
    ERROR(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
    ERROR(CUDA_ERROR_NOT_READY, "device not ready"),
    ERROR(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
    ERROR(CUDA_ERROR_CONTEXT_IS_DESTROYED, "context is destroyed"),
    ERROR(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "part or all of the memory range is already registered"),
    ERROR(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "pointer does not correspond to a registered memory region"),
    ERROR(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
    ERROR(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"),
    ERROR(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "operation failed due to a previous error during capture"),
    ERROR(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "dependency created on uncaptured work in another stream"),
    ERROR(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT,
        "operation would make the legacy stream depend on a capturing blocking stream"),
    ERROR(
        CUDA_ERROR_CAPTURED_EVENT, "operation not permitted on an event last recorded in a capturing stream"),
    ERROR(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD,
        "attempt to terminate a thread-local capture sequence from "
        "another thread"),
};

bool isStub(const std::string& name)
{
    for (const char* const* stub = fakeCudaStubs; *stub != nullptr; ++stub)
    {
        if (name == *stub)
        {
            return true;
        }
    }
    return false;
}

const Error* find(CUresult code)
{
    for (const Error& error : kERRORS)
    {
        if (error.code == code)
        {
            return &error;
        }
    }
    return nullptr;
}

} // namespace

State& driver::state()
{
    static State* const all = new State; // never destroyed: threads may outlive main
    return *all;
}

long driver::setting(const char* name, long fallback)
{
    const char* const value = std::getenv((std::string("FAKE_CUDA_") + name).c_str());
    return value == nullptr ? fallback : std::atol(value);
}

std::pair<int, int> driver::capability(int device)
{
    const char* text = std::getenv("FAKE_CUDA_CAPABILITY"); // of each device: 9.0,7.5
    std::pair<int, int> found{9, 0};
    for (int i = 0; text != nullptr && i <= device; ++i)
    {
        std::sscanf(text, "%d.%d", &found.first, &found.second);
        text = std::strchr(text, ',');
        text = text == nullptr ? nullptr : text + 1;
    }
    return found;
}

void driver::problem(const char* format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const std::string text = formatted(format, arguments);
    va_end(arguments);
    for (std::FILE* const file : {logFile(), stderr})
    {
        if (file != nullptr)
        {
            std::fprintf(file, "PROBLEM: %s\n", text.c_str());
            std::fflush(file);
        }
    }
}

void driver::detail(const char* format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    details += (details.empty() ? "" : ", ") + formatted(format, arguments);
    va_end(arguments);
}

CUresult driver::call(const char* name, bool needsInit, const std::function<CUresult(Lock&)>& body)
{
    Lock lock(state().mutex);
    CUresult result = planned(name);
    if (!result && needsInit && state().process != getpid())
    {
        result = CUDA_ERROR_NOT_INITIALIZED; // nor in a process that was forked since
    }
    result = result ? result : body(lock);
    log(name, result);
    return result;
}

// What the program has not freed, as the last line of the log.
__attribute__((destructor)) static void logLive()
{
    if (logFile() == nullptr)
    {
        return;
    }
    const Lock lock(state().mutex);
    size_t pinned = 0;
    for (const auto& [base, allocation] : state().memory)
    {
        pinned += allocation.onHost;
    }
    const State& all = state();
    std::fprintf(logFile(),
        "LIVE: device memory %zu, pinned memory %zu, streams %zu, events %zu, graphs %zu\n",
        all.memory.size() - pinned, pinned, all.streams.size(), all.events.size(),
        all.graphs.size() + all.executables.size());
    std::fflush(logFile());
}

// Called by the functions that only return an error.
extern "C" int fakeCudaStub(const char* name)
{
    return call(name, false, [](Lock&) { return CUDA_ERROR_NOT_SUPPORTED; });
}

extern "C"
{
CUresult cuGetErrorName(CUresult code, const char** text)
{
    const Error* const error = find(code);
    *text = error == nullptr ? nullptr : error->name;
    return error == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult code, const char** text)
{
    const Error* const error = find(code);
    *text = error == nullptr ? nullptr : error->text;
    return error == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult cuGetProcAddress_v2(
    const char* symbol, void** function, int version, cuuint64_t, CUdriverProcAddressQueryResult* status)
{
    // The newest version of a function that is not newer than the caller.  Only these changed their arguments.
    static const struct
    {
        const char* name;
        int since;
        const char* symbol;
    } versions[] = {
        {"cuCtxCreate", 12050, "cuCtxCreate_v4"},
        {"cuCtxCreate", 3020, "cuCtxCreate_v2"},
        {"cuGetProcAddress", 12000, "cuGetProcAddress_v2"},
        {"cuGraphInstantiate", 12000, "cuGraphInstantiateWithFlags"},
    };
    Dl_info self;
    dladdr(reinterpret_cast<void*>(&fakeCudaStub), &self);
    static void* const library = dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    *function = nullptr;
    if (version <= setting("VERSION", 13000))
    {
        for (const auto& known : versions)
        {
            if (*function == nullptr && version >= known.since && std::strcmp(symbol, known.name) == 0)
            {
                *function = dlsym(library, known.symbol);
            }
        }
        for (const bool stubs : {false, true}) // a newer version that is a stub has other arguments
        {
            for (const char* const suffix : {"_v4", "_v3", "_v2", ""})
            {
                const std::string name = std::string(symbol) + suffix;
                if (*function == nullptr && isStub(name) == stubs)
                {
                    *function = dlsym(library, name.c_str());
                }
            }
        }
    }
    if (status != nullptr)
    {
        *status = *function == nullptr ? CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND : CU_GET_PROC_ADDRESS_SUCCESS;
    }
    return *function == nullptr && status == nullptr ? CUDA_ERROR_NOT_FOUND : CUDA_SUCCESS;
}

} // extern "C"
