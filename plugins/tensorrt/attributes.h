// The attributes of a MogFaceDetect node: trt_mogface.spec.DetectorSpec as plugin fields.
//
//   levels            text   "4:10.88;8:16,32": stride and anchor sides of each level
//   coding            text   ssd or distance
//   center            text   position of an anchor in its cell, in strides
//   variances         two FP32 numbers, of the center and of the log size
//   inclusive, spread integers, 0 or 1
//   landmarks         points of a face
//   score_threshold, iou_threshold, top_k, max_detections, inclusive_areas, clip
//
// Double precision numbers are text, because ONNX has no such attributes.
#pragma once

#include "trt_mogface/kernels.h"

#include <NvInferRuntime.h>

#include <array>
#include <string>

struct Attributes
{
    MogfaceDetector detector{};
    MogfaceThresholds thresholds{};

    // As read, for the plan.
    std::string levels;
    std::string coding;
    std::string center;
};

// Reads the fields of a node or of a plan.  Returns an empty text, or the problem in one line.
std::string readAttributes(nvinfer1::PluginFieldCollection const& fields, Attributes& attributes);

// The names and types of all fields, without values.
nvinfer1::PluginFieldCollection const& attributeNames();

// Fields that point into the attributes.
class AttributeFields
{
public:
    nvinfer1::PluginFieldCollection const* of(Attributes const& attributes);

private:
    std::array<nvinfer1::PluginField, 13> mFields;
    std::array<float, 2> mVariances{};
    nvinfer1::PluginFieldCollection mCollection{};
};
