// What a backup says of itself: the file FILE.everstep beside the image FILE. One JSON object:
//   {"format":1,"group","volume","size","timeline","lsn","time","made","image_format","since",
//    "base","bytes","changed"}
// size: of the volume, in bytes. timeline (32 hex digits), lsn, time: the step that the image
// holds; time is null where it is not known. made: when the backup was. image_format: "raw" or
// "qcow2". An incremental one has since: {"timeline","lsn"}, and base: the image that it lies over,
// relative to the directory of FILE where it lies there; a full one has null in both. bytes: how
// long FILE is, so that one that was cut is known. changed: when FILE, or what it lies over, was
// changed last, as the file system tells it, in nanoseconds since 1970: an image of another time
// may hold something else by now. Both may be missing: not known. Other keys are passed over; a
// format that is not 1 is refused.
//
// Thread: any. What is read is hostile: length, types and ranges are checked.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.hpp"
#include "common/base/types.hpp"

namespace everstep::cli {

inline constexpr std::string_view kRecordSuffix = ".everstep";
inline constexpr std::uint64_t kRecordFormat = 1;
inline constexpr std::size_t kRecordBytesMax = 64 << 10;

enum class ImageFormat : std::uint8_t { raw, qcow2 };
[[nodiscard]] const char* image_format_name(ImageFormat format);

struct BackupRecord {
    std::string group;
    std::string volume;
    ByteCount size;
    Point point;
    std::string time;  // RFC 3339; empty: not known
    std::string made;
    ImageFormat image_format = ImageFormat::qcow2;
    std::optional<Point> since;           // of an incremental one
    std::string base;                     // empty: a full one
    ByteCount bytes;                      // of the file; 0: not known
    std::chrono::nanoseconds changed{0};  // since 1970; 0: not known
    bool operator==(const BackupRecord&) const = default;
};

[[nodiscard]] std::string backup_record_text(const BackupRecord& record);
// corrupt: it is no such record, and why; version: it is one of a newer format.
[[nodiscard]] Result<BackupRecord> parse_backup_record(std::string_view text);

// The path from the root, without links to directories in it. usage: it is the path of a directory.
[[nodiscard]] Result<std::string> absolute_file(const std::string& file);

// What a link leads to, where it leads to something; else the image itself. A link may lead to
// another image tomorrow, and what lies over one would go with it.
[[nodiscard]] std::string real_image(const std::string& image);

// A record and its image, which may be missing.
struct FoundBackup {
    std::string image;  // its path
    BackupRecord record;
    bool image_is_there = false;
    [[nodiscard]] std::string base_path() const;  // empty: a full one
};
// not_found: it has no record; the errors of parse_backup_record(), with the record's path.
[[nodiscard]] Result<FoundBackup> read_backup(const std::string& image);

struct FoundBackups {
    std::vector<FoundBackup> good;  // by path
    std::vector<std::string> bad;   // records that cannot be read, "PATH: why"
};
// Those whose records lie in this directory, each once: a link there is what it leads to. io: it
// cannot be read.
[[nodiscard]] Result<FoundBackups> find_backups(const std::string& directory);

// "t:HEX@step:N", which every command takes.
[[nodiscard]] std::string point_expression(const Point& point);

}  // namespace everstep::cli
