// Gathered writes: whatever the memory, and whatever the kernel refuses, the file holds what was
// given, or the error is told and nothing is on its way any more.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "common/io/transfer_faults.hpp"
#include "common/io/uring.hpp"
#include "tests/io/scratch.hpp"

namespace everstep::io {
namespace {

constexpr OpenOptions kGather{.mode = OpenMode::create, .direct = true, .gather = true};

struct Refused {
    const char* name;
    TransferFaults faults;
};
void PrintTo(const Refused& one, std::ostream* to) {
    *to << one.name;
}

class GatherTest : public Scratch {
  protected:
    // By a thread of its own, which makes its ring under these faults.
    template <class Do>
    static void with(TransferFaults& faults, const Do& act) {
        std::thread([&] {
            transfer_faults() = &faults;
            act();
            transfer_faults() = nullptr;
        }).join();
    }
    // Joined ops over `bytes`, cut at random places, each in memory of its own without alignment.
    static std::vector<WriteOp> cut(std::uint64_t offset, Bytes bytes, std::mt19937_64& random,
                                    std::vector<std::vector<std::byte>>& memory) {
        std::vector<WriteOp> ops;
        memory.clear();
        memory.reserve(64);
        for (std::size_t at = 0; at < bytes.size();) {
            const std::size_t left = bytes.size() - at;
            const std::size_t count =
                memory.size() == 63 ? left : std::min<std::size_t>(left, random() % (600U << 10));
            memory.emplace_back(1 + count);
            std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), count,
                        memory.back().begin() + 1);
            ops.push_back({ByteOffset(offset + at), Bytes(memory.back()).subspan(1)});
            at += count;
        }
        return ops;
    }
    void expect_file(const std::string& name, Bytes wanted) const {
        const auto file = open(path(name), {});
        Buffer back(wanted.size());
        back.resize(wanted.size());
        ASSERT_OK(file->read_at(ByteOffset(0), back.bytes()));
        EXPECT_TRUE(same(back.bytes(), wanted));
    }
};

class GatherWays : public GatherTest, public ::testing::WithParamInterface<Refused> {};
INSTANTIATE_TEST_SUITE_P(Refused, GatherWays,
                         ::testing::Values(Refused{"Nothing", {}},
                                           Refused{"Ring", {.no_ring = true}},
                                           Refused{"Registration", {.no_registration = true}},
                                           Refused{"Direct", {.no_direct = true}},
                                           Refused{"Submission", {.submissions = 0}},
                                           Refused{"LaterSubmission", {.submissions = 6}}),
                         [](const auto& one) { return one.param.name; });

TEST_P(GatherWays, JoinedWritesOfAnyMemoryEqualTheModel) {
    std::mt19937_64 random(test_seed());
    constexpr std::size_t kSize = 8U << 20;
    Buffer model = filled(kSize, 1);
    TransferFaults faults = GetParam().faults;
    const GatherCounts before = gather_counts();
    with(faults, [&] {
        const auto file = open(path("f"), kGather);
        ASSERT_OK(file->write_at(ByteOffset(0), model.bytes()));
        std::vector<std::vector<std::byte>> memory;
        for (std::uint64_t round = 0; round < 40; ++round) {
            const std::size_t unit = round % 4 == 0 ? 1 : 4096;  // not each is aligned as a whole
            const std::size_t offset = random() % (kSize / unit) * unit;
            const std::size_t most = round % 2 == 0 ? 64U << 10 : 3U << 20;
            const std::size_t size =
                std::min((1 + random() % (most / unit)) * unit, kSize - offset);
            const Buffer data = filled(size, 1000 + round);
            ASSERT_OK(file->write(cut(offset, data.bytes(), random, memory)));
            std::copy_n(data.data(), size, model.data() + offset);
        }
        ASSERT_OK(file->write({}));
        ASSERT_OK(file->sync());
    });
    expect_file("f", model.bytes());
    const GatherCounts after = gather_counts();
    const bool taken = GetParam().faults.submissions > 0;
    EXPECT_EQ(after.registered > before.registered,
              taken && !faults.no_ring && !faults.no_registration && !faults.no_direct);
    EXPECT_EQ(after.unregistered > before.unregistered,
              GetParam().name == std::string("Registration"));
    EXPECT_EQ(after.single > before.single,
              faults.no_ring || faults.no_direct || GetParam().faults.submissions != UINT64_MAX);
}

// Some go past the page cache and some through it, beside one another and over one another.
TEST_P(GatherWays, CachedWritesBesideGatheredOnesEqualTheModel) {
    std::mt19937_64 random(test_seed());
    constexpr std::size_t kSize = 2U << 20;
    Buffer model = filled(kSize, 1);
    TransferFaults faults = GetParam().faults;
    with(faults, [&] {
        const auto file = open(path("f"), kGather);
        ASSERT_OK(file->write_at(ByteOffset(0), model.bytes()));
        std::vector<std::vector<std::byte>> memory;
        for (std::uint64_t round = 0; round < 200; ++round) {
            const std::size_t offset = random() % (kSize / 4096) * 4096;
            const std::size_t size = std::min((1 + random() % 8) * 4096, kSize - offset);
            const Buffer data = filled(size, 5000 + round);
            const std::vector<WriteOp> ops = cut(offset, data.bytes(), random, memory);
            ASSERT_OK(random() % 2 == 0 ? file->write(ops) : file->write_cached(ops));
            std::copy_n(data.data(), size, model.data() + offset);
            if (round % 16 == 0) ASSERT_OK(file->sync());
        }
        ASSERT_OK(file->sync());
    });
    expect_file("f", model.bytes());
}

