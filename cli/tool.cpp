#include "cli/tool.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

namespace everstep::cli {
namespace {

constexpr int kEnding[] = {SIGINT, SIGTERM, SIGHUP};
constexpr std::string_view kSystemPath = "/usr/sbin:/usr/bin:/sbin:/bin";

// A file in memory that takes what a tool says: unlike a pipe it never fills up.
class Memory {
  public:
    Memory() : fd_(::memfd_create("everstep-tool", MFD_CLOEXEC)) {}
    ~Memory() {
        if (fd_ >= 0) ::close(fd_);
    }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] std::string content() const {
        std::string text;
        std::array<char, 4096> part{};
        while (true) {
            const ssize_t count =
                ::pread(fd_, part.data(), part.size(), static_cast<off_t>(text.size()));
            if (count <= 0) return text;
            text.append(part.data(), static_cast<std::size_t>(count));
        }
    }

  private:
    int fd_;
};

sigset_t ending_signals() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : kEnding) ::sigaddset(&set, signal);
    return set;
}

class SpawnActions {
  public:
    SpawnActions() {
        ::posix_spawn_file_actions_init(&actions_);
        ::posix_spawnattr_init(&attributes_);
        sigset_t none;
        ::sigemptyset(&none);
        ::posix_spawnattr_setsigmask(&attributes_, &none);
        ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK);
        ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    }
    ~SpawnActions() {
        ::posix_spawn_file_actions_destroy(&actions_);
        ::posix_spawnattr_destroy(&attributes_);
    }
    SpawnActions(const SpawnActions&) = delete;
    SpawnActions& operator=(const SpawnActions&) = delete;
    void output_to(int out, int err) {
        ::posix_spawn_file_actions_adddup2(&actions_, out, STDOUT_FILENO);
        ::posix_spawn_file_actions_adddup2(&actions_, err, STDERR_FILENO);
    }
    void output_to(const std::string& file) {
        ::posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, file.c_str(),
                                           O_WRONLY | O_CREAT | O_TRUNC, 0600);
        ::posix_spawn_file_actions_adddup2(&actions_, STDOUT_FILENO, STDERR_FILENO);
    }
    void own_session() {
        ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
    }
    [[nodiscard]] Result<int> spawn(const Tool& tool, const std::vector<std::string>& words) {
        const Result<std::string> path = find_tool(tool);
        if (!path.ok()) return path.status();
        std::vector<char*> argv{const_cast<char*>(tool.name)};
        for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
        argv.push_back(nullptr);
        pid_t pid = 0;
        const int error =
            ::posix_spawn(&pid, path->c_str(), &actions_, &attributes_, argv.data(), ::environ);
        if (error != 0) return status_from_errno(error, "start", *path);
        return pid;
    }

  private:
    posix_spawn_file_actions_t actions_{};
    posix_spawnattr_t attributes_{};
};

}  // namespace

std::string ToolEnd::said() const {
    std::string text;
    for (const char c : err.empty() ? out : err) {
        const bool blank = c == '\n' || c == ' ' || c == '\t';
        if (!blank) {
            text += c;
        } else if (!text.empty() && text.back() != ' ') {
            text += ' ';
        }
    }
    while (!text.empty() && text.back() == ' ') text.pop_back();
    return text.empty() ? "exit " + std::to_string(status) : text;
}

Result<std::string> find_tool(const Tool& tool) {
    const char* const path = std::getenv("PATH");
    std::string directories = path == nullptr ? std::string() : std::string(path) + ':';
    directories += kSystemPath;
    for (std::size_t at = 0; at < directories.size();) {
        const std::size_t end = std::min(directories.find(':', at), directories.size());
        const std::string file = directories.substr(at, end - at) + '/' + tool.name;
        if (end > at && ::access(file.c_str(), X_OK) == 0) return file;
        at = end + 1;
    }
    return Status(ErrorCode::not_found, std::string(tool.name) +
                                            " is not installed; it is in the "
                                            "package " +
                                            tool.package);
}

Result<ToolEnd> run_tool(const Tool& tool, const std::vector<std::string>& words) {
    const Memory out;
    const Memory err;
    if (out.fd() < 0 || err.fd() < 0) return status_from_errno(errno, "memfd_create", tool.name);
    SpawnActions actions;
    actions.output_to(out.fd(), err.fd());
    const Result<int> pid = actions.spawn(tool, words);
    if (!pid.ok()) return pid.status();
    int status = 0;
    while (::waitpid(*pid, &status, 0) < 0) {
        if (errno != EINTR) return status_from_errno(errno, "waitpid", tool.name);
    }
    const int ended = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return ToolEnd{ended, out.content(), err.content()};
}

Result<std::string> tool_output(const Tool& tool, const std::vector<std::string>& words) {
    Result<ToolEnd> end = run_tool(tool, words);
    if (!end.ok()) return end.status();
    if (end->status == 0) return std::move(end->out);
    const std::string name = std::string(tool.name) + ": ";
    const std::string said = end->said();
    return Status(ErrorCode::io, said.starts_with(name) ? said : name + said);
}

HeldSignals::HeldSignals() {
    const sigset_t set = ending_signals();
    ::pthread_sigmask(SIG_BLOCK, &set, &before_);
}

HeldSignals::~HeldSignals() {
    const sigset_t set = ending_signals();
    constexpr timespec kNow{};
    while (::sigtimedwait(&set, nullptr, &kNow) > 0) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

Status check_not_interrupted() {
    sigset_t waiting;
    ::sigpending(&waiting);
    for (const int signal : kEnding) {
        if (::sigismember(&waiting, signal) == 1) return {ErrorCode::closed, "interrupted"};
    }
    return {};
}

Result<int> start_tool(const Tool& tool, const std::vector<std::string>& words,
                       const std::string& log) {
    SpawnActions actions;
    actions.output_to(log);
    actions.own_session();
    return actions.spawn(tool, words);
}

}  // namespace everstep::cli
