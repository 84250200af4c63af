// What a reopened store calls durable must be on the disk: it is what the node tells its primary.
// The process ends at each operation, or each sync fails from some point on; the store is opened
// again, goes on, and then the power is lost: of what was not synced, nothing, all or some is
// there.
#include <gtest/gtest.h>

#include "tests/journal/store_lab.hpp"
#include "tests/power/power_cut.hpp"

namespace everstep::journal::lab {
namespace {

const TimelineId kLine = test_uuid(1);
constexpr std::uint64_t kWriteBytes = 8192;
constexpr std::uint64_t kNever = power::MemoryDisk::kNever;
constexpr std::size_t kFrames = 24;  // over three segments

class PowerLoss {
  public:
    PowerLoss() : lab_({ByteCount(256 << 10)}, ByteCount(64 << 10)) {
        lab_.files = &files_;
        for (std::size_t i = 0; i < kFrames; ++i)
            frames_.push_back(primary_.frame({{.volume = VolumeIndex(0),
                                               .offset = ByteOffset(i % 30 * kWriteBytes),
                                               .length = ByteCount(kWriteBytes)}}));
    }
    // Appends and syncs until something fails.
    void run(std::uint64_t die_at, std::uint64_t fail_sync_at) {
        lab_.open();
        Tip base;
        base.point = {kLine, Lsn(0)};
        ASSERT_TRUE(lab_.store->begin_history({root_timeline(kLine)}, base).ok());
        files_.operations = files_.syncs = 0;
        files_.die_at = die_at;
        files_.fail_sync_at = fail_sync_at;
        append(kFrames);
        operations = files_.operations;
        syncs = files_.syncs;
        lab_.store.reset();
        files_.die_at = files_.fail_sync_at = kNever;
    }
    void append(std::size_t count) {
        const std::size_t from = lab_.store->tip().point.lsn.value();
        for (std::size_t i = from; i < std::min(frames_.size(), from + count); ++i) {
            if (!lab_.store->append({&frames_[i], 1}).ok() || !lab_.store->sync().ok()) return;
        }
    }
    // Opens it, acknowledges `more` frames, loses the power, opens it again.
    void check(std::size_t more) {
        ASSERT_TRUE(lab_.try_open().ok()) << lab_.try_open().message();
        append(more);
        const Lsn durable = lab_.store->durable().point.lsn;
        lab_.store.reset();
        const std::vector<power::DiskOp> log = files_.take_log();
        power::PowerCut cut{power::DiskState()};
        for (const power::DiskOp& op : log) cut.pass(op);
        for (const power::Choice& choice :
             {power::Choice{power::Fate::nothing}, power::Choice{power::Fate::everything},
              power::Choice{power::Fate::random, log.size()}}) {
            power::MemoryDisk left(cut.after(choice));
            lab_.files = &left;
            check_durable(durable);
            lab_.store.reset();
        }
    }
    std::uint64_t operations = 0;
    std::uint64_t syncs = 0;

  private:
    void check_durable(Lsn durable) {
        const Status opened = lab_.try_open();
        ASSERT_TRUE(opened.ok()) << opened.message();
        ASSERT_GE(lab_.store->durable().point.lsn, durable);
        for (Lsn lsn(0); lsn <= durable; lsn = lsn + 1)
            ASSERT_EQ(lab_.compare({kLine, lsn}, primary_.image(lsn)), "") << lsn.value();
    }
    StoreLab lab_;
    power::MemoryDisk files_;
    Primary primary_{lab_.options.group, kLine, lab_.options.volume_bytes};
    std::vector<FramePtr> frames_;
};

TEST(PowerLossTest, BehindAProcessThatEndedAtAnyOperation) {
    PowerLoss whole;
    whole.run(kNever, kNever);
    ASSERT_GT(whole.operations, 60U);
    for (const std::size_t more : {0, 3}) {
        for (std::uint64_t at = 0; at <= whole.operations; ++at) {
            SCOPED_TRACE("ended at operation " + std::to_string(at));
            PowerLoss one;
            one.run(at, kNever);
            one.check(more);
            if (testing::Test::HasFatalFailure()) return;
        }
    }
}

TEST(PowerLossTest, BehindASyncThatFailed) {
    PowerLoss whole;
    whole.run(kNever, kNever);
    ASSERT_GT(whole.syncs, kFrames);
    for (std::uint64_t at = 0; at < whole.syncs; ++at) {
        SCOPED_TRACE("failed from sync " + std::to_string(at));
        PowerLoss one;
        one.run(kNever, at);
        one.check(0);
        if (testing::Test::HasFatalFailure()) return;
    }
}

}  // namespace
}  // namespace everstep::journal::lab
