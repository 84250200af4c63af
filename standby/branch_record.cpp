#include "standby/branch_record.hpp"

#include <fmt/format.h>

#include "common/io/state_file.hpp"
#include "standby/time_text.hpp"

namespace everstep::standby {
namespace {

std::string path_of(const std::string& directory) {
    return directory + "/branch";
}

Status bad_line(std::size_t number, std::string_view line) {
    return {ErrorCode::corrupt, fmt::format("line {}: '{}' is not understood", number, line)};
}

bool take_base(std::string_view value, Point& base) {
    const std::size_t space = value.find(' ');
    if (space == std::string_view::npos) return false;
    const auto lsn = parse_number(value.substr(space + 1));
    if (!lsn || !TimelineId::parse(value.substr(0, space), base.timeline)) return false;
    base.lsn = Lsn(*lsn);
    return true;
}

bool take_line(std::string_view key, std::string_view value, BranchRecord& record) {
    if (key == "base") return take_base(value, record.base);
    if (key == "id") {
        record.id = value;
    } else if (key == "volume") {
        record.volumes.emplace_back(value);
    } else if (key == "socket") {
        record.socket = value;
    } else if (key == "tcp") {
        record.tcp = value;
    } else if (key == "mount") {
        record.mount = value;
    } else if (key == "clean" && (value == "0" || value == "1")) {
        record.clean = value == "1";
    } else {
        return false;
    }
    return true;
}

}  // namespace

std::string pack_branch(const BranchRecord& record) {
    std::string text = fmt::format("id = {}\nbase = {} {}\nsocket = {}\nclean = {}\n", record.id,
                                   record.base.timeline.hex(), record.base.lsn.value(),
                                   record.socket, record.clean ? 1 : 0);
    if (!record.tcp.empty()) text += fmt::format("tcp = {}\n", record.tcp);
    if (!record.mount.empty()) text += fmt::format("mount = {}\n", record.mount);
    for (const std::string& volume : record.volumes) text += fmt::format("volume = {}\n", volume);
    return text;
}

Result<BranchRecord> unpack_branch(std::string_view text) {
    constexpr std::string_view kEquals = " = ";
    BranchRecord record;
    for (std::size_t number = 1; !text.empty(); ++number) {
        const std::size_t end = text.find('\n');
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        const std::size_t equals = line.find(kEquals);
        if (equals == std::string_view::npos ||
            !take_line(line.substr(0, equals), line.substr(equals + kEquals.size()), record))
            return bad_line(number, line);
    }
    if (record.id.empty() || record.base.timeline.nil())
        return Status(ErrorCode::corrupt, "no id or no base");
    return record;
}

Result<BranchRecord> load_branch(io::FileSystem& files, const std::string& directory) {
    const Result<std::string> text = io::load_state(files, path_of(directory));
    if (!text.ok()) return text.status();
    Result<BranchRecord> record = unpack_branch(*text);
    if (!record.ok()) return record.status().with_context(path_of(directory));
    return record;
}

Status save_branch(io::FileSystem& files, const std::string& directory,
                   const BranchRecord& record) {
    return io::save_state(files, path_of(directory), pack_branch(record));
}

}  // namespace everstep::standby
