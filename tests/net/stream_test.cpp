#include <deque>

#include "tests/net/harness.hpp"

namespace everstep::net {
namespace {

class StreamTest : public PairTest {};
EVERSTEP_ALL_KINDS(StreamTest);

// A stream of bytes in which every place differs; sender and receiver make the same one.
class Sequence {
  public:
    explicit Sequence(std::uint64_t seed) : state_(seed | 1) {}
    void fill(MutableBytes bytes) {
        for (std::byte& byte : bytes) byte = next();
    }
    [[nodiscard]] bool matches(Bytes bytes) {
        bool same = true;
        for (const std::byte byte : bytes) same = byte == next() && same;
        return same;
    }

  private:
    std::byte next() {
        state_ = state_ * 6364136223846793005U + 1442695040888963407U;
        return static_cast<std::byte>(state_ >> 56);
    }
    std::uint64_t state_;
};

// Sends `total` bytes of a sequence in writes of `sizes`, at most 4 MiB of them queued.
class Sender {
  public:
    Sender(Stream& stream, std::size_t total, std::uint64_t seed,
           std::function<std::size_t()> sizes)
        : stream_(stream), left_(total), sequence_(seed), sizes_(std::move(sizes)) {}
    void pump() {
        while (left_ > 0 && stream_.queued_bytes() < (4U << 20)) {
            const auto data = std::make_shared<std::vector<std::byte>>(std::min(left_, sizes_()));
            sequence_.fill(*data);
            stream_.write(*data, data);
            left_ -= data->size();
        }
    }

