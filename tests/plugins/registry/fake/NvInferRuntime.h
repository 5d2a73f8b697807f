// A stand-in for TensorRT's header: as much of it as a program and a plugin library need to meet in a registry.
#pragma once

#include <cstdint>

namespace nvinfer1
{

enum class TensorRTPhase
{
    kBUILD
};

enum class PluginFieldType
{
    kFLOAT32,
    kINT32,
    kCHAR
};

struct PluginField
{
    char const* name;
    void const* data;
    PluginFieldType type;
    int32_t length;
};

struct PluginFieldCollection
{
    int32_t nbFields;
    PluginField const* fields;
};

class IPluginV3
{
public:
    virtual ~IPluginV3() = default;
};

class IPluginCreatorInterface
{
public:
    virtual ~IPluginCreatorInterface() = default;
};

class IPluginCreatorV3One : public IPluginCreatorInterface
{
public:
    virtual IPluginV3* createPlugin(
        char const* name, PluginFieldCollection const* fc, TensorRTPhase phase) noexcept = 0;
    virtual char const* getPluginName() const noexcept = 0;
    virtual char const* getPluginVersion() const noexcept = 0;
};

class IPluginRegistry
{
public:
    virtual ~IPluginRegistry() = default;
    virtual void* loadLibrary(char const* path) noexcept = 0;
    virtual void deregisterLibrary(void* handle) noexcept = 0;
    virtual bool registerCreator(IPluginCreatorInterface& creator, char const* nameSpace) noexcept = 0;
    virtual bool deregisterCreator(IPluginCreatorInterface const& creator) noexcept = 0;
    virtual IPluginCreatorInterface* getCreator(
        char const* name, char const* version, char const* nameSpace) noexcept = 0;
};

} // namespace nvinfer1
