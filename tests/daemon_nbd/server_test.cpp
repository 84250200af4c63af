// The server over real sockets, with clients that behave badly. Real NBD programs are in
// clients_test.py.
#include "daemon/nbd_server.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <thread>

#include "tests/daemon_nbd/client_bytes.hpp"
#include "tests/daemon_nbd/memory_device.hpp"

namespace everstep::test {
namespace {

constexpr std::uint64_t kSize = 64U << 20;
constexpr auto kDeadline = std::chrono::seconds(20);

// A client that sends and receives bytes, each within a deadline.
class RawClient {
  public:
    explicit RawClient(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::copy(path.begin(), path.end(), address.sun_path);
        if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
            throw std::runtime_error("connect " + path);
    }
    ~RawClient() { ::close(fd_); }
    RawClient(const RawClient&) = delete;
    RawClient& operator=(const RawClient&) = delete;

    void send(Bytes bytes) {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent <= 0) throw std::runtime_error("send");
            bytes = bytes.subspan(static_cast<std::size_t>(sent));
        }
    }
    // As many bytes as the socket takes within 200 ms of standstill.
    std::size_t send_until_stuck(Bytes bytes) {
        std::size_t total = 0;
        while (total < bytes.size()) {
            pollfd poll{fd_, POLLOUT, 0};
            if (::poll(&poll, 1, 200) <= 0) break;
            const ssize_t sent = ::send(fd_, bytes.data() + total, bytes.size() - total,
                                        MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent <= 0) break;
            total += static_cast<std::size_t>(sent);
        }
        return total;
    }
    ByteVector receive(std::size_t count) {
        ByteVector bytes(count);
        for (std::size_t got = 0; got < count;) {
            const ssize_t n = read_some(MutableBytes(bytes).subspan(got));
            if (n <= 0) throw std::runtime_error("the server closed the connection");
            got += static_cast<std::size_t>(n);
        }
        return bytes;
    }
    bool closed_by_server() {
        std::array<std::byte, 4096> bytes;
        while (true) {
            const ssize_t n = read_some(bytes);
            if (n <= 0) return n == 0 || errno == ECONNRESET;
        }
    }
    // Up to the transmission phase, with simple replies.
    void enter(std::string_view name) {
        receive(kNbdGreetingBytes);
        ByteVector bytes = client_flags();
        append(bytes, option(NbdOption::export_name, std::as_bytes(std::span(name))));
        send(bytes);
        receive(kNbdExportNameReplyBytes);
    }
    Reply reply(std::size_t data = 0) {
        const ByteVector bytes = receive(kNbdSimpleReplyBytes + data);
        Bytes rest = bytes;
        return take_reply(rest, data);
    }

  private:
    ssize_t read_some(MutableBytes to) {
        pollfd poll{fd_, POLLIN, 0};
        if (::poll(&poll, 1, static_cast<int>(kDeadline / std::chrono::milliseconds(1))) <= 0)
            throw std::runtime_error("no answer within the deadline");
        return ::recv(fd_, to.data(), to.size(), 0);
    }
    int fd_;
};

class Server : public ::testing::Test {
  protected:
    template <class Work>
    auto on_loop(Work work) {
        std::promise<decltype(work())> promise;
        loop_.post([&] {
            if constexpr (std::is_void_v<decltype(work())>) {
                work();
                promise.set_value();
            } else {
                promise.set_value(work());
            }
        });
        return promise.get_future().get();
    }
    template <class Condition>
    bool wait_for(Condition condition) {
        const auto deadline = std::chrono::steady_clock::now() + kDeadline;
        while (!on_loop(condition)) {
            if (std::chrono::steady_clock::now() > deadline) return false;
            std::this_thread::yield();
        }
        return true;
    }

    Server() {
        char name[] = "/tmp/everstep-nbd-XXXXXX";
        directory_ = ::mkdtemp(name);
        path_ = directory_ + "/nbd.sock";
        auto server = NbdServer::make(loop_, "unix:" + path_,
                                      {{"data", "", &device_}, {"second", "", &second_}});
        if (!server.ok()) throw std::runtime_error(server.status().message());
        server_ = std::move(*server);
        thread_ = std::thread([this] { loop_.run(); });
    }
    ~Server() override {
        on_loop([this] {
            device_.hold = false;
            server_.reset();
            device_.release_all();
        });
        loop_.stop();
        thread_.join();
        std::filesystem::remove_all(directory_);
    }

    net::Loop loop_;
    MemoryDevice device_{kSize};
    MemoryDevice second_{kSize};
    std::string directory_;
    std::string path_;
    std::unique_ptr<NbdServer> server_;
    std::thread thread_;
};

TEST_F(Server, NamesItsUri) {
    EXPECT_EQ(server_->uri(), "nbd+unix:///?socket=" + path_);
}

TEST_F(Server, ASecondServerOnTheSameSocketIsBusy) {
    const ErrorCode code = on_loop([this] {
        return NbdServer::make(loop_, "unix:" + path_, {{"data", "", &device_}}).status().code();
    });
    EXPECT_EQ(code, ErrorCode::busy);
}

