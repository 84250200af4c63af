// Steps that are written on: a small store over each, read through the store below.
#include <algorithm>

#include "common/base/checksum.hpp"
#include "tests/journal/model_world.hpp"

namespace everstep::journal::lab {
namespace {

constexpr std::size_t kWrittenMax = 2;
constexpr std::uint8_t kFirstBranchLine = 128;

// The timelines of the way to a timeline, parents first.
std::vector<TimelineInfo> way_to(const Store& store, TimelineId id) {
    const std::vector<TimelineInfo> all = store.timelines();
    std::vector<TimelineInfo> way;
    for (auto one = all.rbegin(); one != all.rend(); ++one) {
        if (one->id != id) continue;
        way.insert(way.begin(), *one);
        id = one->parent;
    }
    return way;
}

}  // namespace

TimelineId ModelWorld::new_branch_line() {
    return test_uuid(static_cast<std::uint8_t>(kFirstBranchLine + branch_lines_++ % 127));
}

void ModelWorld::write_on_a_step() {
    sync();
    const Point base = random_point();
    const std::size_t n = number_of(base.timeline);
    if (base.lsn < lines_[n]->timeline().branch_lsn) return;
    if (written_.size() == kWrittenMax) drop_written();
    Written one;
    one.base = base;
    one.lines.push_back(std::make_unique<Primary>(*lines_[n], new_branch_line(), base.lsn));
    one.directory = lab_.options.directory + "-" + one.lines[0]->timeline().id.hex();
    open_written(one);
    if (failed()) return;
    const auto tip = lab_.store->tip_at(base);
    ASSERT_TRUE(tip.ok()) << tip.status().message();
    check(one.store->begin_history(way_to(*lab_.store, base.timeline), *tip), "begin a branch");
    check(one.store->append_timeline(one.lines[0]->timeline()), "append_timeline");
    check(one.store->sync(), "sync");
    written_.push_back(std::move(one));
}

void ModelWorld::open_written(Written& one) {
    auto hold = lab_.store->hold(one.base, HoldKind::lasting);
    ASSERT_TRUE(hold.ok()) << hold.status().message();
    one.hold = std::move(*hold);
    const auto view = lab_.store->view(one.base);
    ASSERT_TRUE(view.ok()) << view.status().message();
    one.below = std::make_unique<StepReader>(*lab_.store, lab_.replica, *view, kSizes);
    StoreOptions options;
    options.directory = one.directory;
    options.group = lab_.options.group;
    options.volume_bytes = kSizes;
    options.segment_bytes = ByteCount(16 << 10);
    options.clock = &clock_;
    options.whole_index_bytes = lab_.options.whole_index_bytes;
    std::vector<std::string> report;
    auto opened = Store::open(disk_, options, report);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    EXPECT_TRUE(report.empty()) << report[0];
    one.store = std::move(*opened);
}

void ModelWorld::close_written() {
    for (Written& one : written_) {
        one.store.reset();
        one.below.reset();
        one.hold.reset();
    }
}

void ModelWorld::drop_written() {
    if (written_.empty()) return;
    const std::string directory = written_.front().directory;
    written_.erase(written_.begin());
    check(Store::wipe(disk_, directory), "wipe");
}

void ModelWorld::write_branch() {
    if (written_.empty()) return;
    Written& one = written_[pick(written_.size())];
    std::vector<FramePtr> frames;
    for (std::uint64_t n = 1 + pick(3); n > 0; --n) {
        std::vector<TestWrite> writes;
        for (std::uint64_t k = 1 + pick(5); k > 0; --k) writes.push_back(random_write());
        frames.push_back(one.lines.back()->frame(writes));
    }
    check(one.store->append(frames), "append on a branch");
    if (pick(2) == 0) check(one.store->sync(), "sync of a branch");
    while (pick(2) == 0 && one.store->wants_tending())
        check(one.store->tend().status(), "tend of a branch");
}

// It goes on behind one of its own steps.
void ModelWorld::back_on_branch() {
    if (written_.empty()) return;
    Written& one = written_[pick(written_.size())];
    check(one.store->sync(), "sync of a branch");
    const Primary& line = *one.lines.back();
    const Lsn from = line.timeline().branch_lsn;
    const Lsn at = from + pick(line.head() - from + 1);
    auto next = std::make_unique<Primary>(line, new_branch_line(), at);
    check(one.store->append_timeline(next->timeline()), "append_timeline on a branch");
    one.lines.push_back(std::move(next));
}

void ModelWorld::read_branches() {
    for (const Written& one : written_) {
        for (int n = 0; n < 3 && !failed(); ++n) {
            const Primary& line = *one.lines[pick(one.lines.size())];
            const Lsn from = line.timeline().branch_lsn;
            read_branch(one, line, from + pick(line.head() - from + 1));
        }
    }
}

void ModelWorld::read_branch(const Written& one, const Primary& line, Lsn lsn) {
    const auto view = one.store->view({line.timeline().id, lsn});
    ASSERT_TRUE(view.ok()) << view.status().message();
    for (std::size_t v = 0; v < kSizes.size(); ++v) {
        const Image& wanted = line.image(lsn)[v];
        Image found(wanted.size(), std::byte{0xee});
        check(one.store->read(*view, *one.below, VolumeIndex(v), ByteOffset(0), found),
              "read of a branch");
        ASSERT_TRUE(found == wanted) << "step " << lsn.value() << " of a branch from step "
                                     << one.base.lsn.value() << ", volume " << v;
        const auto parts = one.store->block_status(*view, *one.below, VolumeIndex(v), ByteOffset(0),
                                                   kSizes[v], SIZE_MAX);
        ASSERT_TRUE(parts.ok()) << parts.status().message();
        std::size_t at = 0;
        for (const BlockExtent& part : *parts) {
            const Bytes there = Bytes(wanted).subspan(at, part.length);
            ASSERT_TRUE(!part.zero || is_zero(there)) << "zeroes at " << at;
            at += part.length;
        }
        ASSERT_EQ(at, wanted.size());
    }
}

void ModelWorld::compare_branches() {
    for (const Written& one : written_)
        for (const auto& line : one.lines)
            for (Lsn lsn = line->timeline().branch_lsn; lsn <= line->head() && !failed(); ++lsn)
                read_branch(one, *line, lsn);
}

}  // namespace everstep::journal::lab
