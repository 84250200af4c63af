// Callbacks that close or destroy what they belong to. AddressSanitizer sees what goes wrong here.
#include "tests/net/harness.hpp"

namespace everstep::net {
namespace {

class LifetimeTest : public PairTest {
  protected:
    // Callbacks hold it: its count says whether they are gone.
    std::shared_ptr<int> held_ = std::make_shared<int>(0);
};
EVERSTEP_ALL_KINDS(LifetimeTest);

TEST_P(LifetimeTest, DestroyedInOnBytes) {
    server_->start({.on_bytes =
                        [this, held = held_](Bytes) {
                            server_->write_copy(bytes_of("never sent"));
                            server_.reset();
                            *held += 1;  // still there: a callback is not destroyed while it runs
                        },
                    .on_drained = {},
                    .on_closed = [held = held_](const Status&) { *held += 100; }});
    client_->write_copy(bytes_of("x"));
    ASSERT_TRUE(until([this] { return !server_; }));
    settle();
    EXPECT_EQ(*held_, 1) << "no on_closed after our own close";
    EXPECT_EQ(held_.use_count(), 1);
}

TEST_P(LifetimeTest, DestroyedInOnDrained) {
    client_->start({.on_bytes = {},
                    .on_drained =
                        [this, held = held_] {
                            client_.reset();
                            *held += 1;
                        },
                    .on_closed = [held = held_](const Status&) { *held += 100; }});
    client_->write_copy(bytes_of("x"));
    ASSERT_TRUE(until([this] { return !client_; }));
    settle();
    EXPECT_EQ(*held_, 1);
    EXPECT_EQ(held_.use_count(), 1);
}

TEST_P(LifetimeTest, DestroyedInOnClosed) {
    server_->start(
        {.on_bytes = {}, .on_drained = {}, .on_closed = [this, held = held_](const Status&) {
             server_.reset();
             *held += 1;
         }});
    client_.reset();
    ASSERT_TRUE(until([this] { return !server_; }));
    settle();
    EXPECT_EQ(*held_, 1);
    EXPECT_EQ(held_.use_count(), 1);
}

TEST_P(LifetimeTest, CloseLetsGoOfEverythingAndNothingFollows) {
    const auto data = std::make_shared<std::vector<std::byte>>(16U << 20);
    client_->start({.on_bytes = [held = held_](Bytes) { *held += 1; },
                    .on_drained = [held = held_] { *held += 1; },
                    .on_closed = [held = held_](const Status&) { *held += 1; }});
    client_->write(*data, data);
    client_->finish();
    client_->close();
    EXPECT_EQ(data.use_count(), 1);
    EXPECT_EQ(held_.use_count(), 1);
    client_->write_copy(bytes_of("x"));
    client_->pause_reading(true);
    client_->pause_reading(false);
    client_->finish();
    client_->close();
    settle();
    EXPECT_EQ(*held_, 0);
}

TEST_P(LifetimeTest, AStreamThatWasNeverStartedMayGo) {
    client_->write_copy(bytes_of("x"));
    settle();
    server_.reset();
    client_->write_copy(bytes_of("y"));
    settle();
    bool ended = false;
    client_->start(
        {.on_bytes = {}, .on_drained = {}, .on_closed = [&](const Status&) { ended = true; }});
    EXPECT_TRUE(until([&] { return ended; })) << "an end before start() is reported after it";
}

TEST_P(LifetimeTest, TheListenerMayBeDestroyedInAccept) {
    const bool tls = GetParam() == Kind::tls;
    StreamPtr got;
    auto made = Listener::make(
        loop_, "127.0.0.1:0", tls ? Certificates::get().context("alpha") : nullptr, {"beta"},
        [&, held = held_](StreamPtr stream) {
            got = std::move(stream);
            listener_.reset();
            *held += 1;
        },
        nullptr);
    ASSERT_TRUE(made.ok());
    listener_ = std::move(*made);
    const std::string address = listener_->address();
    std::vector<std::unique_ptr<Connecting>> others;
    int answers = 0;
    for (int i = 0; i < 5; ++i)
        others.push_back(
            connect(loop_, address, tls ? Certificates::get().context("beta") : nullptr, "alpha",
                    std::chrono::seconds(20), [&](const Result<StreamPtr>&) { ++answers; }));
    ASSERT_TRUE(until([&] { return got != nullptr && answers == 5; }));
    settle();
    EXPECT_EQ(*held_, 1);
    EXPECT_EQ(held_.use_count(), 1);
}

TEST_P(LifetimeTest, AConnectingHandleMayBeDestroyedInItsCallbackOrBefore) {
    const bool tls = GetParam() == Kind::tls;
    const auto context = tls ? Certificates::get().context("beta") : nullptr;
    const auto held = held_;
    connecting_ = connect(loop_, listener_->address(), context, "alpha", std::chrono::seconds(20),
                          [this, held](const Result<StreamPtr>&) {
                              connecting_.reset();
                              *held += 1;
                          });
    ASSERT_TRUE(until([&] { return *held == 1; }));
    for (int turns = 0; turns < 5; ++turns) {
        auto cancelled =
            connect(loop_, listener_->address(), context, "alpha", std::chrono::seconds(20),
                    [held](const Result<StreamPtr>&) { *held += 100; });
        int left = turns;
        EXPECT_TRUE(until([&] { return left-- <= 0; }));
        if (*held > 1) *held -= 100;  // it was quicker than we
        cancelled.reset();
        settle();
        EXPECT_EQ(*held, 1);
    }
}

}  // namespace
}  // namespace everstep::net
