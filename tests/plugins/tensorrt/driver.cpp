// What TensorRT does with a plugin, from a node's fields to a launch, for a test that has its headers and not its library.
#include <NvInferRuntime.h>

#include <cstdlib>
#include <cstring>
#include <list>
#include <memory>
#include <vector>

using namespace nvinfer1;

extern "C" IPluginCreatorInterface* const* getCreators(int32_t& nbCreators);

namespace
{

class Size : public IDimensionExpr, private apiv::VDimensionExpr
{
public:
    explicit Size(int64_t value)
        : mValue(value)
    {
        mImpl = this;
    }
    ~Size() noexcept override = default;

private:
    bool isConstant() const override
    {
        return true;
    }
    int64_t getConstantValue() const override
    {
        return mValue;
    }
    bool isSizeTensor() const override
    {
        return false;
    }
    int64_t mValue;
};

class Sizes : public IExprBuilder, private apiv::VExprBuilder
{
public:
    Sizes()
    {
        mImpl = this;
    }
    ~Sizes() noexcept override = default;
    IDimensionExpr const* constant(int64_t value) override
    {
        mAll.emplace_back(value);
        return &mAll.back();
    }

private:
    IDimensionExpr const* operation(DimensionOperation, IDimensionExpr const&, IDimensionExpr const&) override
    {
        std::abort();
    }
    IDimensionExpr const* declareSizeTensor(int32_t, IDimensionExpr const&, IDimensionExpr const&) override
    {
        std::abort();
    }
    std::list<Size> mAll;
};

IPluginCreatorV3One& creator()
{
    int32_t count = 0;
    return *static_cast<IPluginCreatorV3One*>(getCreators(count)[0]);
}

struct Delete
{
    void operator()(IPluginV3* plugin) const
    {
        delete plugin;
    }
};
using Plugin = std::unique_ptr<IPluginV3, Delete>;

std::vector<PluginTensorDesc> describe(
    DataType type, int64_t batch, int64_t anchors, int64_t height, int64_t width, int32_t points)
{
    std::vector<PluginTensorDesc> inputs;
    auto const add = [&](DataType of, std::initializer_list<int64_t> shape)
    {
        PluginTensorDesc tensor{};
        tensor.type = of;
        tensor.format = TensorFormat::kLINEAR;
        for (int64_t side : shape)
        {
            tensor.dims.d[tensor.dims.nbDims++] = side;
        }
        inputs.push_back(tensor);
    };
    add(type, {batch, anchors});
    add(type, {batch, anchors, 4});
    if (points > 0)
    {
        add(type, {batch, anchors, 2 * points});
    }
    add(DataType::kFLOAT, {1, height, width, 1});
    return inputs;
}

} // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int32_t createsPlugin(PluginField const* fields, int32_t count)
{
    PluginFieldCollection const collection{count, fields};
    return Plugin(creator().createPlugin("node", &collection, TensorRTPhase::kBUILD)) != nullptr;
}

