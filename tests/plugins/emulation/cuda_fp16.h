// IEEE half precision, as bits.
#pragma once

#include "cuda_runtime.h"

struct __half
{
    uint16_t bits;
};

inline float __half2float(__half value)
{
    const int exponent = value.bits >> 10 & 0x1f;
    const auto mantissa = static_cast<float>(value.bits & 0x3ff);
    const float sign = value.bits >> 15 ? -1.0F : 1.0F;
    if (exponent == 0x1f)
    {
        return mantissa == 0.0F ? sign * INFINITY : NAN;
    }
    return exponent == 0 ? sign * std::ldexp(mantissa, -24)
                         : sign * std::ldexp(mantissa + 1024.0F, exponent - 25);
}
