#include "common/io/uring.hpp"

#include <liburing.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <vector>

#include "common/base/assert.hpp"
#include "common/io/transfer_faults.hpp"

namespace everstep::io {
namespace {

constexpr std::size_t kPageBytesMin = 4096;  // of any machine
constexpr std::size_t kHugePageBytes = 2UL << 20;

// What may be written at once of a request, and with which errno it fails instead.
struct Permit {
    std::size_t size = 0;
    int error = 0;
};
Permit ask_faults(Direction direction, std::uint64_t offset, std::size_t size) {
    const TransferFaults* faults = transfer_faults();
    if (faults == nullptr || !faults->write || direction == Direction::read) return {size, 0};
    const std::int64_t answer = faults->write(offset, size);
    if (answer < 0) return {0, static_cast<int>(-answer)};
    return {std::min(size, static_cast<std::size_t>(answer)), 0};
}

// One thread's ring. A forked child shares its parent's ring memory, so a ring is only used by the
// process that made it.
class Ring {
  public:
    Ring() : process_(::getpid()) {
        if (transfer_faults() != nullptr && transfer_faults()->no_ring) return;
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
        for (Transfer& transfer : transfers) prepare(fd, direction, transfer, false);
        unsigned submitted = 0;
        while (submitted < count) {
            const int result = ::io_uring_submit_and_wait(&ring_, count);
            if (result > 0) submitted += static_cast<unsigned>(result);
            if (result <= 0 && result != -EINTR) break;
        }
        const bool all = submitted == count;
        for (; submitted > 0; --submitted) static_cast<void>(reap());
        // Requests that the kernel would not take stay in the ring with pointers to the caller's
        // memory.
        if (!all) give_up();
    }

    // Memory that stays until the ring is gone; writes from within it are then quicker. False where
    // the kernel refuses, for the limit of locked memory for example.
    [[nodiscard]] bool register_memory(MutableBytes memory) {
        if (!usable()) return false;
        if (transfer_faults() != nullptr && transfer_faults()->no_registration) return false;
        const iovec all{memory.data(), memory.size()};
        return ::io_uring_register_buffers(&ring_, &all, 1) == 0;
    }
    // Starts one write, from the registered memory or from any; false: it did not begin, and the
    // ring is to be given up. With `wait` it returns when one that was started is done.
    [[nodiscard]] bool start(int fd, Transfer& transfer, bool registered, bool wait) {
        prepare(fd, Direction::write, transfer, registered);
        if (transfer_faults() != nullptr && transfer_faults()->submissions-- == 0) return false;
        while (true) {
            const int result = ::io_uring_submit_and_wait(&ring_, wait ? 1 : 0);
            if (result > 0) return true;
            if (result != -EINTR) return false;
        }
    }
    Transfer& reap() {
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
        return *transfer;
    }
    // Nothing is in flight.
    void give_up() {
        ::io_uring_queue_exit(&ring_);
        state_ = State::refused;
    }

  private:
    enum class State : std::uint8_t { refused, usable };

    void prepare(int fd, Direction direction, Transfer& transfer, bool registered) {
        io_uring_sqe* request = ::io_uring_get_sqe(&ring_);
        EVERSTEP_ASSERT(request != nullptr, "more transfers than the ring is deep");
        std::byte* data = transfer.data + transfer.done;
        const std::uint64_t offset = transfer.offset + transfer.done;
        const Permit permit = ask_faults(
            direction, offset, std::min(transfer.size - transfer.done, kTransferBytesMax));
        const auto size = static_cast<unsigned>(permit.size);
        if (size == 0)
            ::io_uring_prep_nop(request);
        else if (direction == Direction::read)
            ::io_uring_prep_read(request, fd, data, size, offset);
        else if (registered)
            ::io_uring_prep_write_fixed(request, fd, data, size, offset, 0);
        else
            ::io_uring_prep_write(request, fd, data, size, offset);
        ::io_uring_sqe_set_data(request, &transfer);
    }

