#include "cli/block_copy.hpp"

#include <fmt/format.h>
#include <libnbd.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "cli/tool.hpp"

namespace everstep::cli {
namespace {

constexpr std::uint64_t kPieceBytes = 256 << 10;
constexpr std::uint64_t kZeroBytesMax = 1 << 30;  // of one request to write zeroes
constexpr std::uint64_t kStatusBytes = 1 << 30;   // of one question for holes
constexpr std::size_t kSlots = 32;
constexpr int kLookMs = 100;

Status failed(const NbdDisk& disk, const std::string& what, int error) {
    if (nbd_aio_is_dead(disk.handle()) == 1 || nbd_aio_is_closed(disk.handle()) == 1)
        return {ErrorCode::io, disk.name() + ": its server has ended the connection"};
    return status_from_errno(error == 0 ? EIO : error, what, disk.name());
}

// Lets libnbd work until `is_over` is not 0 any more: 1 is done, -1 failed.
Status work_until(const NbdDisk& disk, const std::string& what,
                  const std::function<int()>& is_over) {
    while (true) {
        const int over = is_over();
        if (over > 0) return {};
        if (over < 0) return failed(disk, what, nbd_get_errno());
        EVERSTEP_TRY(check_not_interrupted());
        if (nbd_poll(disk.handle(), kLookMs) < 0) return failed(disk, what, nbd_get_errno());
    }
}

// The same, for a request that was made.
Status work_until_done(const NbdDisk& disk, const std::string& what, std::int64_t cookie) {
    if (cookie < 0) return failed(disk, what, nbd_get_errno());
    return work_until(disk, what, [&] {
        return nbd_aio_command_completed(disk.handle(), static_cast<std::uint64_t>(cookie));
    });
}

// A part of the work: read and written, or only zeroed or passed over.
struct Piece {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    bool zero = false;
};

// Cuts the extents into pieces of whole blocks. Where much lies together it asks the source for
// holes.
class Pieces {
  public:
    Pieces(NbdDisk& from, const CopyPlan& plan)
        : from_(from),
          extents_(plan.extents),
          grain_(plan.grain.value()),
          knows_holes_(!plan.only_compare &&
                       nbd_can_meta_context(from.handle(), LIBNBD_CONTEXT_BASE_ALLOCATION) == 1) {}

    // Nothing: the end.
    [[nodiscard]] Result<std::optional<Piece>> next() {
        while (at_ == end_ && number_ < extents_.size()) {
            at_ = extents_[number_].offset.value();
            end_ = at_ + extents_[number_++].length.value();
        }
        if (at_ == end_) return std::optional<Piece>();
        if (known_until_ <= at_) EVERSTEP_TRY(look());
        Piece piece{at_, std::min(known_until_, end_) - at_, zero_};
        // Data ends where a piece of the disk does, so that reads do not lie across blocks.
        const std::uint64_t most = zero_ ? kZeroBytesMax : kPieceBytes - at_ % kPieceBytes;
        piece.length = std::min(piece.length, most);
        at_ += piece.length;
        return std::optional<Piece>(piece);
    }

  private:
    struct Span {
        std::uint64_t end = 0;
        bool zero = false;
    };

    // What lies at at_, and how far.
    [[nodiscard]] Status look() {
        zero_ = false;
        known_until_ = end_;
        if (!knows_holes_ || end_ - at_ <= kPieceBytes) return {};
        skip_spans();
        if (span_ == spans_.size()) EVERSTEP_TRY(ask());
        skip_spans();
        zero_ = spans_[span_].zero;
        while (span_ + 1 < spans_.size() && spans_[span_ + 1].zero == zero_) ++span_;
        end_at(spans_[span_].end);
        return {};
    }

    void skip_spans() {
        while (span_ < spans_.size() && spans_[span_].end <= at_) ++span_;
    }