TEST_F(Server, AFlushCoversWritesOfAllConnections) {
    RawClient one(path_);
    RawClient two(path_);
    one.enter("data");
    two.enter("data");
    const ByteVector data = pattern(4096, 1);
    one.send(write_request(1, 0, data));
    EXPECT_EQ(one.reply().error, 0U);
    two.send(request(NbdCommand::flush, {.cookie = 2}));
    EXPECT_EQ(two.reply().cookie, 2U);
    two.send(request(NbdCommand::read, {.cookie = 3, .length = 4096}));
    EXPECT_EQ(two.reply(4096).data, data);
}

TEST_F(Server, EveryExportIsItsOwnDevice) {
    RawClient one(path_);
    RawClient two(path_);
    one.enter("data");
    two.enter("second");
    one.send(write_request(1, 0, pattern(512, 1)));
    two.send(write_request(1, 0, pattern(512, 2)));
    EXPECT_EQ(one.reply().error + two.reply().error, 0U);
    EXPECT_TRUE(std::ranges::equal(Bytes(device_.memory()).first(512), pattern(512, 1)));
    EXPECT_TRUE(std::ranges::equal(Bytes(second_.memory()).first(512), pattern(512, 2)));
}

TEST_F(Server, AClientThatVanishesHarmsNobody) {
    RawClient other(path_);
    other.enter("data");
    on_loop([this] { device_.hold = true; });
    {
        RawClient gone(path_);
        gone.enter("data");
        ByteVector bytes = request(NbdCommand::read, {.length = 1U << 20});
        append(bytes, write_request(2, 0, pattern(4096, 1)));
        append(bytes, write_request(3, 4096, pattern(65536, 2)));
        bytes.resize(bytes.size() - 1000);  // in the middle of a payload
        gone.send(bytes);
        ASSERT_TRUE(wait_for([this] { return device_.held.size() == 2; }));
    }
    ASSERT_TRUE(wait_for([this] { return server_->connections() == 1; }));
    on_loop([this] {
        device_.release_all();
        device_.hold = false;
    });
    other.send(request(NbdCommand::flush, {.cookie = 5}));
    EXPECT_EQ(other.reply().cookie, 5U);
}

TEST_F(Server, DisconnectIsFollowedByTheLastRepliesAndTheEnd) {
    on_loop([this] { device_.hold = true; });
    RawClient client(path_);
    client.enter("data");
    ByteVector bytes = write_request(1, 0, pattern(4096, 1));
    append(bytes, request(NbdCommand::disconnect, {}));
    client.send(bytes);
    ASSERT_TRUE(wait_for([this] { return device_.held.size() == 1; }));
    on_loop([this] { device_.release_all(); });
    EXPECT_EQ(client.reply().cookie, 1U);
    EXPECT_TRUE(client.closed_by_server());
    EXPECT_TRUE(wait_for([this] { return server_->connections() == 0; }));
}

TEST_F(Server, GarbageIsDisconnected) {
    RawClient handshake(path_);
    handshake.receive(kNbdGreetingBytes);
    handshake.send(ByteVector(100, std::byte{0x55}));
    EXPECT_TRUE(handshake.closed_by_server());
    RawClient transmission(path_);
    transmission.enter("data");
    transmission.send(ByteVector(100, std::byte{0x55}));
    EXPECT_TRUE(transmission.closed_by_server());
    EXPECT_TRUE(wait_for([this] { return server_->connections() == 0; }));
}

TEST_F(Server, AbortIsAnsweredBeforeTheEnd) {
    RawClient client(path_);
    client.receive(kNbdGreetingBytes);
    ByteVector bytes = client_flags();
    append(bytes, option(NbdOption::abort));
    client.send(bytes);
    EXPECT_EQ(option_replies(client.receive(kNbdOptionReplyBytes)).at(0).type, NbdOptionReply::ack);
    EXPECT_TRUE(client.closed_by_server());
}

TEST_F(Server, AClientThatDoesNotReadIsNotReadEither) {
    RawClient client(path_);
    client.enter("data");
    ByteVector bytes;
    for (std::uint64_t i = 0; i < 400; ++i)
        append(bytes, request(NbdCommand::read, {.cookie = i, .length = 1U << 20}));
    for (int i = 0; i < 20; ++i) append(bytes, write_request(7000, 0, pattern(1U << 20, 1)));
    EXPECT_LT(client.send_until_stuck(bytes), bytes.size());
    EXPECT_LE(on_loop([this] { return device_.submitted; }), kNbdBytesMax >> 20);
    for (std::uint64_t i = 0; i < 400; ++i) EXPECT_EQ(client.reply(1U << 20).cookie, i);
}

TEST_F(Server, CompletionsAfterTheServerIsGoneAreDropped) {
    on_loop([this] { device_.hold = true; });
    RawClient client(path_);
    client.enter("data");
    client.send(request(NbdCommand::read, {.length = 65536}));
    ASSERT_TRUE(wait_for([this] { return device_.held.size() == 1; }));
    on_loop([this] { server_.reset(); });
    EXPECT_TRUE(client.closed_by_server());
    on_loop([this] { device_.release_all(); });
    EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace everstep::test