  private:
    Stream& stream_;
    std::size_t left_;
    Sequence sequence_;
    std::function<std::size_t()> sizes_;
};

struct Receiver {
    explicit Receiver(std::uint64_t seed) : sequence(seed) {}
    void take(Bytes bytes) {
        intact = sequence.matches(bytes) && intact && bytes.size() <= (1U << 20);
        got += bytes.size();
    }
    Sequence sequence;
    std::size_t got = 0;
    bool intact = true;
};

// Both ways at once, writes from one byte to two MiB.
TEST_P(StreamTest, BytesArriveIntactBothWays) {
    constexpr std::size_t kTotal = 64U << 20;
    std::mt19937_64 random(test_seed());
    const auto sizes = [&random] {
        const std::size_t bits = random() % 22;
        return 1 + random() % (std::size_t{1} << bits);
    };
    Receiver at_server(1);
    Receiver at_client(2);
    Sender to_server(*client_, kTotal, 1, sizes);
    Sender to_client(*server_, kTotal, 2, sizes);
    int closed = 0;
    server_->start({.on_bytes = [&](Bytes bytes) { at_server.take(bytes); },
                    .on_drained = [&] { to_client.pump(); },
                    .on_closed = [&](const Status&) { ++closed; }});
    client_->start({.on_bytes = [&](Bytes bytes) { at_client.take(bytes); },
                    .on_drained = [&] { to_server.pump(); },
                    .on_closed = [&](const Status&) { ++closed; }});
    to_server.pump();
    to_client.pump();
    ASSERT_TRUE(
        until([&] { return closed > 0 || (at_server.got == kTotal && at_client.got == kTotal); }));
    EXPECT_EQ(closed, 0);
    EXPECT_TRUE(at_server.intact);
    EXPECT_TRUE(at_client.intact);
    EXPECT_EQ(client_->queued_bytes(), 0U);
}

TEST_P(StreamTest, AHundredThousandTinyWritesArriveInOrder) {
    constexpr std::size_t kTotal = 200000;
    Receiver at_server(3);
    std::size_t n = 0;
    Sender to_server(*client_, kTotal, 3, [&n] { return 1 + ++n % 3; });
    server_->start({.on_bytes = [&](Bytes bytes) { at_server.take(bytes); },
                    .on_drained = {},
                    .on_closed = {}});
    client_->start({});
    to_server.pump();
    ASSERT_TRUE(until([&] { return at_server.got == kTotal; }));
    EXPECT_TRUE(at_server.intact);
}

TEST_P(StreamTest, OneHugeWriteArrivesIntactAndIsLetGo) {
    const auto data = std::make_shared<std::vector<std::byte>>(48U << 20);
    Sequence(4).fill(*data);
    Receiver at_server(4);
    server_->start({.on_bytes = [&](Bytes bytes) { at_server.take(bytes); },
                    .on_drained = {},
                    .on_closed = {}});
    client_->write(*data, data);
    EXPECT_EQ(client_->queued_bytes(), data->size());
    ASSERT_TRUE(until([&] { return at_server.got == data->size(); }));
    EXPECT_TRUE(at_server.intact);
    EXPECT_EQ(data.use_count(), 1) << "kept only until sent";
}

TEST_P(StreamTest, AnEmptyWriteIsNothing) {
    int drained = 0;
    client_->start({.on_bytes = {}, .on_drained = [&] { ++drained; }, .on_closed = {}});
    client_->write_copy({});
    settle();
    EXPECT_EQ(drained, 0);
}

TEST_P(StreamTest, FinishSendsWhatIsQueuedThenEndsCleanlyOnBothSides) {
    constexpr std::size_t kTotal = 4U << 20;
    Receiver at_server(5);
    std::optional<Status> server_end;
    std::optional<Status> client_end;
    Sender to_server(*client_, kTotal, 5, [] { return std::size_t{100000}; });
    server_->start({.on_bytes = [&](Bytes bytes) { at_server.take(bytes); },
                    .on_drained = {},
                    .on_closed = [&](const Status& status) { server_end = status; }});
    client_->start({.on_bytes = {}, .on_drained = {}, .on_closed = [&](const Status& status) {
                        client_end = status;
                    }});
    to_server.pump();
    client_->finish();
    client_->write_copy(bytes_of("too late"));
    ASSERT_TRUE(until([&] { return server_end && client_end; }));
    EXPECT_TRUE(server_end->ok()) << server_end->message();
    EXPECT_TRUE(client_end->ok()) << client_end->message();
    EXPECT_EQ(at_server.got, kTotal);
    EXPECT_TRUE(at_server.intact);
}

// A request, then the end of the requests: its answer still leaves.
TEST_P(StreamTest, AnAnswerQueuedWhenThePeerEndedStillArrives) {
    std::string answer;
    bool ended = false;
    server_->start({.on_bytes = [&](Bytes bytes) { server_->write_copy(bytes); },
                    .on_drained = {},
                    .on_closed = {}});
    client_->start({.on_bytes = [&](Bytes bytes) { answer += text_of(bytes); },
                    .on_drained = {},
                    .on_closed = [&](const Status&) { ended = true; }});
    client_->write_copy(bytes_of("question"));
    client_->finish();
    ASSERT_TRUE(until([&] { return ended; }));
    EXPECT_EQ(answer, "question");
}

TEST_P(StreamTest, PausedReadingHoldsThePeerBackAndLosesNothing) {
    constexpr std::size_t kTotal = 48U << 20;
    Receiver at_server(6);
    const auto data = std::make_shared<std::vector<std::byte>>(kTotal);
    Sequence(6).fill(*data);
    server_->start({.on_bytes =
                        [&](Bytes bytes) {
                            at_server.take(bytes);
                            server_->pause_reading(true);
                        },
                    .on_drained = {},
                    .on_closed = {}});
    client_->write(*data, data);
    ASSERT_TRUE(until([&] { return at_server.got > 0; }));
    const std::size_t got = at_server.got;
    settle();
    EXPECT_EQ(at_server.got, got);
    EXPECT_GT(client_->queued_bytes(), kTotal / 4) << "the kernel's buffers hold the rest";
    const bool done = until([&] {
        server_->pause_reading(false);
        return at_server.got == kTotal;
    });
    EXPECT_TRUE(done);
    EXPECT_TRUE(at_server.intact);
}

TEST_P(StreamTest, APeerThatGoesAwayIsToldOnce) {
    int ends = 0;
    Status end;
    server_->start({.on_bytes = {}, .on_drained = {}, .on_closed = [&](const Status& status) {
                        ++ends;
                        end = status;
                    }});
    client_.reset();
    ASSERT_TRUE(until([&] { return ends > 0; }));
    if (GetParam() == Kind::tls) {
        EXPECT_EQ(end.code(), ErrorCode::closed);
        EXPECT_NE(end.message().find("connection cut"), std::string::npos) << end.message();
    } else {
        EXPECT_TRUE(end.ok()) << end.message();
    }
    server_->write_copy(bytes_of("into the void"));
    settle();
    EXPECT_EQ(ends, 1);
    EXPECT_EQ(server_->queued_bytes(), 0U);
}

TEST_P(StreamTest, AWriterIsToldOfAPeerThatIsGone) {
    bool ended = false;
    const auto data = std::make_shared<std::vector<std::byte>>(32U << 20);
    server_->start({.on_bytes = {}, .on_drained = {}, .on_closed = [&](const Status& status) {
                        ended = true;
                        EXPECT_EQ(status.code(), ErrorCode::closed) << status.message();
                    }});
    client_->start({});
    client_->pause_reading(true);
    server_->write(*data, data);
    settle();
    EXPECT_GT(server_->queued_bytes(), 0U);
    client_.reset();
    ASSERT_TRUE(until([&] { return ended; }));
    EXPECT_EQ(data.use_count(), 1);
}

TEST_P(StreamTest, NamesAndAddressesAreKnown) {
    const bool tls = GetParam() == Kind::tls;
    EXPECT_EQ(client_->peer_name(), tls ? "alpha" : "");
    EXPECT_EQ(server_->peer_name(), tls ? "beta" : "");
    const std::string prefix = GetParam() == Kind::unix_socket ? "unix:/" : "127.0.0.1:";
    EXPECT_TRUE(client_->peer_address().starts_with(prefix)) << client_->peer_address();
    EXPECT_TRUE(server_->peer_address().starts_with(prefix)) << server_->peer_address();
}

}  // namespace
}  // namespace everstep::net
