#include "log.h"

#include <atomic>
#include <cstdarg>
#include <cstdio>

namespace
{
std::atomic<nvinfer1::ILoggerFinder*> loggerFinder{nullptr};
}

void setFinder(nvinfer1::ILoggerFinder* finder)
{
    loggerFinder = finder;
}

void logError(char const* format, ...) noexcept
{
    char line[320] = "MogFaceDetect: ";
    constexpr size_t kPREFIX = sizeof("MogFaceDetect: ") - 1;
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(line + kPREFIX, sizeof(line) - kPREFIX, format, arguments);
    va_end(arguments);
    nvinfer1::ILoggerFinder* finder = loggerFinder;
    nvinfer1::ILogger* logger = finder != nullptr ? finder->findLogger() : nullptr;
    if (logger != nullptr)
    {
        logger->log(nvinfer1::ILogger::Severity::kERROR, line);
        return;
    }
    std::fprintf(stderr, "%s\n", line);
}