    io_uring ring_{};
    pid_t process_;
    State state_ = State::refused;
};

std::atomic<std::uint64_t> left_registered{0};
std::atomic<std::uint64_t> left_unregistered{0};
std::atomic<std::uint64_t> left_single{0};

// Memory for buffers that the disk reads from: in a huge page, where the kernel has one to give, a
// buffer is one piece to it instead of one for each 4096 bytes.
class BufferMemory {
  public:
    static_assert(kGatherBuffers * kGatherBytes % kHugePageBytes == 0);
    BufferMemory()
        : data_(static_cast<std::byte*>(
              std::aligned_alloc(kHugePageBytes, kGatherBuffers * kGatherBytes))) {
        if (data_ == nullptr) throw std::bad_alloc();
        // Refused: common pages, which do as well.
        static_cast<void>(::madvise(data_.get(), bytes().size(), MADV_HUGEPAGE));
    }
    [[nodiscard]] MutableBytes bytes() { return {data_.get(), kGatherBuffers * kGatherBytes}; }
    [[nodiscard]] MutableBytes slot(std::size_t index) {
        return bytes().subspan(index * kGatherBytes, kGatherBytes);
    }

  private:
    struct Free {
        void operator()(std::byte* p) const { std::free(p); }
    };
    std::unique_ptr<std::byte, Free> data_;
};

// The buffers from which one thread's gathered writes leave. Invariant: those of busy_ are in
// flight, in any order; nothing is between two writes.
class Gatherer {
  public:
    explicit Gatherer(Ring& ring) : ring_(ring) {
        registered_ = ring_.register_memory(memory_.bytes());
    }

    Status write(int fd, bool by_ring, std::span<const WriteOp> ops, const FinishTransfer& finish) {
        std::uint64_t offset = ops.front().offset.value();
        Source from{ops, 0};
        while (from.left()) {
            if (busy_ == kGatherBuffers) EVERSTEP_TRY(settle(finish));
            const std::size_t slot = free_slot();
            Transfer& transfer = slots_[slot].transfer;
            const MutableBytes to = memory_.slot(slot);
            transfer = {.offset = offset, .data = to.data(), .size = from.copy(to)};
            offset += transfer.size;
            // The last one is given to the kernel and waited for in one call.
            if (by_ring && ring_.usable())
                EVERSTEP_TRY(start(fd, slots_[slot], !from.left(), finish));
            else
                EVERSTEP_TRY(finish_alone(transfer, finish));
        }
        while (busy_ > 0) EVERSTEP_TRY(settle(finish));
        return {};
    }

  private:
    // What is left to write.
    struct Source {
        std::span<const WriteOp> ops;
        std::size_t at = 0;  // in the first
        [[nodiscard]] bool left() {
            for (; !ops.empty() && at == ops.front().from.size(); at = 0) ops = ops.subspan(1);
            return !ops.empty();
        }
        std::size_t copy(MutableBytes to) {
            std::size_t copied = 0;
            while (copied < to.size() && left()) {
                const Bytes piece = ops.front().from.subspan(at);
                const std::size_t count = std::min(piece.size(), to.size() - copied);
                std::memcpy(to.data() + copied, piece.data(), count);
                copied += count;
                at += count;
            }
            return copied;
        }
    };
    struct Slot {
        Transfer transfer;
        bool busy = false;
    };

