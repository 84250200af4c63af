#include "cli/image_tools.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <thread>
#include <utility>

namespace everstep::cli {
namespace {

using namespace std::chrono_literals;

constexpr Tool kSetpriv{"setpriv", "util-linux"};
constexpr auto kServes = 30s;
constexpr auto kCloses = 120s;  // a slow disk may have much to write
constexpr auto kLook = 5ms;
constexpr std::size_t kSaidBytesMax = 4096;

Result<std::string> private_directory() {
    std::error_code error;
    const auto top = std::filesystem::temp_directory_path(error);
    if (error) return status_from_errno(error.value(), "look", "the directory for temporary files");
    std::string pattern = (top / "everstep-backup-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) return status_from_errno(errno, "mkdtemp", pattern);
    return pattern;
}

std::string uri_of(const std::string& socket) {
    std::string out = "nbd+unix:///?socket=";
    for (const char c : socket) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '/' || c == '-' || c == '_' || c == '.';
        if (plain)
            out += c;
        else
            out += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    }
    return out;
}

}  // namespace

Status make_image(const ImageSpec& spec) {
    std::vector<std::string> words{"create", "-q", "-f", image_format_name(spec.format)};
    if (!spec.base.empty()) {
        words.insert(words.end(), {"-b", spec.base, "-F", image_format_name(spec.base_format)});
    }
    words.push_back(spec.file);
    words.push_back(std::to_string(spec.size.value()));
    return tool_output(kQemuImg, words).status().with_context(spec.file);
}

ImageServer::ImageServer(std::string file, std::string place)
    : file_(std::move(file)), place_(std::move(place)) {}

ImageServer::ImageServer(ImageServer&& other) noexcept
    : file_(std::move(other.file_)),
      place_(std::exchange(other.place_, std::string())),
      log_(std::exchange(other.log_, -1)),
      pid_(std::exchange(other.pid_, -1)),
      status_(other.status_) {}

ImageServer::~ImageServer() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    if (log_ >= 0) ::close(log_);
    leave_place();
}

void ImageServer::leave_place() {
    std::error_code error;
    if (!place_.empty()) std::filesystem::remove_all(place_, error);
    place_.clear();
}

Result<ImageServer> ImageServer::start(const std::string& file, ImageFormat format, Access access) {
    const Result<std::string> place = private_directory();
    if (!place.ok()) return place.status();
    ImageServer out(file, *place);
    const Result<std::string> program = find_tool(kQemuNbd);
    if (!program.ok()) return program.status();
    // It ends with its client, but it would wait for that for ever.
    const Result<int> pid =
        start_tool(kSetpriv,
                   {"--pdeathsig=KILL", *program, "--socket=" + *place + "/socket",
                    std::string("--format=") + image_format_name(format),
                    access == Access::read ? "--read-only" : "--discard=unmap", file},
                   *place + "/log");
    if (!pid.ok()) return pid.status();
    out.pid_ = *pid;
    out.log_ = ::open((*place + "/log").c_str(), O_RDONLY | O_CLOEXEC);
    if (out.log_ < 0) return status_from_errno(errno, "open", *place + "/log");
    return out;
}

bool ImageServer::has_ended() {
    if (pid_ > 0 && ::waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
    return pid_ < 0;
}

std::string ImageServer::said() const {
    std::string text(kSaidBytesMax, '\0');
    text.resize(
        static_cast<std::size_t>(std::max<ssize_t>(0, ::pread(log_, text.data(), text.size(), 0))));
    const int ended = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
    std::string words = ToolEnd{ended, "", text}.said();
    if (WIFSIGNALED(status_)) words += fmt::format(", by signal {}", WTERMSIG(status_));
    return words;
}

Result<NbdDisk> ImageServer::connect() {
    const auto end = std::chrono::steady_clock::now() + kServes;
    const std::string socket = place_ + "/socket";
    while (true) {
        EVERSTEP_TRY(check_not_interrupted());
        std::error_code error;
        if (std::filesystem::exists(socket, error)) {
            Result<NbdDisk> disk = NbdDisk::open(uri_of(socket), file_);
            if (disk.ok()) {
                leave_place();  // a program that is killed from here on leaves nothing there
                return disk;
            }
        }
        if (has_ended())
            return Status(ErrorCode::io, fmt::format("{}: qemu-nbd: it ended: {}", file_, said()));
        if (std::chrono::steady_clock::now() >= end)
            return Status(ErrorCode::timeout,
                          fmt::format("{}: qemu-nbd does not serve it within {} s: {}", file_,
                                      std::chrono::seconds(kServes).count(), said()));
        std::this_thread::sleep_for(kLook);
    }
}

Status ImageServer::end() {
    const auto limit = std::chrono::steady_clock::now() + kCloses;
    while (!has_ended()) {
        if (std::chrono::steady_clock::now() >= limit)
            return {ErrorCode::timeout,
                    fmt::format("{}: qemu-nbd, process {}, does not end", file_, pid_)};
        std::this_thread::sleep_for(kLook);
    }
    if (WIFEXITED(status_) && WEXITSTATUS(status_) == 0) return {};
    return {ErrorCode::io, fmt::format("{}: qemu-nbd: {}", file_, said())};
}

Status ImageServer::explained(const Status& why) {
    const auto limit = std::chrono::steady_clock::now() + 200ms;  // its connection ends first
    while (!has_ended() && std::chrono::steady_clock::now() < limit)
        std::this_thread::sleep_for(kLook);
    if (!has_ended() || (WIFEXITED(status_) && WEXITSTATUS(status_) == 0)) return why;
    return {why.code(), fmt::format("{}; qemu-nbd ended: {}", why.message(), said())};
}

}  // namespace everstep::cli
