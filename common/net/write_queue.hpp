// WriteQueue: the buffers that a stream still has to send, in order, each with what keeps its
// memory alive. Thread: its stream's. Unbounded in itself: the stream's user bounds it. No
// allocation once it has grown.
#pragma once

#include <sys/uio.h>

#include <memory>
#include <span>
#include <vector>

#include "common/base/types.hpp"

namespace everstep::net {

class WriteQueue {
  public:
    void push(Bytes bytes, std::shared_ptr<const void> keep);
    [[nodiscard]] bool empty() const { return bytes_ == 0; }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    [[nodiscard]] Bytes front() const { return pieces_[first_].bytes; }
    // The first buffers in order, as many as fit; gives how many.
    [[nodiscard]] std::size_t gather(std::span<iovec> to) const;
    void consume(std::size_t count);  // at most bytes(); lets go of what is sent
    void clear();

  private:
    struct Piece {
        Bytes bytes;
        std::shared_ptr<const void> keep;
    };
    std::vector<Piece> pieces_;  // those before first_ are sent
    std::size_t first_ = 0;
    std::size_t bytes_ = 0;
};

}  // namespace everstep::net
