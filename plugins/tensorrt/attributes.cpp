#include "attributes.h"

#include <cstdlib>
#include <cstring>
#include <iterator>

using nvinfer1::PluginField;
using nvinfer1::PluginFieldCollection;
using nvinfer1::PluginFieldType;

namespace
{

char const* const kCODINGS[] = {"ssd", "distance"}; // MogfaceCoding

PluginField const* find(PluginFieldCollection const& fields, char const* name)
{
    for (int32_t i = 0; i < fields.nbFields; ++i)
    {
        if (std::strcmp(fields.fields[i].name, name) == 0)
        {
            return &fields.fields[i];
        }
    }
    return nullptr;
}

// Importers may or may not end a text with a zero, and may or may not count it.
bool readText(PluginFieldCollection const& fields, char const* name, std::string& value)
{
    PluginField const* field = find(fields, name);
    if (field == nullptr || field->type != PluginFieldType::kCHAR || field->data == nullptr
        || field->length < 1)
    {
        return false;
    }
    auto const* text = static_cast<char const*>(field->data);
    value.assign(text, strnlen(text, static_cast<size_t>(field->length)));
    return !value.empty();
}

// An integer of the node has 32 or 64 bits.
bool readInteger(PluginFieldCollection const& fields, char const* name, int32_t& value)
{
    PluginField const* field = find(fields, name);
    if (field == nullptr || field->data == nullptr)
    {
        return false;
    }
    if (field->type == PluginFieldType::kINT32)
    {
        value = *static_cast<int32_t const*>(field->data);
        return true;
    }
    if (field->type == PluginFieldType::kINT64)
    {
        value = static_cast<int32_t>(*static_cast<int64_t const*>(field->data));
        return true;
    }
    return false;
}

bool readFloats(PluginFieldCollection const& fields, char const* name, int32_t count, float* values)
{
    PluginField const* field = find(fields, name);
    if (field == nullptr || field->data == nullptr || field->type != PluginFieldType::kFLOAT32
        || field->length < count)
    {
        return false;
    }
    std::memcpy(values, field->data, sizeof(float) * count);
    return true;
}

// Reads a number and moves the text behind it.
bool readNumber(char const*& text, double& value)
{
    char* end = nullptr;
    value = std::strtod(text, &end);
    bool const found = end != text;
    text = end;
    return found;
}

bool readLevel(char const*& text, MogfaceLevel& level)
{
    double stride = 0.0;
    if (!readNumber(text, stride) || *text != ':' || !(stride >= 1.0 && stride <= 65536.0))
    {
        return false;
    }
    level.stride = static_cast<int32_t>(stride);
    level.sideCount = 0;
    do
    {
        ++text;
        if (level.sideCount == MOGFACE_MAX_SIDES || !readNumber(text, level.sides[level.sideCount++]))
        {
            return false;
        }
    } while (*text == ',');
    return true;
}

bool readLevels(std::string const& levels, MogfaceDetector& detector)
{
    detector.levelCount = 0;
    for (char const* text = levels.c_str();; ++text)
    {
        if (detector.levelCount == MOGFACE_MAX_LEVELS
            || !readLevel(text, detector.levels[detector.levelCount++]))
        {
            return false;
        }
        if (*text != ';')
        {
            return *text == '\0';
        }
    }
}

bool readCoding(std::string const& coding, MogfaceDetector& detector)
{
    for (size_t i = 0; i < std::size(kCODINGS); ++i)
    {
        if (coding == kCODINGS[i])
        {
            detector.coding = static_cast<int32_t>(i);
            return true;
        }
    }
    return false;
}

} // namespace

