#include "cli/backup_record.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "cli/json.hpp"

namespace everstep::cli {
namespace {

using Json = nlohmann::json;

constexpr auto kSizeMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
constexpr std::size_t kTextBytesMax = 4096;

Status damaged(const std::string& why) {
    return {ErrorCode::corrupt, "it is no record of a backup: " + why};
}

const Json& field(const Json& object, const char* key) {
    static const Json kNull;
    const auto found = object.find(key);
    return found == object.end() ? kNull : *found;
}

Status take_text(const Json& object, const char* key, std::string& out) {
    const Json& value = field(object, key);
    if (!value.is_string()) return damaged(fmt::format("\"{}\" is no text", key));
    out = value.get<std::string>();
    if (out.empty() || out.size() > kTextBytesMax || out.find('\0') != std::string::npos)
        return damaged(fmt::format("\"{}\" is empty, too long or has a NUL in it", key));
    return {};
}

Status take_number(const Json& object, const char* key, std::uint64_t& out) {
    const Json& value = field(object, key);
    if (!value.is_number_unsigned()) return damaged(fmt::format("\"{}\" is no count", key));
    out = value.get<std::uint64_t>();
    if (out > kSizeMax) return damaged(fmt::format("\"{}\" is {}, too large", key, out));
    return {};
}

Status take_point(const Json& object, Point& out) {
    std::string timeline;
    EVERSTEP_TRY(take_text(object, "timeline", timeline));
    if (!Uuid::parse(timeline, out.timeline) || out.timeline.nil())
        return damaged("\"timeline\" is not 32 hex digits");
    std::uint64_t lsn = 0;
    EVERSTEP_TRY(take_number(object, "lsn", lsn));
    out.lsn = Lsn(lsn);
    return {};
}

Status take_image_format(const Json& object, ImageFormat& out) {
    std::string name;
    EVERSTEP_TRY(take_text(object, "image_format", name));
    if (name != "raw" && name != "qcow2")
        return damaged("\"image_format\" is \"" + name + "\", wanted \"raw\" or \"qcow2\"");
    out = name == "raw" ? ImageFormat::raw : ImageFormat::qcow2;
    return {};
}

// What makes it an incremental one: all of it or nothing.
Status take_base(const Json& object, BackupRecord& out) {
    const Json& since = field(object, "since");
    if (since.is_null() && field(object, "base").is_null()) return {};
    if (!since.is_object()) return damaged("\"base\" stands there without \"since\"");
    EVERSTEP_TRY(take_point(since, out.since.emplace()));
    EVERSTEP_TRY(take_text(object, "base", out.base));
    if (out.image_format == ImageFormat::raw) return damaged("a raw image has no base");
    return {};
}

Value point_value(const Point& point) {
    Value value = Value::map();
    value.set("timeline", point.timeline.hex()).set("lsn", point.lsn.value());
    return value;
}

Result<std::string> content_of(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return status_from_errno(errno, "open", path);
    std::string text(kRecordBytesMax + 1, '\0');
    struct stat seen {};
    const bool regular = ::fstat(fd, &seen) == 0 && S_ISREG(seen.st_mode);
    const ssize_t count = regular ? ::pread(fd, text.data(), text.size(), 0) : -1;
    const int error = errno;
    ::close(fd);
    if (!regular) return Status(ErrorCode::corrupt, path + " is no file");
    if (count < 0) return status_from_errno(error, "read", path);
    text.resize(static_cast<std::size_t>(count));
    return text;
}

}  // namespace

const char* image_format_name(ImageFormat format) {
    return format == ImageFormat::raw ? "raw" : "qcow2";
}

std::string point_expression(const Point& point) {
    return fmt::format("t:{}@step:{}", point.timeline.hex(), point.lsn.value());
}

std::string backup_record_text(const BackupRecord& record) {
    Value value = Value::map();
    value.set("format", kRecordFormat).set("group", record.group).set("volume", record.volume);
    value.set("size", record.size.value()).set("timeline", record.point.timeline.hex());
    value.set("lsn", record.point.lsn.value());
    value.set("time", record.time.empty() ? Value() : Value(record.time));
    value.set("made", record.made).set("image_format", image_format_name(record.image_format));
    value.set("since", record.since ? point_value(*record.since) : Value());
    value.set("base", record.base.empty() ? Value() : Value(record.base));
    if (record.bytes != ByteCount(0)) value.set("bytes", record.bytes.value());
    if (record.changed.count() > 0)
        value.set("changed", static_cast<std::uint64_t>(record.changed.count()));
    return json_text(value) + '\n';
}

Result<BackupRecord> parse_backup_record(std::string_view text) {
    if (text.size() > kRecordBytesMax)
        return damaged(fmt::format("it has more than {} bytes", kRecordBytesMax));
    const Json json = Json::parse(text, nullptr, false);
    if (json.is_discarded() || !json.is_object()) return damaged("it is no JSON object");
    std::uint64_t format = 0;
    EVERSTEP_TRY(take_number(json, "format", format));
    if (format != kRecordFormat)
        return Status(ErrorCode::version,
                      fmt::format("it has format {}, and this program reads format {}; use the "
                                  "everstep that made it, or a newer one",
                                  format, kRecordFormat));
    BackupRecord out;
    EVERSTEP_TRY(take_text(json, "group", out.group));
    EVERSTEP_TRY(take_text(json, "volume", out.volume));
    EVERSTEP_TRY(take_text(json, "made", out.made));
    if (!field(json, "time").is_null()) EVERSTEP_TRY(take_text(json, "time", out.time));
    std::uint64_t size = 0;
    EVERSTEP_TRY(take_number(json, "size", size));
    if (size % kSectorBytes != 0) return damaged("\"size\" is not whole sectors");
    out.size = ByteCount(size);
    EVERSTEP_TRY(take_point(json, out.point));
    EVERSTEP_TRY(take_image_format(json, out.image_format));
    EVERSTEP_TRY(take_base(json, out));
    std::uint64_t bytes = 0;
    if (!field(json, "bytes").is_null()) EVERSTEP_TRY(take_number(json, "bytes", bytes));
    out.bytes = ByteCount(bytes);
    std::uint64_t changed = 0;
    if (!field(json, "changed").is_null()) EVERSTEP_TRY(take_number(json, "changed", changed));
    out.changed = std::chrono::nanoseconds(changed);
    return out;
}

// DIR/LINK/.. is where the kernel takes it to be: not always DIR.
Result<std::string> absolute_file(const std::string& file) {
    std::error_code error;
    const auto path = std::filesystem::absolute(file, error);
    if (error) return status_from_errno(error.value(), "look", file);
    const auto name = path.filename();
    if (name.empty() || name == "." || name == "..")
        return Status(ErrorCode::usage, file + " is a directory; name a file in it");
    const auto directory = std::filesystem::canonical(path.parent_path(), error);
    if (error) return status_from_errno(error.value(), "look", path.parent_path().string());
    return (directory / name).string();
}

std::string real_image(const std::string& image) {
    std::error_code error;
    if (!std::filesystem::is_symlink(image, error)) return image;
    const auto real = std::filesystem::canonical(image, error);
    return error ? image : real.string();
}

std::string FoundBackup::base_path() const {
    if (record.base.empty()) return {};
    const std::filesystem::path directory = std::filesystem::path(image).parent_path();
    return (directory / record.base).lexically_normal().string();
}

Result<FoundBackup> read_backup(const std::string& image) {
    const std::string path = image + std::string(kRecordSuffix);
    const Result<std::string> text = content_of(path);
    if (!text.ok()) return text.status();
    Result<BackupRecord> record = parse_backup_record(*text);
    if (!record.ok()) return record.status().with_context(path);
    std::error_code error;
    const bool is_there = std::filesystem::is_regular_file(image, error);
    return FoundBackup{image, std::move(*record), is_there};
}

Result<FoundBackups> find_backups(const std::string& directory) {
    std::error_code error;
    FoundBackups found;
    auto entry = std::filesystem::directory_iterator(directory, error);
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
        const std::string path = entry->path().string();
        if (!path.ends_with(kRecordSuffix)) continue;
        Result<FoundBackup> one =
            read_backup(real_image(path.substr(0, path.size() - kRecordSuffix.size())));
        if (one.ok())
            found.good.push_back(std::move(*one));
        else
            found.bad.push_back(one.status().message());
    }
    if (error) return status_from_errno(error.value(), "read", directory);
    std::sort(found.good.begin(), found.good.end(),
              [](const FoundBackup& a, const FoundBackup& b) { return a.image < b.image; });
    const auto twice =
        std::unique(found.good.begin(), found.good.end(),
                    [](const FoundBackup& a, const FoundBackup& b) { return a.image == b.image; });
    found.good.erase(twice, found.good.end());
    std::sort(found.bad.begin(), found.bad.end());
    return found;
}

}  // namespace everstep::cli
