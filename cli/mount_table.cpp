#include "cli/mount_table.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>

namespace everstep::cli {
namespace {

// Blanks and backslashes stand as a backslash and three octal digits there.
std::string unescaped(std::string_view text) {
    std::string out;
    const auto octal = [&](std::size_t at) { return text[at] >= '0' && text[at] <= '7'; };
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] == '\\' && at + 3 < text.size() && octal(at + 1) && octal(at + 2) &&
            octal(at + 3)) {
            out += static_cast<char>((text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 +
                                     (text[at + 3] - '0'));
            at += 3;
        } else {
            out += text[at];
        }
    }
    return out;
}

std::string first_line(const std::filesystem::path& file) {
    std::ifstream in(file);
    std::string line;
    std::getline(in, line);
    return line;
}

}  // namespace

// "36 35 98:0 /root /point options [optional fields] - type source super-options" (proc(5)).
std::vector<MountEntry> parse_mounts(std::string_view mountinfo) {
    std::vector<MountEntry> all;
    std::istringstream lines{std::string(mountinfo)};
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string skipped;
        MountEntry entry;
        words >> skipped >> skipped >> entry.device >> skipped >> entry.point;
        while (words >> skipped && skipped != "-") {
        }
        if (!(words >> entry.type >> entry.source)) continue;
        entry.point = unescaped(entry.point);
        entry.source = unescaped(entry.source);
        all.push_back(std::move(entry));
    }
    return all;
}

std::vector<MountEntry> current_mounts() {
    std::ifstream in("/proc/self/mountinfo");
    std::ostringstream text;
    text << in.rdbuf();
    return parse_mounts(text.str());
}

const MountEntry* mount_at(const std::vector<MountEntry>& mounts, const std::string& point) {
    for (auto entry = mounts.rbegin(); entry != mounts.rend(); ++entry) {
        if (entry->point == point) return &*entry;
    }
    return nullptr;
}

std::vector<LoopDevice> loops_over(const std::string& file, const std::string& blocks) {
    std::vector<LoopDevice> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(blocks, error)) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with("loop")) continue;
        if (first_line(entry.path() / "loop" / "backing_file") != file) continue;
        found.push_back({"/dev/" + name, first_line(entry.path() / "dev"), file});
    }
    return found;
}

}  // namespace everstep::cli
