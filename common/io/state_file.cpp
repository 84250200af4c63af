#include "common/io/state_file.hpp"

#include <array>
#include <charconv>
#include <cstdio>

#include "common/base/checksum.hpp"

namespace everstep::io {
namespace {

constexpr std::string_view kMagic = "everstep-state ";
constexpr unsigned kVersion = 1;
constexpr std::uint64_t kStateBytesMax = 16U << 20;
constexpr std::size_t kSpareUnit = 8192;

[[nodiscard]] Bytes as_bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

// There is one header for one body, so that loading only has to compare.
[[nodiscard]] std::string header_of(std::string_view body) {
    std::array<char, 80> line{};
    const int length =
        std::snprintf(line.data(), line.size(), "%s%u %zu %08x\n", kMagic.data(), kVersion,
                      body.size(), static_cast<unsigned>(crc32c(as_bytes(body))));
    return {line.data(), static_cast<std::size_t>(length)};
}

[[nodiscard]] std::string directory_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

[[nodiscard]] Status remove_if_there(FileSystem& files, const std::string& path) {
    Status status = files.remove(path);
    return status.code() == ErrorCode::not_found ? Status() : status;
}

[[nodiscard]] Status write_new(FileSystem& files, const std::string& path, std::string_view text) {
    const auto file = files.open(path, {.mode = OpenMode::create});
    if (!file.ok()) return file.status();
    EVERSTEP_TRY(file.value()->write_at(ByteOffset(0), as_bytes(text)));
    return file.value()->sync();
}

[[nodiscard]] Result<std::string> read_all(FileSystem& files, const std::string& path) {
    const auto file = files.open(path, {});
    if (!file.ok()) return file.status();
    const auto size = file.value()->size();
    if (!size.ok()) return size.status();
    if (size->value() > kStateBytesMax)
        return Status(ErrorCode::corrupt, path + ": " + std::to_string(size->value()) +
                                              " bytes, a state file has at most " +
                                              std::to_string(kStateBytesMax));
    std::string text(size->value(), '\0');
    EVERSTEP_TRY(file.value()->read_at(ByteOffset(0), std::as_writable_bytes(std::span(text))));
    return text;
}

// Room for the next save when the disk is full: the new file needs it, and the old one gives it
// back.
[[nodiscard]] Status keep_spare(FileSystem& files, const std::string& path, std::size_t bytes) {
    const auto there = files.exists(path);
    if (!there.ok() || *there) return there.status();
    Status status = write_new(files, path, std::string((bytes / kSpareUnit + 1) * kSpareUnit, ' '));
    if (!status.ok()) files.remove(path).ignore("made again by the next save");
    return status;
}

}  // namespace

Status save_state(FileSystem& files, const std::string& path, std::string_view body) {
    const std::string header = header_of(body);
    if (header.size() + body.size() > kStateBytesMax)
        return {ErrorCode::too_large, path + ": " + std::to_string(body.size()) +
                                          " bytes of state, at most " +
                                          std::to_string(kStateBytesMax)};
    const std::string next = path + ".new";
    const std::string spare = path + ".spare";
    EVERSTEP_TRY(remove_if_there(files, next));
    Status written = write_new(files, next, header + std::string(body));
    if (written.code() == ErrorCode::no_space) {
        EVERSTEP_TRY(remove_if_there(files, next));
        EVERSTEP_TRY(remove_if_there(files, spare));
        written = write_new(files, next, header + std::string(body));
    }
    EVERSTEP_TRY(written);
    EVERSTEP_TRY(files.rename(next, path));
    EVERSTEP_TRY(files.sync_directory(directory_of(path)));
    keep_spare(files, spare, header.size() + body.size())
        .ignore("the disk is full, and what was kept for that is used up");
    return {};
}

Result<std::string> load_state(FileSystem& files, const std::string& path) {
    auto text = read_all(files, path);
    if (!text.ok()) return text.status();
    const std::string_view all = *text;
    const std::size_t line_end = all.find('\n');
    if (!all.starts_with(kMagic) || line_end == std::string_view::npos)
        return Status(ErrorCode::corrupt, path + ": does not begin with an everstep-state line");
    const std::string_view header = all.substr(0, line_end + 1);
    const std::string_view body = all.substr(line_end + 1);

    unsigned version = 0;
    const char* digits = header.data() + kMagic.size();
    const auto parsed = std::from_chars(digits, header.data() + line_end, version);
    if (parsed.ec == std::errc() && *parsed.ptr == ' ' && version > kVersion)
        return Status(ErrorCode::version, path + ": state format " + std::to_string(version) +
                                              ", this program reads up to " +
                                              std::to_string(kVersion));
    const std::string wanted = header_of(body);
    if (header != wanted)
        return Status(ErrorCode::corrupt, path + ": length or CRC is wrong: its first line says '" +
                                              std::string(header.substr(0, 80)) +
                                              "', its content wants '" + wanted + "'");
    return std::string(body);
}

}  // namespace everstep::io
