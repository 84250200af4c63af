// The whole store against full images of every step: random append, apply, rewind, branch, crash
// and reopen; and with retention: what can be read is right, pinned marks and holds can, and what
// could not be read once never can again.
#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "tests/journal/keep_lab.hpp"

namespace everstep::journal::lab {
namespace {

const std::vector<ByteCount> kSizes{ByteCount(96 << 10), ByteCount(41 * kSectorBytes)};

class Model {
  public:
    explicit Model(std::uint64_t seed) : rnd_(seed), lab_(kSizes, ByteCount(segment_bytes())) {
        lab_.options.clock = &clock_;
        if (pick(2) == 0) lab_.options.whole_index_bytes = ByteCount(0);
        lab_.open();
        lines_.push_back(std::make_unique<Primary>(lab_.options.group, test_uuid(1), kSizes));
        Tip base;
        base.point = {test_uuid(1), Lsn(0)};
        check(lab_.store->begin_history({lines_[0]->timeline()}, base), "begin_history");
    }

    void run(int steps) {
        for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
            if (pick(4) == 0) retain();
            switch (pick(16)) {
                case 0:
                case 1:
                case 2:
                case 3:
                case 4:
                    append();
                    break;
                case 5:
                case 6:
                    check(lab_.store->sync(), "sync");
                    break;
                case 7:
                case 8:
                case 9:
                    apply(true);
                    break;
                case 10:
                    go_to_random();
                    break;
                case 11:
                    crash();
                    break;
                case 12:
                    if (pick(3) == 0) branch();
                    break;
                case 13:
                    check(lab_.store->sync_low(), "sync_low");
                    break;
                case 14:
                    if (pick(4) == 0) lose_order();
                    break;
                default:
                    tend();
                    compare_some(3);
                    break;
            }
        }
        if (testing::Test::HasFailure()) return;
        compare_all();
        lab_.reopen();
        compare_all();
    }

  private:
    void tend() {
        while (lab_.store->wants_tending()) check(lab_.store->tend().status(), "tend");
    }
    std::uint64_t segment_bytes() { return std::uint64_t{16 << 10} << pick(4); }
    std::uint64_t pick(std::uint64_t n) { return rnd_() % n; }
    void check(const Status& status, const char* what) {
        ASSERT_TRUE(status.ok()) << what << ": " << status.message();
    }
    Primary& line() { return *lines_[receiving_]; }

    TestWrite random_write() {
        TestWrite w;
        w.volume = VolumeIndex(pick(2));
        const std::uint64_t sectors = kSizes[w.volume.value()].value() / kSectorBytes;
        static constexpr std::uint64_t kLengths[] = {1, 1, 2, 3, 8, 8, 8, 16, 24, 64, 150};
        const std::uint64_t first =
            pick(3) == 0 ? pick(sectors) : pick(std::min<std::uint64_t>(sectors, 48));
        const std::uint64_t count = std::min(kLengths[pick(11)], sectors - first);
        w.offset = ByteOffset(first * kSectorBytes);
        w.length = ByteCount(count * kSectorBytes);
        w.kind = pick(6) == 0   ? EntryKind::zero
                 : pick(8) == 0 ? EntryKind::discard
                                : EntryKind::data;
        if (pick(30) == 0 && !lab_.store->gap_open()) {
            w.kind = EntryKind::sync;
            w.offset = ByteOffset(0);
            w.length = ByteCount(0);
            w.volume = VolumeIndex(0);
        }
        w.fua = w.kind == EntryKind::data && pick(9) == 0;
        return w;
    }

