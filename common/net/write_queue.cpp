#include "common/net/write_queue.hpp"

#include <algorithm>

#include "common/base/assert.hpp"

namespace everstep::net {

void WriteQueue::push(Bytes bytes, std::shared_ptr<const void> keep) {
    if (bytes.empty()) return;
    // Once half is sent, moving the rest down costs less than growing.
    if (pieces_.size() == pieces_.capacity() && first_ > pieces_.size() / 2) {
        pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<std::ptrdiff_t>(first_));
        first_ = 0;
    }
    pieces_.push_back({bytes, std::move(keep)});
    bytes_ += bytes.size();
}

std::size_t WriteQueue::gather(std::span<iovec> to) const {
    const std::size_t count = std::min(to.size(), pieces_.size() - first_);
    for (std::size_t i = 0; i < count; ++i) {
        const Bytes bytes = pieces_[first_ + i].bytes;
        // The kernel only reads it.
        to[i] = {const_cast<std::byte*>(bytes.data()), bytes.size()};
    }
    return count;
}

void WriteQueue::consume(std::size_t count) {
    EVERSTEP_ASSERT(count <= bytes_, "more sent than was queued");
    bytes_ -= count;
    while (count > 0) {
        Piece& piece = pieces_[first_];
        if (count < piece.bytes.size()) {
            piece.bytes = piece.bytes.subspan(count);
            return;
        }
        count -= piece.bytes.size();
        ++first_;
        // Taken out first: letting go of it may run code of the owner that queues more.
        const std::shared_ptr<const void> sent = std::move(piece.keep);
    }
    if (bytes_ > 0) return;
    pieces_.clear();
    first_ = 0;
}

void WriteQueue::clear() {
    const std::vector<Piece> dropped = std::move(pieces_);
    pieces_.clear();
    first_ = 0;
    bytes_ = 0;
}

}  // namespace everstep::net
