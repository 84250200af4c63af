#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <thread>

#include "tests/net/harness.hpp"

namespace everstep::net {
namespace {

class ListenerTest : public NetTest {
  protected:
    [[nodiscard]] static std::string path(const std::string& name) {
        return Certificates::get().path(name);
    }
    [[nodiscard]] Result<std::unique_ptr<Listener>> try_listen(const std::string& address) {
        return Listener::make(
            loop_, address, nullptr, {}, [](StreamPtr) {}, nullptr);
    }
};

// What a killed process leaves.
void leave_a_socket(const std::string& path) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(path.begin(), path.end(), address.sun_path);
    ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ::close(fd);
}

TEST_F(ListenerTest, AUnixSocketIsPrivateFromItsBirthAndGoneAtTheEnd) {
    const std::string socket = path("a.sock");
    const mode_t before = ::umask(0);
    listen("unix:" + socket);
    ::umask(before);
    struct stat facts {};
    ASSERT_EQ(::stat(socket.c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, 0600U);
    EXPECT_EQ(listener_->address(), "unix:" + socket);
    listener_.reset();
    EXPECT_NE(::stat(socket.c_str(), &facts), 0);
}

TEST_F(ListenerTest, AStaleSocketIsReplacedAndOneInUseIsBusy) {
    const std::string socket = path("b.sock");
    leave_a_socket(socket);
    listen("unix:" + socket);
    const auto second = try_listen("unix:" + socket);
    EXPECT_EQ(second.status().code(), ErrorCode::busy);
    EXPECT_NE(second.status().message().find(socket), std::string::npos);
    connect_to("unix:" + socket);
    EXPECT_TRUE(until([&] { return client_ && !accepted_.empty(); }));
}

TEST_F(ListenerTest, AFileThatIsNoSocketIsNotTouched) {
    const std::string file = path("precious");
    std::ofstream(file) << "data";
    EXPECT_EQ(try_listen("unix:" + file).status().code(), ErrorCode::exists);
    EXPECT_EQ(std::filesystem::file_size(file), 4U);
}

TEST_F(ListenerTest, ASocketOfASuccessorIsNotRemoved) {
    const std::string socket = path("c.sock");
    listen("unix:" + socket);
    std::filesystem::remove(socket);
    leave_a_socket(socket);
    listener_.reset();
    EXPECT_TRUE(std::filesystem::exists(socket));
}

TEST_F(ListenerTest, APortInUseIsBusyAndZeroGivesARealOne) {
    listen("tcp:127.0.0.1:0");
    EXPECT_TRUE(listener_->address().starts_with("tcp:127.0.0.1:")) << listener_->address();
    EXPECT_FALSE(listener_->address().ends_with(":0"));
    const auto second = try_listen(listener_->address());
    EXPECT_EQ(second.status().code(), ErrorCode::busy) << second.status().message();
    EXPECT_EQ(try_listen("nonsense").status().code(), ErrorCode::usage);
}

TEST_F(ListenerTest, ConnectingToNothingIsUnreachable) {
    listen("127.0.0.1:0");
    const std::string address = listener_->address();
    listener_.reset();
    for (const std::string& nothing : {address, "unix:" + path("no.sock")}) {
        connect_to(nothing);
        ASSERT_TRUE(until([&] { return connected_; }));
        EXPECT_EQ(connect_status_.code(), ErrorCode::unreachable);
        EXPECT_NE(connect_status_.message().find(nothing), std::string::npos)
            << connect_status_.message();
    }
    connect_to("nonsense");
    ASSERT_TRUE(until([&] { return connected_; }));
    EXPECT_EQ(connect_status_.code(), ErrorCode::usage);
}

TEST_F(ListenerTest, ANameIsLookedUp) {
    listen("localhost:0");
    connect_to(listener_->address());
    ASSERT_TRUE(until([&] { return connected_; }));
    ASSERT_OK(connect_status_);
    connect_to("no-such-host.invalid:1", nullptr, "", std::chrono::seconds(30));
    ASSERT_TRUE(until([&] { return connected_; }));
    EXPECT_FALSE(connect_status_.ok());
    EXPECT_NE(connect_status_.message().find("no-such-host.invalid:1"), std::string::npos);
}

TEST_F(ListenerTest, ABlockingClientTalksToTheLoop) {
    const std::string socket = path("admin.sock");
    listen("unix:" + socket);
    std::string reply;
    Status end;
    std::atomic<bool> done = false;
    std::thread caller([&] {
        auto stream = BlockingStream::connect(socket);
        ASSERT_TRUE(stream.ok()) << stream.status().message();
        const std::string big(3U << 20, 'q');
        ASSERT_OK(stream.value()->write(bytes_of(big)));
        reply.resize(big.size());
        ASSERT_OK(stream.value()->read(std::as_writable_bytes(std::span(reply))));
        std::byte one{};
        end = stream.value()->read({&one, 1});
        done = true;
    });
    ASSERT_TRUE(until([&] { return !accepted_.empty(); }));
    Stream& server = *accepted_.front();
    std::size_t echoed = 0;
    server.start({.on_bytes =
                      [&](Bytes bytes) {
                          server.write_copy(bytes);
                          echoed += bytes.size();
                          if (echoed == (3U << 20)) server.finish();
                      },
                  .on_drained = {},
                  .on_closed = {}});
    EXPECT_TRUE(until([&] { return done.load(); }));
    caller.join();
    EXPECT_EQ(reply, std::string(3U << 20, 'q'));
    EXPECT_EQ(end.code(), ErrorCode::closed);
    EXPECT_EQ(BlockingStream::connect(path("none.sock")).status().code(), ErrorCode::unreachable);
}

}  // namespace
}  // namespace everstep::net
