#include "mogface_detect.h"

#include "log.h"

#include <utility>

using namespace nvinfer1;

namespace
{

constexpr size_t kALIGNMENT = 256; // of the kernels' workspace; TensorRT promises less

enum Input : int32_t
{
    kSCORES = 0,
    kDELTAS = 1,
    kLANDMARKS = 2 // if there are any; pixels come last
};

bool isFloat(DataType type)
{
    return type == DataType::kFLOAT || type == DataType::kHALF;
}

void* aligned(void* workspace)
{
    auto const address = reinterpret_cast<uintptr_t>(workspace);
    return reinterpret_cast<void*>((address + kALIGNMENT - 1) / kALIGNMENT * kALIGNMENT);
}

} // namespace

MogFaceDetect::MogFaceDetect(Attributes attributes)
    : mAttributes(std::move(attributes))
{
}

bool MogFaceDetect::hasLandmarks() const
{
    return mAttributes.detector.landmarkCount > 0;
}

int32_t MogFaceDetect::inputCount() const
{
    return hasLandmarks() ? 4 : 3;
}

IPluginCapability* MogFaceDetect::getCapabilityInterface(PluginCapabilityType type) noexcept
{
    switch (type)
    {
    case PluginCapabilityType::kCORE: return static_cast<IPluginV3OneCore*>(this);
    case PluginCapabilityType::kBUILD: return static_cast<IPluginV3OneBuild*>(this);
    case PluginCapabilityType::kRUNTIME: return static_cast<IPluginV3OneRuntime*>(this);
    }
    return nullptr;
}

IPluginV3* MogFaceDetect::clone() noexcept
{
    try
    {
        return new MogFaceDetect(mAttributes);
    }
    catch (std::exception const& error)
    {
        logError(error.what());
        return nullptr;
    }
}

char const* MogFaceDetect::getPluginName() const noexcept
{
    return kNAME;
}

char const* MogFaceDetect::getPluginVersion() const noexcept
{
    return kVERSION;
}

char const* MogFaceDetect::getPluginNamespace() const noexcept
{
    return "";
}

int32_t MogFaceDetect::configurePlugin(DynamicPluginTensorDesc const* in, int32_t nbInputs,
    DynamicPluginTensorDesc const* /* out */, int32_t nbOutputs) noexcept
{
    if (nbInputs != inputCount() || nbOutputs != getNbOutputs())
    {
        logError("inputs and outputs: must be %d and %d, not %d and %d", inputCount(), getNbOutputs(),
            nbInputs, nbOutputs);
        return -1;
    }
    int32_t const ranks[] = {2, 3, hasLandmarks() ? 3 : 4, 4};
    for (int32_t i = 0; i < nbInputs; ++i)
    {
        if (in[i].desc.dims.nbDims != ranks[i])
        {
            logError("input %d: must have %d dimensions, not %d", i, ranks[i], in[i].desc.dims.nbDims);
            return -1;
        }
    }
    return 0;
}

int32_t MogFaceDetect::getOutputDataTypes(DataType* outputTypes, int32_t nbOutputs,
    DataType const* /* inputTypes */, int32_t /* nbInputs */) const noexcept
{
    for (int32_t i = 0; i < nbOutputs; ++i)
    {
        outputTypes[i] = i == 0 ? DataType::kINT32 : DataType::kFLOAT;
    }
    return 0;
}

int32_t MogFaceDetect::getOutputShapes(DimsExprs const* inputs, int32_t nbInputs,
    DimsExprs const* /* shapeInputs */, int32_t /* nbShapeInputs */, DimsExprs* outputs, int32_t nbOutputs,
    IExprBuilder& exprBuilder) noexcept
{
    if (nbInputs != inputCount() || nbOutputs != getNbOutputs())
    {
        return -1;
    }
    IDimensionExpr const* batch = inputs[kSCORES].d[0];
    IDimensionExpr const* most = exprBuilder.constant(mAttributes.thresholds.maxDetections);
    outputs[0].nbDims = 1;
    outputs[0].d[0] = batch;
    for (int32_t i = 1; i < nbOutputs; ++i)
    {
        outputs[i].d[0] = batch;
        outputs[i].d[1] = most;
    }
    outputs[1].nbDims = 3;
    outputs[1].d[2] = exprBuilder.constant(4);
    outputs[2].nbDims = 2;
    if (hasLandmarks())
    {
        outputs[3].nbDims = 4;
        outputs[3].d[2] = exprBuilder.constant(mAttributes.detector.landmarkCount);
        outputs[3].d[3] = exprBuilder.constant(2);
    }
    return 0;
}