    // An answer tells of many spans: all of it is used before the next question.
    [[nodiscard]] Status ask() {
        std::vector<std::uint32_t> entries;
        const auto take = [](void* user, const char*, std::uint64_t, std::uint32_t* told,
                             std::size_t count, int*) {
            auto* const to = static_cast<std::vector<std::uint32_t>*>(user);
            if (to->empty()) to->assign(told, told + count);
            return 0;
        };
        const nbd_extent_callback callback{take, &entries, nullptr};
        const std::uint64_t count = std::min(end_ - at_, kStatusBytes);
        const std::string what = fmt::format("ask for holes at {}", at_);
        EVERSTEP_TRY(work_until_done(
            from_, what, nbd_aio_block_status(from_.handle(), count, at_, callback, {}, 0)));
        spans_.clear();
        span_ = 0;
        std::uint64_t end = at_;
        for (std::size_t i = 0; i + 1 < entries.size(); i += 2) {
            end += entries[i];
            spans_.push_back({end, (entries[i + 1] & LIBNBD_STATE_ZERO) != 0});
        }
        return end > at_ ? Status() : failed(from_, what, EPROTO);
    }

    // A block of which only a part is zero counts as data, so that it is written at once.
    void end_at(std::uint64_t until) {
        if (until >= end_) return;
        const std::uint64_t whole = until / grain_ * grain_;
        zero_ = zero_ && whole > at_;
        known_until_ = zero_ || whole == until ? whole : std::min(whole + grain_, end_);
    }

    NbdDisk& from_;
    const std::vector<DiskExtent>& extents_;
    std::uint64_t grain_;
    bool knows_holes_;
    std::size_t number_ = 0;
    std::uint64_t at_ = 0;
    std::uint64_t end_ = 0;
    std::uint64_t known_until_ = 0;
    bool zero_ = false;
    std::vector<Span> spans_;  // of the last answer
    std::size_t span_ = 0;     // the one that at_ lies in
};

// One piece on its way. The callbacks of libnbd count its requests down.
struct Slot {
    enum class State : std::uint8_t { free, reading, writing };
    State state = State::free;
    Piece piece;
    std::vector<char> data;
    std::vector<char> there;  // what the target holds, where that is asked for
    std::size_t pending = 0;
    int error = 0;

    [[nodiscard]] nbd_completion_callback callback() {
        const auto take = [](void* user, int* failure) {
            auto* const slot = static_cast<Slot*>(user);
            --slot->pending;
            if (*failure != 0 && slot->error == 0) slot->error = *failure;
            return 1;  // libnbd may forget the request
        };
        return {take, this, nullptr};
    }
};

bool is_zero(const char* data, std::size_t count) {
    return data[0] == 0 && std::memcmp(data, data + 1, count - 1) == 0;
}

class Copy {
  public:
    Copy(NbdDisk& from, NbdDisk& to, const CopyPlan& plan)
        : from_(from), to_(to), plan_(plan), pieces_(from, plan) {
        for (const DiskExtent& one : plan.extents) total_ += one.length.value();
    }

    [[nodiscard]] Result<Copied> run() {
        while (true) {
            EVERSTEP_TRY(advance());
            if (over_ && in_flight() == 0) break;
            EVERSTEP_TRY(check_not_interrupted());
            EVERSTEP_TRY(show());
            if (in_flight() > 0) EVERSTEP_TRY(wait());
        }
        EVERSTEP_TRY(plan_.on_progress(ByteCount(done_), ByteCount(total_)));
        return copied_;
    }

  private:
    [[nodiscard]] std::size_t in_flight() const {
        return static_cast<std::size_t>(
            std::count_if(slots_.begin(), slots_.end(),
                          [](const Slot& one) { return one.state != Slot::State::free; }));
    }

    // Ten times a second is enough for whoever looks.
    [[nodiscard]] Status show() {
        const auto now = std::chrono::steady_clock::now();
        if (now < next_show_) return {};
        next_show_ = now + std::chrono::milliseconds(kLookMs);
        return plan_.on_progress(ByteCount(done_), ByteCount(total_));
    }

