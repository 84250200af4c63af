#include "daemon/store_volume.hpp"

#include "standby/export_device.hpp"

namespace everstep::daemon {

namespace {
constexpr std::size_t kReaderThreads = 2;
}

Status StoreVolume::start() {
    auto readers = net::WorkerPool::make(kReaderThreads);
    if (!readers.ok()) return readers.status();
    readers_ = std::move(*readers);
    return {};
}

void StoreVolume::submit(const BlockRequest& request, BlockSink& sink) {
    switch (request.op) {
        case BlockOp::read:
        case BlockOp::status:
            read(request, sink);
            return;
        case BlockOp::flush:
            capture_.seal();
            answer_synced(capture_.newest(), true, sink, request.token);
            return;
        case BlockOp::write:
        case BlockOp::zero:
        case BlockOp::trim:
            change(request, sink);
            return;
    }
}

void StoreVolume::read(const BlockRequest& request, BlockSink& sink) {
    const standby::HistorySource& history = journal_.history();
    readers_->post([this, &history, request, &sink, view = history.store().view_at_tip()] {
        const Status status = standby::answer_read(history, view, place_.index, request);
        loop_.post([serving = serving_, &sink, token = request.token, status] {
            sink.complete(token, *serving ? status : serving_ended());
        });
    });
}

void StoreVolume::change(const BlockRequest& request, BlockSink& sink) {
    if (journal_.history().full()) {
        sink.complete(request.token, {ErrorCode::no_space, "the disk of the history is full"});
        return;
    }
    CapturedWrite write;
    write.volume = place_.index;
    write.kind = request.op == BlockOp::write  ? EntryKind::data
                 : request.op == BlockOp::zero ? EntryKind::zero
                                               : EntryKind::discard;
    write.offset = ByteOffset(request.offset);
    write.length = ByteCount(request.length);
    write.fua = request.fua;
    write.payload = request.data;
    const Lsn lsn = capture_.captured(write);
    if (request.fua) {
        capture_.seal();
        answer_synced(lsn, false, sink, request.token);
        return;
    }
    journal_.when_appended(
        lsn, [this, serving = serving_, lsn, &sink, token = request.token](const Status& status) {
            if (*serving && status.ok()) {
                capture_.answer(lsn, sink, token);
            } else {
                sink.complete(token, status.ok() ? serving_ended() : status);
            }
        });
}

void StoreVolume::answer_synced(Lsn lsn, bool mark, BlockSink& sink, std::uint64_t token) {
    journal_.when_synced([this, serving = serving_, lsn, mark, &sink, token](const Status& status) {
        if (!*serving || !status.ok()) {
            sink.complete(token, status.ok() ? serving_ended() : status);
            return;
        }
        if (mark) capture_.flush_mark(lsn, place_.index);
        capture_.answer(lsn, sink, token);
    });
}

void StoreVolume::detach() {
    *serving_ = false;
    readers_.reset();
}

Status StoreVolume::read_now(ByteOffset offset, MutableBytes to) {
    capture_.seal();
    journal_.wait_appended();
    return read_beside(offset, to, false);
}

// At the newest step that can be read.
Status StoreVolume::read_beside(ByteOffset offset, MutableBytes to, bool /*direct*/) const {
    const standby::HistorySource& history = journal_.history();
    const journal::Store& store = history.store();
    return store.read(store.view_at_tip(), history.replica(), place_.index, offset, to);
}

Result<std::vector<io::DataExtent>> StoreVolume::holes(ByteOffset offset, ByteCount length) const {
    const standby::HistorySource& history = journal_.history();
    const auto extents =
        history.store().block_status(history.store().view_at_tip(), history.replica(), place_.index,
                                     offset, length, kHolesExtentsMax);
    if (!extents.ok()) return extents.status();
    std::vector<io::DataExtent> found;
    for (const BlockExtent& one : *extents) {
        found.push_back({offset, ByteCount(one.length), one.zero});
        offset = offset + one.length;
    }
    return found;
}

}  // namespace everstep::daemon
