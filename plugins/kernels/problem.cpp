#include "problem.h"

#include <cstdarg>
#include <cstdio>

namespace
{
thread_local char problem[256] = "";
}

cudaError_t refuse(const char* format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(problem, sizeof(problem), format, arguments);
    va_end(arguments);
    return cudaErrorInvalidValue;
}

void clearProblem()
{
    problem[0] = '\0';
}

const char* lastProblem()
{
    return problem;
}
