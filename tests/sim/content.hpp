// What the application writes: each sector bears the number of the operation that wrote it and its
// own place, so that a wrong, old or torn one is seen. Thread: values.
#pragma once

#include <cstdint>
#include <optional>

#include "common/base/types.hpp"

namespace everstep::sim {

inline constexpr std::uint64_t kStampMagic = 0x5350455453524556;

struct Stamp {
    std::uint64_t operation = 0;  // 0: zeroes
    std::uint64_t volume = 0;
    std::uint64_t sector = 0;
    bool operator==(const Stamp&) const = default;
};
void put_stamp(const Stamp& stamp, MutableBytes sector);
// Nothing: no sector that the application ever wrote.
[[nodiscard]] std::optional<Stamp> stamp_of(Bytes sector);

}  // namespace everstep::sim
