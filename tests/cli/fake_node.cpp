#include "fake_node.hpp"
#include "proto/message_reader.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace everstep::cli::test {

TemporaryDirectory::TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cli-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
    path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
}

wire::AdminReply reply(Value body, bool more) {
    return {ErrorCode::ok, "", std::move(body), more};
}

Replies refusal(ErrorCode code, const std::string& message) {
    return {wire::AdminReply{code, message, Value(), false}};
}

FakeNode::FakeNode(const std::string& socket_path, Answer answer) : answer_(std::move(answer)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_path.size() >= sizeof address.sun_path) throw std::runtime_error("path too long");
    std::memcpy(address.sun_path, socket_path.c_str(), socket_path.size() + 1);
    listening_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::bind(listening_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listening_, 8) != 0) {
        throw std::runtime_error("no socket at " + socket_path);
    }
    thread_ = std::thread([this] { serve(); });
}

FakeNode::~FakeNode() {
    ::shutdown(listening_, SHUT_RDWR);
    thread_.join();
    ::close(listening_);
}

std::vector<wire::AdminRequest> FakeNode::requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
}

void FakeNode::serve() {
    while (true) {
        const int connection = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
        if (connection < 0) return;
        serve_one(connection);
        ::close(connection);
    }
}

void FakeNode::serve_one(int connection) {
    wire::MessageReader reader({.on_control = [&](const wire::Control& message) {
        const auto& request = std::get<wire::AdminRequest>(message);
        {
            const std::lock_guard lock(mutex_);
            requests_.push_back(request);
        }
        for (const wire::AdminReply& said : answer_(request)) {
            const auto bytes = wire::encode(said);
            if (::send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) break;
        }
        return Status(ErrorCode::closed, "one request a connection");
    }});
    std::array<std::byte, 4096> buffer{};
    while (true) {
        const ssize_t got = ::recv(connection, buffer.data(), buffer.size(), 0);
        if (got <= 0) return;
        if (!reader.feed(Bytes(buffer).first(static_cast<std::size_t>(got))).ok()) return;
    }
}

World::World() {
    std::filesystem::create_directory(directory.path() + "/state");
    std::ofstream(config()) << R"([tls]
ca = "ca.crt"
[[node]]
name = "alpha"
address = "127.0.0.1:7801"
state = "state"
certificate = "alpha.crt"
key = "alpha.key"
[[node]]
name = "beta"
address = "127.0.0.1:7802"
state = "state-beta"
certificate = "beta.crt"
key = "beta.key"
[[group]]
name = "db"
primary = "alpha"
standbys = ["beta"]
[[group.volume]]
name = "data"
size = "1MiB"
alpha = { device = "a.img", capture = "nbd", listen = "unix:a.sock" }
beta = { device = "b.img", capture = "nbd", listen = "unix:b.sock" }
)";
    environment["EVERSTEP_CONFIG"] = config();
}

int World::run(const std::vector<std::string>& words) {
    std::ostringstream out_stream, err_stream;
    int left = looks;
    Surroundings surroundings{
        .out = out_stream,
        .err = err_stream,
        .out_is_terminal = terminal,
        .err_is_terminal = terminal,
        .environment = [this](const std::string& name) -> std::optional<std::string> {
            const auto found = environment.find(name);
            if (found == environment.end()) return std::nullopt;
            return found->second;
        },
        .host_name = host_name,
        .now =
            [this] {
                now += std::chrono::seconds(1);
                return now;
            },
        .next_look = [&left] { return --left > 0; },
        .in_is_terminal = asked,
        .answer = [this] { return says; },
    };
    const int status = cli::run(words, surroundings);
    out = out_stream.str();
    err = err_stream.str();
    return status;
}

}  // namespace everstep::cli::test
