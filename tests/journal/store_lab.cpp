#include "tests/journal/store_lab.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>

#include <gtest/gtest.h>

namespace everstep::journal::lab {

std::uint64_t seed_of(const char* test, std::uint64_t fallback) {
    const char* text = std::getenv("EVERSTEP_SEED");
    const std::uint64_t seed = text != nullptr ? std::strtoull(text, nullptr, 10) : fallback;
    std::cout << test << ": EVERSTEP_SEED=" << seed << "\n";
    return seed;
}

std::string content_of(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void put_content(const std::filesystem::path& path, const std::string& content) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

ScratchDirectory::ScratchDirectory() {
    std::string name =
        (std::filesystem::temp_directory_path() / "everstep-journal-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
}
ScratchDirectory::~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

MemoryReplica::MemoryReplica(const std::vector<ByteCount>& sizes) {
    for (const ByteCount size : sizes) volumes.emplace_back(size.value());
}

Status MemoryReplica::read(VolumeIndex volume, ByteOffset offset, MutableBytes to) const {
    const auto& bytes = volumes[volume.value()];
    const std::size_t at = std::min(offset.value(), std::uint64_t{bytes.size()});
    const std::size_t count = std::min(to.size(), bytes.size() - at);
    std::memcpy(to.data(), bytes.data() + at, count);
    std::fill(to.begin() + static_cast<std::ptrdiff_t>(count), to.end(), std::byte{0});
    ++asked;
    return {};
}

Result<std::vector<io::DataExtent>> MemoryReplica::extents(VolumeIndex volume, ByteOffset offset,
                                                           ByteCount length) const {
    ++asked;
    const auto& bytes = volumes[volume.value()];
    std::vector<io::DataExtent> out;
    const std::uint64_t end = offset.value() + length.value();
    for (std::uint64_t at = offset.value(); at < end;) {
        const std::uint64_t stop = std::min(end, (at / kBlockBytes + 1) * kBlockBytes);
        const std::uint64_t real = std::min<std::uint64_t>(stop, bytes.size());
        const bool hole =
            at >= real || std::all_of(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                                      bytes.begin() + static_cast<std::ptrdiff_t>(real),
                                      [](std::byte b) { return b == std::byte{0}; });
        if (!out.empty() && out.back().hole == hole)
            out.back().length = out.back().length + (stop - at);
        else
            out.push_back({ByteOffset(at), ByteCount(stop - at), hole});
        at = stop;
    }
    return out;
}

void MemoryReplica::write(VolumeIndex volume, ByteOffset offset, Bytes from) {
    std::memcpy(volumes[volume.value()].data() + offset.value(), from.data(), from.size());
}

void MemoryReplica::zero(VolumeIndex volume, ByteOffset offset, ByteCount length) {
    std::memset(volumes[volume.value()].data() + offset.value(), 0, length.value());
}

std::vector<std::byte> content(const TestWrite& write, Lsn lsn, std::uint64_t line) {
    std::vector<std::byte> bytes(write.length.value());
    const std::uint64_t factor = lsn.value() % 3 == 0 ? 6364136223846793005ULL : 1;
    for (std::size_t at = 0; at < bytes.size(); at += kSectorBytes) {
        const std::uint64_t fields[] = {lsn.value(), line, write.volume.value(),
                                        (write.offset.value() + at) / kSectorBytes};
        std::uint64_t mix = lsn.value() * 0x9e3779b97f4a7c15ULL ^ line << 40 ^ fields[3];
        for (std::size_t i = 0; i < kSectorBytes; i += 8, mix = mix * factor + 1)
            std::memcpy(bytes.data() + at + i, &mix, 8);
        std::memcpy(bytes.data() + at, fields, sizeof fields);
    }
    return bytes;
}

Uuid test_uuid(std::uint8_t n) {
    std::array<std::uint8_t, 16> bytes{};
    bytes.fill(n);
    return Uuid(bytes);
}

TimelineInfo root_timeline(TimelineId id) {
    TimelineInfo info;
    info.id = id;
    info.node = "alpha";
    return info;
}

Primary::Primary(Uuid group, TimelineId timeline, std::vector<ByteCount> sizes)
    : group_(group), info_(root_timeline(timeline)) {
    for (const ByteCount size : sizes) now.emplace_back(size.value());
    tip_.point = {timeline, Lsn(0)};
    images_[0] = now;
    tips_[0] = tip_;
}

Packer* any_packer(std::uint64_t number) {
    thread_local Packer packer(1);
    if (number % 4 == 3) return nullptr;
    packer.set_level(1 + static_cast<int>(number % kPackLevelMax));
    return &packer;
}

Primary::Primary(const Primary& parent, TimelineId timeline, Lsn branch)
    : packs(parent.packs), group_(parent.group_), images_(parent.images_), tips_(parent.tips_) {
    const Tip at = parent.tip_at(branch);
    tip_ = at;
    tips_.erase(tips_.upper_bound(branch.value()), tips_.end());
    tips_[branch.value()] = at;
    images_.erase(images_.upper_bound(branch.value()), images_.end());
    info_.id = timeline;
    info_.parent = parent.info_.id;
    info_.branch_lsn = branch;
    info_.branch_hash = at.hash;
    info_.branch_seq = at.seq;
    info_.number = parent.info_.number + 1;
    info_.node = "beta";
    tip_.point = {timeline, branch};
    now = images_.at(branch.value());
}

const std::vector<Image>& Primary::image(Lsn lsn) const {
    return images_.at(lsn.value());
}

void Primary::skip_to(Lsn lsn) {
    tip_.point.lsn = lsn;
    tip_.seq = tip_.seq + 1;
}

void Primary::apply(const TestWrite& write, Bytes payload) {
    Image& image = now[write.volume.value()];
    if (write.kind == EntryKind::data || write.kind == EntryKind::reread)
        std::memcpy(image.data() + write.offset.value(), payload.data(), payload.size());
    else if (write.kind != EntryKind::sync)
        std::memset(image.data() + write.offset.value(), 0, write.length.value());
}

FramePtr Primary::frame(const std::vector<TestWrite>& writes, std::optional<Lsn> flushed) {
    add(writes);
    if (flushed) add(EntryKind::flush, *flushed, VolumeIndex(0));
    return seal(writes.size());
}

FramePtr Primary::flush_frame(VolumeIndex volume, Lsn lsn) {
    add(EntryKind::flush, lsn, volume);
    return seal(0);
}

FramePtr Primary::batch_frame(EntryKind kind, const std::vector<TestWrite>& writes) {
    add(writes);
    add(kind, tip_.point.lsn, VolumeIndex(0));
    return seal(writes.size());
}

void Primary::add(const std::vector<TestWrite>& writes) {
    for (const TestWrite& write : writes) {
        tip_.point.lsn = tip_.point.lsn + 1;
        tip_.step_time += std::chrono::microseconds(7);
        FrameEntry entry;
        entry.lsn = tip_.point.lsn;
        entry.volume = write.volume;
        entry.kind = write.kind;
        entry.offset = write.offset;
        entry.length = write.length;
        entry.fua = write.fua;
        entry.wall = entry.step_time = tip_.step_time;
        std::vector<std::byte> payload;
        if (write.kind == EntryKind::data || write.kind == EntryKind::reread)
            payload = content(write, entry.lsn, info_.number);
        builder_.add(entry, payload);
        apply(write, payload);
        images_[entry.lsn.value()] = now;
    }
}

void Primary::add(EntryKind kind, Lsn lsn, VolumeIndex volume) {
    FrameEntry entry;
    entry.kind = kind;
    entry.lsn = lsn;
    entry.volume = volume;
    entry.wall = entry.step_time = tip_.step_time;
    builder_.add(entry, {});
}

FramePtr Primary::seal(std::size_t steps) {
    FrameHeader header;
    header.first_lsn = tip_.point.lsn - steps + 1;
    header.last_lsn = tip_.point.lsn;
    header.group = group_;
    header.timeline = info_.id;
    header.seq = tip_.seq + 1;
    header.prev_hash = tip_.hash;
    header.after_branch = first_ && header.first_lsn == info_.branch_lsn + 1;
    first_ = false;
    FramePtr frame = builder_.seal(header, packs ? any_packer(header.seq.value()) : nullptr);
    tip_.seq = header.seq;
    tip_.hash = frame->hash();
    // A frame without a step holds none: that of the step stays the one that is named.
    if (steps > 0) tips_[header.last_lsn.value()] = tip_;
    return frame;
}

StoreLab::StoreLab(std::vector<ByteCount> sizes, ByteCount segment_bytes) : replica(sizes) {
    options.directory = directory.path() + "/store";
    options.group = test_uuid(0x11);
    options.volume_bytes = std::move(sizes);
    options.segment_bytes = segment_bytes;
    options.recent_frame_bytes = ByteCount(8 << 10);  // so that files are read, too
}

Status StoreLab::try_open() {
    store.reset();
    report.clear();
    auto opened = Store::open(*files, options, report);
    if (!opened.ok()) return opened.status();
    store = std::move(*opened);
    return {};
}

void StoreLab::open() {
    const Status status = try_open();
    ASSERT_TRUE(status.ok()) << status.message();
}

Status StoreLab::apply_units(const ApplyBatch& batch) {
    for (const ApplyUnit& unit : batch.units) {
        if (unit.zero) {
            replica.zero(unit.volume, unit.offset, unit.length);
            continue;
        }
        std::vector<std::byte> bytes(unit.length.value());
        EVERSTEP_TRY(store->read_unit(unit, bytes));
        replica.write(unit.volume, unit.offset, bytes);
    }
    return {};
}

Status StoreLab::apply_batch(Point goal, ByteCount limit, bool land) {
    const auto batch = store->next_batch(goal, limit);
    if (!batch.ok()) return batch.status();
    EVERSTEP_TRY(store->begin_batch(*batch, replica));
    if (!land) {  // killed: some of it landed, in no order
        for (std::size_t n = 0; n < batch->units.size(); n += 2) {
            const ApplyUnit& unit = batch->units[n];
            if (unit.zero) {
                replica.zero(unit.volume, unit.offset, unit.length);
                continue;
            }
            std::vector<std::byte> bytes(unit.length.value());
            EVERSTEP_TRY(store->read_unit(unit, bytes));
            replica.write(unit.volume, unit.offset, Bytes(bytes).first(kSectorBytes));
        }
        return {};
    }
    EVERSTEP_TRY(apply_units(*batch));
    return store->end_batch(*batch);
}

Status StoreLab::apply_all(Point goal) {
    while (true) {
        const Position before = store->replica().high;
        EVERSTEP_TRY(apply_batch(goal, ByteCount(8 << 10)));
        if (store->replica().high == before) return {};
    }
}

Status StoreLab::redo() {
    const auto batches = store->redo_batches();
    if (!batches.ok()) return batches.status();
    for (const ApplyBatch& batch : *batches) {
        EVERSTEP_TRY(apply_units(batch));
        EVERSTEP_TRY(store->end_batch(batch));
    }
    return {};
}

Status StoreLab::move(Point target) {
    const auto plan = store->plan_move(target);
    if (!plan.ok()) return plan.status();
    const auto view = store->view(target);
    if (!view.ok()) return view.status();
    EVERSTEP_TRY(store->begin_move(*plan));
    for (const GapExtent& e : plan->extents) {
        std::vector<std::byte> bytes(e.length.value());
        EVERSTEP_TRY(store->read(*view, replica, e.volume, e.offset, bytes));
        replica.write(e.volume, e.offset, bytes);
    }
    return store->end_move(*plan);
}

Status StoreLab::go_to(Point target) {
    if (!store->next_batch(target, ByteCount(1)).ok()) {  // not on the way forward
        const auto meet = store->meet(target);
        if (!meet.ok()) return meet.status();
        EVERSTEP_TRY(move(*meet));
    }
    const Position to{target.lsn, 0};
    if (store->replica().high < to && store->passed(target.timeline) >= to) return move(target);
    return apply_all(target);
}

Image StoreLab::read(const View& view, VolumeIndex volume) const {
    Image image(options.volume_bytes[volume.value()].value(), std::byte{0xee});
    const Status status = store->read(view, replica, volume, ByteOffset(0), image);
    EXPECT_TRUE(status.ok()) << status.message();
    return image;
}

std::string StoreLab::compare(Point at, const std::vector<Image>& wanted) const {
    const auto view = store->view(at);
    if (!view.ok()) return view.status().message();
    for (std::size_t v = 0; v < wanted.size(); ++v) {
        const Image found = read(*view, VolumeIndex(v));
        for (std::size_t s = 0; s < found.size(); s += kSectorBytes)
            if (std::memcmp(found.data() + s, wanted[v].data() + s, kSectorBytes) != 0) {
                std::uint64_t is = 0;
                std::uint64_t should = 0;
                std::memcpy(&is, found.data() + s, 8);
                std::memcpy(&should, wanted[v].data() + s, 8);
                return "step " + std::to_string(at.lsn.value()) + " volume " + std::to_string(v) +
                       " sector " + std::to_string(s / kSectorBytes) + ": found step " +
                       std::to_string(is) + ", wanted " + std::to_string(should);
            }
    }
    return {};
}

}  // namespace everstep::journal::lab
