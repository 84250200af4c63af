// FileWindow: reads a file through one window, so that many small records cost few reads.
//
// Thread: one owner. Invariants: never more than the window, or what one get() asks for, is in
// memory.
#pragma once

#include <algorithm>

#include "common/base/buffer.hpp"
#include "common/io/file.hpp"

namespace everstep::journal {

class FileWindow {
  public:
    // Nothing at or behind `size` is read.
    FileWindow(const io::File& file, std::uint64_t size) : file_(file), size_(size) {}
    [[nodiscard]] std::uint64_t size() const { return size_; }
    // `count` bytes at `at`, valid until the next call; at + count <= size().
    [[nodiscard]] Result<Bytes> get(std::uint64_t at, std::uint64_t count) {
        if (at < start_ || at + count > start_ + bytes_.size()) {
            const std::uint64_t wanted = std::min(std::max(count, kWindowBytes), size_ - at);
            bytes_.clear();
            bytes_.resize(wanted);
            start_ = at;
            const Status status = file_.read_at(ByteOffset(at), bytes_.bytes());
            if (!status.ok()) {
                bytes_.clear();
                return status;
            }
        }
        return Bytes(bytes_.bytes()).subspan(at - start_, count);
    }

  private:
    static constexpr std::uint64_t kWindowBytes = 1U << 20;
    const io::File& file_;
    std::uint64_t size_;
    std::uint64_t start_ = 0;
    Buffer bytes_;
};

}  // namespace everstep::journal
