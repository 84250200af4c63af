// The same cuts through what the real journal and apply threads wrote, side by side. Their order
// differs from run to run; the seed gives the frames, the moves and the cuts.
#include <gtest/gtest.h>

#include <condition_variable>

#include "standby/apply.hpp"
#include "standby/journal_stage.hpp"
#include "standby/standby.hpp"
#include "tests/power/swarm.hpp"

namespace everstep::power {
namespace {

using journal::lab::TestWrite;

constexpr std::chrono::seconds kDeadline{60};

class Stages {
  public:
    Stages(MemoryDisk& disk, Past& past, const NodeOptions& node)
        : disk_(disk), past_(past), random_(node.segment_bytes.value()) {
        journal::StoreOptions options{kStoreDirectory, node.group, node.sizes, node.segment_bytes};
        std::vector<std::string> report;
        store_ = std::move(*journal::Store::open(disk, options, report));
        std::vector<standby::VolumeFile> volumes;
        for (std::size_t v = 0; v < node.sizes.size(); ++v)
            volumes.push_back({"v", "/images/v" + std::to_string(v), node.sizes[v]});
        replica_ = std::move(*standby::Replica::open(disk, volumes));
        journal::Tip base;
        base.point = {past.lines()[0].writer.timeline().id, Lsn(0)};
        EXPECT_TRUE(store_->begin_history({past.lines()[0].writer.timeline()}, base).ok());
        promise_.begun = true;
        promise_.durable = {Lsn(0)};
        promise_.held.emplace();
        note();
        const auto here = [](std::function<void()> work) { work(); };
        const auto failed = [](const Status& status) { ADD_FAILURE() << status.message(); };
        apply_ = std::make_unique<standby::ApplyStage>(
            *store_, *replica_, system_clock(),
            standby::ApplyHooks{[this] { tell(); }, failed, here});
        journal_ = std::make_unique<standby::JournalStage>(
            *store_, standby::JournalHooks{[this](bool) { moved(); }, failed, here});
        EXPECT_TRUE(apply_->start().ok());
        EXPECT_TRUE(journal_->start().ok());
    }
    void send() {
        std::vector<TestWrite> writes(1 + random_() % 3);
        for (TestWrite& w : writes) {
            w.offset = ByteOffset(random_() % 80 * kSectorBytes);
            w.length = ByteCount((1 + random_() % 12) * kSectorBytes);
        }
        PastLine& line = past_.receiving();
        line.frames.push_back(line.writer.frame(writes));
        journal_->push(line.frames.back(), {});
    }
    void move() {
        std::unique_lock lock(mutex_);
        const Point target{promise_timeline(), Lsn(random_() % (promise_.durable[0]->value() + 1))};
        const bool back = !was_held_;
        was_held_ = back;
        promise_.held.reset();
        note();
        const auto done = std::make_shared<bool>(false);
        const auto end = [this, back, target, done](const Result<Value>& result) {
            EXPECT_TRUE(result.ok()) << result.status().message();
            const std::lock_guard guard(mutex_);
            promise_.held = back ? Held{true, target} : Held{};
            note();
            *done = true;
            ended_.notify_all();
        };
        lock.unlock();
        if (back)
            apply_->rewind(target, false, end);
        else
            apply_->resume(false, end);
        for (int n = 0; n < 3; ++n) send();
        lock.lock();
        wait(lock, [&] { return *done; });
    }
    // Until all that was sent is durable, and applied unless the replica is held.
    void settle() {
        const Lsn head = past_.receiving().writer.head();
        std::unique_lock lock(mutex_);
        wait(lock, [&] {
            return promise_.durable[0] == head && (was_held_ || apply_->applied() == head);
        });
    }
    void stop() {
        journal_->stop();
        apply_->stop();
    }
    [[nodiscard]] std::uint64_t random() { return random_(); }

  private:
    [[nodiscard]] TimelineId promise_timeline() const {
        return past_.lines()[0].writer.timeline().id;
    }
    void moved() {
        apply_->wake();
        const std::lock_guard guard(mutex_);
        promise_.durable[0] = store_->durable().point.lsn;
        note();
        ended_.notify_all();
    }
    void tell() {
        const std::lock_guard guard(mutex_);
        ended_.notify_all();
    }
    void wait(std::unique_lock<std::mutex>& lock, const std::function<bool()>& there) {
        if (!ended_.wait_for(lock, kDeadline, there)) ADD_FAILURE() << "it never came";
    }
    void note() {
        past_.promises.push_back(promise_);
        disk_.note(past_.promises.size() - 1);
    }

    MemoryDisk& disk_;
    Past& past_;
    std::mt19937_64 random_;
    std::mutex mutex_;
    std::condition_variable ended_;
    Promise promise_;
    bool was_held_ = false;
    std::unique_ptr<journal::Store> store_;
    std::unique_ptr<standby::Replica> replica_;
    std::unique_ptr<standby::ApplyStage> apply_;
    std::unique_ptr<standby::JournalStage> journal_;
};

TEST(PowerStages, EveryPromiseOfTheRealThreadsHolds) {
    CutOptions cut;
    cut.seed = journal::lab::seed_of("PowerStages", 20261126);
    cut.states = 1;
    cut.second_in = 20;
    const NodeOptions node = small_node(cut.seed);
    Past past(node.group, node.sizes);
    MemoryDisk disk;
    {
        Stages stages(disk, past, node);
        for (int n = 0; n < 30; ++n) {
            if (stages.random() % 5 == 0)
                stages.move();
            else
                stages.send();
            if (stages.random() % 2 == 0) stages.settle();
        }
        stages.stop();
    }
    const std::vector<DiskOp> log = disk.take_log();
    Figures figures;
    EXPECT_EQ(cut_log({past, node, log}, cut, figures), "");
    EXPECT_GT(figures.recoveries, 300U);
    EXPECT_GT(figures.half_applied, 20U);
    std::cout << figures_text(figures) << "\n";
}

// A store that is dropped is there whole or not at all.
TEST(PowerWipe, ADroppedStoreIsWholeOrGone) {
    const NodeOptions node = small_node(1);
    Past past(node.group, node.sizes);
    MemoryDisk disk;
    Workload workload(disk, past, node, {.seed = 5, .operations = 20});
    ASSERT_EQ(workload.run(), "");
    (void)disk.take_log();
    const DiskState begin = disk.state();
    ASSERT_TRUE(journal::Store::wipe(disk, kStoreDirectory).ok());
    const std::vector<DiskOp> log = disk.take_log();
    PowerCut cut(begin);
    std::set<bool> seen;
    for (std::size_t n = 0; n <= log.size(); ++n) {
        for (std::uint64_t seed = 0; seed < 40; ++seed) {
            MemoryDisk left(cut.after({Fate::random, seed}));
            journal::lab::MemoryCatalogue catalogue;
            Node again(left, catalogue, node);
            const Status status = again.open();
            ASSERT_TRUE(status.ok()) << "operation " << n << ": " << status.message();
            seen.insert(again.store().has_history());
            if (!again.store().has_history()) continue;
            const Point head = again.store().tip().point;
            EXPECT_EQ(head.lsn, past.receiving().writer.head());
            EXPECT_EQ(difference(*again.read(*again.store().view(head)), past.image(head)), "");
        }
        if (n < log.size()) cut.pass(log[n]);
    }
    EXPECT_EQ(seen.size(), 2U) << "whole before, gone behind";
}

}  // namespace
}  // namespace everstep::power
