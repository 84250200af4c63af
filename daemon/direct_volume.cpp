#include "daemon/direct_volume.hpp"

#include <algorithm>

#include "common/base/buffer.hpp"

namespace everstep::daemon {

namespace {
constexpr std::size_t kFailedRangesMax = 1024;
constexpr std::uint64_t kRereadBytes = 1U << 20;
constexpr std::uint64_t kHolesPieceBytes = 8U << 20;  // looked for in one go

EntryKind kind_of(BlockOp op) {
    switch (op) {
        case BlockOp::write:
            return EntryKind::data;
        case BlockOp::zero:
            return EntryKind::zero;
        case BlockOp::trim:
            return EntryKind::discard;
        case BlockOp::read:
        case BlockOp::flush:
        case BlockOp::status:
            break;
    }
    EVERSTEP_ASSERT(false, "not a change");
}

IntentMap::Range range_of(const BlockRequest& request) {
    return {ByteOffset(request.offset), ByteCount(request.length)};
}
}  // namespace

DirectVolume::DirectVolume(net::Loop& loop, Capture& capture, Place place, Device device)
    : capture_(capture),
      index_(place.index),
      file_(std::move(device.file)),
      direct_(std::move(device.direct)),
      size_(place.size),
      intent_(std::move(device.intent)),
      syncs_(loop, [this] { return sync_device(); }) {}

Status DirectVolume::start() {
    if (intent_) EVERSTEP_TRY(intent_->start());
    return syncs_.start();
}

void DirectVolume::submit(const BlockRequest& request, BlockSink& sink) {
    switch (request.op) {
        case BlockOp::read:
            sink.complete(request.token, file_->read_at(ByteOffset(request.offset), request.out));
            return;
        case BlockOp::flush:
            flush(capture_.newest(), true, sink, request.token);
            return;
        case BlockOp::status:
            sink.complete(request.token, find_extents(request));
            return;
        case BlockOp::write:
        case BlockOp::zero:
        case BlockOp::trim:
            change(request, sink);
            return;
    }
}

Status DirectVolume::apply(const BlockRequest& request) {
    const ByteOffset offset(request.offset);
    if (request.op == BlockOp::write) return file_->write_at(offset, request.data);
    if (request.op == BlockOp::zero && request.no_hole)
        return file_->zero(offset, ByteCount(request.length));
    return file_->punch(offset, ByteCount(request.length));
}

void DirectVolume::change(const BlockRequest& request, BlockSink& sink) {
    if (intent_ && !intent_->ready(range_of(request))) {
        change_later(request, sink);
    } else {
        change_now(request, sink);
    }
}

// Its bytes are the client's only until this returns.
void DirectVolume::change_later(const BlockRequest& request, BlockSink& sink) {
    const auto data = std::make_shared<Buffer>();
    data->append(request.data);
    intent_->wait(range_of(request), [this, request, data, &sink](const Status& marked) {
        if (!marked.ok()) {
            sink.complete(request.token, marked);
            return;
        }
        BlockRequest copied = request;
        copied.data = data->bytes();
        change_now(copied, sink);
        capture_.end_of_batch();
    });
}

void DirectVolume::change_now(const BlockRequest& request, BlockSink& sink) {
    const Status status = apply(request);
    if (!status.ok()) {
        if (intent_) intent_->failed(range_of(request));
        // What the device holds now is unknown: no step until it could be read.
        if (failed_.size() == kFailedRangesMax) {
            Range& last = failed_.back();
            const std::uint64_t end =
                std::max(last.offset + last.length, request.offset + request.length);
            last.offset = std::min(last.offset, request.offset);
            last.length = end - last.offset;
        } else {
            failed_.push_back({request.offset, request.length});
        }
        sink.complete(request.token, status);
        return;
    }
    CapturedWrite write;
    write.volume = index_;
    write.kind = kind_of(request.op);
    write.offset = ByteOffset(request.offset);
    write.length = ByteCount(request.length);
    write.fua = request.fua;
    write.payload = request.data;
    const Lsn lsn = capture_.captured(write);
    note_written(range_of(request), lsn);
    if (request.fua) {
        flush(lsn, false, sink, request.token);
    } else {
        capture_.answer(lsn, sink, request.token);
    }
}

void DirectVolume::flush(Lsn lsn, bool mark, BlockSink& sink, std::uint64_t token) {
    syncs_.request([this, serving = serving_, lsn, mark, &sink, token](const Status& status) {
        if (!*serving || !status.ok()) {
            sink.complete(token, status.ok() ? serving_ended() : status);
            return;
        }
        flushed_up_to(lsn);
        if (mark) capture_.flush_mark(lsn, index_);
        capture_.answer(lsn, sink, token);
    });
}

// What the system could not write it may drop, and says so once: the clients may write it again,
// but this node does not know what the device will hold. So no mark goes any more, and no stop is
// clean.
Status DirectVolume::sync_device() {
    const Status synced = file_->sync();
    if (!synced.ok()) sync_failed_ = true;
    return synced;
}

Status DirectVolume::sync() {
    EVERSTEP_TRY(sync_device());
    if (sync_failed_) return {ErrorCode::io, file_->path() + ": an earlier sync failed"};
    return {};
}

void DirectVolume::note_written(IntentMap::Range range, Lsn lsn) {
    if (!intent_) return;
    intent_->written(range, lsn);
    for (const Range& failed : failed_)
        intent_->failed({ByteOffset(failed.offset), ByteCount(failed.length)});
    keep_unshipped_marked(range);
}

void DirectVolume::keep_failed_marked() {
    if (!intent_) return;
    for (const Range& range : failed_)
        intent_->failed({ByteOffset(range.offset), ByteCount(range.length)});
    if (not_shipped_)
        intent_->failed({ByteOffset(*not_shipped_), ByteCount(size_.value() - *not_shipped_)});
}

std::vector<journal::GapExtent> DirectVolume::may_differ(std::size_t standby) const {
    auto marked = intent_ ? intent_->marked(standby) : std::nullopt;
    std::vector<journal::GapExtent> extents{{index_, ByteOffset(0), size_}};
    if (marked) extents = std::move(*marked);
    if (not_shipped_) cut_off(extents, *not_shipped_);
    return extents;
}

void DirectVolume::all_may_differ(std::size_t standby) {
    if (intent_) intent_->mark_all(standby);
}

void DirectVolume::set_standbys(std::size_t standbys) {
    if (intent_) intent_->set_standbys(standbys);
}

void DirectVolume::known_durable(const std::vector<Lsn>& durable) {
    if (!intent_ || sync_failed_ || !intent_->any_to_clear(durable)) return;
    syncs_.request(
        [this, serving = serving_, durable, lsn = capture_.newest()](const Status& done) {
            if (!*serving || !done.ok() || sync_failed_) return;
            flushed_up_to(lsn);
            intent_->clear(durable, flushed_);
        });
}

void DirectVolume::sync_beside(std::function<void(const Status&)> done) {
    syncs_.request([serving = serving_, done = std::move(done)](const Status& status) {
        done(*serving ? status : serving_ended());
    });
}

void DirectVolume::drop_waiting() {
    if (intent_) intent_->drop_waiting(serving_ended());
}

void DirectVolume::detach() {
    *serving_ = false;
    if (intent_) intent_->end(serving_ended());
}

Status DirectVolume::find_extents(const BlockRequest& request) {
    const auto extents = holes(ByteOffset(request.offset), ByteCount(request.length));
    if (!extents.ok()) return extents.status();
    for (const io::DataExtent& extent : *extents) {
        if (request.extents->size() == request.extents_max) break;
        request.extents->push_back({extent.length.value(), extent.hole, extent.hole});
    }
    return {};
}

Result<std::vector<io::DataExtent>> DirectVolume::holes(ByteOffset offset, ByteCount length) const {
    std::vector<io::DataExtent> found;
    const ByteOffset end = offset + length.value();
    while (offset < end && found.size() < kHolesExtentsMax) {
        const ByteCount piece(std::min(kHolesPieceBytes, end - offset));
        const auto extents = file_->extents(offset, piece);
        if (!extents.ok()) return extents.status();
        if (extents->empty()) break;  // the file ends here
        for (const io::DataExtent& one : *extents) {
            const bool same = !found.empty() && found.back().hole == one.hole;
            if (same)
                found.back().length = ByteCount(found.back().length.value() + one.length.value());
            else
                found.push_back(one);
            offset = one.offset + one.length.value();
        }
    }
    return found;
}

Status DirectVolume::read_now(ByteOffset offset, MutableBytes to) {
    return file_->read_at(offset, to);
}

Status DirectVolume::read_beside(ByteOffset offset, MutableBytes to, bool direct) const {
    return (direct && direct_ ? *direct_ : *file_).read_at(offset, to);
}

void DirectVolume::tick() {
    if (failed_.empty()) return;
    Buffer buffer;
    std::vector<Range> still_failed;
    for (Range range : failed_) {
        while (range.length > 0) {
            const std::uint64_t piece = std::min(range.length, kRereadBytes);
            buffer.resize(piece);
            if (!file_->read_at(ByteOffset(range.offset), buffer.bytes()).ok()) {
                still_failed.push_back(range);
                break;
            }
            CapturedWrite write;
            write.volume = index_;
            write.kind = EntryKind::reread;
            write.offset = ByteOffset(range.offset);
            write.length = ByteCount(piece);
            write.payload = buffer.bytes();
            const Lsn lsn = capture_.captured(write);
            if (intent_) intent_->written({ByteOffset(range.offset), ByteCount(piece)}, lsn);
            range.offset += piece;
            range.length -= piece;
        }
    }
    failed_.swap(still_failed);
    keep_failed_marked();
    capture_.end_of_batch();
}

}  // namespace everstep::daemon
