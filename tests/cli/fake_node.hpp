// A node that is only its admin socket: a thread that answers each request as the test says. And a
// directory with a configuration that leads to it, and a command line run in that world.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <sstream>
#include <thread>
#include <vector>

#include "cli/run.hpp"
#include "proto/messages.hpp"

namespace everstep::cli::test {

class TemporaryDirectory {
  public:
    TemporaryDirectory();
    ~TemporaryDirectory();
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_;
};

using Replies = std::vector<wire::AdminReply>;
using Answer = std::function<Replies(const wire::AdminRequest&)>;

[[nodiscard]] wire::AdminReply reply(Value body, bool more = false);
[[nodiscard]] Replies refusal(ErrorCode code, const std::string& message);

class FakeNode {
  public:
    FakeNode(const std::string& socket_path, Answer answer);
    ~FakeNode();
    [[nodiscard]] std::vector<wire::AdminRequest> requests() const;

  private:
    void serve();
    void serve_one(int connection);

    Answer answer_;
    int listening_ = -1;
    mutable std::mutex mutex_;
    std::vector<wire::AdminRequest> requests_;
    std::thread thread_;
};

// The world of one command line.
struct World {
    World();
    [[nodiscard]] int run(const std::vector<std::string>& words);
    [[nodiscard]] std::string socket() const { return directory.path() + "/state/admin.sock"; }
    [[nodiscard]] std::string config() const { return directory.path() + "/everstep.toml"; }

    TemporaryDirectory directory;
    std::map<std::string, std::string> environment;
    std::string host_name = "alpha";
    bool terminal = false;
    int looks = 1;       // of --watch
    bool asked = false;  // somebody sits there
    std::string says;    // and says that
    std::chrono::nanoseconds now{0};
    std::string out;  // of the last run
    std::string err;
};

}  // namespace everstep::cli::test