TEST_P(GatherWays, AShortWriteIsFinished) {
    std::mt19937_64 random(test_seed());
    const Buffer data = filled(5U << 20, 3);
    TransferFaults faults = GetParam().faults;
    faults.write = [&](std::uint64_t, std::size_t size) {
        return static_cast<std::int64_t>(random() % 3 == 0 ? 1 + random() % size : size);
    };
    with(faults, [&] {
        const auto file = open(path("f"), kGather);
        for (int round = 0; round < 5; ++round)
            ASSERT_OK(file->write_at(ByteOffset(0), data.bytes()));
        ASSERT_OK(file->sync());
    });
    expect_file("f", data.bytes());
}

// Each request in turn: the error is told with its place, and the next write is whole.
TEST_P(GatherWays, AFailedRequestIsToldAndLeavesNothingBehind) {
    const Buffer data = filled(2U << 20, 4);
    const Buffer again = filled(2U << 20, 5);
    TransferFaults faults = GetParam().faults;
    with(faults, [&] {
        const auto file = open(path("f"), kGather);
        for (const auto& [error, code] :
             {std::pair{EIO, ErrorCode::io}, {ENOSPC, ErrorCode::no_space}})
            for (std::uint64_t bad = 0; bad < data.size(); bad += kGatherBytes) {
                faults.write = [&, wrong = error](std::uint64_t offset, std::size_t size) {
                    return offset == bad ? -wrong : static_cast<std::int64_t>(size);
                };
                const Status status = file->write_at(ByteOffset(0), data.bytes());
                EXPECT_EQ(status.code(), code) << bad;
                EXPECT_NE(status.message().find("at offset " + std::to_string(bad)),
                          std::string::npos)
                    << status.message();
                faults.write = nullptr;
                ASSERT_OK(file->write_at(ByteOffset(0), again.bytes()));
                expect_file("f", again.bytes());
            }
        // A device that is full: nothing is moved, and that is told too.
        faults.write = [](std::uint64_t, std::size_t) { return std::int64_t{0}; };
        EXPECT_EQ(file->write_at(ByteOffset(0), data.bytes()).code(), ErrorCode::no_space);
    });
}

// A device that wants a coarser alignment than 4096 says EINVAL: then through the page cache.
TEST_F(GatherTest, WhatIsRefusedAsDirectGoesThroughThePageCache) {
    const Buffer data = filled(3U << 20, 6);
    for (const bool no_ring : {false, true}) {
        std::map<std::uint64_t, int> asked;
        const int refusals = no_ring ? 1 : 2;  // by the ring, then as a direct write alone
        TransferFaults faults{.no_ring = no_ring};
        faults.write = [&](std::uint64_t offset, std::size_t size) {
            return offset % (512U << 10) == 0 && asked[offset]++ < refusals
                       ? -EINVAL
                       : static_cast<std::int64_t>(size);
        };
        const std::string name = no_ring ? "f" : "g";
        with(faults, [&] {
            const auto file = open(path(name), kGather);
            ASSERT_OK(file->write_at(ByteOffset(0), data.bytes()));
            ASSERT_OK(file->sync());
        });
        EXPECT_EQ(asked.size(), 6U);
        expect_file(name, data.bytes());
    }
}

// The child of a process that has registered buffers, under a limit that allows none.
TEST_F(GatherTest, AChildWithoutLockedMemoryWritesFromItsOwnBuffers) {
    const Buffer data = filled(1U << 20, 7);
    const Buffer of_child = filled(1U << 20, 8);
    const auto file = open(path("f"), kGather);
    ASSERT_OK(file->write_at(ByteOffset(0), data.bytes()));
    const pid_t child = ::fork();
    if (child == 0) {
        const rlimit none{0, 0};
        if (::setrlimit(RLIMIT_MEMLOCK, &none) != 0) ::_exit(1);
        if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) ::_exit(2);
        const GatherCounts before = gather_counts();
        if (!file->write_at(ByteOffset(1U << 20), of_child.bytes()).ok()) ::_exit(3);
        ::_exit(gather_counts().registered == before.registered ? 0 : 4);
    }
    ASSERT_OK(file->write_at(ByteOffset(2U << 20), data.bytes()));
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    Buffer all;
    all.append(data.bytes());
    all.append(of_child.bytes());
    all.append(data.bytes());
    expect_file("f", all.bytes());
}

// Threads with rings of their own, one file each.
TEST_F(GatherTest, ThreadsDoNotMeet) {
    std::vector<std::thread> threads;
    for (std::uint64_t n = 0; n < 4; ++n)
        threads.emplace_back([&, n] {
            const std::string name = "f" + std::to_string(n);
            const auto file = open(path(name), kGather);
            const Buffer data = filled(2U << 20, 20 + n);
            for (int round = 0; round < 10; ++round)
                ASSERT_OK(file->write_at(ByteOffset(0), data.bytes()));
            expect_file(name, data.bytes());
        });
    for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace everstep::io
