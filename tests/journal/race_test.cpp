// Readers beside appending, applying and moving: every read gives the step that was asked for,
// never a mix.
#include <atomic>
#include <functional>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "tests/journal/store_lab.hpp"

namespace everstep::journal::lab {
namespace {

constexpr std::uint64_t kSectors = 64;

// MemoryReplica whose volume may be read and written by threads at once, sector by sector.
class SharedReplica final : public ReplicaReader {
  public:
    SharedReplica() : bytes_(kSectors * kSectorBytes) {}
    [[nodiscard]] Status read(VolumeIndex, ByteOffset offset, MutableBytes to) const override {
        for (std::size_t at = 0; at < to.size(); at += kSectorBytes) {
            const std::lock_guard guard(mutex_);
            std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset.value() + at),
                        kSectorBytes, to.begin() + static_cast<std::ptrdiff_t>(at));
        }
        return {};
    }
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(VolumeIndex, ByteOffset offset,
                                                              ByteCount length) const override {
        return std::vector<io::DataExtent>{{offset, length, false}};
    }
    void write(ByteOffset offset, Bytes from) {
        for (std::size_t at = 0; at < from.size(); at += kSectorBytes) {
            const std::lock_guard guard(mutex_);
            std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(at), kSectorBytes,
                        bytes_.begin() + static_cast<std::ptrdiff_t>(offset.value() + at));
        }
    }

  private:
    mutable std::mutex mutex_;
    std::vector<std::byte> bytes_;
};

// How long the history is, in what segments, and whether it is tended and what goes of it goes.
struct RaceShape {
    int frames = 40;
    ByteCount segment_bytes{64 << 10};
    bool tended = false;
    unsigned moves_one_in = 4;  // batches; a move takes room in the redo file
};

class Race {
  public:
    explicit Race(std::uint64_t seed, const RaceShape& shape = {}) : rnd_(seed), shape_(shape) {
        if (shape.tended) options_.whole_index_bytes = ByteCount(0);
        options_.recent_frame_bytes = ByteCount(16 << 10);
        options_.directory = directory_.path() + "/store";
        options_.group = test_uuid(0x11);
        options_.volume_bytes = {ByteCount(kSectors * kSectorBytes)};
        options_.segment_bytes = shape.segment_bytes;
        auto opened = Store::open(io::system_files(), options_, report_);
        EXPECT_TRUE(opened.ok());
        store_ = std::move(*opened);
        primary_ = std::make_unique<Primary>(options_.group, test_uuid(1), options_.volume_bytes);
        Tip base;
        base.point = {test_uuid(1), Lsn(0)};
        must(store_->begin_history({primary_->timeline()}, base));
        for (int n = 0; n < shape.frames; ++n)
            frames_.push_back(primary_->frame({random_write(), random_write()}));
    }

    void run() {
        std::thread journal([this] {
            for (const FramePtr& frame : frames_) {
                must(store_->append({&frame, 1}));
                must(store_->sync());
            }
        });
        std::thread apply([this] { apply_and_move(); });
        std::vector<std::thread> readers;
        for (std::uint64_t n = 0; n < 2; ++n)
            readers.emplace_back([this, n] { read_steps(n + 1); });
        if (shape_.tended) readers.emplace_back([this] { look_after(); });
        journal.join();
        apply.join();
        done_ = true;
        for (std::thread& t : readers) t.join();
        if (shape_.tended) tend();
    }
    // What is left at the end, every step of it; gives how many.
    std::size_t check_all() const {
        std::size_t found = 0;
        Image image(kSectors * kSectorBytes);
        for (Lsn lsn = store_->baseline().lsn; lsn <= primary_->head(); lsn = lsn + 1) {
            const auto view = store_->view({test_uuid(1), lsn});
            if (!view.ok()) continue;
            must(store_->read(*view, replica_, VolumeIndex(0), ByteOffset(0), image));
            EXPECT_EQ(image, primary_->image(lsn)[0]) << lsn.value();
            ++found;
        }
        return found;
    }
    [[nodiscard]] bool dropped_some() const { return Lsn(0) < store_->baseline().lsn; }
    [[nodiscard]] std::uint64_t reads() const { return reads_; }

  private:
    static void must(const Status& status) {
        if (!status.ok()) ADD_FAILURE() << status.message();
    }
    TestWrite random_write() {
        TestWrite w;
        const std::uint64_t first = rnd_() % kSectors;
        w.offset = ByteOffset(first * kSectorBytes);
        w.length =
            ByteCount(std::min<std::uint64_t>(1 + rnd_() % 12, kSectors - first) * kSectorBytes);
        return w;
    }

    void apply_units(const ApplyBatch& batch) {
        for (const ApplyUnit& unit : batch.units) {
            std::vector<std::byte> bytes(unit.length.value());
            must(store_->read_unit(unit, bytes));
            replica_.write(unit.offset, bytes);
        }
    }

    void apply_and_move() {
        std::mt19937_64 rnd(5);
        while (store_->replica().high.lsn != primary_->head() && !testing::Test::HasFailure()) {
            const auto batch = store_->next_batch(store_->durable().point, ByteCount(4096));
            if (!batch.ok()) return must(batch.status());
            must(store_->begin_batch(*batch, replica_));
            apply_units(*batch);
            if (!batch->empty()) must(store_->end_batch(*batch));
            if (rnd() % shape_.moves_one_in != 0) continue;
            const Lsn top = store_->passed(test_uuid(1)).lsn;
            move_to(Lsn(rnd() % (top.value() + 1)));
            if (rnd() % 2 == 0) move_to(top);
        }
    }