    [[nodiscard]] Status advance() {
        for (Slot& slot : slots_) {
            if (slot.state == Slot::State::reading && slot.pending == 0) EVERSTEP_TRY(write(slot));
            if (slot.state == Slot::State::writing && slot.pending == 0) EVERSTEP_TRY(free(slot));
            if (slot.state == Slot::State::free && !over_) EVERSTEP_TRY(begin(slot));
        }
        return {};
    }

    [[nodiscard]] Status begin(Slot& slot) {
        const Result<std::optional<Piece>> piece = pieces_.next();
        if (!piece.ok()) return piece.status();
        over_ = !piece->has_value();
        if (over_) return {};
        slot.piece = **piece;
        slot.error = 0;
        if (slot.piece.zero && !plan_.write_zeroes) return free(slot);
        slot.state = Slot::State::writing;
        if (slot.piece.zero) return zero(slot, 0, slot.piece.length);
        slot.state = Slot::State::reading;
        slot.data.resize(slot.piece.length);
        slot.pending = 1;
        copied_.read = copied_.read + slot.piece.length;
        EVERSTEP_TRY(read(from_, slot, slot.data.data()));
        if (!plan_.skip_equal && !plan_.only_compare) return {};
        slot.there.resize(slot.piece.length);
        ++slot.pending;
        return read(to_, slot, slot.there.data());
    }

    [[nodiscard]] static Status read(const NbdDisk& disk, Slot& slot, char* to) {
        const Piece& piece = slot.piece;
        if (nbd_aio_pread(disk.handle(), to, piece.length, piece.offset, slot.callback(), 0) >= 0)
            return {};
        return failed(disk, fmt::format("read at {}", piece.offset), nbd_get_errno());
    }

    enum class Block : std::uint8_t { zero, data, equal };
    [[nodiscard]] Block kind_of(const Slot& slot, std::uint64_t at, std::uint64_t length) const {
        const char* const data = slot.data.data() + at;
        if (plan_.skip_equal && std::memcmp(data, slot.there.data() + at, length) == 0)
            return Block::equal;
        return is_zero(data, length) ? Block::zero : Block::data;
    }

    // Runs of blocks that are zero, that are not, and that need not be written.
    [[nodiscard]] Status write(Slot& slot) {
        if (slot.error != 0)
            return failed(from_, fmt::format("read at {}", slot.piece.offset), slot.error);
        if (plan_.only_compare) return compare(slot);
        slot.state = Slot::State::writing;
        const std::uint64_t length = slot.piece.length;
        const auto block_at = [&](std::uint64_t at) {
            return std::min(plan_.grain.value(), length - at);
        };
        for (std::uint64_t at = 0; at < length;) {
            const Block kind = kind_of(slot, at, block_at(at));
            std::uint64_t end = at + block_at(at);
            while (end < length && kind_of(slot, end, block_at(end)) == kind) end += block_at(end);
            if (kind == Block::data) EVERSTEP_TRY(data(slot, at, end - at));
            if (kind == Block::zero && plan_.write_zeroes) EVERSTEP_TRY(zero(slot, at, end - at));
            at = end;
        }
        return {};
    }

    [[nodiscard]] Status compare(Slot& slot) {
        slot.state = Slot::State::writing;  // nothing
        const auto differ =
            std::mismatch(slot.data.begin(), slot.data.end(), slot.there.begin()).first;
        if (differ == slot.data.end()) return {};
        return {ErrorCode::refused,
                fmt::format(
                    "{} and {} differ at byte {}", from_.name(), to_.name(),
                    slot.piece.offset + static_cast<std::uint64_t>(differ - slot.data.begin()))};
    }

    [[nodiscard]] Status data(Slot& slot, std::uint64_t at, std::uint64_t length) {
        ++slot.pending;
        copied_.written = copied_.written + length;
        const std::uint64_t offset = slot.piece.offset + at;
        if (nbd_aio_pwrite(to_.handle(), slot.data.data() + at, length, offset, slot.callback(),
                           0) >= 0)
            return {};
        return failed(to_, fmt::format("write at {}", offset), nbd_get_errno());
    }

