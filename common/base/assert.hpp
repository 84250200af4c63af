// Assertions for what cannot happen. They stay on in release, print the values and abort.
// Never on bytes from outside (disk, wire, ring, user): those get a Status.
#pragma once

#include <cstdint>
#include <string_view>

namespace everstep {
[[noreturn]] void assertion_failed(std::string_view condition, std::string_view message,
                                   const char* file, int line);
}

#define EVERSTEP_ASSERT(condition, message)                                          \
    do {                                                                             \
        if (!(condition)) [[unlikely]]                                               \
            ::everstep::assertion_failed(#condition, (message), __FILE__, __LINE__); \
    } while (false)
