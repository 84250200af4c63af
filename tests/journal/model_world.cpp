#include "tests/journal/model_world.hpp"

#include <algorithm>

namespace everstep::journal::lab {
namespace {

ByteCount segment_bytes(std::uint64_t seed) {
    return ByteCount(std::uint64_t{16 << 10} << seed % 4);
}

}  // namespace

const std::vector<ByteCount> ModelWorld::kSizes{ByteCount(96 << 10), ByteCount(41 * kSectorBytes)};

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
        {"write_batch", 1, &ModelWorld::write_batch},
        {"leave_gap", 1, &ModelWorld::leave_gap},
        {"put_mark", 2, &ModelWorld::put_mark},
        {"drop_mark", 1, &ModelWorld::drop_mark},
        {"open_export", 3, &ModelWorld::open_export},
        {"read_exports", 4, &ModelWorld::read_exports},
        {"write_on_a_step", 2, &ModelWorld::write_on_a_step},
        {"write_branch", 6, &ModelWorld::write_branch},
        {"back_on_branch", 1, &ModelWorld::back_on_branch},
        {"read_branches", 4, &ModelWorld::read_branches},
        {"drop_written", 1, &ModelWorld::drop_written},
        {"walk", 2, &ModelWorld::walk},
        {"compare_some", 4, &ModelWorld::compare_some},
        {"tend", 3, &ModelWorld::tend},
        {"keep", 16, &ModelWorld::keep},
        {"end_holds", 1, &ModelWorld::end_holds},
    };
    return kOperations;
}

ModelWorld::ModelWorld(std::uint64_t seed, const testing::TestPartResultArray& results)
    : rnd_(seed), results_(results), lab_(kSizes, segment_bytes(seed)) {
    lab_.files = &disk_;
    lab_.options.clock = &clock_;
    if (pick(2) == 0) lab_.options.whole_index_bytes = ByteCount(0);
    if (pick(3) != 0) lab_.options.catalogue = &catalogue_;
    keeps_all_ = pick(3) == 0;
    lab_.open();
    lines_.push_back(std::make_unique<Primary>(lab_.options.group, test_uuid(1), kSizes));
    lines_[0]->packs = pick(4) != 0;
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
    reopen();
    if (!failed()) compare_all();
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

// A step on any line that is durable and can be read.
Point ModelWorld::random_point() {
    while (true) {
        const std::size_t n = pick(lines_.size());
        const std::uint64_t head =
            n == receiving_ ? durable().lsn.value() : lines_[n]->head().value();
        const Lsn lsn(pick(head + 1));
        if (is_kept(n, lsn)) return {lines_[n]->timeline().id, lsn};
    }
}

bool ModelWorld::is_point(std::size_t n, Lsn lsn) const {
    return std::none_of(no_points_.begin(), no_points_.end(), [&](const NoPoints& none) {
        return none.line == n && none.from < lsn && lsn < none.to;
    });
}

bool ModelWorld::is_kept(std::size_t n, Lsn lsn) const {
    return is_point(n, lsn) && !gone_.contains({lines_[n]->timeline().id, lsn});
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
    reopen();
    if (failed()) return;
    compare_some();  // while it is half-moved
    if (pick(4) == 0) keep();
    check(lab_.redo(), "redo");
    const ReplicaState now = lab_.store->replica();
    ASSERT_EQ(now.low, now.high);
    if (held_) go_to(*held_);
}

// With any state that the catalogue has been in: a crash leaves the newest one that was durable.
void ModelWorld::reopen() {
    std::vector<bool> held;
    for (Export& one : exports_) {
        held.push_back(one.held());
        one.hold.reset();  // it lives as long as its store
    }
    close_written();
    lab_.store.reset();
    if (pick(2) == 0) catalogue_.go_back(pick(catalogue_.changes() + 1));
    lab_.open();
    if (failed()) return;
    EXPECT_TRUE(lab_.report.empty()) << lab_.report[0];
    EXPECT_EQ(catalogue_.clears, 0U);
    check_points();
    check_facts();
    for (std::size_t n = 0; n < exports_.size() && !failed(); ++n)
        if (held[n]) hold(exports_[n]);
    for (std::size_t n = 0; n < written_.size() && !failed(); ++n) open_written(written_[n]);
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

}  // namespace everstep::journal::lab
