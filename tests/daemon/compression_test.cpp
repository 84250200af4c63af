// When `auto` compresses, what a sealed group of frames is like under each setting, and that
// nothing is compressed while an answer waits.
#include "daemon/compression.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "daemon/capture.hpp"
#include "daemon/resync_frame.hpp"

namespace everstep::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr std::uint64_t kMiB = 1U << 20;

// Frames of 256 KiB that are sealed to a share of that, in so much time each.
struct Cost {
    double left = 1;
    nanoseconds took{0};
};

// Seals `bytes`; gives how many of them were compressed.
std::uint64_t seal_all(AutoCompression& policy, std::uint64_t bytes, const Cost& cost,
                       nanoseconds& now) {
    constexpr std::uint64_t kFrame = 256U << 10;
    std::uint64_t compressed = 0;
    for (std::uint64_t at = 0; at < bytes; at += kFrame) {
        now += nanoseconds(1);
        if (!policy.wanted(kFrame, now)) continue;
        compressed += kFrame;
        policy.compressed(kFrame, static_cast<std::uint64_t>(kFrame * cost.left), cost.took);
    }
    return compressed;
}

constexpr Cost kGood{0.3, milliseconds(1)};
constexpr Cost kNoise{1.0, milliseconds(1)};
constexpr Cost kSlow{0.8, milliseconds(10)};  // 52 KiB saved in 10 ms: 5 MB/s
constexpr Cost kLittle{0.95, nanoseconds(1000)};

TEST(AutoCompression, WhatPaysIsCompressed) {
    AutoCompression policy;
    nanoseconds now{0};
    EXPECT_EQ(seal_all(policy, 500 * kMiB, kGood, now), 500 * kMiB);
    EXPECT_TRUE(policy.pays());
}