// Builds with shapes up to twice the given ones, serializes, and runs with the given ones.  Returns 0, or the step that
// failed.  shapes: for each output its number of sizes and the sizes, -1 after the last.
EXPORT int32_t runPlugin(PluginField const* fields, int32_t count, int32_t half, int64_t batch,
    int64_t anchors, int64_t height, int64_t width, int32_t points, void const* const* inputs,
    void* const* outputs, int64_t* shapes)
{
    PluginFieldCollection const collection{count, fields};
    Plugin built(creator().createPlugin("node", &collection, TensorRTPhase::kBUILD));
    if (!built)
    {
        return 1;
    }
    auto* build
        = static_cast<IPluginV3OneBuild*>(built->getCapabilityInterface(PluginCapabilityType::kBUILD));
    auto* core = static_cast<IPluginV3OneCore*>(built->getCapabilityInterface(PluginCapabilityType::kCORE));
    if (std::strcmp(core->getPluginName(), "MogFaceDetect") != 0
        || std::strcmp(core->getPluginVersion(), "2") != 0)
    {
        return 2;
    }
    DataType const type = half != 0 ? DataType::kHALF : DataType::kFLOAT;
    std::vector<PluginTensorDesc> const now = describe(type, batch, anchors, height, width, points);
    auto const inputCount = static_cast<int32_t>(now.size());
    int32_t const outputCount = build->getNbOutputs();

    Sizes sizes;
    std::vector<DimsExprs> in(now.size());
    std::vector<DimsExprs> out(outputCount);
    for (size_t i = 0; i < now.size(); ++i)
    {
        in[i].nbDims = now[i].dims.nbDims;
        for (int32_t d = 0; d < in[i].nbDims; ++d)
        {
            in[i].d[d] = sizes.constant(now[i].dims.d[d]);
        }
    }
    std::vector<DataType> types(outputCount);
    std::vector<DataType> inputTypes;
    for (PluginTensorDesc const& tensor : now)
    {
        inputTypes.push_back(tensor.type);
    }
    if (build->getOutputShapes(in.data(), inputCount, nullptr, 0, out.data(), outputCount, sizes) != 0
        || build->getOutputDataTypes(types.data(), outputCount, inputTypes.data(), inputCount) != 0)
    {
        return 3;
    }
    std::vector<DynamicPluginTensorDesc> all(now.size() + outputCount);
    for (size_t i = 0; i < all.size(); ++i)
    {
        PluginTensorDesc& desc = all[i].desc;
        if (i < now.size())
        {
            desc = now[i];
        }
        else
        {
            DimsExprs const& shape = out[i - now.size()];
            desc.type = types[i - now.size()];
            desc.format = TensorFormat::kLINEAR;
            desc.dims.nbDims = shape.nbDims;
            *shapes++ = shape.nbDims;
            for (int32_t d = 0; d < shape.nbDims; ++d)
            {
                desc.dims.d[d] = shape.d[d]->getConstantValue();
                *shapes++ = desc.dims.d[d];
            }
        }
        all[i].min = all[i].opt = all[i].max = desc.dims;
    }
    *shapes = -1;
    for (int32_t i = 0; i < static_cast<int32_t>(all.size()); ++i)
    {
        if (!build->supportsFormatCombination(i, all.data(), inputCount, outputCount))
        {
            return 4;
        }
        std::vector<DynamicPluginTensorDesc> other = all;
        other[i].desc.type = DataType::kINT8;
        if (build->supportsFormatCombination(i, other.data(), inputCount, outputCount))
        {
            return 5;
        }
    }
    std::vector<DynamicPluginTensorDesc> largest = all;
    for (int32_t i = 0; i < inputCount - 1; ++i)
    {
        largest[i].max.d[0] *= 2;
    }
    largest[inputCount - 1].max.d[1] *= 2;
    if (build->configurePlugin(largest.data(), inputCount, largest.data() + inputCount, outputCount) != 0)
    {
        return 6;
    }
    size_t const bytes
        = build->getWorkspaceSize(largest.data(), inputCount, largest.data() + inputCount, outputCount);

    Plugin clone(built->clone());
    built.reset();
    auto* asRuntime
        = static_cast<IPluginV3OneRuntime*>(clone->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    Plugin loaded(creator().createPlugin("plan", asRuntime->getFieldsToSerialize(), TensorRTPhase::kRUNTIME));
    clone.reset();
    if (!loaded)
    {
        return 7;
    }
    auto* runtime
        = static_cast<IPluginV3OneRuntime*>(loaded->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    Plugin attached(runtime->attachToContext(nullptr));
    loaded.reset();
    runtime
        = static_cast<IPluginV3OneRuntime*>(attached->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    std::vector<PluginTensorDesc> outDescs;
    for (int32_t i = 0; i < outputCount; ++i)
    {
        outDescs.push_back(all[now.size() + i].desc);
    }
    if (runtime->onShapeChange(now.data(), inputCount, outDescs.data(), outputCount) != 0)
    {
        return 8;
    }
    std::vector<char> workspace(bytes + 8);
    return runtime->enqueue(now.data(), outDescs.data(), inputs, outputs, workspace.data() + 8, nullptr) == 0
        ? 0
        : 9;
}
