#include "tests/base/random_frame.hpp"

#include <cstdio>
#include <cstdlib>

namespace everstep::test {
namespace {

std::uint64_t below(std::mt19937_64& random, std::uint64_t count) {
    return random() % count;
}

std::vector<std::byte> random_bytes(std::mt19937_64& random, std::size_t count) {
    std::vector<std::byte> bytes(count);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() & 0xff);
    return bytes;
}

Uuid random_id(std::mt19937_64& random) {
    std::array<std::uint8_t, 16> bytes{};
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
    return Uuid(bytes);
}

EntryKind random_kind(std::mt19937_64& random, FrameKind frame) {
    constexpr std::array kAll = {EntryKind::data,   EntryKind::zero,        EntryKind::discard,
                                 EntryKind::reread, EntryKind::sync,        EntryKind::flush,
                                 EntryKind::mark,   EntryKind::batch_begin, EntryKind::batch_end};
    constexpr std::size_t kResyncKinds = 3;
    return kAll[below(random, frame == FrameKind::writes ? kAll.size() : kResyncKinds)];
}

void set_range(std::mt19937_64& random, FrameEntry& entry) {
    const bool any_length = entry.kind == EntryKind::zero || entry.kind == EntryKind::discard;
    entry.length = ByteCount((1 + below(random, any_length ? 1ULL << 30 : 16)) * kSectorBytes);
    entry.offset = ByteOffset(below(random, 1ULL << 40) * kSectorBytes);
}

}  // namespace

std::uint64_t test_seed() {
    static const std::uint64_t seed = [] {
        const char* given = std::getenv("EVERSTEP_SEED");
        const std::uint64_t value =
            given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
        std::printf("EVERSTEP_SEED=%llu\n", static_cast<unsigned long long>(value));
        return value;
    }();
    return seed;
}

FramePlan random_plan(std::mt19937_64& random) {
    FramePlan plan;
    FrameHeader& header = plan.header;
    header.kind = below(random, 4) == 0 ? FrameKind::resync : FrameKind::writes;
    const bool writes = header.kind == FrameKind::writes;
    header.group = random_id(random);
    header.timeline = random_id(random);
    header.seq = FrameSeq(1 + below(random, 1000));
    header.first_lsn = Lsn(1 + below(random, 1ULL << 50));
    Lsn last = writes ? header.first_lsn - 1 : header.first_lsn;
    for (std::uint64_t count = 1 + below(random, 40); count > 0; --count) {
        FrameEntry entry;
        entry.kind = random_kind(random, header.kind);
        if (writes && takes_lsn(entry.kind)) ++last;
        entry.lsn = last;
        entry.volume = VolumeIndex(below(random, 65536));
        entry.wall = WallTime(std::chrono::nanoseconds(static_cast<std::int64_t>(random())));
        entry.step_time = WallTime(std::chrono::nanoseconds(static_cast<std::int64_t>(random())));
        std::vector<std::byte> payload;
        if (takes_lsn(entry.kind) && entry.kind != EntryKind::sync) {
            set_range(random, entry);
            entry.fua = writes && below(random, 4) == 0;
        }
        if (entry.kind == EntryKind::data || entry.kind == EntryKind::reread) {
            payload = random_bytes(random, entry.length.value());
        } else if (entry.kind == EntryKind::mark) {
            payload = pack_mark({.name = "m" + std::to_string(random()),
                                 .consistency = "application",
                                 .pinned = below(random, 2) == 0});
        }
        plan.entries.push_back(entry);
        plan.payloads.push_back(std::move(payload));
    }
    header.last_lsn = last;
    if (writes) {
        header.prev_hash = random_id(random).bytes();
        header.after_branch = below(random, 2) == 0;
        header.after_gap = below(random, 2) == 0;
    } else {
        header.sub_first = static_cast<std::uint32_t>(below(random, 1000));
    }
    return plan;
}

FramePtr build(FrameBuilder& builder, const FramePlan& plan) {
    for (std::size_t i = 0; i < plan.entries.size(); ++i) {
        builder.add(plan.entries[i], plan.payloads[i]);
    }
    return builder.seal(plan.header);
}

Buffer copy_of(Bytes bytes) {
    Buffer buffer;
    buffer.append(bytes);
    return buffer;
}

}  // namespace everstep::test