    void append() {
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

    Point durable() { return lab_.store->durable().point; }

    void apply(bool land) {
        if (!lab_.store->next_batch(durable(), ByteCount(1)).ok()) return;  // go_to brings it
        check(lab_.apply_batch(durable(), ByteCount(4096 << pick(6)), land), "apply");
    }

    // Steps are lost, or lost and a new line begins; what they changed comes by resync, between new
    // frames.
    void lose_order() {
        check(lab_.store->sync(), "sync");
        const Lsn from = line().head();
        no_points_.push_back({receiving_, from, Lsn(UINT64_MAX)});
        check(lab_.store->open_gap({line().timeline().id, from}, "lost"), "open_gap");
        std::vector<TestWrite> lost;
        for (std::uint64_t n = 1 + pick(4); n > 0; --n) {
            lost.push_back(random_write());
            (void)line().frame({lost.back()});
        }
        if (pick(3) == 0) begin_line(line().head(), line().timeline().id);
        for (const TestWrite& write : lost) {
            if (write.kind != EntryKind::sync) resync(write);
            if (pick(3) == 0) append();
            if (pick(3) == 0) check(lab_.store->sync(), "sync");
            if (pick(3) == 0) apply(true);
            if (pick(6) == 0) crash();
            if (pick(6) == 0) go_to_random();
            if (testing::Test::HasFailure()) return;
        }
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
        check(lab_.store->sync(), "sync");
        ASSERT_EQ(lab_.store->consistent(), (Point{line().timeline().id, line().head()}));
    }

    // What the primary's device holds in the range now.
    void resync(const TestWrite& write) {
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

    // A step on any line that is durable and no inside of a gap.
    Point random_point() {
        while (true) {
            const std::size_t n = pick(lines_.size());
            const std::uint64_t head =
                n == receiving_ ? durable().lsn.value() : lines_[n]->head().value();
            const Lsn lsn(pick(head + 1));
            if (is_point(n, lsn) && is_kept({lines_[n]->timeline().id, lsn}))
                return {lines_[n]->timeline().id, lsn};
        }
    }
    bool is_point(std::size_t n, Lsn lsn) const {
        return std::none_of(no_points_.begin(), no_points_.end(), [&](const NoPoints& none) {
            return none.line == n && none.from < lsn && lsn < none.to;
        });
    }

    void go_to_random() {
        const Point target = random_point();
        check(lab_.go_to(target), "go_to");
        if (testing::Test::HasFailure()) return;
        const auto& wanted = image(target);
        for (std::size_t v = 0; v < wanted.size(); ++v)
            ASSERT_TRUE(lab_.replica.volumes[v] == wanted[v])
                << "the raw replica at step " << target.lsn.value() << " of volume " << v;
    }

    void branch() {
        check(lab_.store->sync(), "sync");
        const Point from = random_point();
        std::size_t parent = 0;
        while (lines_[parent]->timeline().id != from.timeline) ++parent;
        // On the timeline itself: a branch from an ancestor's step is that ancestor's.
        if (from.lsn < lines_[parent]->timeline().branch_lsn) return;
        begin_line(from.lsn, from.timeline);
    }

    void begin_line(Lsn branch, TimelineId from) {
        std::size_t parent = 0;
        while (lines_[parent]->timeline().id != from) ++parent;
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

    // Killed at a random place: inside a batch, inside a move, or between.
    void crash() {
        if (pick(2) == 0) apply(false);
        const ReplicaState state = lab_.store->replica();
        if (state.low == state.high && pick(2) == 0) half_move();
        hold_.reset();  // it lives as long as its store
        lab_.reopen();
        if (testing::Test::HasFailure()) return;
        compare_some(4);  // while it is half-moved
        check(lab_.redo(), "redo");
        const ReplicaState now = lab_.store->replica();
        ASSERT_EQ(now.low, now.high);
    }

    void half_move() {
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

    const std::vector<Image>& image(Point at) {
        for (const auto& line : lines_)
            if (line->timeline().id == at.timeline) return line->image(at.lsn);
        std::abort();
    }

    void compare_some(int n) {
        for (int i = 0; i < n && !testing::Test::HasFailure(); ++i) {
            const Point at = random_point();
            ASSERT_EQ(lab_.compare(at, image(at)), "");
        }
    }

    void compare_all() {
        check(lab_.store->sync(), "sync");
        for (const auto& line : lines_)
            for (std::uint64_t lsn = 0; lsn <= line->head().value(); ++lsn) {
                const Point at{line->timeline().id, Lsn(lsn)};
                const auto n = static_cast<std::size_t>(&line - lines_.data());
                const bool seen = lab_.store->view(at).ok();
                ASSERT_TRUE(is_point(n, Lsn(lsn)) || !seen) << lsn;
                if (!seen) {
                    gone_.insert(at);
                    continue;
                }
                ASSERT_FALSE(gone_.contains(at)) << "step " << lsn << " came back";
                ASSERT_EQ(lab_.compare(at, line->image(at.lsn)), "");
            }
        for (const Mark& mark : pinned_) ASSERT_TRUE(is_kept(mark.at)) << mark.name;
    }

    bool is_kept(Point at) { return lab_.store->view(at).ok(); }

    // Time passes; marks are pinned and unpinned, steps held and let go; what retention wants is
    // done.
    void retain() {
        clock_.boot_now += std::chrono::minutes(pick(60));
        if (pick(6) == 0) {
            Mark mark;
            mark.name = "pin-" + std::to_string(pins_++);
            mark.at = random_point();
            mark.pinned = true;
            check(lab_.store->put_mark(mark), "put_mark");
            pinned_.push_back(mark);
        }
        if (!pinned_.empty() && pick(8) == 0) {
            std::swap(pinned_[pick(pinned_.size())], pinned_.back());
            check(lab_.store->drop_mark(pinned_.back().name), "drop_mark");
            pinned_.pop_back();
        }
        if (pick(6) == 0) hold_ = *lab_.store->hold(random_point(), HoldKind::lasting);
        if (pick(4) == 0) hold_.reset();
        KeepLimits limits;
        if (pick(2) == 0) limits.keep_time = std::chrono::minutes(30 + pick(500));
        if (pick(3) == 0) limits.keep_bytes = ByteCount(pick(1 << 20));
        limits.force = pick(10) == 0;
        for (std::uint64_t n = 1 + pick(4); n > 0; --n) {
            const auto report = lab_.store->keep({limits, &lab_.replica, nullptr});
            ASSERT_TRUE(report.ok()) << report.status().message();
            if (report->action.verb == KeepVerb::nothing) break;
        }
        ASSERT_TRUE(hold_ == nullptr || is_kept(hold_->at));
        for (const Mark& mark : pinned_)
            ASSERT_TRUE(is_kept(mark.at)) << mark.name << " " << mark.at.timeline.hex() << ": "
                                          << lab_.store->view(mark.at).status().message();
    }

    struct NoPoints {  // the inside of a gap: (from, to)
        std::size_t line;
        Lsn from;
        Lsn to;
    };

    std::mt19937_64 rnd_;
    LabClock clock_;
    StoreLab lab_;
    std::vector<Mark> pinned_;
    std::uint64_t pins_ = 0;
    HoldPtr hold_;
    std::set<Point> gone_;
    std::vector<std::unique_ptr<Primary>> lines_;
    std::vector<NoPoints> no_points_;
    std::size_t receiving_ = 0;
    std::vector<FramePtr> kept_;
};

TEST(KeepModel, WhatRetentionLeavesIsRightAndWhatItTookStaysGone) {
    const std::uint64_t seed = seed_of("KeepModel", 20261126);
    for (std::uint64_t run = 0; run < 80 && !HasFailure(); ++run) {
        SCOPED_TRACE("run " + std::to_string(run) + " seed " + std::to_string(seed + run));
        Model(seed + run).run(150);
    }
}

}  // namespace
}  // namespace everstep::journal::lab
