#include "tests/journal/model_world.hpp"

#include <algorithm>

namespace everstep::journal::lab {
namespace {

const std::vector<ByteCount> kSizes{ByteCount(96 << 10), ByteCount(41 * kSectorBytes)};
constexpr std::size_t kExportsMax = 4;

ByteCount segment_bytes(std::uint64_t seed) {
    return ByteCount(std::uint64_t{16 << 10} << seed % 4);
}

}  // namespace

std::span<const ModelWorld::Operation> ModelWorld::operations() {
    static constexpr Operation kOperations[] = {
        {"append", 20, &ModelWorld::append},
        {"sync", 8, &ModelWorld::sync},
        {"apply", 12, &ModelWorld::apply},
        {"sync_low", 3, &ModelWorld::sync_low},
        {"rewind", 4, &ModelWorld::rewind},
        {"resume", 6, &ModelWorld::resume},
        {"crash", 4, &ModelWorld::crash},
        {"branch", 1, &ModelWorld::branch},
        {"takeover", 1, &ModelWorld::takeover},
        {"lose_order", 1, &ModelWorld::lose_order},
        {"put_mark", 2, &ModelWorld::put_mark},
        {"drop_mark", 1, &ModelWorld::drop_mark},
        {"open_export", 3, &ModelWorld::open_export},
        {"read_exports", 4, &ModelWorld::read_exports},
        {"walk", 2, &ModelWorld::walk},
        {"compare_some", 4, &ModelWorld::compare_some},
        {"tend", 3, &ModelWorld::tend},
    };
    return kOperations;
}

ModelWorld::ModelWorld(std::uint64_t seed, const testing::TestPartResultArray& results)
    : rnd_(seed), results_(results), lab_(kSizes, segment_bytes(seed)) {
    lab_.files = &disk_;
    if (seed % 2 == 0) lab_.options.whole_index_bytes = ByteCount(0);
    lab_.open();
    lines_.push_back(std::make_unique<Primary>(lab_.options.group, test_uuid(1), kSizes));
    Tip base;
    base.point = {test_uuid(1), Lsn(0)};
    check(lab_.store->begin_history({lines_[0]->timeline()}, base), "begin_history");
}

bool ModelWorld::failed() const {
    return results_.size() != 0;
}

void ModelWorld::run(std::size_t operation, std::uint64_t seed) {
    rnd_.seed(seed);
    (this->*operations()[operation].run)();
    (void)disk_.take_log();  // nothing is cut here: tests/power does that
}

void ModelWorld::finish() {
    compare_all();
    if (failed()) return;
    lab_.reopen();
    compare_all();
}

void ModelWorld::check(const Status& status, const char* what) {
    ASSERT_TRUE(status.ok()) << what << ": " << status.message();
}

TestWrite ModelWorld::random_write() {
    TestWrite w;
    w.volume = VolumeIndex(pick(2));
    const std::uint64_t sectors = kSizes[w.volume.value()].value() / kSectorBytes;
    static constexpr std::uint64_t kLengths[] = {1, 1, 2, 3, 8, 8, 8, 16, 24, 64, 150};
    const std::uint64_t first =
        pick(3) == 0 ? pick(sectors) : pick(std::min<std::uint64_t>(sectors, 48));
    const std::uint64_t count = std::min(kLengths[pick(11)], sectors - first);
    w.offset = ByteOffset(first * kSectorBytes);
    w.length = ByteCount(count * kSectorBytes);
    w.kind = pick(6) == 0 ? EntryKind::zero : pick(8) == 0 ? EntryKind::discard : EntryKind::data;
    if (pick(30) == 0 && !lab_.store->gap_open()) {
        w.kind = EntryKind::sync;
        w.offset = ByteOffset(0);
        w.length = ByteCount(0);
        w.volume = VolumeIndex(0);
    }
    w.fua = w.kind == EntryKind::data && pick(9) == 0;
    return w;
}

// A step on any line that is durable and no inside of a gap.
Point ModelWorld::random_point() {
    while (true) {
        const std::size_t n = pick(lines_.size());
        const std::uint64_t head =
            n == receiving_ ? durable().lsn.value() : lines_[n]->head().value();
        const Lsn lsn(pick(head + 1));
        if (is_point(n, lsn)) return {lines_[n]->timeline().id, lsn};
    }
}

bool ModelWorld::is_point(std::size_t n, Lsn lsn) const {
    return std::none_of(no_points_.begin(), no_points_.end(), [&](const NoPoints& none) {
        return none.line == n && none.from < lsn && lsn < none.to;
    });
}

std::size_t ModelWorld::number_of(const TimelineId& id) const {
    std::size_t n = 0;
    while (lines_[n]->timeline().id != id) ++n;
    return n;
}

const std::vector<Image>& ModelWorld::image(const Point& at) const {
    return lines_[number_of(at.timeline)]->image(at.lsn);
}

void ModelWorld::append() {
    std::vector<FramePtr> frames;
    for (std::uint64_t n = 1 + pick(3); n > 0; --n) {
        std::vector<TestWrite> writes;
        for (std::uint64_t k = 1 + pick(5); k > 0; --k) writes.push_back(random_write());
        frames.push_back(line().frame(writes));
    }
    if (pick(4) == 0) frames.insert(frames.begin() + 1, frames[0]);  // delivered twice
    check(lab_.store->append(frames), "append");
    kept_.insert(kept_.end(), frames.begin(), frames.end());
}

void ModelWorld::sync() {
    check(lab_.store->sync(), "sync");
}

void ModelWorld::tend() {
    while (lab_.store->wants_tending()) check(lab_.store->tend().status(), "tend");
}

void ModelWorld::sync_low() {
    check(lab_.store->sync_low(), "sync_low");
}

void ModelWorld::apply() {
    if (!held_) apply_batch(true);
}

void ModelWorld::apply_batch(bool land) {
    if (!lab_.store->next_batch(durable(), ByteCount(1)).ok()) return;  // go_to brings it
    check(lab_.apply_batch(durable(), ByteCount(4096 << pick(6)), land), "apply");
}

void ModelWorld::go_to(const Point& target) {
    check(lab_.go_to(target), "go_to");
    if (failed()) return;
    const auto& wanted = image(target);
    for (std::size_t v = 0; v < wanted.size(); ++v)
        ASSERT_TRUE(lab_.replica.volumes[v] == wanted[v])
            << "the raw replica at step " << target.lsn.value() << " of volume " << v;
}

void ModelWorld::rewind() {
    held_ = random_point();
    check(lab_.store->set_held(true, *held_), "set_held");
    go_to(*held_);
}

void ModelWorld::resume() {
    if (held_) check(lab_.store->set_held(false, {}), "set_held");
    held_.reset();
    if (is_point(receiving_, durable().lsn)) go_to(durable());
}

// Killed at a random place: inside a batch, inside a move, or between. What the kernel has stays.
void ModelWorld::crash() {
    if (!held_ && pick(2) == 0) apply_batch(false);
    const ReplicaState state = lab_.store->replica();
    if (state.low == state.high && pick(2) == 0) half_move();
    lab_.reopen();
    if (failed()) return;
    compare_some();  // while it is half-moved
    check_facts();
    check(lab_.redo(), "redo");
    const ReplicaState now = lab_.store->replica();
    ASSERT_EQ(now.low, now.high);
    if (held_) go_to(*held_);
}

void ModelWorld::half_move() {
    const auto target = lab_.store->meet(random_point());
    if (!target.ok() || !lab_.store->view(*target).ok()) return;
    const auto plan = lab_.store->plan_move(*target);
    ASSERT_TRUE(plan.ok()) << plan.status().message();
    check(lab_.store->begin_move(*plan), "begin_move");
    const auto view = lab_.store->view(*target);
    ASSERT_TRUE(view.ok());
    for (const GapExtent& e : plan->extents) {
        if (pick(2) == 0) continue;
        std::vector<std::byte> bytes(e.length.value());
        check(lab_.store->read(*view, lab_.replica, e.volume, e.offset, bytes), "read");
        lab_.replica.write(e.volume, e.offset, bytes);
    }
}

void ModelWorld::branch() {
    sync();
    const Point from = random_point();
    // On the timeline itself: a branch from an ancestor's step is that ancestor's.
    if (from.lsn < lines_[number_of(from.timeline)]->timeline().branch_lsn) return;
    begin_line(from.lsn, from.timeline);
}

// The node serves from a step on: its own writes are there at once, and the replica follows.
void ModelWorld::takeover() {
    const std::size_t before = lines_.size();
    branch();
    if (failed() || lines_.size() == before) return;
    resume();
    for (int n = 0; n < 3 && !failed(); ++n) {
        append();
        const View tip = lab_.store->view_at_tip();
        for (std::size_t v = 0; v < kSizes.size(); ++v)
            ASSERT_TRUE(lab_.read(tip, VolumeIndex(v)) == line().now[v]) << "read at the tip";
    }
    sync();
    if (!failed()) go_to(durable());
}

void ModelWorld::begin_line(Lsn branch, TimelineId from) {
    const std::size_t parent = number_of(from);
    auto line = std::make_unique<Primary>(
        *lines_[parent], test_uuid(static_cast<std::uint8_t>(lines_.size() + 1)), branch);
    check(lab_.store->append_timeline(line->timeline()), "append_timeline");
    const std::vector<NoPoints> known = no_points_;
    for (NoPoints none : known) {
        if (none.line != parent || none.from >= branch) continue;
        none.line = lines_.size();
        no_points_.push_back(none);
    }
    lines_.push_back(std::move(line));
    receiving_ = lines_.size() - 1;
}

// Steps are lost, or lost and a new line begins; what they changed comes by resync, between new
// frames.
void ModelWorld::lose_order() {
    sync();
    const Lsn from = line().head();
    no_points_.push_back({receiving_, from, Lsn(UINT64_MAX)});
    check(lab_.store->open_gap({line().timeline().id, from}, "lost"), "open_gap");
    std::vector<TestWrite> lost;
    for (std::uint64_t n = 1 + pick(4); n > 0; --n) {
        lost.push_back(random_write());
        (void)line().frame({lost.back()});
    }
    if (pick(3) == 0) begin_line(line().head(), line().timeline().id);
    lost_writes(lost);
    if (!failed()) end_gap();
}

void ModelWorld::lost_writes(const std::vector<TestWrite>& lost) {
    for (const TestWrite& write : lost) {
        if (write.kind != EntryKind::sync) resync(write);
        if (pick(3) == 0) append();
        if (pick(3) == 0) sync();
        if (pick(3) == 0) apply();
        if (pick(6) == 0) crash();
        if (pick(6) == 0) rewind();
        if (pick(6) == 0) resume();
        if (failed()) return;
    }
}

void ModelWorld::end_gap() {
    TestWrite sync_step;
    sync_step.kind = EntryKind::sync;
    const FramePtr end = line().frame({sync_step});
    check(lab_.store->append({&end, 1}), "append");
    kept_.push_back(end);
    const Lsn to = line().head();
    if (pick(2) == 0) append();  // steps behind the end, before it is said
    check(lab_.store->close_gap({line().timeline().id, to}), "close_gap");
    for (NoPoints& none : no_points_)
        if (none.line == receiving_ && none.to == Lsn(UINT64_MAX)) none.to = to;
    sync();
    ASSERT_EQ(lab_.store->consistent(), (Point{line().timeline().id, line().head()}));
}

// What the primary's device holds in the range now.
void ModelWorld::resync(const TestWrite& write) {
    FrameEntry entry;
    entry.lsn = lab_.store->tip().point.lsn;
    entry.volume = write.volume;
    entry.offset = write.offset;
    entry.length = write.length;
    FrameBuilder builder;
    builder.add(entry, Bytes(line().now[write.volume.value()])
                           .subspan(write.offset.value(), write.length.value()));
    FrameHeader header;
    header.kind = FrameKind::resync;
    header.group = lab_.options.group;
    header.timeline = lab_.store->tip().point.timeline;
    header.first_lsn = header.last_lsn = entry.lsn;
    header.sub_first = 1;
    check(lab_.store->append_resync(builder.seal(header)), "append_resync");
}

void ModelWorld::put_mark() {
    Mark mark;
    mark.name = "mark-" + std::to_string(mark_number_++);
    mark.at = random_point();
    check(lab_.store->put_mark(mark), "put_mark");
    marks_[mark.name] = mark.at;
    EXPECT_EQ(lab_.store->put_mark(mark).code(), ErrorCode::exists);
}

void ModelWorld::drop_mark() {
    if (marks_.empty()) return;
    const std::string name = marks_.begin()->first;
    check(lab_.store->drop_mark(name), "drop_mark");
    marks_.erase(name);
    EXPECT_EQ(lab_.store->drop_mark(name).code(), ErrorCode::not_found);
}

void ModelWorld::open_export() {
    const Point at = random_point();
    const auto view = lab_.store->view(at);
    ASSERT_TRUE(view.ok()) << view.status().message();
    if (exports_.size() == kExportsMax) exports_.erase(exports_.begin());
    exports_.push_back({at, *view});
}

void ModelWorld::read_exports() {
    for (const Export& one : exports_) {
        read_export(one);
        check_status(one);
        if (failed()) return;
    }
}

// A client's read: some sectors somewhere.
void ModelWorld::read_export(const Export& one) {
    const std::size_t v = pick(2);
    const std::uint64_t sectors = kSizes[v].value() / kSectorBytes;
    const std::uint64_t first = pick(sectors);
    const std::uint64_t count = 1 + pick(sectors - first);
    Image found(count * kSectorBytes, std::byte{0xee});
    check(lab_.store->read(one.view, lab_.replica, VolumeIndex(v), ByteOffset(first * kSectorBytes),
                           found),
          "read of an export");
    const Image& wanted = image(one.at)[v];
    ASSERT_TRUE(std::equal(found.begin(), found.end(),
                           wanted.begin() + static_cast<std::ptrdiff_t>(first * kSectorBytes)))
        << "an export of step " << one.at.lsn.value() << " of volume " << v;
}

// What it calls zeroes are zeroes, in order and without a hole between.
void ModelWorld::check_status(const Export& one) {
    const std::size_t v = pick(2);
    const Image& wanted = image(one.at)[v];
    std::uint64_t at = pick(kSizes[v].value() / kSectorBytes) * kSectorBytes;
    const auto extents =
        lab_.store->block_status(one.view, lab_.replica, VolumeIndex(v), ByteOffset(at),
                                 ByteCount(kSizes[v].value() - at), 1 + pick(20));
    ASSERT_TRUE(extents.ok()) << extents.status().message();
    ASSERT_FALSE(extents->empty());
    for (const auto& e : *extents) {
        const std::uint64_t end = at + e.length;
        ASSERT_LE(end, kSizes[v].value());
        const bool zeroes = std::all_of(wanted.begin() + static_cast<std::ptrdiff_t>(at),
                                        wanted.begin() + static_cast<std::ptrdiff_t>(end),
                                        [](std::byte b) { return b == std::byte{0}; });
        ASSERT_TRUE(zeroes || !e.zero) << "zeroes at " << at << " of step " << one.at.lsn.value();
        at = end;
    }
}

// The steps of a path, newest first, each found again by its time.
void ModelWorld::walk() {
    const Point at = random_point();
    const View view = *lab_.store->view(at);
    const std::size_t n = number_of(at.timeline);
    const bool gaps = std::any_of(no_points_.begin(), no_points_.end(),
                                  [&](const NoPoints& none) { return none.line == n; });
    std::uint64_t expected = at.lsn.value();
    const Status walked = lab_.store->each_step(view, Lsn(0), [&](const StepInfo& step) {
        EXPECT_TRUE(step.lsn.value() == expected || (gaps && step.lsn.value() < expected));
        expected = step.lsn.value() - 1;
        const auto found = lab_.store->step_at_time(view, step.step_time);
        EXPECT_TRUE(found.ok() && *found == step.lsn) << step.lsn.value();
        return !failed();
    });
    check(walked, "each_step");
    EXPECT_TRUE(expected == 0 || gaps);
}

void ModelWorld::compare_some() {
    for (int i = 0; i < 4 && !failed(); ++i) {
        const Point at = random_point();
        ASSERT_EQ(lab_.compare(at, image(at)), "");
    }
}

void ModelWorld::check_facts() {
    std::map<std::string, Point> marks;
    for (const Mark& mark : lab_.store->marks()) marks[mark.name] = mark.at;
    EXPECT_EQ(marks, marks_);
    const ReplicaState replica = lab_.store->replica();
    EXPECT_EQ(replica.held, held_.has_value());
    EXPECT_EQ(replica.held_at, held_.value_or(Point()));
    EXPECT_EQ(lab_.store->timelines().size(), lines_.size());
}

void ModelWorld::compare_all() {
    sync();
    check_facts();
    for (std::size_t n = 0; n < lines_.size(); ++n)
        for (Lsn lsn(0); lsn <= lines_[n]->head() && !failed(); ++lsn) {
            const Point at{lines_[n]->timeline().id, lsn};
            ASSERT_EQ(lab_.store->view(at).ok(), is_point(n, lsn)) << lsn.value();
            if (!is_point(n, lsn)) continue;
            ASSERT_EQ(lab_.compare(at, lines_[n]->image(lsn)), "");
        }
    const auto again = lab_.store->append(kept_);
    ASSERT_TRUE(again.ok()) << again.message();  // all of it is stored: dropped
}

}  // namespace everstep::journal::lab
