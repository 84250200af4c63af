#include "cli/mount_place.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace everstep::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kServes = 30s;  // nbdfuse, until the file is there
constexpr auto kGoes = 10s;    // the kernel and nbdfuse, until something is gone
constexpr auto kLook = 10ms;
constexpr std::size_t kNameBytesMax = 255;

// Looks again until it holds, or until the limit.
bool wait_until(const std::function<bool()>& holds, std::chrono::milliseconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!holds()) {
        if (std::chrono::steady_clock::now() >= end) return false;
        std::this_thread::sleep_for(kLook);
    }
    return true;
}

// "/mnt/then" as "mnt-then"; what else could be taken for a dash is %XX. Never empty: that would be
// the directory of all of them.
std::string name_of(std::string_view directory) {
    if (directory == "/") return "-";
    std::string out;
    directory.remove_prefix(1);
    for (const char c : directory) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '_' || (c == '.' && !out.empty());
        if (c == '/') {
            out += '-';
        } else if (plain) {
            out += c;
        } else {
            out += fmt::format("%{:02x}", static_cast<unsigned char>(c));
        }
    }
    return out;
}

std::string content_of(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

bool is_mounted(const std::string& point) {
    return mount_at(current_mounts(), point) != nullptr;
}

bool is_of(const MountEntry& entry, const std::vector<LoopDevice>& loops) {
    return std::any_of(loops.begin(), loops.end(),
                       [&](const LoopDevice& loop) { return loop.device == entry.device; });
}

}  // namespace

Result<MountPlace> MountPlace::of(const std::string& directory, const std::string& root) {
    const std::string name = name_of(directory);
    if (name.size() > kNameBytesMax)
        return Status(ErrorCode::too_large,
                      fmt::format("{}: its path is too long, {} bytes as the name of a file where "
                                  "{} are possible; mount on a shorter one",
                                  directory, name.size(), kNameBytesMax));
    return MountPlace(directory, root + '/' + name);
}

Status MountPlace::make() const {
    const std::filesystem::path parent = std::filesystem::path(place_).parent_path();
    std::error_code error;
    std::filesystem::create_directories(parent, error);
    if (error) return status_from_errno(error.value(), "create", parent.string());
    if (::mkdir(place_.c_str(), 0700) == 0) return {};
    if (errno != EEXIST) return status_from_errno(errno, "mkdir", place_);
    return {ErrorCode::exists, fmt::format("{}: a step is mounted there, or was left half way ({} "
                                           "is there): `everstep umount {}` first",
                                           directory_, place_, directory_)};
}

bool MountPlace::is_there() const {
    std::error_code error;
    return std::filesystem::exists(place_, error);
}

Status MountPlace::attach_file(const std::string& uri) const {
    std::ofstream(file()).close();  // nbdfuse puts the disk over a file that is there
    const Result<int> server = start_tool(kNbdfuse, {file(), uri}, log());
    if (!server.ok()) return server.status();
    bool ended = false;
    const bool came = wait_until(
        [&] {
            ended = ::waitpid(*server, nullptr, WNOHANG) == *server;
            return ended || is_mounted(file()) || !check_not_interrupted().ok();
        },
        kServes);
    EVERSTEP_TRY(check_not_interrupted());
    if (came && !ended) return {};
    const ToolEnd said{0, "", content_of(log())};
    const std::string why = ended ? "it ended: " + said.said() : "it does not serve the disk";
    return {ended ? ErrorCode::io : ErrorCode::timeout, fmt::format("nbdfuse {}: {}", uri, why)};
}

Result<std::string> MountPlace::attach_loop(const std::optional<Partition>& part) const {
    std::vector<std::string> words{"--find", "--show"};
    if (part) {
        words.insert(words.end(), {"--offset", std::to_string(part->offset.value()), "--sizelimit",
                                   std::to_string(part->bytes.value())});
    }
    words.push_back(file());
    Result<std::string> device = tool_output(kLosetup, words);
    if (!device.ok()) return device;
    device->erase(device->find_last_not_of('\n') + 1);
    return device;
}