    [[nodiscard]] Status zero(Slot& slot, std::uint64_t at, std::uint64_t length) {
        ++slot.pending;
        const std::uint64_t offset = slot.piece.offset + at;
        if (nbd_aio_zero(to_.handle(), length, offset, slot.callback(), 0) >= 0) return {};
        return failed(to_, fmt::format("write zeroes at {}", offset), nbd_get_errno());
    }

    [[nodiscard]] Status free(Slot& slot) {
        if (slot.error != 0)
            return failed(to_, fmt::format("write at {}", slot.piece.offset), slot.error);
        slot.state = Slot::State::free;
        done_ += slot.piece.length;
        return {};
    }

    // Until something moves on one of the two connections.
    [[nodiscard]] Status wait() const {
        std::array<pollfd, 2> waiting{};
        for (std::size_t i = 0; i < 2; ++i) {
            nbd_handle* const handle = side(i).handle();
            const auto direction = nbd_aio_get_direction(handle);
            waiting[i].fd = nbd_aio_get_fd(handle);
            if ((direction & LIBNBD_AIO_DIRECTION_READ) != 0) waiting[i].events |= POLLIN;
            if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0) waiting[i].events |= POLLOUT;
            if (waiting[i].fd < 0) return failed(side(i), "wait", nbd_get_errno());
        }
        if (::poll(waiting.data(), waiting.size(), kLookMs) < 0 && errno != EINTR)
            return status_from_errno(errno, "poll", from_.name());
        for (std::size_t i = 0; i < 2; ++i) EVERSTEP_TRY(notify(side(i), waiting[i]));
        return {};
    }

    [[nodiscard]] static Status notify(const NbdDisk& disk, const pollfd& seen) {
        const bool read = (seen.events & POLLIN) != 0;
        int failed_with = 0;
        if (read && (seen.revents & (POLLIN | POLLHUP | POLLERR)) != 0)
            failed_with = nbd_aio_notify_read(disk.handle());
        else if ((seen.revents & (POLLOUT | POLLHUP | POLLERR)) != 0)
            failed_with = nbd_aio_notify_write(disk.handle());
        if (failed_with == 0) return {};
        return failed(disk, "wait", nbd_get_errno());
    }

    [[nodiscard]] const NbdDisk& side(std::size_t i) const { return i == 0 ? from_ : to_; }

    NbdDisk& from_;
    NbdDisk& to_;
    const CopyPlan& plan_;
    Pieces pieces_;
    std::array<Slot, kSlots> slots_;
    bool over_ = false;
    std::uint64_t total_ = 0;
    std::uint64_t done_ = 0;
    std::chrono::steady_clock::time_point next_show_;
    Copied copied_;
};

}  // namespace

void NbdDisk::Free::operator()(nbd_handle* handle) const {
    nbd_close(handle);
}

// The socket of an export on another machine may have the name of one on this.
Status NbdDisk::check_description(const std::string& uri, const std::string& wanted) const {
    if (wanted.empty()) return {};
    const std::unique_ptr<char, decltype(&std::free)> found(nbd_get_export_description(handle()),
                                                            &std::free);
    const std::string said = found ? found.get() : "";
    if (said == wanted) return {};
    return {ErrorCode::io,
            fmt::format("{}: here {} serves \"{}\", wanted \"{}\"; run this on the machine of the "
                        "node that has the history (--on chooses it)",
                        name_, uri, said, wanted)};
}

