// A program that meets the plugin as others do: `program WAY TENSORRT PLUGIN`.
//
//   library     IPluginRegistry::loadLibrary and deregisterLibrary, twice
//   repeated    loadLibrary of a library that is loaded already
//   dlopen      dlopen and dlclose, twice
//   both        dlopen, then loadLibrary; dlclose last
//   reverse     loadLibrary, then dlopen; deregisterLibrary last
//   copy PATH   dlopen, then loadLibrary of a copy at another path, as from a plan
//   early       dlopen before TensorRT, then loadLibrary
//   preload     the library came by LD_PRELOAD
//   closed      dlopen, then TensorRT is closed before the library
//   exit        dlopen, and the end of the process
//
// TensorRT is loaded as Triton's backend loads it: by dlopen, its symbols local.  Compiles with the headers of TensorRT, or
// with those of the stand-in in fake/.  Prints "ok" at the end; a failed check is one line and status 1.
#include <NvInferRuntime.h>

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>

using namespace nvinfer1;

namespace
{

#define CHECK(condition) check(condition, #condition, __LINE__)

void check(bool holds, char const* condition, int line)
{
    if (!holds)
    {
        std::printf("line %d: not true: %s\n", line, condition);
        std::exit(1);
    }
}

class TensorRT
{
public:
    explicit TensorRT(char const* path)
        : mHandle(dlopen(path, RTLD_LAZY | RTLD_LOCAL))
    {
        if (mHandle == nullptr)
        {
            std::printf("%s\n", dlerror());
            std::exit(1);
        }
        auto* const get = reinterpret_cast<IPluginRegistry* (*)()>(dlsym(mHandle, "getPluginRegistry"));
        CHECK(get != nullptr);
        mRegistry = get();
    }

    IPluginRegistry* operator->() const
    {
        return mRegistry;
    }

    // Whether the registry has the plugin; one that it has is created and deleted.
    bool has() const
    {
        // Asks every creator for its name: one of an unloaded library ends the process.
        IPluginCreatorInterface* const found = mRegistry->getCreator("MogFaceDetect", "2", "");
        if (found == nullptr)
        {
            return false;
        }
        float const variances[] = {0.1F, 0.2F};
        float const score = 0.5F;
        float const iou = 0.4F;
        int32_t const one = 1;
        int32_t const none = 0;
        int32_t const many = 100;
        PluginField const fields[] = {{"levels", "8:16,32;16:64", PluginFieldType::kCHAR, 13},
            {"coding", "ssd", PluginFieldType::kCHAR, 3}, {"center", "0.5", PluginFieldType::kCHAR, 3},
            {"variances", variances, PluginFieldType::kFLOAT32, 2},
            {"inclusive", &none, PluginFieldType::kINT32, 1}, {"spread", &none, PluginFieldType::kINT32, 1},
            {"landmarks", &none, PluginFieldType::kINT32, 1}, {"top_k", &many, PluginFieldType::kINT32, 1},
            {"max_detections", &many, PluginFieldType::kINT32, 1},
            {"inclusive_areas", &one, PluginFieldType::kINT32, 1},
            {"clip", &none, PluginFieldType::kINT32, 1},
            {"score_threshold", &score, PluginFieldType::kFLOAT32, 1},
            {"iou_threshold", &iou, PluginFieldType::kFLOAT32, 1}};
        PluginFieldCollection const collection{static_cast<int32_t>(std::size(fields)), fields};
        std::unique_ptr<IPluginV3> const plugin(static_cast<IPluginCreatorV3One*>(found)->createPlugin(
            "node", &collection, TensorRTPhase::kBUILD));
        CHECK(plugin != nullptr);
        return true;
    }

    void close() const
    {
        dlclose(mHandle);
    }

private:
    void* mHandle;
    IPluginRegistry* mRegistry;
};

void* open(char const* path)
{
    void* const handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr)
    {
        std::printf("%s\n", dlerror());
        std::exit(1);
    }
    return handle;
}

bool isLoaded(char const* path)
{
    void* const handle = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
    if (handle != nullptr)
    {
        dlclose(handle);
    }
    return handle != nullptr;
}

void library(char const* tensorrt, char const* plugin)
{
    TensorRT const registry(tensorrt);
    for (int i = 0; i < 2; ++i)
    {
        CHECK(!registry.has());
        void* const handle = registry->loadLibrary(plugin);
        CHECK(registry.has());
        CHECK(handle != nullptr);
        registry->deregisterLibrary(handle);
        CHECK(!isLoaded(plugin));
        CHECK(!registry.has());
    }
}

