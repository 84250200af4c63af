// The transmission phase of one NBD client: requests in, submits to the device, replies out. A
// state machine without I/O of its own; the connection moves the bytes.
//
// Place in the walk: stage 1 (capture). Thread: the loop's.
// Invariants: each request is answered once, in the order in which the device completes; a write's
// payload goes to the device from the bytes that arrived, or from the one gather buffer where they
// arrived in pieces; at most kNbdRequestsMax requests, and kNbdBytesMax bytes of requests and
// unsent replies, are accepted: what is behind is held (at most what one read of the socket
// returned) until resume(). Nothing is allocated per
// request but the extents of a block status. The device's completions may come
// when the client is gone: the session keeps itself alive until the last one.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/nbd_handshake.hpp"
#include "daemon/nbd_read_buffers.hpp"
#include "daemon/nbd_replies.hpp"

namespace everstep::daemon {

class NbdSession final : public BlockSink, public std::enable_shared_from_this<NbdSession> {
  public:
    enum class State : std::uint8_t {
        open,
        ending,  // NBD_CMD_DISC came: nothing more is read; over when idle()
        broken,  // the client broke the protocol: disconnect it now; why() says how
    };

    // `on_reply` is called when the first reply of a batch is there, also inside feed() and
    // resume().
    NbdSession(const NbdTraits& traits, BlockDevice& device, std::function<void()> on_reply);

    // What one read of the socket returned. `unsent_bytes`: what the socket has queued. The caller
    // then calls end_of_batch() and sends replies().
    void feed(Bytes bytes, std::size_t unsent_bytes);
    // Goes on with what was held; false when nothing could be taken.
    bool resume(std::size_t unsent_bytes);
    // Tells the device, if something was submitted since the last call.
    void end_of_batch();
    void complete(std::uint64_t token, const Status& status) override;
    // The client is gone: requests in flight go on, their answers are dropped.
    void detach();

    [[nodiscard]] NbdReplies& replies() { return replies_; }
    [[nodiscard]] State state() const { return state_; }
    [[nodiscard]] bool full() const { return full_; }  // do not read more from the socket
    [[nodiscard]] bool idle() const { return slots_used_ == 0; }
    [[nodiscard]] const std::string& why() const { return why_; }

  private:
    struct Slot {
        NbdRequest request;
        NbdReadBuffers::Shared buffer;     // of a read
        std::vector<BlockExtent> extents;  // of a block status
        std::uint32_t generation = 0;
        std::uint32_t next_free = 0;
        bool used = false;
    };
    enum class Phase : std::uint8_t { header, payload, drain };

    std::size_t take(Bytes bytes);
    std::size_t take_header(Bytes bytes);
    std::size_t take_payload(Bytes bytes);
    std::size_t take_drained(Bytes bytes);
    bool take_held();
    [[nodiscard]] bool begin(Bytes header);
    void begin_refused(const NbdRefusal& refusal);
    void begin_allowed();
    [[nodiscard]] bool admitted(std::size_t cost_bytes);
    void submit(Bytes data);
    void answer_block_status(Slot& slot);
    void answer_read(Slot& slot);
    void answer_done(const NbdRequest& request);
    void answer_error(const NbdRequest& request, NbdError error, std::string_view text);
    MutableBytes add_reply(std::size_t count);
    void break_off(std::string_view why);

    NbdTraits traits_;
    BlockDevice* device_;
    std::function<void()> on_reply_;
    State state_ = State::open;
    Phase phase_ = Phase::header;
    bool full_ = false;
    bool touched_ = false;  // submitted since end_of_batch()
    bool detached_ = false;
    std::string why_;

    NbdRequest current_;  // whose payload is being gathered or drained
    NbdRefusal refusal_;  // of a write that is being drained
    std::uint32_t drain_bytes_ = 0;
    std::array<std::byte, kNbdRequestBytes> header_{};
    std::size_t header_bytes_ = 0;
    Buffer gathered_;
    Buffer held_;
    std::size_t held_first_ = 0;

    std::vector<Slot> slots_;
    std::uint32_t first_free_ = 0;
    std::uint32_t slots_used_ = 0;
    std::uint64_t in_flight_bytes_ = 0;
    std::size_t unsent_bytes_ = 0;
    NbdReplies replies_;
    NbdReadBuffers buffers_;
    std::shared_ptr<NbdSession> self_;  // while detached and not idle
};

}  // namespace everstep::daemon
