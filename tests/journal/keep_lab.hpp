// What the tests of retention share: a clock that they turn, and a store that has taken and applied
// frames over many small segments.
#pragma once

#include <gtest/gtest.h>

#include "tests/journal/store_lab.hpp"

namespace everstep::journal::lab {

class LabClock final : public Clock {
  public:
    [[nodiscard]] WallTime wall() const override { return wall_now; }
    [[nodiscard]] std::chrono::nanoseconds boot() const override { return boot_now; }
    WallTime wall_now{std::chrono::hours(400'000)};
    std::chrono::nanoseconds boot_now{0};
};

inline const TimelineId kKeepLine = test_uuid(1);

class KeepLab : public StoreLab {
  public:
    explicit KeepLab(io::FileSystem* file_system = nullptr)
        : StoreLab({ByteCount(128 << 10)}, ByteCount(32 << 10)) {
        if (file_system != nullptr) files = file_system;
        options.clock = &clock;
    }
    void begin() {
        open();
        Tip base;
        base.point = {kKeepLine, Lsn(0)};
        ASSERT_TRUE(store->begin_history({root_timeline(kKeepLine)}, base).ok());
    }
    // Frames of two writes of 4 KiB each, durable and applied; no two writes in the same order.
    Status take(std::size_t frames) {
        for (std::size_t n = 0; n < frames; ++n) {
            const std::uint64_t at = primary.head().value();
            const FramePtr frame = primary.frame({write(at * 7 % 31), write(at * 11 % 13)});
            EVERSTEP_TRY(store->append({&frame, 1}));
        }
        return settle();
    }
    Status settle() {
        EVERSTEP_TRY(store->sync());
        EVERSTEP_TRY(apply_all(store->durable().point));
        return store->sync_low();
    }
    void take_some(std::size_t frames) {
        const Status taken = take(frames);
        ASSERT_TRUE(taken.ok()) << taken.message();
    }
    // Until nothing is left to do; gives how much was done.
    std::size_t keep(const KeepLimits& limits) {
        for (std::size_t done = 0;; ++done) {
            const auto did = store->keep({limits, &replica, nullptr});
            EXPECT_TRUE(did.ok()) << did.status().message();
            if (!did.ok() || did->action.verb == KeepVerb::nothing || done > 1000) return done;
        }
    }
    [[nodiscard]] bool has(Lsn lsn) const { return store->view({kKeepLine, lsn}).ok(); }
    [[nodiscard]] std::string refusal(Lsn lsn) const {
        return store->view({kKeepLine, lsn}).status().message();
    }
    // Every step that can be read is right; gives how many can.
    std::size_t check_all() const {
        std::size_t found = 0;
        for (Lsn lsn(0); lsn <= primary.head(); lsn = lsn + 1) {
            if (!has(lsn)) continue;
            ++found;
            EXPECT_EQ(compare({kKeepLine, lsn}, primary.image(lsn)), "") << lsn.value();
        }
        return found;
    }
    Mark pin(const std::string& name, Lsn lsn) {
        Mark mark;
        mark.name = name;
        mark.at = {kKeepLine, lsn};
        mark.pinned = true;
        EXPECT_TRUE(store->put_mark(mark).ok());
        return mark;
    }
    static TestWrite write(std::uint64_t block) {
        return {.volume = VolumeIndex(0),
                .offset = ByteOffset(block * kBlockBytes),
                .length = ByteCount(kBlockBytes)};
    }

    LabClock clock;
    Primary primary{options.group, kKeepLine, options.volume_bytes};
};

}  // namespace everstep::journal::lab
