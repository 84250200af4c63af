#include "bench/history_maker.hpp"

#include <cstring>

#include "standby/standby.hpp"

namespace everstep::bench {
namespace {

constexpr std::uint64_t kHotBytes = 1ULL << 20;
constexpr std::uint64_t kAnywhereBytes = 32ULL << 20;

Uuid id_of(std::uint8_t n) {
    std::array<std::uint8_t, 16> bytes{};
    bytes.fill(n);
    return Uuid(bytes);
}

}  // namespace

Frames::Frames(std::uint64_t seed) : group_(id_of(0x11)), timeline_(id_of(0x01)), random_(seed) {}

ByteOffset Frames::place(const Shape& shape) {
    if (shape.pattern == Pattern::spread) {
        const std::uint64_t within = random_() % (kBlockBytes / shape.bytes) * shape.bytes;
        return ByteOffset(random_() % shape.places * shape.apart + within);
    }
    std::uint64_t room = kAnywhereBytes;
    if (shape.pattern == Pattern::first_touch ||
        (shape.pattern == Pattern::rewrite && random_() % 10 == 0)) {
        at_ = (at_ + shape.bytes) % kVolumeBytes;
        return ByteOffset(at_);
    }
    if (shape.pattern == Pattern::rewrite) room = kHotBytes;
    return ByteOffset(random_() % (room / shape.bytes) * shape.bytes);
}

void Frames::follow(const Uuid& group, const journal::Tip& tip) {
    group_ = group;
    timeline_ = tip.point.timeline;
    lsn_ = tip.point.lsn;
    seq_ = tip.seq;
    hash_ = tip.hash;
    begin_ = tip.step_time;
}

FramePtr Frames::next(const Shape& shape) {
    FrameHeader header;
    header.group = group_;
    header.timeline = timeline_;
    header.first_lsn = lsn_ + 1;
    payload_.resize(shape.zero ? 0 : shape.bytes);
    for (std::uint64_t n = 0; n < shape.writes; ++n) {
        lsn_ = lsn_ + 1;
        FrameEntry entry;
        entry.kind = shape.zero ? EntryKind::zero : EntryKind::data;
        entry.lsn = lsn_;
        entry.offset = place(shape);
        entry.length = ByteCount(shape.bytes);
        entry.wall = entry.step_time = begin_ + std::chrono::microseconds(lsn_.value());
        // Different for every write: each 8 bytes bear its step.
        for (std::size_t at = 0; at < payload_.size(); at += 8) {
            const std::uint64_t mark = lsn_.value() << 20 ^ at;
            std::memcpy(payload_.data() + at, &mark, sizeof mark);
        }
        builder_.add(entry, payload_);
    }
    header.last_lsn = lsn_;
    header.seq = seq_ = seq_ + 1;
    header.prev_hash = hash_;
    FramePtr frame = builder_.seal(header);
    hash_ = frame->hash();
    return frame;
}

History::History(HistoryPlace place) : place_(std::move(place)), catalogue_(files_, place_.store) {}

History::History(const std::string& directory, ByteCount segment_bytes)
    : History({.store = directory + "/store",
               .replica = directory + "/replica",
               .group = id_of(0x11),
               .segment_bytes = segment_bytes}) {}

Status History::open() {
    close();
    journal::StoreOptions options;
    options.directory = place_.store;
    options.group = place_.group;
    options.volume_bytes = {place_.volume_bytes};
    options.segment_bytes = place_.segment_bytes;
    options.catalogue = &catalogue_;
    std::vector<std::string> report;
    auto store = journal::Store::open(files_, options, report);
    if (!store.ok()) return store.status();
    store_ = std::move(*store);
    const std::vector<standby::VolumeFile> volumes{{"data", place_.replica, place_.volume_bytes}};
    auto replica = standby::Replica::open(files_, volumes);
    if (!replica.ok()) return replica.status();
    replica_ = std::move(*replica);
    mover_ = std::make_unique<standby::Mover>(*store_, *replica_, standby::Mover::Hooks{});
    return {};
}

Status History::fill_replica() {
    auto file = io::system_files().open(place_.replica, {.mode = io::OpenMode::create});
    if (!file.ok()) return file.status();
    std::vector<std::byte> content(1ULL << 20, std::byte{0x5a});
    for (std::uint64_t at = 0; at < kVolumeBytes; at += content.size()) {
        std::memcpy(content.data(), &at, sizeof at);
        EVERSTEP_TRY((*file)->write_at(ByteOffset(at), content));
    }
    return (*file)->sync();
}

void History::close() {
    mover_.reset();
    replica_.reset();
    store_.reset();
}

Status History::begin(const Frames& frames) {
    EVERSTEP_TRY(store_->make_spare());
    journal::TimelineInfo timeline;
    timeline.id = frames.timeline();
    timeline.node = "bench";
    journal::Tip base;
    base.point = {timeline.id, Lsn(0)};
    return store_->begin_history({timeline}, base);
}

Status History::apply_all() {
    while (true) {
        const auto more = mover_->towards(store_->durable().point, false);
        if (!more.ok()) return more.status();
        if (!*more) return {};
    }
}

Status History::tend() {
    while (store_->wants_tending()) EVERSTEP_TRY(store_->tend().status());
    return {};
}

Status History::read(Lsn lsn, std::uint64_t block) {
    const auto view = store_->view({store_->tip().point.timeline, lsn});
    if (!view.ok()) return view.status();
    std::array<std::byte, kBlockBytes> content{};
    return store_->read(*view, *replica_, VolumeIndex(0), ByteOffset(block * kBlockBytes), content);
}

}  // namespace everstep::bench