std::string readAttributes(PluginFieldCollection const& fields, Attributes& attributes)
{
    MogfaceDetector& detector = attributes.detector;
    MogfaceThresholds& thresholds = attributes.thresholds;
    if (!readText(fields, "levels", attributes.levels) || !readLevels(attributes.levels, detector))
    {
        return "attribute levels: must be of the form \"4:10.88;8:16,32\"";
    }
    if (!readText(fields, "coding", attributes.coding) || !readCoding(attributes.coding, detector))
    {
        return "attribute coding: must be one of ssd, distance";
    }
    char const* center = readText(fields, "center", attributes.center) ? attributes.center.c_str() : "";
    if (!readNumber(center, detector.center) || *center != '\0')
    {
        return "attribute center: must be a number in text";
    }
    float variances[2] = {};
    if (!readFloats(fields, "variances", 2, variances))
    {
        return "attribute variances: must be two FP32 numbers";
    }
    detector.varianceCenter = variances[0];
    detector.varianceSize = variances[1];
    struct
    {
        char const* name;
        int32_t* value;
    } const integers[] = {{"inclusive", &detector.inclusive}, {"spread", &detector.spread},
        {"landmarks", &detector.landmarkCount}, {"top_k", &thresholds.topK},
        {"max_detections", &thresholds.maxDetections}, {"inclusive_areas", &thresholds.inclusiveAreas},
        {"clip", &thresholds.cut}};
    for (auto const& integer : integers)
    {
        if (!readInteger(fields, integer.name, *integer.value))
        {
            return std::string("attribute ") + integer.name + ": must be an integer";
        }
    }
    if (!readFloats(fields, "score_threshold", 1, &thresholds.score)
        || !readFloats(fields, "iou_threshold", 1, &thresholds.iou))
    {
        return "attributes score_threshold and iou_threshold: must be FP32 numbers";
    }
    // The kernels' interface checks everything else.
    size_t bytes = 0;
    return mogfaceDetectWorkspace(&detector, &thresholds, 1, 1, 1, &bytes) == cudaSuccess ? ""
                                                                                          : mogfaceProblem();
}

PluginFieldCollection const& attributeNames()
{
    static PluginField const kFIELDS[] = {
        {"levels", nullptr, PluginFieldType::kCHAR, 1},
        {"coding", nullptr, PluginFieldType::kCHAR, 1},
        {"center", nullptr, PluginFieldType::kCHAR, 1},
        {"variances", nullptr, PluginFieldType::kFLOAT32, 2},
        {"inclusive", nullptr, PluginFieldType::kINT32, 1},
        {"spread", nullptr, PluginFieldType::kINT32, 1},
        {"landmarks", nullptr, PluginFieldType::kINT32, 1},
        {"score_threshold", nullptr, PluginFieldType::kFLOAT32, 1},
        {"iou_threshold", nullptr, PluginFieldType::kFLOAT32, 1},
        {"top_k", nullptr, PluginFieldType::kINT32, 1},
        {"max_detections", nullptr, PluginFieldType::kINT32, 1},
        {"inclusive_areas", nullptr, PluginFieldType::kINT32, 1},
        {"clip", nullptr, PluginFieldType::kINT32, 1},
    };
    static PluginFieldCollection const kCOLLECTION{sizeof(kFIELDS) / sizeof(kFIELDS[0]), kFIELDS};
    return kCOLLECTION;
}

PluginFieldCollection const* AttributeFields::of(Attributes const& attributes)
{
    MogfaceDetector const& detector = attributes.detector;
    MogfaceThresholds const& thresholds = attributes.thresholds;
    mVariances = {detector.varianceCenter, detector.varianceSize};
    void const* const values[] = {attributes.levels.c_str(), attributes.coding.c_str(),
        attributes.center.c_str(), mVariances.data(), &detector.inclusive, &detector.spread,
        &detector.landmarkCount, &thresholds.score, &thresholds.iou, &thresholds.topK,
        &thresholds.maxDetections, &thresholds.inclusiveAreas, &thresholds.cut};
    static_assert(std::size(values) == std::tuple_size<decltype(mFields)>::value);
    for (size_t i = 0; i < mFields.size(); ++i)
    {
        mFields[i] = attributeNames().fields[i];
        mFields[i].data = values[i];
        if (mFields[i].type == PluginFieldType::kCHAR)
        {
            mFields[i].length = static_cast<int32_t>(std::strlen(static_cast<char const*>(values[i]))) + 1;
        }
    }
    mCollection = {static_cast<int32_t>(mFields.size()), mFields.data()};
    return &mCollection;
}
