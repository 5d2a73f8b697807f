// The attributes of a MogFaceDetect node: what trt_mogface.spec.DetectorSpec says, as plugin fields.
//
//   levels            text   "4:10.88;8:16,32": stride and anchor sides of each level
//   coding            text   mogface, ssd or distance
//   center            text   where an anchor sits in its cell, in strides
//   variances         two FP32 numbers, of the center and of the log size
//   landmarks         points of a face
//   score_threshold, iou_threshold, top_k, max_detections, inclusive_areas
//
// Numbers that the specification has in double precision are text, because ONNX has no such attributes.
#pragma once

#include "trt_mogface/kernels.h"

#include <NvInferRuntime.h>

#include <array>
#include <string>

struct Attributes
{
    MogfaceDetector detector{};
    MogfaceThresholds thresholds{};

    // As they came, for the plan.
    std::string levels;
    std::string coding;
    std::string center;
};

// Reads the fields of a node or of a plan.  Returns an empty text, or what is wrong with them in one line.
std::string readAttributes(nvinfer1::PluginFieldCollection const& fields, Attributes& attributes);

// The names and types of all fields, without values.
nvinfer1::PluginFieldCollection const& attributeNames();

// Fields that point into the attributes.
class AttributeFields
{
public:
    nvinfer1::PluginFieldCollection const* of(Attributes const& attributes);

private:
    std::array<nvinfer1::PluginField, 10> mFields;
    std::array<float, 2> mVariances{};
    nvinfer1::PluginFieldCollection mCollection{};
};
