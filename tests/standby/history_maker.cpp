#include "history_maker.hpp"

#include <algorithm>
#include <cstring>

#include "common/base/checksum.hpp"

namespace everstep::standby::testing {
namespace {

constexpr std::uint64_t kWriteSectorsMax = 24;

Uuid seeded_id(std::mt19937_64& random) {
    std::array<std::uint8_t, 16> bytes{};
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
    return Uuid(bytes);
}

}  // namespace

HistoryMaker::HistoryMaker(Uuid group, std::vector<ByteCount> sizes, std::uint64_t seed)
    : group_(group), sizes_(std::move(sizes)), seed_(seed), random_(seed) {
    journal::TimelineInfo first;
    first.id = seeded_id(random_);
    first.node = "alpha";
    timelines_ = {first};
    tip_.point = {first.id, Lsn(0)};
    tip_.step_time = kFirstTime;
    for (const ByteCount& size : sizes_) now_.emplace_back(size.value(), std::byte{0});
    images_[tip_.point] = now_;
    tips_[tip_.point] = tip_;
}

Point HistoryMaker::point(Lsn lsn) const {
    for (auto one = timelines_.rbegin(); one != timelines_.rend(); ++one) {
        if (lsn > one->branch_lsn) return {one->id, lsn};
    }
    return {timelines_.front().id, lsn};
}

std::vector<Point> HistoryMaker::points() const {
    std::vector<Point> all;
    for (const auto& [point, image] : images_) all.push_back(point);
    return all;
}

FrameEntry HistoryMaker::random_entry(Lsn lsn) {
    FrameEntry entry;
    entry.lsn = lsn;
    entry.volume = VolumeIndex(random(sizes_.size()));
    const std::uint64_t sectors = sizes_[entry.volume.value()].value() / kSectorBytes;
    const std::uint64_t first = random(sectors);
    const std::uint64_t count = std::min(sectors - first, 1 + random(kWriteSectorsMax));
    entry.offset = ByteOffset(first * kSectorBytes);
    entry.length = ByteCount(count * kSectorBytes);
    const std::uint64_t kind = random(10);
    entry.kind = kind < 7 ? EntryKind::data : kind < 8 ? EntryKind::zero : EntryKind::discard;
    entry.fua = random(8) == 0;
    return entry;
}

// Every sector says where and when it was written.
void HistoryMaker::fill(const FrameEntry& entry, std::vector<std::byte>& payload) const {
    payload.resize(entry.length.value());
    for (std::uint64_t at = 0; at < payload.size(); at += sizeof(std::uint64_t)) {
        const std::uint64_t word = (entry.lsn.value() << 40) ^ (entry.volume.value() << 32) ^
                                   ((entry.offset.value() + at) << 3) ^
                                   (seed_ * 0x9E3779B97F4A7C15ULL);
        std::memcpy(payload.data() + at, &word, sizeof word);
    }
}

void HistoryMaker::add_step(FrameBuilder& builder, FrameEntry entry) {
    tip_.step_time += std::chrono::milliseconds(1 + random(50));
    entry.step_time = tip_.step_time;
    entry.wall = tip_.step_time + std::chrono::seconds(5);
    std::vector<std::byte> payload;
    if (entry.kind == EntryKind::data || entry.kind == EntryKind::reread) fill(entry, payload);
    builder.add(entry, payload);
    if (entry.kind != EntryKind::sync) {
        auto& volume = now_[entry.volume.value()];
        const auto at = volume.begin() + static_cast<std::ptrdiff_t>(entry.offset.value());
        if (payload.empty()) {
            std::fill_n(at, entry.length.value(), std::byte{0});
        } else {
            std::copy(payload.begin(), payload.end(), at);
        }
    }
    tip_.point = {timeline().id, entry.lsn};
    if (keep_images_) images_[tip_.point] = now_;
    times_[entry.lsn] = entry.step_time;
    if (entry.fua) flushes_.push_back(entry.lsn);
}

FramePtr HistoryMaker::frame(const Shape& shape) {
    FrameBuilder builder;
    FrameHeader header;
    header.group = group_;
    header.timeline = timeline().id;
    header.seq = tip_.seq + 1;
    header.first_lsn = tip_.point.lsn + 1;
    header.prev_hash = tip_.hash;
    header.after_gap = shape.after_gap;
    header.after_branch = timelines_.size() > 1 && tip_.point.lsn == timeline().branch_lsn;
    const std::uint64_t count = shape.sync_step ? 1 : 1 + random(shape.entries_max);
    for (std::uint64_t i = 0; i < count; ++i) {
        FrameEntry entry = random_entry(tip_.point.lsn + 1);
        if (shape.sync_step) {
            entry = {};
            entry.lsn = tip_.point.lsn + 1;
            entry.kind = EntryKind::sync;
        }
        add_step(builder, entry);
        if (!shape.sync_step && random(6) == 0) {
            FrameEntry flush;
            flush.kind = EntryKind::flush;
            flush.lsn = tip_.point.lsn;
            flush.volume = entry.volume;
            flush.step_time = tip_.step_time;
            builder.add(flush, {});
            flushes_.push_back(flush.lsn);
        }
    }
    header.last_lsn = tip_.point.lsn;
    const FramePtr sealed = builder.seal(header);
    tip_.hash = sealed->hash();
    tip_.seq = header.seq;
    for (Lsn lsn = header.first_lsn; lsn <= header.last_lsn; ++lsn)
        tips_[{timeline().id, lsn}] = tip_;
    return sealed;
}

journal::TimelineInfo HistoryMaker::branch(Lsn at) {
    const Point from = point(at);
    const journal::Tip holds = tips_.at(from);
    journal::TimelineInfo next;
    next.id = seeded_id(random_);
    next.parent = from.timeline;
    next.branch_lsn = at;
    next.branch_hash = holds.hash;
    next.branch_seq = holds.seq;
    next.number = timeline().number + 1;
    next.node = "alpha";
    follow(next);
    return next;
}

void HistoryMaker::follow(const journal::TimelineInfo& next) {
    const Point from{next.parent, next.branch_lsn};
    while (timelines_.back().id != from.timeline) timelines_.pop_back();
    timelines_.push_back(next);
    tip_ = tips_.at(from);
    tip_.point = {next.id, next.branch_lsn};
    now_ = images_.at(from);
}

void HistoryMaker::lose_writes(std::size_t count, Lsn skip_to) {
    for (std::size_t i = 0; i < count; ++i) {
        FrameEntry entry = random_entry(Lsn(1'000'000 + random(1'000'000)));
        std::vector<std::byte> payload;
        fill(entry, payload);
        std::copy(
            payload.begin(), payload.end(),
            now_[entry.volume.value()].begin() + static_cast<std::ptrdiff_t>(entry.offset.value()));
    }
    tip_.point.lsn = skip_to;
    tip_.seq = tip_.seq + count;
    tip_.hash = xxh3_128(now_.front());
}

std::vector<FramePtr> HistoryMaker::content_frames() const {
    constexpr std::size_t kPiece = 16U << 10;
    std::vector<FramePtr> frames;
    for (std::size_t v = 0; v < now_.size(); ++v) {
        for (std::size_t at = 0; at < now_[v].size(); at += kPiece) {
            const Bytes piece = Bytes(now_[v]).subspan(at, std::min(kPiece, now_[v].size() - at));
            FrameBuilder builder;
            FrameEntry entry;
            entry.lsn = tip_.point.lsn;
            entry.volume = VolumeIndex(v);
            entry.offset = ByteOffset(at);
            entry.length = ByteCount(piece.size());
            entry.kind = is_zero(piece) ? EntryKind::zero : EntryKind::data;
            builder.add(entry, entry.kind == EntryKind::zero ? Bytes() : piece);
            FrameHeader header;
            header.kind = FrameKind::resync;
            header.group = group_;
            header.timeline = timeline().id;
            header.first_lsn = tip_.point.lsn;
            header.last_lsn = tip_.point.lsn;
            header.sub_first = 1;
            frames.push_back(builder.seal(header));
        }
    }
    return frames;
}

}  // namespace everstep::standby::testing
