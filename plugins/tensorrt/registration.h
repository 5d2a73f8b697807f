// When the library gives its creator to TensorRT's plugin registry, and when it takes it back.
//
// Free of TensorRT's types, so that the tests run the order of events without its headers.
//
//   loaded         by dlopen, trtexec --staticPlugins, Triton: registered, if TensorRT is in the process
//                  by LD_PRELOAD: registered; TensorRT is loaded first, as the program usually does so later
//   getCreators    IPluginRegistry::loadLibrary, trtexec --dynamicPlugins, a plan that carries the library: withdrawn, because
//                  TensorRT registers what it is given, refuses a name that it has, and then unloads the library
//   unloaded       withdrawn, because the registry would keep a pointer into unmapped memory
//
// A library that cannot register itself says so in one line.
#pragma once

#include <atomic>
#include <cstdint>

struct RegistryCalls
{
    int32_t major;                                // release of the headers; others have another registry
    bool (*add)(void* registry) noexcept;         // registerCreator; false if it has one of this name
    void (*remove)(void* registry) noexcept;      // deregisterCreator
    void (*report)(char const* problem) noexcept; // one line
};

// A static object: made when the library is loaded, destroyed when it is unloaded or the process ends.
class Registration
{
public:
    explicit Registration(RegistryCalls const& calls) noexcept;
    ~Registration();
    Registration(Registration const&) = delete;
    Registration& operator=(Registration const&) = delete;

    void withdraw() noexcept;

private:
    RegistryCalls const mCalls;
    void* mTensorRT{nullptr};              // keeps it loaded as long as this library
    std::atomic<void*> mRegistry{nullptr}; // that has the creator
};
