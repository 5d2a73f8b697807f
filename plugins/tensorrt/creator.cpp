// Registration of MogFaceDetect with TensorRT.
//
// By the entry points getCreators and setLoggerFinder: IPluginRegistry::loadLibrary, trtexec --dynamicPlugins, plugins
// serialized into a plan.  And by itself when the library is loaded: trtexec --staticPlugins, Triton, dlopen.  A registry
// that sees both keeps the first creator and refuses the second.
#include "log.h"
#include "mogface_detect.h"

#include <dlfcn.h>

using namespace nvinfer1;

namespace
{

class MogFaceDetectCreator : public IPluginCreatorV3One
{
public:
    IPluginV3* createPlugin(
        char const* /* name */, PluginFieldCollection const* fc, TensorRTPhase /* phase */) noexcept override
    {
        try
        {
            Attributes attributes;
            std::string const problem = readAttributes(*fc, attributes);
            if (!problem.empty())
            {
                logError("%s", problem.c_str());
                return nullptr;
            }
            return new MogFaceDetect(std::move(attributes));
        }
        catch (std::exception const& error)
        {
            logError("%s", error.what());
            return nullptr;
        }
    }

    PluginFieldCollection const* getFieldNames() noexcept override
    {
        return &attributeNames();
    }

    char const* getPluginName() const noexcept override
    {
        return MogFaceDetect::kNAME;
    }

    char const* getPluginVersion() const noexcept override
    {
        return MogFaceDetect::kVERSION;
    }

    char const* getPluginNamespace() const noexcept override
    {
        return "";
    }
};

MogFaceDetectCreator creator;

// A function of the TensorRT in this process, however it was loaded, or null.
template <typename Function>
Function* find(char const* name)
{
#define MOGFACE_TEXT(x) #x
#define MOGFACE_EXPANDED(x) MOGFACE_TEXT(x)
    char const* const library = "libnvinfer.so." MOGFACE_EXPANDED(NV_TENSORRT_MAJOR);
    void* symbol = dlsym(RTLD_DEFAULT, name);
    if (symbol == nullptr)
    {
        void* loaded = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
        symbol = loaded != nullptr ? dlsym(loaded, name) : nullptr;
    }
    return reinterpret_cast<Function*>(symbol);
}

struct Registration
{
    Registration() noexcept
    {
        auto* const registry = find<IPluginRegistry*()>("getPluginRegistry");
        auto* const major = find<int32_t()>("getInferLibMajorVersion");
        if (registry == nullptr || major == nullptr)
        {
            return;
        }
        if (major() != NV_TENSORRT_MAJOR) // whose registry has other functions
        {
            logError("library: built for TensorRT %d, this process has %d; build the plugin with its headers",
                static_cast<int>(NV_TENSORRT_MAJOR), major());
            return;
        }
        registry()->registerCreator(creator, "");
    }
} registration;

} // namespace

extern "C" __attribute__((visibility("default"))) void setLoggerFinder(ILoggerFinder* finder)
{
    setFinder(finder);
}

extern "C" __attribute__((visibility("default"))) IPluginCreatorInterface* const* getCreators(
    int32_t& nbCreators)
{
    static IPluginCreatorInterface* const creators[] = {&creator};
    nbCreators = 1;
    return creators;
}