    [[nodiscard]] std::size_t free_slot() const {
        std::size_t slot = 0;
        while (slots_[slot].busy) ++slot;
        return slot;
    }
    [[nodiscard]] Status start(int fd, Slot& slot, bool last, const FinishTransfer& finish) {
        if (!ring_.start(fd, slot.transfer, registered_, last)) {
            // The ring holds a request that the kernel would not take, with a pointer to the
            // buffer.
            left_single += 1;
            while (busy_ > 0) reap();
            ring_.give_up();
            return drain(finish);
        }
        slot.busy = true;
        ++busy_;
        (registered_ ? left_registered : left_unregistered) += 1;
        return {};
    }
    [[nodiscard]] static Status finish_alone(Transfer& transfer, const FinishTransfer& finish) {
        left_single += 1;
        const Status status = finish(transfer);
        transfer = {};
        return status;
    }
    void reap() {
        const Transfer& done = ring_.reap();
        for (Slot& slot : slots_)
            if (&slot.transfer == &done) slot.busy = false;
        --busy_;
    }
    // Waits for one; for all, when it is not complete: what `finish` does, through the page cache
    // perhaps, must not meet a direct write beside it.
    [[nodiscard]] Status settle(const FinishTransfer& finish) {
        reap();
        const bool whole = std::all_of(slots_.begin(), slots_.end(), [](const Slot& slot) {
            return slot.busy || slot.transfer.complete();
        });
        return whole ? Status() : drain(finish);
    }
    [[nodiscard]] Status drain(const FinishTransfer& finish) {
        while (busy_ > 0) reap();
        Status failure;
        for (Slot& slot : slots_) {
            if (failure.ok() && !slot.transfer.complete()) failure = finish(slot.transfer);
            slot.transfer = {};
        }
        return failure;
    }

    Ring& ring_;
    BufferMemory memory_;
    bool registered_ = false;
    std::array<Slot, kGatherBuffers> slots_;
    std::size_t busy_ = 0;
};

// The ring goes first: what it has registered stays until then.
struct OfThread {
    std::optional<Gatherer> gatherer;
    Ring ring;
};

OfThread& of_this_thread() {
    thread_local std::optional<OfThread> own;
    if (!own || !own->ring.of_this_process()) own.emplace();
    return *own;
}

}  // namespace

TransferFaults*& transfer_faults() {
    thread_local TransferFaults* faults = nullptr;
    return faults;
}

void batch_transfer(int fd, Direction direction, std::span<Transfer> transfers) {
    EVERSTEP_ASSERT(transfers.size() <= kRingDepth, "a batch deeper than the ring");
    Ring& ring = of_this_thread().ring;
    if (ring.usable()) ring.run(fd, direction, transfers);
}

Status gathered_write(int fd, bool by_ring, std::span<const WriteOp> ops,
                      const FinishTransfer& finish) {
    OfThread& own = of_this_thread();
    if (!own.gatherer) own.gatherer.emplace(own.ring);
    return ops.empty() ? Status() : own.gatherer->write(fd, by_ring, ops, finish);
}

GatherCounts gather_counts() {
    return {left_registered, left_unregistered, left_single};
}

bool cached_read(int fd, std::span<Transfer> transfers) {
    for (const Transfer& transfer : transfers)
        if (transfer.size > kCachedBytesMax) return false;
    for (Transfer& transfer : transfers) {
        const iovec to{transfer.data, transfer.size};
        const ssize_t moved =
            ::preadv2(fd, &to, 1, static_cast<off_t>(transfer.offset), RWF_NOWAIT);
        if (moved < 0 && errno != EAGAIN && errno != EINTR) return false;
        if (moved > 0) transfer.done = static_cast<std::size_t>(moved);
    }
    return true;
}

bool is_cached(int fd, const Transfer& transfer) {
    // The mapping is looked at, never into; 6.5 has cachestat(2) for this, Debian 12's 6.1 has not.
    void* mapped = ::mmap(nullptr, transfer.size, PROT_READ, MAP_SHARED, fd,
                          static_cast<off_t>(transfer.offset));
    if (mapped == MAP_FAILED) return true;
    std::vector<unsigned char> pages((transfer.size + kPageBytesMin - 1) / kPageBytesMin);
    const bool known = ::mincore(mapped, transfer.size, pages.data()) == 0;
    ::munmap(mapped, transfer.size);
    return !known || std::any_of(pages.begin(), pages.end(),
                                 [](unsigned char page) { return (page & 1U) != 0; });
}

int single_transfer(int fd, Direction direction, Transfer& transfer) {
    while (!transfer.complete()) {
        std::byte* data = transfer.data + transfer.done;
        const auto offset = static_cast<off_t>(transfer.offset + transfer.done);
        const Permit permit =
            ask_faults(direction, transfer.offset + transfer.done,
                       std::min(transfer.size - transfer.done, kTransferBytesMax));
        if (permit.error != 0) return permit.error;
        const std::size_t size = permit.size;
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
