// BodyWriter and BodyReader: little-endian fields one behind the other, for the bodies of records.
// Texts are u16 length + bytes, lists u32 count + items.
//
// Thread: one owner.
// Invariants: a BodyReader never reads beyond its bytes; after the first field that does not fit
// every later one is zero or empty and ok() is false.
#pragma once

#include <cstring>

#include "common/base/pack.hpp"
#include "journal/record_bodies.hpp"

namespace everstep::journal {

class BodyWriter {
  public:
    template <class T>
    void number(T value) {
        bytes_.resize(bytes_.size() + sizeof value);
        put<T>(bytes_, bytes_.size() - sizeof value, value);
    }
    void raw(const std::array<std::uint8_t, 16>& value) {
        bytes_.resize(bytes_.size() + 16);
        std::memcpy(bytes_.data() + bytes_.size() - 16, value.data(), 16);
    }
    void id(const Uuid& value) { raw(value.bytes()); }
    void text(const std::string& value) {
        const auto count = static_cast<std::uint16_t>(std::min<std::size_t>(value.size(), 65535));
        number<std::uint16_t>(count);
        bytes_.resize(bytes_.size() + count);
        std::memcpy(bytes_.data() + bytes_.size() - count, value.data(), count);
    }
    void flag(bool value) { number<std::uint8_t>(value ? 1 : 0); }
    void time(WallTime value) { number<std::int64_t>(value.time_since_epoch().count()); }
    void point(const Point& value) {
        id(value.timeline);
        number<std::uint64_t>(value.lsn.value());
    }
    void position(const Position& value) {
        number<std::uint64_t>(value.lsn.value());
        number<std::uint32_t>(value.sub);
    }
    [[nodiscard]] BodyBytes take() { return std::move(bytes_); }

  private:
    BodyBytes bytes_;
};

class BodyReader {
  public:
    explicit BodyReader(Bytes bytes) : bytes_(bytes) {}
    template <class T>
    [[nodiscard]] T number() {
        if (!wants(sizeof(T))) return 0;
        const T value = get<T>(bytes_, at_);
        at_ += sizeof(T);
        return value;
    }
    [[nodiscard]] std::array<std::uint8_t, 16> raw() {
        std::array<std::uint8_t, 16> value{};
        if (!wants(16)) return value;
        std::memcpy(value.data(), bytes_.data() + at_, 16);
        at_ += 16;
        return value;
    }
    [[nodiscard]] Uuid id() { return Uuid(raw()); }
    [[nodiscard]] std::string text() {
        const std::size_t count = number<std::uint16_t>();
        if (!wants(count)) return {};
        std::string value(reinterpret_cast<const char*>(bytes_.data()) + at_, count);
        at_ += count;
        return value;
    }
    [[nodiscard]] bool flag() {
        const auto value = number<std::uint8_t>();
        ok_ = ok_ && value <= 1;
        return value == 1;
    }
    [[nodiscard]] WallTime time() {
        return WallTime(std::chrono::nanoseconds(number<std::int64_t>()));
    }
    [[nodiscard]] Point point() {
        Point value;
        value.timeline = id();
        value.lsn = Lsn(number<std::uint64_t>());
        return value;
    }
    [[nodiscard]] Position position() {
        Position value;
        value.lsn = Lsn(number<std::uint64_t>());
        value.sub = number<std::uint32_t>();
        return value;
    }
    // A count of items that take at least `item_bytes` each: bounded by what is left.
    [[nodiscard]] std::size_t count(std::size_t item_bytes) {
        const std::size_t value = number<std::uint32_t>();
        if (value > (bytes_.size() - at_) / item_bytes) ok_ = false;
        return ok_ ? value : 0;
    }
    void skip(std::size_t count) {
        if (wants(count)) at_ += count;
    }
    [[nodiscard]] bool ok() const { return ok_; }
    [[nodiscard]] bool done() const { return ok_ && at_ == bytes_.size(); }

  private:
    [[nodiscard]] bool wants(std::size_t count) {
        ok_ = ok_ && count <= bytes_.size() - at_;
        return ok_;
    }
    Bytes bytes_;
    std::size_t at_ = 0;
    bool ok_ = true;
};

}  // namespace everstep::journal