// A journal is replayed by the read-only mount, too: the device can be written on. XFS refuses to
// mount what bears the UUID of one that is mounted, and it may be the one that this is a step of.
Status MountPlace::mount(const std::string& device, const std::string& type, bool writable) const {
    std::string options = writable ? "rw,nosuid,nodev" : "ro,nosuid,nodev";
    if (type == "xfs") options += ",nouuid";
    return tool_output(kMount, {"-t", type, "-o", options, device, directory_}).status();
}

Status MountPlace::unmount() const {
    const std::vector<LoopDevice> loops = loops_over(file());
    for (bool again = true; again;) {
        const std::vector<MountEntry> mounts = current_mounts();
        const MountEntry* const top = mount_at(mounts, directory_);
        again = top != nullptr && is_of(*top, loops);
        for (const MountEntry& entry : mounts) {
            if (!is_of(entry, loops)) continue;
            if (entry.point != directory_)
                return {ErrorCode::busy,
                        fmt::format("{} is mounted on {}, too: umount that first; nothing was "
                                    "changed",
                                    entry.source, entry.point)};
            if (!again)
                return {ErrorCode::refused, fmt::format("{} ({}) is mounted over it on {}: umount "
                                                        "that first; nothing was changed",
                                                        top->source, top->type, directory_)};
        }
        if (!again) break;
        if (const Status done = tool_output(kUmount, {directory_}).status(); !done.ok())
            return {ErrorCode::busy,
                    fmt::format("{}; `fuser -vm {}` shows what works in it; nothing was changed",
                                done.message(), directory_)};
    }
    return {};
}

Status MountPlace::detach_loops() const {
    for (const LoopDevice& loop : loops_over(file()))
        EVERSTEP_TRY(tool_output(kLosetup, {"--detach", loop.path}).status());
    const bool gone = wait_until([&] { return loops_over(file()).empty(); }, kGoes);
    if (gone) return {};
    return {ErrorCode::busy, fmt::format("{} is still in use", loops_over(file()).front().path)};
}

Status MountPlace::detach_file() const {
    Status done;
    const bool gone = wait_until(
        [&] {
            if (!is_mounted(file())) return true;
            done = tool_output(kUmount, {file()}).status();
            return !is_mounted(file());
        },
        kGoes);
    return gone ? Status() : done;
}

// They end by themselves when their file is unmounted. One that has not come as far as that, or
// whose node does not answer, is told to.
Status MountPlace::end_servers() const {
    const auto gone = [&] { return servers_of(file()).empty(); };
    if (wait_until(gone, 1s)) return {};
    for (const int signal : {SIGTERM, SIGKILL}) {
        for (const int server : servers_of(file())) ::kill(server, signal);
        if (wait_until(gone, kGoes / 2)) return {};
    }
    return {ErrorCode::timeout,
            fmt::format("nbdfuse, process {}, does not end", servers_of(file()).front())};
}

Status MountPlace::detach() const {
    EVERSTEP_TRY(unmount());
    EVERSTEP_TRY(detach_loops());
    EVERSTEP_TRY(detach_file());
    EVERSTEP_TRY(end_servers());
    // One that was about to serve may have put its file there until it was ended.
    EVERSTEP_TRY(detach_file());
    std::error_code error;
    std::filesystem::remove_all(place_, error);
    if (error) return status_from_errno(error.value(), "remove", place_);
    return {};
}

std::vector<int> servers_of(const std::string& file, const std::string& processes) {
    std::vector<int> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(processes, error)) {
        const std::string name = entry.path().filename().string();
        if (name.find_first_not_of("0123456789") != std::string::npos) continue;
        const std::string words = content_of(entry.path() / "cmdline");  // each ends with a NUL
        const std::string begin = std::string(kNbdfuse.name) + '\0' + file + '\0';
        if (words.starts_with(begin)) found.push_back(std::stoi(name));
    }
    return found;
}

}  // namespace everstep::cli
