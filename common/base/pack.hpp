// Little-endian fixed fields: the only place that turns raw bytes into integers and back.
#pragma once

#include <bit>
#include <cstring>

#include "common/base/assert.hpp"
#include "common/base/types.hpp"

namespace everstep {

static_assert(std::endian::native == std::endian::little,
              "the formats are little-endian; add a swap for this machine");

template <class T>
void put(MutableBytes to, std::size_t offset, T value) {
    static_assert(std::is_integral_v<T>);
    EVERSTEP_ASSERT(offset + sizeof value <= to.size(), "put beyond the end");
    std::memcpy(to.data() + offset, &value, sizeof value);
}
template <class T>
[[nodiscard]] T get(Bytes from, std::size_t offset) {
    static_assert(std::is_integral_v<T>);
    EVERSTEP_ASSERT(offset + sizeof(T) <= from.size(),
                    "get beyond the end; check the length first");
    T value;
    std::memcpy(&value, from.data() + offset, sizeof value);
    return value;
}

}  // namespace everstep
