#include "registration.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <dlfcn.h>
#include <link.h>

namespace
{

// A TensorRT in this process.
struct Found
{
    void* handle{nullptr};
    int32_t major{0};
    void* (*registry)(){nullptr};
};

template <typename Function>
Function* look(void* handle, char const* name)
{
    return reinterpret_cast<Function*>(dlsym(handle, name));
}

// All libraries of the process.  Files of TensorRT have many names: libnvinfer, its lean and dispatch runtimes, and a
// temporary file where a plan carries its runtime.
std::vector<std::string> loadedFiles()
{
    std::vector<std::string> files;
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* list)
        {
            if (info->dlpi_name != nullptr && *info->dlpi_name != '\0')
            {
                static_cast<std::vector<std::string>*>(list)->emplace_back(info->dlpi_name);
            }
            return 0;
        },
        &files);
    return files;
}

// Whether a library itself, not one that it needs, is a TensorRT.
bool isTensorRT(void* handle, char const* file, Found& found)
{
    auto* const registry = look<void*()>(handle, "getPluginRegistry");
    auto* const major = look<int32_t()>(handle, "getInferLibMajorVersion");
    Dl_info home{};
    if (registry == nullptr || major == nullptr
        || (file != nullptr
            && (dladdr(reinterpret_cast<void*>(registry), &home) == 0 || home.dli_fname == nullptr
                || std::strcmp(home.dli_fname, file) != 0)))
    {
        return false;
    }
    found = {handle, major(), registry};
    return true;
}

// The TensorRT of a major release, else of any, else none.  The caller closes its handle.
Found findTensorRT(int32_t wanted)
{
    Found other;
    std::vector<std::string> const files = loadedFiles();
    for (size_t i = 0; i <= files.size(); ++i)
    {
        // The program comes last: it finds what is linked into it, and all global symbols.
        char const* const file = i < files.size() ? files[i].c_str() : nullptr;
        void* const handle = dlopen(file, RTLD_LAZY | RTLD_NOLOAD);
        Found found;
        if (handle != nullptr && isTensorRT(handle, file, found))
        {
            if (found.major == wanted)
            {
                if (other.handle != nullptr)
                {
                    dlclose(other.handle);
                }
                return found;
            }
            if (other.handle == nullptr)
            {
                other = found;
                continue;
            }
        }
        if (handle != nullptr)
        {
            dlclose(handle);
        }
    }
    return other;
}

char const* nameOf(char const* file)
{
    char const* const slash = std::strrchr(file, '/');
    return slash != nullptr ? slash + 1 : file;
}

// Whether LD_PRELOAD names this library.
bool isPreloaded()
{
    static char const here = 0;
    Dl_info self{};
    char const* const given = std::getenv("LD_PRELOAD");
    if (given == nullptr || dladdr(&here, &self) == 0 || self.dli_fname == nullptr)
    {
        return false;
    }
    std::string const files = given;
    for (size_t start = 0; start < files.size();)
    {
        size_t const end = std::min(files.find_first_of(": ", start), files.size());
        if (std::strcmp(nameOf(files.substr(start, end - start).c_str()), nameOf(self.dli_fname)) == 0)
        {
            return true;
        }
        start = end + 1;
    }
    return false;
}

} // namespace

Registration::Registration(RegistryCalls const& calls) noexcept
    : mCalls(calls)
{
    char line[256];
    Found found = findTensorRT(mCalls.major);
    bool const preloaded = found.handle == nullptr && isPreloaded();
    std::snprintf(line, sizeof(line), "libnvinfer.so.%d", static_cast<int>(mCalls.major));
    if (preloaded && dlopen(line, RTLD_LAZY | RTLD_LOCAL) != nullptr) // stays, as if linked
    {
        found = findTensorRT(mCalls.major);
    }
    if (found.handle == nullptr)
    {
        if (preloaded)
        {
            std::snprintf(line, sizeof(line),
                "LD_PRELOAD: libnvinfer.so.%d not found, no plugin registered; use tritonserver "
                "--backend-config=tensorrt,plugins=FILE or trtexec --dynamicPlugins=FILE",
                static_cast<int>(mCalls.major));
        }
        else
        {
            std::snprintf(line, sizeof(line),
                "library: loaded before TensorRT, no plugin registered; load TensorRT first (in Python, "
                "import it)");
        }
        mCalls.report(line);
        return;
    }
    mTensorRT = found.handle;
    if (found.major != mCalls.major)
    {
        std::snprintf(line, sizeof(line),
            "library: built for TensorRT %d, this process has %d; build the plugin with its headers",
            static_cast<int>(mCalls.major), static_cast<int>(found.major));
        mCalls.report(line);
        return;
    }
    void* const registry = found.registry(); // made before this object is, so destroyed after it
    if (mCalls.add(registry))
    {
        mRegistry = registry;
    }
}

Registration::~Registration()
{
    withdraw();
    if (mTensorRT != nullptr)
    {
        dlclose(mTensorRT);
    }
}

void Registration::withdraw() noexcept
{
    void* const registry = mRegistry.exchange(nullptr);
    if (registry != nullptr)
    {
        mCalls.remove(registry);
    }
}