void repeated(char const* tensorrt, char const* plugin)
{
    TensorRT const registry(tensorrt);
    void* const first = registry->loadLibrary(plugin);
    CHECK(first != nullptr);
    registry->loadLibrary(plugin); // TensorRT's answer differs between releases
    CHECK(registry.has());
}

void byDlopen(char const* tensorrt, char const* plugin)
{
    TensorRT const registry(tensorrt);
    for (int i = 0; i < 2; ++i)
    {
        CHECK(!registry.has());
        void* const handle = open(plugin);
        CHECK(registry.has());
        dlclose(handle);
        CHECK(!isLoaded(plugin));
        CHECK(!registry.has());
    }
}

void both(char const* tensorrt, char const* plugin)
{
    TensorRT const registry(tensorrt);
    for (int i = 0; i < 2; ++i)
    {
        void* const opened = open(plugin);
        CHECK(registry.has());
        void* const handle = registry->loadLibrary(plugin);
        CHECK(handle != nullptr);
        CHECK(registry.has());
        registry->deregisterLibrary(handle);
        CHECK(!registry.has());
        dlclose(opened);
        CHECK(!isLoaded(plugin));
        CHECK(!registry.has());
    }
}

void reverse(char const* tensorrt, char const* plugin)
{
    TensorRT const registry(tensorrt);
    for (int i = 0; i < 2; ++i)
    {
        void* const handle = registry->loadLibrary(plugin);
        CHECK(handle != nullptr);
        void* const opened = open(plugin);
        CHECK(registry.has());
        dlclose(opened);
        CHECK(registry.has());
        registry->deregisterLibrary(handle);
        CHECK(!isLoaded(plugin));
        CHECK(!registry.has());
    }
}

void copy(char const* tensorrt, char const* plugin, char const* another)
{
    TensorRT const registry(tensorrt);
    void* const opened = open(plugin);
    CHECK(registry.has());
    void* const handle = registry->loadLibrary(another); // refused: the first one keeps the name
    CHECK(registry.has());
    if (handle != nullptr)
    {
        registry->deregisterLibrary(handle);
    }
    CHECK(!isLoaded(another));
    dlclose(opened);
    CHECK(!registry.has());
}

void early(char const* tensorrt, char const* plugin)
{
    void* const opened = open(plugin);
    TensorRT const registry(tensorrt);
    CHECK(!registry.has());
    void* const handle = registry->loadLibrary(plugin);
    CHECK(handle != nullptr);
    CHECK(registry.has());
    registry->deregisterLibrary(handle);
    dlclose(opened);
    CHECK(!registry.has());
}

void preload(char const* tensorrt, char const* plugin)
{
    CHECK(isLoaded(plugin));
    TensorRT const registry(tensorrt);
    CHECK(registry.has());
    for (int i = 0; i < 2; ++i)
    {
        void* const handle = registry->loadLibrary(plugin);
        CHECK(handle != nullptr);
        CHECK(registry.has());
        registry->deregisterLibrary(handle);
        CHECK(!registry.has());
    }
}

void closed(char const* tensorrt, char const* plugin)
{
    TensorRT const registry(tensorrt);
    void* const opened = open(plugin);
    CHECK(registry.has());
    registry.close(); // the library still refers to it
    dlclose(opened);
    CHECK(!isLoaded(plugin));
}

void atExit(char const* tensorrt, char const* plugin)
{
    TensorRT const registry(tensorrt);
    open(plugin);
    CHECK(registry.has());
}

} // namespace

int main(int argc, char** argv)
{
    CHECK(argc >= 4);
    std::string const way = argv[1];
    char const* const tensorrt = argv[2];
    char const* const plugin = argv[3];
    struct
    {
        char const* name;
        void (*run)(char const*, char const*);
    } const ways[] = {{"library", library}, {"repeated", repeated}, {"dlopen", byDlopen}, {"both", both},
        {"reverse", reverse}, {"early", early}, {"preload", preload}, {"closed", closed}, {"exit", atExit}};
    for (auto const& each : ways)
    {
        if (way == each.name)
        {
            each.run(tensorrt, plugin);
            std::puts("ok");
            return 0;
        }
    }
    CHECK(way == "copy" && argc == 5);
    copy(tensorrt, plugin, argv[4]);
    std::puts("ok");
    return 0;
}
