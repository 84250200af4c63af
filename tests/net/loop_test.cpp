#include "common/net/loop.hpp"

#include <csignal>
#include <optional>
#include <thread>

#include "tests/net/harness.hpp"

namespace everstep::net {
namespace {

using LoopTest = NetTest;
using std::chrono::milliseconds;

TEST_F(LoopTest, PostedWorkOfOneThreadRunsInItsOrder) {
    std::array<std::vector<int>, 4> seen;
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < seen.size(); ++t)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 10000; ++i) loop_.post([&, t, i] { seen[t].push_back(i); });
        });
    EXPECT_TRUE(until([&] {
        return std::all_of(seen.begin(), seen.end(),
                           [](const auto& s) { return s.size() == 10000; });
    }));
    for (std::thread& thread : threads) thread.join();
    for (const auto& s : seen) EXPECT_TRUE(std::is_sorted(s.begin(), s.end()));
}

TEST_F(LoopTest, WhatWasPostedBeforeStopStillRuns) {
    int ran = 0;
    std::thread other([&] {
        for (int i = 0; i < 1000; ++i) loop_.post([&] { ++ran; });
        loop_.stop();
    });
    loop_.run();
    other.join();
    EXPECT_EQ(ran, 1000);
    loop_.post([&] {
        EXPECT_TRUE(loop_.on_this_thread());
        loop_.post([&] { ++ran; });
        loop_.stop();
    });
    EXPECT_FALSE(loop_.on_this_thread());
    loop_.run();
    EXPECT_EQ(ran, 1001);
}

TEST_F(LoopTest, ATimerFiresOnceAfterItsDelay) {
    int fired = 0;
    Timer timer(loop_);
    const auto begin = std::chrono::steady_clock::now();
    timer.after(milliseconds(30), [&] { ++fired; });
    ASSERT_TRUE(until([&] { return fired > 0; }));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(30));
    settle();
    EXPECT_EQ(fired, 1);
}

TEST_F(LoopTest, CancelledAndReplacedTimersStaySilent) {
    int wrong = 0;
    int right = 0;
    Timer timer(loop_);
    timer.after(milliseconds(1), [&] { ++wrong; });
    timer.after(milliseconds(2), [&] { ++right; });
    Timer cancelled(loop_);
    cancelled.every(milliseconds(1), [&] { ++wrong; });
    cancelled.cancel();
    {
        Timer destroyed(loop_);
        destroyed.after(milliseconds(0), [&] { ++wrong; });
    }
    ASSERT_TRUE(until([&] { return right == 1; }));
    settle();
    EXPECT_EQ(wrong, 0);
}

TEST_F(LoopTest, ATimerMayReplaceOrDestroyItselfInItsCallback) {
    const auto alive = std::make_shared<int>(0);  // its count says whether the callback is gone
    std::optional<Timer> timer(std::in_place, loop_);
    int fired = 0;
    timer->every(milliseconds(1), [&, alive] {
        if (++fired < 5) return;
        timer->after(milliseconds(1), [&, alive] {
            timer.reset();
            fired = 100;
        });
    });
    ASSERT_TRUE(until([&] { return fired == 100; }));
    settle();
    EXPECT_EQ(fired, 100);
    EXPECT_EQ(alive.use_count(), 1);
}

TEST_F(LoopTest, SignalsArriveAsCallbacks) {
    std::vector<int> seen;
    auto signals = std::make_unique<Signals>(loop_, [&](int signal) { seen.push_back(signal); });
    ::raise(SIGHUP);
    ASSERT_TRUE(until([&] { return seen.size() == 1; }));
    ::raise(SIGTERM);
    ASSERT_TRUE(until([&] { return seen.size() == 2; }));
    EXPECT_EQ(seen, (std::vector<int>{SIGHUP, SIGTERM}));
    signals = std::make_unique<Signals>(loop_, [&](int) { signals.reset(); });
    ::raise(SIGINT);
    ASSERT_TRUE(until([&] { return !signals; }));
}

}  // namespace
}  // namespace everstep::net
