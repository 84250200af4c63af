// A BlockDevice in memory for the tests of the NBD server, and for measuring it: it completes at
// once, or holds requests until the test lets them go, in the order that the test wants, with the
// status that it wants. Thread: one.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <vector>

#include "common/base/assert.hpp"
#include "common/base/block_device.hpp"
#include "common/base/checksum.hpp"

namespace everstep::test {

class MemoryDevice final : public BlockDevice {
  public:
    static constexpr std::uint64_t kExtentBytes = 64U << 10;  // the grain of a status

    struct Held {
        BlockRequest request;
        BlockSink* sink;
    };

    explicit MemoryDevice(std::uint64_t size_bytes, bool read_only = false)
        : size_(size_bytes), read_only_(read_only) {
        void* memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        EVERSTEP_ASSERT(memory != MAP_FAILED, "no memory for the device");
        memory_ = {static_cast<std::byte*>(memory), size_};
    }
    ~MemoryDevice() override { ::munmap(memory_.data(), size_); }
    MemoryDevice(const MemoryDevice&) = delete;
    MemoryDevice& operator=(const MemoryDevice&) = delete;

    [[nodiscard]] std::uint64_t size_bytes() const override { return size_; }
    [[nodiscard]] bool read_only() const override { return read_only_; }
    [[nodiscard]] MutableBytes memory() { return memory_; }

    void submit(const BlockRequest& request, BlockSink& sink) override {
        ++submitted;
        if (request.fua) ++fua_seen;
        EVERSTEP_ASSERT(request.offset % 512 == 0 && request.length % 512 == 0, "unaligned");
        EVERSTEP_ASSERT(request.offset + request.length <= size_, "beyond the end");
        EVERSTEP_ASSERT(!read_only_ || request.op == BlockOp::read ||
                            request.op == BlockOp::flush || request.op == BlockOp::status,
                        "a write to a read-only device");
        if (request.op == BlockOp::write) {  // copied now: the data need not outlive this call
            EVERSTEP_ASSERT(request.data.size() == request.length, "payload and length differ");
            std::memcpy(memory_.data() + request.offset, request.data.data(), request.length);
        }
        if (hold) {
            held.push_back({request, &sink});
        } else {
            finish({request, &sink}, Status());
        }
    }
    void end_of_batch() override {
        ++batches;
        if (on_end_of_batch) on_end_of_batch();
    }
    // Completes what is held, `pick` chooses which one; an error keeps what a read found.
    void release(std::size_t pick, const Status& status = {}) {
        EVERSTEP_ASSERT(pick < held.size(), "no such held request");
        const Held one = held[pick];
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(pick));
        finish(one, status);
    }
    void release_all(const Status& status = {}) {
        while (!held.empty()) release(0, status);
    }

    bool hold = false;
    std::vector<Held> held;
    std::function<void()> on_end_of_batch;
    std::size_t submitted = 0;
    std::size_t batches = 0;
    std::size_t fua_seen = 0;

  private:
    [[nodiscard]] std::vector<BlockExtent> find_extents(std::uint64_t offset, std::uint64_t length,
                                                        std::size_t extents_max) const {
        std::vector<BlockExtent> extents;
        while (length > 0) {
            const std::uint64_t piece = std::min(length, kExtentBytes - offset % kExtentBytes);
            const bool zero = is_zero(Bytes(memory_).subspan(offset, piece));
            if (extents.empty() || extents.back().zero != zero) {
                if (extents.size() == extents_max) break;
                extents.push_back({0, zero, zero});
            }
            extents.back().length += piece;
            offset += piece;
            length -= piece;
        }
        return extents;
    }
    void finish(const Held& one, const Status& status) {
        const BlockRequest& request = one.request;
        if (request.op == BlockOp::read)
            std::memcpy(request.out.data(), memory_.data() + request.offset, request.length);
        if (request.op == BlockOp::status)
            *request.extents = find_extents(request.offset, request.length, request.extents_max);
        if (request.op == BlockOp::zero || request.op == BlockOp::trim)
            std::memset(memory_.data() + request.offset, 0, request.length);
        one.sink->complete(request.token, status);
    }

    std::uint64_t size_;
    bool read_only_;
    MutableBytes memory_;
};

}  // namespace everstep::test
