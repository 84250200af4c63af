#include "journal/record_writer.hpp"

#include <algorithm>
#include <array>

#include "common/base/checksum.hpp"

namespace everstep::journal {
namespace {
// Kept between batches; a batch that was larger gives its memory back.
constexpr std::size_t kStagedBytesKept = 16U << 20;

void append_zeroes(Buffer& to, std::uint64_t count) {
    const MutableBytes room = to.extend(count);
    std::fill(room.begin(), room.end(), std::byte{0});
}
}  // namespace

RecordWriter::RecordWriter(Setup setup)
    : setup_(std::move(setup)), written_(setup_.tail), staged_tail_(setup_.tail) {}

std::uint64_t RecordWriter::next_record_at() const {
    return staged_bytes() == 0 ? align_up(written_.end, kBatchAlign) : staged_tail_.end;
}

bool RecordWriter::fits(std::uint64_t body_bytes) const {
    if (setup_.capacity == ByteCount(0)) return true;
    const std::uint64_t end = align_up(next_record_at() + record_bytes(body_bytes), kBatchAlign);
    return end + kBatchAlign <= setup_.capacity.value();
}

ByteOffset RecordWriter::stage_envelope(RecordKind kind, const Body& body) {
    const std::uint64_t at = next_record_at();
    const Envelope envelope{.kind = kind,
                            .salt = setup_.salt,
                            .sequence = setup_.sequence->fetch_add(1),
                            .offset = ByteOffset(at),
                            .synced_to = ByteOffset(written_.synced_to),
                            .body_bytes = static_cast<std::uint32_t>(body.bytes),
                            .previous_crc = staged_tail_.crc,
                            .body_crc = body.crc};
    std::array<std::byte, kEnvelopeBytes> packed{};
    staged_tail_.crc = pack_envelope(envelope, packed);
    staged_tail_.end = at + record_bytes(body.bytes);
    staged_.append(packed);
    return ByteOffset(at + kEnvelopeBytes);
}

void RecordWriter::end_record(std::uint64_t body_bytes) {
    append_zeroes(staged_, record_bytes(body_bytes) - kEnvelopeBytes - body_bytes);
}

ByteOffset RecordWriter::stage(RecordKind kind, std::span<const Bytes> parts) {
    Body body;
    for (const Bytes part : parts) {
        body.bytes += part.size();
        body.crc = crc32c(part, body.crc);
    }
    const ByteOffset body_at = stage_envelope(kind, body);
    for (const Bytes part : parts) staged_.append(part);
    end_record(body.bytes);
    return body_at;
}

ByteOffset RecordWriter::stage_borrowed(RecordKind kind, Bytes body, std::uint32_t body_crc) {
    const ByteOffset body_at = stage_envelope(kind, {body.size(), body_crc});
    if (body.size() < kBorrowedBytesMin) {
        staged_.append(body);
    } else {
        borrowed_.push_back({staged_.size(), body});
        borrowed_bytes_ += body.size();
    }
    end_record(body.size());
    return body_at;
}

// What was copied and what was borrowed, in the order of their places.
void RecordWriter::list_ops(ByteOffset at) {
    ops_.clear();
    std::size_t from = 0;
    const auto add = [&](Bytes bytes) {
        if (!bytes.empty()) ops_.push_back({at, bytes});
        at = at + bytes.size();
    };
    for (const Borrowed& one : borrowed_) {
        add(staged_.bytes().subspan(from, one.behind - from));
        add(one.bytes);
        from = one.behind;
    }
    add(staged_.bytes().subspan(from));
}

Status RecordWriter::write(bool soon) {
    EVERSTEP_TRY(failure_);
    if (staged_bytes() == 0) return {};
    const std::uint64_t at = align_up(written_.end, kBatchAlign);
    append_zeroes(staged_, align_up(staged_bytes(), kBatchAlign) - staged_bytes());
    list_ops(ByteOffset(at));
    const Status status = soon ? setup_.file->write(ops_) : setup_.file->write_cached(ops_);
    if (!status.ok()) {
        drop_staged();
        return status;
    }
    written_ = {staged_tail_.end, staged_tail_.crc, written_.synced_to};
    drop_staged();
    return {};
}

Status RecordWriter::sync() {
    EVERSTEP_TRY(failure_);
    const std::uint64_t end = written_.end;
    failure_ = setup_.file->sync();
    if (failure_.ok()) written_.synced_to = staged_tail_.synced_to = end;
    return failure_;
}

Status RecordWriter::cut() {
    const auto size = setup_.file->size();
    if (!size.ok()) return size.status();
    const std::uint64_t end = align_up(written_.end, kBatchAlign);
    return end < size->value() ? setup_.file->resize(ByteCount(end)) : Status();
}

void RecordWriter::drop_staged() {
    if (staged_.capacity() > kStagedBytesKept) staged_ = Buffer();
    staged_.clear();
    borrowed_.clear();
    borrowed_bytes_ = 0;
    staged_tail_ = written_;
}

void RecordWriter::rewind(const LogTail& tail) {
    EVERSTEP_ASSERT(tail.end >= written_.synced_to && tail.end <= written_.end,
                    "a tail that was synced is not written over");
    written_ = {tail.end, tail.crc, written_.synced_to};
    drop_staged();
}

}  // namespace everstep::journal
