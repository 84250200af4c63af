// Buffer: 4096-aligned memory that grows by appending; the shape that direct I/O wants. Move-only;
// one owner.
#pragma once

#include <cstddef>
#include <memory>

#include "common/base/types.hpp"

namespace everstep {

class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(std::size_t capacity) { reserve(capacity); }
    [[nodiscard]] std::byte* data() { return data_.get(); }
    [[nodiscard]] const std::byte* data() const { return data_.get(); }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] std::size_t capacity() const { return capacity_; }
    [[nodiscard]] Bytes bytes() const { return {data_.get(), size_}; }
    [[nodiscard]] MutableBytes bytes() { return {data_.get(), size_}; }
    void clear() { size_ = 0; }
    void reserve(std::size_t capacity);  // keeps the content; moves it when it grows
    void resize(std::size_t size);       // new bytes are not initialised
    void append(Bytes bytes);
    MutableBytes extend(std::size_t count);  // appends `count` uninitialised bytes and gives them

  private:
    struct Free {
        void operator()(std::byte* p) const;
    };
    std::unique_ptr<std::byte, Free> data_;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

}  // namespace everstep
