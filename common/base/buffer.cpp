#include "common/base/buffer.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "common/base/assert.hpp"

namespace everstep {
namespace {

constexpr std::size_t kAlignment = 4096;

}  // namespace

void Buffer::Free::operator()(std::byte* p) const {
    std::free(p);
}

void Buffer::reserve(std::size_t capacity) {
    if (capacity <= capacity_) return;
    EVERSTEP_ASSERT(capacity <= std::numeric_limits<std::size_t>::max() / 2, "a buffer too large");
    const std::size_t rounded = (capacity + kAlignment - 1) / kAlignment * kAlignment;
    std::unique_ptr<std::byte, Free> grown(
        static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded)));
    EVERSTEP_ASSERT(grown != nullptr, "out of memory for a buffer");
    if (size_ > 0) std::memcpy(grown.get(), data_.get(), size_);
    data_ = std::move(grown);
    capacity_ = rounded;
}

void Buffer::resize(std::size_t size) {
    if (size > capacity_) reserve(std::max(size, 2 * capacity_));
    size_ = size;
}

void Buffer::append(Bytes bytes) {
    if (bytes.empty()) return;
    const MutableBytes to = extend(bytes.size());
    std::memcpy(to.data(), bytes.data(), bytes.size());
}

MutableBytes Buffer::extend(std::size_t count) {
    const std::size_t before = size_;
    EVERSTEP_ASSERT(count <= std::numeric_limits<std::size_t>::max() / 2 - before,
                    "a buffer too large");
    resize(before + count);
    return {data_.get() + before, count};
}

}  // namespace everstep
