// Strong number types and identifiers: what a position, a size or an id is, so that none is taken
// for another. Thread: values; no shared state. Invariants: a strong number converts to a bare
// integer only through value(); ids are 128 random bits, nil = none.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace everstep {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

inline constexpr std::uint64_t kSectorBytes = 512;  // the unit of offset and length of every write
inline constexpr std::uint64_t kBlockBytes = 4096;  // the unit of a before-image
inline constexpr std::uint64_t kPieceBytesMax =
    64ULL << 20;  // a longer zero/discard is applied in pieces

template <class Tag>
class StrongNumber {
  public:
    constexpr StrongNumber() = default;
    constexpr explicit StrongNumber(std::uint64_t value) : value_(value) {}
    [[nodiscard]] constexpr std::uint64_t value() const { return value_; }
    constexpr auto operator<=>(const StrongNumber&) const = default;
    constexpr StrongNumber operator+(std::uint64_t n) const { return StrongNumber(value_ + n); }
    constexpr StrongNumber operator-(std::uint64_t n) const { return StrongNumber(value_ - n); }
    constexpr std::uint64_t operator-(StrongNumber other) const { return value_ - other.value_; }
    constexpr StrongNumber& operator++() {
        ++value_;
        return *this;
    }

  private:
    std::uint64_t value_ = 0;
};

using Lsn =
    StrongNumber<struct LsnTag>;  // number of a write in its group, from 1; 0 = the baseline
using ByteOffset = StrongNumber<struct ByteOffsetTag>;  // from the start of a volume or file
using ByteCount = StrongNumber<struct ByteCountTag>;
using FrameSeq =
    StrongNumber<struct FrameSeqTag>;  // number of a write frame along a timeline's path, from 1
using VolumeIndex = StrongNumber<struct VolumeIndexTag>;  // place of the volume in its group's
                                                          // configuration, from 0
using WallTime = std::chrono::sys_time<std::chrono::nanoseconds>;

// 128 random bits. Nil (all zero) means "none".
class Uuid {
  public:
    constexpr Uuid() = default;
    constexpr explicit Uuid(const std::array<std::uint8_t, 16>& bytes) : bytes_(bytes) {}
    [[nodiscard]] static Uuid random();  // from the system's generator; aborts if it fails
    [[nodiscard]] static bool parse(std::string_view hex32, Uuid& out);  // 32 hex digits
    [[nodiscard]] const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }
    [[nodiscard]] bool nil() const { return *this == Uuid(); }
    [[nodiscard]] std::string hex() const;  // 32 lower-case hex digits
    auto operator<=>(const Uuid&) const = default;

  private:
    std::array<std::uint8_t, 16> bytes_{};
};

using TimelineId = Uuid;
using Hash128 = std::array<std::uint8_t, 16>;  // XXH3-128, canonical (big-endian) form

// A step: one point of a group's history tree.
struct Point {
    TimelineId timeline;
    Lsn lsn;
    auto operator<=>(const Point&) const = default;
};

// A position inside one line: every write up to and including `lsn`, and `sub` further units behind
// it (resync extents, then pieces of the write lsn + 1). sub = 0 is a step (DESIGN.md 6 and 7:
// "(LSN, n)").
struct Position {
    Lsn lsn;
    std::uint32_t sub = 0;
    auto operator<=>(const Position&) const = default;
};

}  // namespace everstep

template <>
struct std::hash<everstep::Uuid> {
    std::size_t operator()(const everstep::Uuid& id) const noexcept {
        std::size_t value = 0;
        for (std::size_t i = 0; i < sizeof value; ++i) value = value << 8 | id.bytes()[i];
        return value;
    }
};