bool MogFaceDetect::supportsFormatCombination(
    int32_t pos, DynamicPluginTensorDesc const* inOut, int32_t nbInputs, int32_t /* nbOutputs */) noexcept
{
    PluginTensorDesc const& tensor = inOut[pos].desc;
    if (tensor.format != TensorFormat::kLINEAR)
    {
        return false;
    }
    if (pos >= nbInputs)
    {
        return tensor.type == (pos == nbInputs ? DataType::kINT32 : DataType::kFLOAT);
    }
    bool const isPixels = pos == nbInputs - 1;
    return isFloat(tensor.type) && (pos == kSCORES || isPixels || tensor.type == inOut[kSCORES].desc.type);
}

int32_t MogFaceDetect::getNbOutputs() const noexcept
{
    return hasLandmarks() ? 4 : 3;
}

size_t MogFaceDetect::getWorkspaceSize(DynamicPluginTensorDesc const* inputs, int32_t nbInputs,
    DynamicPluginTensorDesc const* /* outputs */, int32_t /* nbOutputs */) const noexcept
{
    Dims const& pixels = inputs[nbInputs - 1].max;
    size_t bytes = 0;
    if (mogfaceDetectWorkspace(&mAttributes.detector, &mAttributes.thresholds,
            static_cast<int>(inputs[kSCORES].max.d[0]), static_cast<int>(pixels.d[1]),
            static_cast<int>(pixels.d[2]), &bytes)
        != cudaSuccess)
    {
        logError("%s", mogfaceProblem());
    }
    return bytes + kALIGNMENT;
}

int32_t MogFaceDetect::onShapeChange(PluginTensorDesc const* in, int32_t nbInputs,
    PluginTensorDesc const* /* out */, int32_t /* nbOutputs */) noexcept
{
    Dims const& pixels = in[nbInputs - 1].dims;
    auto const height = static_cast<int>(pixels.d[1]);
    auto const width = static_cast<int>(pixels.d[2]);
    int64_t anchors = 0;
    if (mogfaceAnchorCount(&mAttributes.detector, height, width, &anchors) != cudaSuccess
        || mogfaceDetectWorkspace(&mAttributes.detector, &mAttributes.thresholds,
               static_cast<int>(in[kSCORES].dims.d[0]), height, width, &mWorkspaceBytes)
            != cudaSuccess)
    {
        logError("%s", mogfaceProblem());
        return -1;
    }
    if (in[kSCORES].dims.d[1] != anchors)
    {
        logError("%lld scores of an image of %d x %d, whose levels have %lld anchors",
            static_cast<long long>(in[kSCORES].dims.d[1]), height, width, static_cast<long long>(anchors));
        return -1;
    }
    return 0;
}

int32_t MogFaceDetect::enqueue(PluginTensorDesc const* inputDesc, PluginTensorDesc const* /* outputDesc */,
    void const* const* inputs, void* const* outputs, void* workspace, cudaStream_t stream) noexcept
{
    Dims const& pixels = inputDesc[inputCount() - 1].dims;
    MogfaceOutputs network{};
    network.scores = inputs[kSCORES];
    network.deltas = inputs[kDELTAS];
    network.landmarks = hasLandmarks() ? inputs[kLANDMARKS] : nullptr;
    network.type = inputDesc[kSCORES].type == DataType::kHALF ? MOGFACE_FP16 : MOGFACE_FP32;
    network.batch = static_cast<int32_t>(inputDesc[kSCORES].dims.d[0]);
    network.height = static_cast<int32_t>(pixels.d[1]);
    network.width = static_cast<int32_t>(pixels.d[2]);
    MogfaceDetections faces{};
    faces.counts = static_cast<int32_t*>(outputs[0]);
    faces.boxes = static_cast<float*>(outputs[1]);
    faces.scores = static_cast<float*>(outputs[2]);
    faces.landmarks = hasLandmarks() ? static_cast<float*>(outputs[3]) : nullptr;
    cudaError_t const error = mogfaceDetect(&mAttributes.detector, &mAttributes.thresholds, &network, nullptr,
        &faces, aligned(workspace), mWorkspaceBytes, stream);
    if (error != cudaSuccess)
    {
        char const* problem = mogfaceProblem();
        logError("%s", *problem != '\0' ? problem : mogfaceErrorText(error));
        return -1;
    }
    return 0;
}

IPluginV3* MogFaceDetect::attachToContext(IPluginResourceContext* /* context */) noexcept
{
    return clone();
}

PluginFieldCollection const* MogFaceDetect::getFieldsToSerialize() noexcept
{
    return mFields.of(mAttributes);
}