Result<NbdDisk> NbdDisk::open(const std::string& uri, std::string name,
                              const std::string& description) {
    NbdDisk out;
    out.name_ = std::move(name);
    out.handle_.reset(nbd_create());
    const auto error = [&] {
        const char* const said = nbd_get_error();
        return Status(ErrorCode::io,
                      fmt::format("{}: {}: {}", out.name_, uri, said == nullptr ? "" : said));
    };
    if (!out.handle_) return error();
    nbd_handle* const handle = out.handle_.get();
    if (nbd_add_meta_context(handle, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 ||
        nbd_set_full_info(handle, true) != 0 || nbd_aio_connect_uri(handle, uri.c_str()) != 0)
        return error();
    const Status connected = work_until(out, "connect", [&] {
        if (nbd_aio_is_ready(handle) == 1) return 1;
        return nbd_aio_is_connecting(handle) == 1 ? 0 : -1;
    });
    if (connected.code() == ErrorCode::closed) return connected;
    if (!connected.ok()) return error();
    EVERSTEP_TRY(out.check_description(uri, description));
    const std::int64_t size = nbd_get_size(handle);
    if (size < 0) return error();
    out.size_ = ByteCount(static_cast<std::uint64_t>(size));
    return out;
}

Status NbdDisk::flush() {
    return work_until_done(*this, "flush", nbd_aio_flush(handle(), {}, 0));
}

void NbdDisk::close() {
    if (handle_) nbd_shutdown(handle(), 0);
    abandon();
}

void NbdDisk::abandon() {
    handle_.reset();
}

std::vector<DiskExtent> in_blocks(std::vector<DiskExtent> extents, ByteCount grain,
                                  ByteCount size) {
    std::sort(extents.begin(), extents.end(),
              [](const DiskExtent& a, const DiskExtent& b) { return a.offset < b.offset; });
    std::vector<DiskExtent> out;
    for (const DiskExtent& one : extents) {
        const std::uint64_t block = grain.value();
        const std::uint64_t from = one.offset.value() / block * block;
        const std::uint64_t whole = (one.offset.value() + one.length.value() + block - 1) / block;
        const std::uint64_t end = std::min(whole * block, size.value());
        if (end <= from || one.length.value() == 0) continue;
        const std::uint64_t reached =
            out.empty() ? 0 : out.back().offset.value() + out.back().length.value();
        if (!out.empty() && from <= reached)
            out.back().length = ByteCount(std::max(reached, end) - out.back().offset.value());
        else
            out.push_back({ByteOffset(from), ByteCount(end - from)});
    }
    return out;
}

Result<std::vector<DiskExtent>> data_extents(NbdDisk& disk, ByteCount grain) {
    CopyPlan all;
    all.extents = in_blocks({{ByteOffset(0), disk.size()}}, grain, disk.size());
    all.grain = grain;
    Pieces pieces(disk, all);
    std::vector<DiskExtent> out;
    while (true) {
        const Result<std::optional<Piece>> piece = pieces.next();
        if (!piece.ok()) return piece.status();
        if (!piece->has_value()) return out;
        if ((*piece)->zero) continue;
        const bool joins = !out.empty() && out.back().offset.value() + out.back().length.value() ==
                                               (*piece)->offset;
        if (joins)
            out.back().length = out.back().length + (*piece)->length;
        else
            out.push_back({ByteOffset((*piece)->offset), ByteCount((*piece)->length)});
    }
}

Result<std::vector<DiskExtent>> data_of_both(NbdDisk& a, NbdDisk& b, ByteCount grain) {
    Result<std::vector<DiskExtent>> extents = data_extents(a, grain);
    if (!extents.ok()) return extents;
    const Result<std::vector<DiskExtent>> others = data_extents(b, grain);
    if (!others.ok()) return others;
    extents->insert(extents->end(), others->begin(), others->end());
    return in_blocks(std::move(*extents), grain, a.size());
}

Result<Copied> copy_blocks(NbdDisk& from, NbdDisk& to, const CopyPlan& plan) {
    Copy copy(from, to, plan);
    Result<Copied> copied = copy.run();
    if (copied.ok()) return copied;
    from.abandon();  // before the buffers of what is in flight go
    to.abandon();
    return copied;
}

}  // namespace everstep::cli