    void tend() {
        while (store_->wants_tending() && !testing::Test::HasFailure())
            must(store_->tend().status());
    }
    // As the thread does that looks after a store.
    void look_after() {
        KeepOrder order;
        order.limits.keep_bytes = ByteCount(60 * shape_.segment_bytes.value());
        order.replica = &replica_;
        while (!done_ && !testing::Test::HasFailure()) {
            tend();
            must(store_->keep(order).status());
        }
    }

    void move_to(Lsn lsn) {
        const auto hold = store_->hold({test_uuid(1), lsn}, HoldKind::lasting);
        if (shape_.tended && !hold.ok()) return;  // it went meanwhile
        must(hold.status());
        const auto plan = store_->plan_move({test_uuid(1), lsn});
        const auto view = store_->view({test_uuid(1), lsn});
        if (!plan.ok()) return must(plan.status());
        must(store_->begin_move(*plan));
        for (const GapExtent& e : plan->extents) {
            std::vector<std::byte> bytes(e.length.value());
            must(store_->read(*view, replica_, e.volume, e.offset, bytes));
            replica_.write(e.offset, bytes);
        }
        must(store_->end_move(*plan));
    }

    void read_steps(std::uint64_t seed) {
        std::mt19937_64 rnd(seed);
        Image found(kSectors * kSectorBytes);
        while (!done_ && !testing::Test::HasFailure()) {
            const Lsn lsn(rnd() % (store_->tip().point.lsn.value() + 1));
            const auto hold = store_->hold({test_uuid(1), lsn}, HoldKind::lasting);
            if (shape_.tended && !hold.ok()) continue;
            const auto view = store_->view({test_uuid(1), lsn});
            if (!view.ok()) return must(view.status());
            must(store_->read(*view, replica_, VolumeIndex(0), ByteOffset(0), found));
            if (found != primary_->image(lsn)[0]) ADD_FAILURE() << "a mix at step " << lsn.value();
            ++reads_;
        }
    }

    std::mt19937_64 rnd_;
    RaceShape shape_;
    ScratchDirectory directory_;
    StoreOptions options_;
    std::vector<std::string> report_;
    std::unique_ptr<Store> store_;
    std::unique_ptr<Primary> primary_;
    std::vector<FramePtr> frames_;
    SharedReplica replica_;
    std::atomic<bool> done_{false};
    std::atomic<std::uint64_t> reads_{0};
};

// Answers a read with what the replica holds while the store is somewhere else, and is back before
// it returns.
class RestlessReplica final : public ReplicaReader {
  public:
    explicit RestlessReplica(const MemoryReplica& inner) : inner_(inner) {}
    [[nodiscard]] Status read(VolumeIndex volume, ByteOffset offset,
                              MutableBytes to) const override {
        if (away) std::exchange(away, nullptr)();
        const Status status = inner_.read(volume, offset, to);
        if (back) std::exchange(back, nullptr)();
        return status;
    }
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(VolumeIndex volume, ByteOffset offset,
                                                              ByteCount length) const override {
        return inner_.extents(volume, offset, length);
    }
    mutable std::function<void()> away;
    mutable std::function<void()> back;

  private:
    const MemoryReplica& inner_;
};

TEST(Race, AReadAcrossAStepForwardAndBackIsDoneAgain) {
    StoreLab lab;
    Primary primary(lab.options.group, test_uuid(1), lab.options.volume_bytes);
    lab.open();
    Tip base;
    base.point = {test_uuid(1), Lsn(0)};
    const auto ok = [](const Status& status) { ASSERT_TRUE(status.ok()) << status.message(); };
    ok(lab.store->begin_history({primary.timeline()}, base));
    const TestWrite write{.volume = VolumeIndex(0),
                          .kind = EntryKind::data,
                          .offset = ByteOffset(0),
                          .length = ByteCount(4096)};
    const FramePtr frame = primary.frame({write, write});
    ok(lab.store->append({&frame, 1}));
    ok(lab.store->sync());
    const Point first{test_uuid(1), Lsn(1)};
    const Point second{test_uuid(1), Lsn(2)};
    ok(lab.apply_all(first));
    RestlessReplica restless(lab.replica);
    restless.away = [&] { ok(lab.apply_all(second)); };
    restless.back = [&] { ok(lab.go_to(first)); };
    std::vector<std::byte> found(4096);
    ok(lab.store->read(*lab.store->view(first), restless, VolumeIndex(0), ByteOffset(0), found));
    EXPECT_FALSE(restless.back) << "the read never asked the replica";
    EXPECT_TRUE(std::equal(found.begin(), found.end(), primary.image(Lsn(1))[0].begin()));
}

TEST(Race, ReadsBesideApplyAndMovesGiveTheStepAskedFor) {
    const std::uint64_t seed = seed_of("Race", 3);
    std::uint64_t reads = 0;
    for (std::uint64_t n = 0; n < 3 && !HasFailure(); ++n) {
        Race race(seed + n);
        race.run();
        reads += race.reads();
    }
    EXPECT_GT(reads, 0U);
}

// The same over many small segments, whose indexes leave memory and are merged, and of which the
// oldest go.
TEST(Race, ReadsBesideMergesAndRetentionGiveTheStepAskedFor) {
    Race race(
        seed_of("RaceMerges", 8),
        {.frames = 250, .segment_bytes = ByteCount(32 << 10), .tended = true, .moves_one_in = 16});
    race.run();
    EXPECT_GT(race.reads(), 0U);
    EXPECT_TRUE(race.dropped_some());
    EXPECT_GT(race.check_all(), 40U);
}

}  // namespace
}  // namespace everstep::journal::lab
