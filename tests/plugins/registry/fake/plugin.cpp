// A plugin library with this project's registration and a creator of nothing.
#include "registration.h"

#include <NvInferRuntime.h>

#include <cstdio>

using namespace nvinfer1;

namespace
{

class Creator : public IPluginCreatorV3One
{
public:
    IPluginV3* createPlugin(char const* /* name */, PluginFieldCollection const* /* fc */,
        TensorRTPhase /* phase */) noexcept override
    {
        return new IPluginV3;
    }

    char const* getPluginName() const noexcept override
    {
        return "MogFaceDetect";
    }

    char const* getPluginVersion() const noexcept override
    {
        return "2";
    }
};

Creator creator;

bool add(void* registry) noexcept
{
    return static_cast<IPluginRegistry*>(registry)->registerCreator(creator, "");
}

void remove(void* registry) noexcept
{
    static_cast<IPluginRegistry*>(registry)->deregisterCreator(creator);
}

void report(char const* problem) noexcept
{
    std::fprintf(stderr, "%s\n", problem);
}

Registration registration({10, add, remove, report});

} // namespace

extern "C" __attribute__((visibility("default"))) IPluginCreatorInterface* const* getCreators(
    int32_t& nbCreators)
{
    static IPluginCreatorInterface* const creators[] = {&creator};
    registration.withdraw();
    nbCreators = 1;
    return creators;
}