TEST(AutoCompression, WhatDoesNotPayIsTriedLessAndLess) {
    for (const Cost& cost : {kNoise, kSlow, kLittle}) {
        AutoCompression policy;
        nanoseconds now{0};
        EXPECT_EQ(seal_all(policy, 17 * kMiB, cost, now), kMiB);
        EXPECT_FALSE(policy.pays());
        EXPECT_LE(seal_all(policy, 1000 * kMiB, cost, now), 6 * kMiB);
        const std::uint64_t tried = seal_all(policy, 40'000 * kMiB, cost, now);
        EXPECT_LE(tried, 45 * kMiB);
        EXPECT_GE(tried, 35 * kMiB);  // and it goes on to be tried
    }
}

TEST(AutoCompression, ItIsTriedAgainAfterAMinuteHoweverLittleIsWritten) {
    AutoCompression policy;
    nanoseconds now{0};
    seal_all(policy, kMiB, kNoise, now);
    EXPECT_EQ(seal_all(policy, kMiB, kGood, now), 0U);
    now += seconds(59);
    EXPECT_EQ(seal_all(policy, kMiB, kGood, now), 0U);
    now += seconds(1);
    EXPECT_EQ(seal_all(policy, 100 * kMiB, kGood, now), 100 * kMiB);
    EXPECT_TRUE(policy.pays());
    // Data changes: it stops within a MiB or so, and begins again with a short rest.
    EXPECT_LE(seal_all(policy, 10 * kMiB, kNoise, now), 2 * kMiB);
    EXPECT_FALSE(policy.pays());
    EXPECT_GE(seal_all(policy, 100 * kMiB, kGood, now), 80 * kMiB);
}

struct HandClock : Clock {
    nanoseconds now{0};
    [[nodiscard]] WallTime wall() const override { return WallTime(now); }
    [[nodiscard]] nanoseconds boot() const override { return now; }
};

class Sealing : public testing::Test {
  protected:
    Sealing() {
        CaptureOptions options;
        options.group = Uuid::random();
        options.tip.point.timeline = TimelineId(Uuid::random().bytes());
        options.clock = &clock;
        options.seal_every_batch = true;
        options.compression = control;
        capture = std::make_unique<Capture>(
            loop, options, [this](const FramePtr& frame) { frames.push_back(frame); },
            [](const std::string&, const std::string&) {});
    }
    void write(bool text, std::size_t bytes = 64U << 10) {
        std::vector<std::byte> data(bytes);
        for (std::size_t at = 0; at < bytes; ++at)
            data[at] = static_cast<std::byte>(text ? at / 64 : random());
        CapturedWrite one;
        one.kind = EntryKind::data;
        one.length = ByteCount(bytes);
        one.payload = data;
        capture->captured(one);
        written.push_back(std::move(data));
    }
    void expect_all_there() const {
        std::size_t n = 0;
        Buffer unpacked;
        for (const FramePtr& frame : frames) {
            for (const FrameEntry& entry : frame->entries()) {
                const auto data = frame->payload(entry, unpacked);
                ASSERT_TRUE(data.ok());
                EXPECT_TRUE(std::ranges::equal(*data, written.at(n++)));
            }
        }
        EXPECT_EQ(n, written.size());
    }
    std::mt19937_64 random{7};
    net::Loop loop;
    HandClock clock;
    std::shared_ptr<CompressionControl> control = std::make_shared<CompressionControl>();
    std::vector<FramePtr> frames;
    std::vector<std::vector<std::byte>> written;
    std::unique_ptr<Capture> capture;
};

TEST_F(Sealing, TheSettingCountsFromTheNextFrameOn) {
    const std::pair<CompressionSetting, bool> settings[] = {
        {{}, false}, {{false, 1}, true}, {{false, 9}, true}, {{}, false}, {{true, 0}, true}};
    for (const auto& [setting, compressed] : settings) {
        control->set(setting);
        frames.clear();
        written.clear();
        write(true);
        capture->seal();
        ASSERT_EQ(frames.size(), 1U);
        EXPECT_EQ(frames[0]->header().compressed, compressed) << compression_name(setting);
        expect_all_there();
    }
    const Value status = control->status();
    EXPECT_EQ(status.at("setting").text(), "auto");
    EXPECT_GT(status.at("bytes").number(), 5U * (64U << 10));
    EXPECT_LT(status.at("sealed_bytes").number(), 3U * (64U << 10));
}

TEST_F(Sealing, AFrameOfWhatCannotBePackedIsAsItWas) {
    control->set({false, 3});
    write(false);
    write(true);
    write(false);
    capture->seal();
    ASSERT_EQ(frames.size(), 1U);
    const auto& entries = frames[0]->entries();
    EXPECT_FALSE(frames[0]->stored(entries[0]).packed());
    EXPECT_TRUE(frames[0]->stored(entries[1]).packed());
    expect_all_there();
    write(false);
    capture->seal();
    EXPECT_FALSE(frames[1]->header().compressed);
    expect_all_there();
}

// The content of a copy, as extents of 1 MiB.
TEST_F(Sealing, WhatACopyBringsIsPackedWhereItPaysAndTriedByItself) {
    int measured = 0;
    control = std::make_shared<CompressionControl>([&] {
        ++measured;
        return nanoseconds(measured);
    });
    control->set({true, 0});
    FrameCompressor compressor(control, clock, control->copies());
    std::vector<std::byte> content(kMiB);
    const auto sealed_bytes = [&] {
        const ResyncExtent extent{VolumeIndex(0), ByteOffset(0), ByteCount(kMiB)};
        const Point as_of{Uuid::random(), Lsn(1)};
        const ResyncFrame made =
            make_resync_frame({Uuid::random(), as_of, extent}, content, nullptr, &compressor);
        EXPECT_EQ(made.differing_bytes, kMiB);
        Buffer unpacked;
        const auto data = made.frame->payload(made.frame->entries()[0], unpacked);
        EXPECT_TRUE(data.ok() && std::ranges::equal(*data, content));
        return made.frame->bytes().size();
    };
    for (std::size_t at = 0; at < kMiB; ++at) content[at] = static_cast<std::byte>(1 + at / 64);
    for (int n = 0; n < 8; ++n) EXPECT_LT(sealed_bytes(), kMiB / 4);
    EXPECT_EQ(measured, 16);
    for (std::byte& one : content) one = static_cast<std::byte>(random());
    for (int n = 0; n < 8; ++n) EXPECT_GE(sealed_bytes(), kMiB);
    EXPECT_LE(measured, 20) << "noise is left alone after a try or two";
    const Value status = control->status();
    EXPECT_GT(status.at("copies").at("bytes").number(), 16 * kMiB);
    EXPECT_LT(status.at("copies").at("sealed_bytes").number(), 10 * kMiB + (64U << 10));
    EXPECT_FALSE(status.at("copies").at("working").text() == "true");
    EXPECT_EQ(status.at("bytes").number(), 0U) << "they are no writes";
    control->set({});
    EXPECT_GE(sealed_bytes(), kMiB);
    EXPECT_EQ(status.at("setting").text(), "auto");
}

// The replies of a batch leave when end_of_batch() has returned.
TEST_F(Sealing, NothingIsCompressedBeforeTheAnswersOfABatchHaveLeft) {
    control->set({false, 1});
    write(true);
    capture->end_of_batch();
    EXPECT_TRUE(frames.empty());
    for (int n = 0; n < 3; ++n) write(true, 128U << 10);  // more than a frame
    EXPECT_LE(frames.size(), 1U);  // the one before it, as its writes go before those
    const std::size_t before = frames.size();
    capture->end_of_batch();
    EXPECT_EQ(frames.size(), before);
    const auto end = std::chrono::steady_clock::now() + seconds(60);
    net::Timer poll(loop);
    poll.every(milliseconds(1), [&] {
        if (frames.size() > before || std::chrono::steady_clock::now() > end) loop.stop();
    });
    loop.run();
    EXPECT_GT(frames.size(), before);
    expect_all_there();
    control->set({});
    write(true);
    capture->end_of_batch();
    expect_all_there();  // without compression at once
}

}  // namespace
}  // namespace everstep::daemon
