// Retention and the end of the process at any of its operations, and the loss of power behind that:
// all that had to be kept is there and right, and nothing that was gone has come back.
#include "tests/journal/keep_lab.hpp"
#include "tests/journal/power_files.hpp"

namespace everstep::journal::lab {
namespace {

constexpr std::size_t kFrames = 12;

class KeepPower {
  public:
    KeepPower() : files_(lab_.options.directory) { lab_.files = &files_; }
    // History with a pinned mark; then room is wanted until nothing more can go, and it goes on.
    void run(std::uint64_t die_at) {
        lab_.begin();
        lab_.take_some(kFrames);
        lab_.pin("kept", kPinned);
        ASSERT_TRUE(lab_.store->sync().ok());
        files_.operations = 0;
        files_.die_at = die_at;
        while (true) {
            const auto report = lab_.store->keep({{.force = true}, &lab_.replica, nullptr});
            gone_ = lab_.store->baseline().lsn;
            if (!report.ok() || report->action.verb == KeepVerb::nothing) break;
        }
        if (lab_.take(2).ok()) lab_.store->keep_age().ignore("as far as it comes");
        durable_ = lab_.store->durable().point.lsn;
        operations = files_.operations;
        lab_.store.reset();
        files_.die_at = PowerFiles::kNever;
    }
    void check(bool power) {
        if (power) files_.lose_power();
        for (int round = 0; round < 2; ++round) {
            const Status opened = lab_.try_open();
            ASSERT_TRUE(opened.ok()) << opened.message();
            ASSERT_TRUE(lab_.redo().ok());
            ASSERT_GE(lab_.store->durable().point.lsn, durable_);
            ASSERT_GE(lab_.store->baseline().lsn, gone_);
            ASSERT_TRUE(lab_.has(kPinned));
            ASSERT_TRUE(lab_.has(lab_.store->durable().point.lsn));
            lab_.check_all();
            if (testing::Test::HasFailure()) return;
            if (round == 0) {
                ASSERT_TRUE(lab_.settle().ok());
                lab_.keep({.force = true});
                ASSERT_EQ(lab_.store->baseline().lsn, kPinned);
                gone_ = kPinned;
            }
        }
    }
    std::uint64_t operations = 0;

  private:
    static constexpr Lsn kPinned{9};
    KeepLab lab_;
    PowerFiles files_;
    Lsn gone_;
    Lsn durable_;
};

TEST(KeepPowerTest, TheProcessEndsAtAnyOperation) {
    KeepPower whole;
    whole.run(PowerFiles::kNever);
    ASSERT_GT(whole.operations, 40U);
    for (const bool power : {false, true}) {
        for (std::uint64_t at = 0; at <= whole.operations; ++at) {
            if (!power && at % 4 != 0) continue;  // less can go wrong
            SCOPED_TRACE("ended at operation " + std::to_string(at) +
                         (power ? ", power lost" : ""));
            KeepPower one;
            one.run(at);
            one.check(power);
            if (testing::Test::HasFailure()) return;
        }
    }
}

}  // namespace
}  // namespace everstep::journal::lab
