#include "journal/frame_cache.hpp"

#include <algorithm>

#include "common/base/assert.hpp"

namespace everstep::journal {
namespace {

bool has_payload(const SealedFrame& frame) {
    return frame.bytes().size() > kFrameHeaderBytes + frame.entries().size() * kFrameEntryBytes;
}

}  // namespace

void FrameCache::add(std::uint64_t segment, ByteOffset at, FramePtr frame) {
    const std::uint64_t size = frame->memory_bytes();
    if (size > bytes_max_ || !has_payload(*frame)) return;
    const Place place{segment, at.value()};
    const std::lock_guard guard(mutex_);
    EVERSTEP_ASSERT(entries_.empty() || entries_.back().place < place, "frames come in order");
    for (; bytes_ + size > bytes_max_; entries_.pop_front())
        bytes_ -= entries_.front().frame->memory_bytes();
    entries_.push_back({place, std::move(frame)});
    bytes_ += size;
}

bool FrameCache::copy(std::uint64_t segment, ByteOffset at, MutableBytes to) const {
    const Place wanted{segment, at.value()};
    FramePtr frame;
    std::size_t skip = 0;
    {
        const std::lock_guard guard(mutex_);
        const auto behind =
            std::upper_bound(entries_.begin(), entries_.end(), wanted,
                             [](const Place& a, const Entry& b) { return a < b.place; });
        if (behind == entries_.begin()) return false;
        const Entry& found = *std::prev(behind);
        if (found.place.segment != segment) return false;
        frame = found.frame;
        skip = wanted.at - found.place.at;
    }
    const Bytes bytes = frame->bytes();
    if (skip > bytes.size() || to.size() > bytes.size() - skip) return false;
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(skip), to.size(), to.begin());
    return true;
}

void FrameCache::forget(std::uint64_t segment) {
    const std::lock_guard guard(mutex_);
    const auto of_segment = [&](const Entry& entry) { return entry.place.segment == segment; };
    for (const Entry& entry : entries_)
        if (of_segment(entry)) bytes_ -= entry.frame->memory_bytes();
    std::erase_if(entries_, of_segment);
}

}  // namespace everstep::journal
