// Errors go to TensorRT's logger, or to stderr where the library was loaded without one; one line each.
#pragma once

#include <NvInferRuntime.h>

void setFinder(nvinfer1::ILoggerFinder* finder);

__attribute__((format(printf, 1, 2))) void logError(char const* format, ...) noexcept;
