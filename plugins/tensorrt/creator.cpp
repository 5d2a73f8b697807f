// The creator of MogFaceDetect, and the library's entry points getCreators and setLoggerFinder, by which TensorRT loads
// it.  registration.h says when the creator is registered.
#include "log.h"
#include "mogface_detect.h"
#include "registration.h"

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
    logError("%s", problem);
}

Registration registration(
    {NV_TENSORRT_MAJOR, add, remove, report}); // after the creator, so destroyed before it

} // namespace

extern "C" __attribute__((visibility("default"))) void setLoggerFinder(ILoggerFinder* finder)
{
    setFinder(finder);
}

extern "C" __attribute__((visibility("default"))) IPluginCreatorInterface* const* getCreators(
    int32_t& nbCreators)
{
    static IPluginCreatorInterface* const creators[] = {&creator};
    registration.withdraw();
    nbCreators = 1;
    return creators;
}
