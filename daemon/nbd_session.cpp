#include "daemon/nbd_session.hpp"

#include <algorithm>
#include <limits>

namespace everstep::daemon {

namespace {

constexpr std::size_t kExtentsMax = 4096;   // in one block-status answer
constexpr std::size_t kErrorTextMax = 512;  // bytes; the protocol allows 4096
constexpr std::size_t kGatherKeptBytes = 4U << 20;
static_assert(kNbdStatusChunkBytes + kExtentsMax * kNbdStatusDescriptorBytes <=
              NbdReplies::kChunkBytes);
static_assert(kErrorTextMax <= kNbdStringBytesMax);
static_assert(kNbdBytesMax >= 2 * std::uint64_t{kNbdPayloadMax});

// What a request holds of the connection's memory until it is answered.
std::size_t cost_of(const NbdRequest& request) {
    if (request.is(NbdCommand::read)) return request.length + NbdReadBuffers::kHeadroomBytes;
    if (request.is(NbdCommand::write)) return request.length;
    if (request.is(NbdCommand::block_status)) return kExtentsMax * sizeof(BlockExtent);
    return 0;
}

BlockOp block_op(const NbdRequest& request) {
    switch (static_cast<NbdCommand>(request.type)) {
        case NbdCommand::read:
            return BlockOp::read;
        case NbdCommand::write:
            return BlockOp::write;
        case NbdCommand::flush:
            return BlockOp::flush;
        case NbdCommand::trim:
            return BlockOp::trim;
        case NbdCommand::write_zeroes:
            return BlockOp::zero;
        case NbdCommand::block_status:
            return BlockOp::status;
        case NbdCommand::disconnect:
            break;
    }
    EVERSTEP_ASSERT(false, "not a request for the device");
}

bool one_extent(const NbdRequest& request) {
    return (request.flags & kNbdCmdReqOne) != 0;
}

void put_chunk(MutableBytes to, std::uint16_t type, std::uint64_t cookie, std::size_t length) {
    put_be(to, 0, kNbdStructuredReplyMagic);
    put_be(to, 4, kNbdReplyDone);
    put_be(to, 6, type);
    put_be(to, 8, cookie);
    put_be(to, 16, static_cast<std::uint32_t>(length - kNbdChunkBytes));
}

}  // namespace

NbdSession::NbdSession(const NbdTraits& traits, BlockDevice& device, std::function<void()> on_reply)
    : traits_(traits), device_(&device), on_reply_(std::move(on_reply)), slots_(kNbdRequestsMax) {
    for (std::uint32_t i = 0; i < kNbdRequestsMax; ++i) slots_[i].next_free = i + 1;
}

void NbdSession::feed(Bytes bytes, std::size_t unsent_bytes) {
    if (state_ != State::open) return;
    unsent_bytes_ = unsent_bytes;
    if (held_.size() > held_first_) {
        held_.append(bytes);
        take_held();
        return;
    }
    const std::size_t taken = take(bytes);
    if (taken < bytes.size() && state_ == State::open) held_.append(bytes.subspan(taken));
}

bool NbdSession::resume(std::size_t unsent_bytes) {
    unsent_bytes_ = unsent_bytes;
    return full_ && state_ == State::open && take_held();
}

bool NbdSession::take_held() {
    const std::size_t taken = take(Bytes(held_.bytes()).subspan(held_first_));
    const bool moved = taken > 0 || !full_;
    held_first_ += taken;
    if (held_first_ == held_.size() || state_ != State::open) {
        held_.clear();
        held_first_ = 0;
    }
    return moved;
}

// Takes a prefix of the bytes: all of them, unless the session is full, ending or broken then.
std::size_t NbdSession::take(Bytes bytes) {
    full_ = false;
    std::size_t at = 0;
    do {
        const Bytes rest = bytes.subspan(at);
        switch (phase_) {
            case Phase::header:
                at += take_header(rest);
                break;
            case Phase::payload:
                at += take_payload(rest);
                break;
            case Phase::drain:
                at += take_drained(rest);
                break;
        }
    } while (at < bytes.size() && !full_ && state_ == State::open);
    return at;
}

std::size_t NbdSession::take_header(Bytes bytes) {
    if (header_bytes_ == 0 && bytes.size() >= kNbdRequestBytes)
        return begin(bytes.first(kNbdRequestBytes)) ? kNbdRequestBytes : 0;
    const std::size_t taken = std::min(bytes.size(), kNbdRequestBytes - header_bytes_);
    std::copy_n(bytes.begin(), taken, header_.begin() + static_cast<std::ptrdiff_t>(header_bytes_));
    header_bytes_ += taken;
    if (header_bytes_ == kNbdRequestBytes && begin(header_)) header_bytes_ = 0;
    return taken;
}

// False: the session is full, the header is to be shown again.
bool NbdSession::begin(Bytes header) {
    NbdRequest request;
    if (!unpack_nbd_request(header, request)) {
        break_off("a request without its magic number");
        return true;
    }
    if (request.is(NbdCommand::disconnect)) {
        state_ = State::ending;
        return true;
    }
    const NbdRefusal refusal = check_nbd_request(request, traits_);
    if (!admitted(refusal.error == NbdError::none ? cost_of(request) : 0)) {
        full_ = true;
        return false;
    }
    current_ = request;
    if (refusal.error == NbdError::none) {
        begin_allowed();
    } else {
        begin_refused(refusal);
    }
    return true;
}

bool NbdSession::admitted(std::size_t cost_bytes) {
    const std::size_t unsent = unsent_bytes_ + replies_.bytes();
    buffers_.reclaim(unsent == 0);
    if (slots_used_ == 0 && unsent == 0) return true;
    return slots_used_ + buffers_.sending_count() < kNbdRequestsMax &&
           in_flight_bytes_ + unsent + cost_bytes <= kNbdBytesMax;
}

// Only a write has a payload. It is drained before the answer: a client may not read while it still
// sends.
void NbdSession::begin_refused(const NbdRefusal& refusal) {
    if (!current_.is(NbdCommand::write) || current_.length == 0)
        return answer_error(current_, refusal.error, refusal.text);
    if (current_.length > kNbdBytesMax)
        return break_off("a write of " + std::to_string(current_.length) + " bytes");
    refusal_ = refusal;
    drain_bytes_ = current_.length;
    phase_ = Phase::drain;
}

void NbdSession::begin_allowed() {
    if (current_.length == 0 && !current_.is(NbdCommand::flush)) return answer_done(current_);
    if (current_.is(NbdCommand::write)) {
        phase_ = Phase::payload;
    } else {
        submit({});
    }
}

std::size_t NbdSession::take_payload(Bytes bytes) {
    const std::size_t wanted = current_.length - gathered_.size();
    if (gathered_.size() == 0 && bytes.size() >= wanted) {
        phase_ = Phase::header;
        submit(bytes.first(wanted));
        return wanted;
    }
    if (gathered_.size() == 0) gathered_.reserve(current_.length);
    const std::size_t taken = std::min(wanted, bytes.size());
    gathered_.append(bytes.first(taken));
    if (gathered_.size() == current_.length) {
        phase_ = Phase::header;
        submit(gathered_.bytes());
        gathered_.clear();
        if (gathered_.capacity() > kGatherKeptBytes) gathered_ = Buffer();
    }
    return taken;
}

std::size_t NbdSession::take_drained(Bytes bytes) {
    const std::size_t taken = std::min<std::size_t>(drain_bytes_, bytes.size());
    drain_bytes_ -= static_cast<std::uint32_t>(taken);
    if (drain_bytes_ == 0) {
        phase_ = Phase::header;
        answer_error(current_, refusal_.error, refusal_.text);
    }
    return taken;
}

void NbdSession::submit(Bytes data) {
    const std::uint32_t index = first_free_;
    EVERSTEP_ASSERT(index < slots_.size(), "a request was admitted without a free slot");
    Slot& slot = slots_[index];
    first_free_ = slot.next_free;
    slot.request = current_;
    slot.used = true;
    ++slots_used_;
    in_flight_bytes_ += cost_of(current_);
    BlockRequest request{.op = block_op(current_),
                         .offset = current_.offset,
                         .length = current_.length,
                         .fua = (current_.flags & kNbdCmdFua) != 0,
                         .no_hole = (current_.flags & kNbdCmdNoHole) != 0,
                         .data = data,
                         .out = {},
                         .extents = &slot.extents,
                         .extents_max = one_extent(current_) ? 1 : kExtentsMax,
                         .token = std::uint64_t{slot.generation} << 32 | index};
    if (request.op == BlockOp::read) {
        slot.buffer = buffers_.take(current_.length);
        request.out = {NbdReadBuffers::data_of(slot.buffer), current_.length};
    }
    touched_ = true;
    device_->submit(request, *this);
}

void NbdSession::complete(std::uint64_t token, const Status& status) {
    const auto index = static_cast<std::uint32_t>(token);
    EVERSTEP_ASSERT(index < slots_.size(), "a completion for a request that never was");
    Slot& slot = slots_[index];
    EVERSTEP_ASSERT(slot.used && slot.generation == token >> 32, "a request was completed twice");
    if (!detached_) {
        if (!status.ok()) {
            answer_error(slot.request, nbd_error(status.code()), status.message());
        } else if (slot.request.is(NbdCommand::read)) {
            answer_read(slot);
        } else if (slot.request.is(NbdCommand::block_status)) {
            answer_block_status(slot);
        } else {
            answer_done(slot.request);
        }
    }
    if (slot.buffer) buffers_.give_back(std::move(slot.buffer));
    slot.buffer.reset();
    slot.extents = {};
    slot.used = false;
    ++slot.generation;
    slot.next_free = first_free_;
    first_free_ = index;
    --slots_used_;
    in_flight_bytes_ -= cost_of(slot.request);
    if (detached_ && slots_used_ == 0) {
        const std::shared_ptr<NbdSession> last = std::move(self_);  // may end this object here
    }
}

void NbdSession::end_of_batch() {
    if (!touched_) return;
    touched_ = false;
    device_->end_of_batch();
}

void NbdSession::detach() {
    detached_ = true;
    on_reply_ = nullptr;
    replies_.clear();
    if (slots_used_ > 0) self_ = shared_from_this();
}

void NbdSession::answer_read(Slot& slot) {
    const std::uint32_t length = slot.request.length;
    const std::size_t header = traits_.structured ? kNbdReadChunkBytes : kNbdSimpleReplyBytes;
    const MutableBytes whole(NbdReadBuffers::data_of(slot.buffer) - header, header + length);
    if (traits_.structured) {
        put_chunk(whole, kNbdReplyOffsetData, slot.request.cookie, whole.size());
        put_be(whole, kNbdChunkBytes, slot.request.offset);
    } else {
        put_be(whole, 0, kNbdSimpleReplyMagic);
        put_be(whole, 4, static_cast<std::uint32_t>(NbdError::none));
        put_be(whole, 8, slot.request.cookie);
    }
    const bool first = replies_.empty();
    replies_.add_data(whole, slot.buffer);
    buffers_.sending(std::move(slot.buffer));
    if (first && on_reply_) on_reply_();
}

void NbdSession::answer_done(const NbdRequest& request) {
    // With structured replies a read must be answered by a chunk, anything else may be by a simple
    // reply.
    if (traits_.structured && request.is(NbdCommand::read)) {
        put_chunk(add_reply(kNbdChunkBytes), kNbdReplyNone, request.cookie, kNbdChunkBytes);
        return;
    }
    const MutableBytes to = add_reply(kNbdSimpleReplyBytes);
    put_be(to, 0, kNbdSimpleReplyMagic);
    put_be(to, 4, static_cast<std::uint32_t>(NbdError::none));
    put_be(to, 8, request.cookie);
}

void NbdSession::answer_error(const NbdRequest& request, NbdError error, std::string_view text) {
    if (!traits_.structured) {
        const MutableBytes to = add_reply(kNbdSimpleReplyBytes);
        put_be(to, 0, kNbdSimpleReplyMagic);
        put_be(to, 4, static_cast<std::uint32_t>(error));
        put_be(to, 8, request.cookie);
        return;
    }
    text = text.substr(0, kErrorTextMax);
    const MutableBytes to = add_reply(kNbdErrorChunkBytes + text.size());
    put_chunk(to, kNbdReplyError, request.cookie, to.size());
    put_be(to, kNbdChunkBytes, static_cast<std::uint32_t>(error));
    put_be(to, kNbdChunkBytes + 4, static_cast<std::uint16_t>(text.size()));
    std::memcpy(to.data() + kNbdErrorChunkBytes, text.data(), text.size());
}

void NbdSession::answer_block_status(Slot& slot) {
    const NbdRequest& request = slot.request;
    const std::size_t count = std::min(slot.extents.size(), one_extent(request) ? 1 : kExtentsMax);
    EVERSTEP_ASSERT(count > 0, "a block status without an extent");
    const MutableBytes to = add_reply(kNbdStatusChunkBytes + count * kNbdStatusDescriptorBytes);
    put_chunk(to, kNbdReplyBlockStatus, request.cookie, to.size());
    put_be(to, kNbdChunkBytes, kNbdBaseAllocationId);
    std::uint64_t covered = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const BlockExtent& extent = slot.extents[i];
        covered += extent.length;
        EVERSTEP_ASSERT(extent.length > 0 && covered <= request.length,
                        "extents beyond what was asked for");
        const std::size_t at = kNbdStatusChunkBytes + i * kNbdStatusDescriptorBytes;
        put_be(to, at, static_cast<std::uint32_t>(extent.length));
        put_be(to, at + 4, (extent.hole ? kNbdStateHole : 0U) | (extent.zero ? kNbdStateZero : 0U));
    }
}

MutableBytes NbdSession::add_reply(std::size_t count) {
    const bool first = replies_.empty();
    const MutableBytes to = replies_.add(count);
    if (first && on_reply_) on_reply_();
    return to;
}

void NbdSession::break_off(std::string_view why) {
    state_ = State::broken;
    why_ = why;
}

}  // namespace everstep::daemon
