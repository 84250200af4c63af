// The simulator as a test: a seed is one course of events, 200 seeds hold, the seeds that once
// found something hold, and its checkers can fail (docs/simulator.md).
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <regex>

#include "tests/sim/expectation.hpp"

namespace everstep::sim {
namespace {

struct Ran {
    int status = -1;
    std::string out;
};

Ran run(const std::string& command) {
    Ran ran;
    std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
    if (pipe == nullptr) return ran;
    std::array<char, 4096> piece{};
    for (std::size_t got = 0; (got = std::fread(piece.data(), 1, piece.size(), pipe)) > 0;)
        ran.out.append(piece.data(), got);
    const int status = ::pclose(pipe);
    ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return ran;
}

TEST(Simulator, ASeedIsOneCourseOfEventsByteForByte) {
    if (std::string(EVERSTEP_SIM).empty()) GTEST_SKIP() << "no simulator with a sanitizer";
    for (const char* seed : {"3", "20", "33"}) {
        const std::string command = std::string(EVERSTEP_SIM) + ' ' + seed + " 150 --trace";
        const Ran first = run(command);
        const Ran second = run(command);
        EXPECT_EQ(first.status, 0) << first.out.substr(first.out.size() / 2);
        EXPECT_GT(first.out.size(), 1000U);
        EXPECT_TRUE(first.out == second.out) << "seed " << seed;
        EXPECT_TRUE(std::regex_search(first.out, std::regex("hash [0-9a-f]+ seconds")));
    }
}

TEST(Simulator, TwoHundredSeedsHold) {
    if (std::string(EVERSTEP_SIM).empty()) GTEST_SKIP() << "no simulator with a sanitizer";
    const Ran ran = run(std::string(EVERSTEP_ROOT) + "/scripts/swarm 200 --operations 150 --sim " +
                        EVERSTEP_SIM);
    std::printf("%s", ran.out.c_str());
    EXPECT_EQ(ran.status, 0);
}

class Expectations : public ::testing::Test {
  protected:
    [[nodiscard]] std::string found(std::uint64_t operation) const {
        std::vector<std::byte> sector(kSectorBytes);
        put_stamp({operation, 0, 3}, sector);
        return expectation_.check(0, 3, sector);
    }
    void write(std::uint64_t operation, bool kept) {
        expectation_.begun(operation, {0, 0, 8}, false);
        expectation_.answered(operation, {0, 0, 8}, kept);
    }
    Expectation expectation_{{ByteCount(8 * kSectorBytes)}};
};

TEST_F(Expectations, AnAnsweredWriteHidesTheOlderOnes) {
    EXPECT_EQ(found(0), "");
    write(1, false);
    EXPECT_EQ(found(1), "");
    EXPECT_NE(found(0), "");
    expectation_.begun(2, {0, 0, 8}, false);
    EXPECT_EQ(found(1), "");
    EXPECT_EQ(found(2), "");
    expectation_.answered(2, {0, 0, 8}, false);
    EXPECT_NE(found(1), "");
}

TEST_F(Expectations, ALostCacheUncoversWhatWasNotFlushed) {
    write(1, false);
    expectation_.flushed(0, {1});
    write(2, false);
    expectation_.device_lost(false);
    EXPECT_EQ(found(2), "");
    EXPECT_EQ(found(1), "");
    EXPECT_NE(found(0), "");
}

TEST_F(Expectations, ATakeoverKeepsWhatWasKept) {
    write(1, true);
    write(2, false);
    expectation_.taken_over();
    EXPECT_EQ(found(2), "");
    EXPECT_EQ(found(1), "");
    EXPECT_NE(found(0), "");
}

TEST_F(Expectations, OtherBytesAreNeverRight) {
    std::vector<std::byte> sector(kSectorBytes, std::byte{7});
    EXPECT_NE(expectation_.check(0, 3, sector), "");
    put_stamp({1, 0, 4}, sector);
    write(1, false);
    EXPECT_NE(expectation_.check(0, 3, sector), "") << "a sector in another's place";
    put_stamp({1, 0, 3}, sector);
    sector[511] ^= std::byte{1};
    EXPECT_NE(expectation_.check(0, 3, sector), "") << "a torn one";
}

}  // namespace
}  // namespace everstep::sim
