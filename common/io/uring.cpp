#include "common/io/uring.hpp"

#include <liburing.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "common/base/assert.hpp"

namespace everstep::io {
namespace {

// One thread's ring. A forked child shares its parent's ring memory, so a ring is only used by the
// process that made it.
class Ring {
  public:
    Ring() : process_(::getpid()) {
        // The kernel need not interrupt us: completions are only wanted where we wait for them.
        if (::io_uring_queue_init(kRingDepth, &ring_,
                                  IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN) == 0 ||
            ::io_uring_queue_init(kRingDepth, &ring_, 0) == 0)
            state_ = State::usable;
    }
    ~Ring() {
        if (state_ == State::usable) ::io_uring_queue_exit(&ring_);
    }
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    [[nodiscard]] bool usable() const { return state_ == State::usable; }
    [[nodiscard]] bool of_this_process() const { return process_ == ::getpid(); }

    void run(int fd, Direction direction, std::span<Transfer> transfers) {
        const auto count = static_cast<unsigned>(transfers.size());
        for (Transfer& transfer : transfers) prepare(fd, direction, transfer);
        unsigned submitted = 0;
        while (submitted < count) {
            const int result = ::io_uring_submit_and_wait(&ring_, count);
            if (result > 0) submitted += static_cast<unsigned>(result);
            if (result <= 0 && result != -EINTR) break;
        }
        const bool all = submitted == count;
        for (; submitted > 0; --submitted) reap();
        // Requests that the kernel would not take stay in the ring with pointers to the caller's
        // memory.
        if (!all) give_up();
    }

  private:
    enum class State : std::uint8_t { refused, usable };

    void prepare(int fd, Direction direction, Transfer& transfer) {
        io_uring_sqe* request = ::io_uring_get_sqe(&ring_);
        EVERSTEP_ASSERT(request != nullptr, "more transfers than the ring is deep");
        const auto size =
            static_cast<unsigned>(std::min(transfer.size - transfer.done, kTransferBytesMax));
        std::byte* data = transfer.data + transfer.done;
        const std::uint64_t offset = transfer.offset + transfer.done;
        if (direction == Direction::read)
            ::io_uring_prep_read(request, fd, data, size, offset);
        else
            ::io_uring_prep_write(request, fd, data, size, offset);
        ::io_uring_sqe_set_data(request, &transfer);
    }

    void reap() {
        io_uring_cqe* completion = nullptr;
        int result = 0;
        do {
            result = ::io_uring_wait_cqe(&ring_, &completion);
        } while (result == -EINTR || result == -EAGAIN);
        // Returning would leave the kernel writing into memory that is no longer ours.
        EVERSTEP_ASSERT(result == 0, "io_uring lost a completion");
        auto* transfer = static_cast<Transfer*>(::io_uring_cqe_get_data(completion));
        if (completion->res > 0) transfer->done += static_cast<std::size_t>(completion->res);
        ::io_uring_cqe_seen(&ring_, completion);
    }

    void give_up() {
        ::io_uring_queue_exit(&ring_);
        state_ = State::refused;
    }

    io_uring ring_{};
    pid_t process_;
    State state_ = State::refused;
};

Ring& ring_of_this_thread() {
    thread_local std::optional<Ring> ring;
    if (!ring || !ring->of_this_process()) ring.emplace();
    return *ring;
}

}  // namespace

void batch_transfer(int fd, Direction direction, std::span<Transfer> transfers) {
    EVERSTEP_ASSERT(transfers.size() <= kRingDepth, "a batch deeper than the ring");
    Ring& ring = ring_of_this_thread();
    if (ring.usable()) ring.run(fd, direction, transfers);
}

int single_transfer(int fd, Direction direction, Transfer& transfer) {
    while (!transfer.complete()) {
        std::byte* data = transfer.data + transfer.done;
        const std::size_t size = std::min(transfer.size - transfer.done, kTransferBytesMax);
        const auto offset = static_cast<off_t>(transfer.offset + transfer.done);
        const ssize_t moved = direction == Direction::read ? ::pread(fd, data, size, offset)
                                                           : ::pwrite(fd, data, size, offset);
        if (moved < 0) {
            if (errno == EINTR) continue;
            return errno;
        }
        if (moved == 0) return direction == Direction::read ? 0 : ENOSPC;
        transfer.done += static_cast<std::size_t>(moved);
    }
    return 0;
}

}  // namespace everstep::io
