#include "daemon/direct_volume.hpp"

#include <algorithm>

#include "common/base/buffer.hpp"

namespace everstep::daemon {

namespace {
constexpr std::size_t kFailedRangesMax = 1024;
constexpr std::uint64_t kRereadBytes = 1U << 20;

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
}  // namespace

DirectVolume::DirectVolume(net::Loop& loop, Capture& capture, Place place,
                           std::unique_ptr<io::File> file)
    : capture_(capture),
      index_(place.index),
      file_(std::move(file)),
      size_(place.size),
      syncs_(loop, [this] { return file_->sync(); }) {}

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
    const Status status = apply(request);
    if (!status.ok()) {
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
        if (mark) capture_.flush_mark(lsn, index_);
        capture_.answer(lsn, sink, token);
    });
}

Status DirectVolume::find_extents(const BlockRequest& request) {
    const auto extents = file_->extents(ByteOffset(request.offset), ByteCount(request.length));
    if (!extents.ok()) return extents.status();
    for (const io::DataExtent& extent : *extents) {
        if (request.extents->size() == request.extents_max) break;
        request.extents->push_back({extent.length.value(), extent.hole, extent.hole});
    }
    return {};
}

Status DirectVolume::read_now(ByteOffset offset, MutableBytes to) {
    return file_->read_at(offset, to);
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
            capture_.captured(write);
            range.offset += piece;
            range.length -= piece;
        }
    }
    failed_.swap(still_failed);
    capture_.end_of_batch();
}

}  // namespace everstep::daemon
