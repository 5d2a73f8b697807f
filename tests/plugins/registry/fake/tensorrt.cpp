// A stand-in for libnvinfer, with a registry that answers as those of TensorRT 10.16 and 11.4 do.
#include <NvInferRuntime.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include <dlfcn.h>

using namespace nvinfer1;

namespace
{

IPluginCreatorV3One const& named(IPluginCreatorInterface const* creator)
{
    return *static_cast<IPluginCreatorV3One const*>(creator);
}

class Registry : public IPluginRegistry
{
public:
    ~Registry() override
    {
        mIsDestroyed = true;
    }

    // A refused creator unloads the library.
    void* loadLibrary(char const* path) noexcept override
    {
        std::lock_guard<std::recursive_mutex> const lock(mMutex);
        void* const handle = dlopen(path, RTLD_LAZY);
        if (handle == nullptr)
        {
            return nullptr;
        }
        auto* const creatorsOf
            = reinterpret_cast<IPluginCreatorInterface* const* (*)(int32_t&)>(dlsym(handle, "getCreators"));
        int32_t count = 0;
        IPluginCreatorInterface* const* const creators = creatorsOf(count);
        for (int32_t i = 0; i < count; ++i)
        {
            if (!registerCreator(*creators[i], ""))
            {
                dlclose(handle);
                return nullptr;
            }
            mLibraries[handle].push_back(creators[i]);
        }
        return handle;
    }

    void deregisterLibrary(void* handle) noexcept override
    {
        for (IPluginCreatorInterface const* creator : mLibraries[handle])
        {
            deregisterCreator(*creator);
        }
        mLibraries.erase(handle);
        dlclose(handle);
    }

    bool registerCreator(IPluginCreatorInterface& creator, char const* /* nameSpace */) noexcept override
    {
        std::lock_guard<std::recursive_mutex> const lock(mMutex);
        if (getCreator(named(&creator).getPluginName(), named(&creator).getPluginVersion(), "") != nullptr)
        {
            return false;
        }
        mCreators.push_back(&creator);
        return true;
    }

    bool deregisterCreator(IPluginCreatorInterface const& creator) noexcept override
    {
        std::lock_guard<std::recursive_mutex> const lock(mMutex);
        if (mIsDestroyed)
        {
            std::abort();
        }
        auto const place = std::find(mCreators.begin(), mCreators.end(), &creator);
        if (place == mCreators.end())
        {
            return false;
        }
        mCreators.erase(place);
        return true;
    }

    IPluginCreatorInterface* getCreator(
        char const* name, char const* version, char const* /* nameSpace */) noexcept override
    {
        std::lock_guard<std::recursive_mutex> const lock(mMutex);
        for (IPluginCreatorInterface* creator : mCreators)
        {
            if (std::strcmp(named(creator).getPluginName(), name) == 0
                && std::strcmp(named(creator).getPluginVersion(), version) == 0)
            {
                return creator;
            }
        }
        return nullptr;
    }

private:
    std::recursive_mutex mMutex;
    std::vector<IPluginCreatorInterface*> mCreators;
    std::map<void*, std::vector<IPluginCreatorInterface const*>> mLibraries;
    bool mIsDestroyed{false};
};

} // namespace

extern "C" __attribute__((visibility("default"))) IPluginRegistry* getPluginRegistry() noexcept
{
    static Registry registry;
    return &registry;
}

extern "C" __attribute__((visibility("default"))) int32_t getInferLibMajorVersion() noexcept
{
    return FAKE_MAJOR;
}
