// NbdReadBuffers: the memory into which a connection's reads go and out of which they are sent:
// page aligned, with room for the reply's header right in front of the data, so that a read is
// answered in one piece without a copy.
//
// Thread: the loop's. Invariants: a buffer has one user at a time (a request, or the stream until
// it was sent); buffers leave the stream in the order in which they were handed to it; at most
// kSendingMax wait there, and at most kKeptBytesMax of unused memory are kept. Allocates only when
// no kept buffer fits.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "common/base/buffer.hpp"
#include "daemon/nbd_server.hpp"

namespace everstep::daemon {

class NbdReadBuffers {
  public:
    using Shared = std::shared_ptr<Buffer>;
    static constexpr std::size_t kHeadroomBytes = kBlockBytes;
    static constexpr std::size_t kSendingMax = kNbdRequestsMax;
    static constexpr std::size_t kKeptBytesMax = 32U << 20;

    NbdReadBuffers();
    // For `length` bytes (up to kNbdPayloadMax); they begin at data_of().
    [[nodiscard]] Shared take(std::size_t length);
    [[nodiscard]] static std::byte* data_of(const Shared& buffer) {
        return buffer->data() + kHeadroomBytes;
    }
    void give_back(Shared buffer);
    // The stream holds a reference from now on; the buffer is used again once it holds none.
    void sending(Shared buffer);
    // Takes back what the stream has let go. `all_sent`: its queue is empty, whatever it may still
    // hold.
    void reclaim(bool all_sent);
    [[nodiscard]] std::size_t sending_count() const { return sending_count_; }

  private:
    static constexpr std::size_t kClasses = 14;  // 4 KiB << class: up to 32 MiB
    [[nodiscard]] static std::size_t class_of(std::size_t length);

    std::array<std::vector<Shared>, kClasses> kept_;
    std::size_t kept_bytes_ = 0;
    std::vector<Shared> sending_;  // a ring of kSendingMax
    std::size_t sending_first_ = 0;
    std::size_t sending_count_ = 0;
};

}  // namespace everstep::daemon
