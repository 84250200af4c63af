#include "cli/backup_chain.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/backup_base.hpp"
#include "cli/image_tools.hpp"

namespace everstep::cli {
namespace {

using Json = nlohmann::json;

constexpr int kCorruptions = 2;  // of qemu-img check
constexpr int kOnlyLeaks = 3;
constexpr ByteCount kGrain{4096};  // what is looked at for holes

Result<std::vector<ChainImage>> parse_chain(const std::string& text, const std::string& file) {
    const Status damaged(ErrorCode::io, file + ": qemu-img info tells of no images");
    const Json json = Json::parse(text, nullptr, false);
    if (!json.is_array() || json.empty()) return damaged;
    std::vector<ChainImage> chain;
    for (const Json& one : json) {
        const auto name = one.find("filename");
        const auto format = one.find("format");
        const auto size = one.find("virtual-size");
        if (!one.is_object() || name == one.end() || !name->is_string() || format == one.end() ||
            !format->is_string() || size == one.end() || !size->is_number_unsigned())
            return damaged;
        chain.push_back({name->get<std::string>(), format->get<std::string>(),
                         ByteCount(size->get<std::uint64_t>())});
    }
    return chain;
}

std::string step_text(const Point& point) {
    return fmt::format("step {} of timeline {}", point.lsn.value(),
                       point.timeline.hex().substr(0, 8));
}

// A base may also hold the upper one's step: that is what `qemu-img commit` leaves.
Status check_over(const FoundBackup& upper, const ChainImage& below) {
    const BackupRecord& record = upper.record;
    if (below.size != record.size)
        return {ErrorCode::refused,
                fmt::format("{} holds a disk of {} bytes, and {}, which lies over it, one of {}",
                            below.file, below.size.value(), upper.image, record.size.value())};
    if (!is_same_file(upper.base_path(), below.file)) return {};  // it was moved: no record says it
    const Result<FoundBackup> base = read_backup(below.file);
    if (!base.ok()) return {};
    const Point& held = base->record.point;
    if (held == *record.since || held == record.point) return {};
    return {ErrorCode::refused,
            fmt::format("{} was made over {} of {}, which holds {} now: it was written over",
                        upper.image, step_text(*record.since), below.file, step_text(held))};
}

Status check_record(const ChainImage& image, const ChainImage* below) {
    const Result<FoundBackup> found = read_backup(image.file);
    if (!found.ok()) return {};  // none, or none that says anything
    const BackupRecord& record = found->record;
    if (image.size != record.size)
        return {ErrorCode::refused,
                fmt::format("{} holds a disk of {} bytes, and held one of {} when it was made",
                            image.file, image.size.value(), record.size.value())};
    std::error_code error;
    const std::uint64_t bytes = std::filesystem::file_size(image.file, error);
    if (!error && bytes < record.bytes.value())
        return {ErrorCode::refused, fmt::format("{} is cut: it has {} bytes, and had {} when it "
                                                "was made",
                                                image.file, bytes, record.bytes.value())};
    return record.since && below != nullptr ? check_over(*found, *below) : Status();
}

}  // namespace

Result<std::vector<ChainImage>> image_chain(const std::string& file, ImageFormat format) {
    const Result<std::string> told = tool_output(
        kQemuImg,
        {"info", "--backing-chain", "--output=json", "-f", image_format_name(format), file});
    if (!told.ok()) return told.status();
    return parse_chain(*told, file);
}

Status check_records(const std::vector<ChainImage>& chain) {
    for (std::size_t i = 0; i < chain.size(); ++i)
        EVERSTEP_TRY(check_record(chain[i], i + 1 < chain.size() ? &chain[i + 1] : nullptr));
    return {};
}

Status check_tables(const std::vector<ChainImage>& chain) {
    for (const ChainImage& image : chain) {
        if (image.format != image_format_name(ImageFormat::qcow2)) continue;
        EVERSTEP_TRY(check_not_interrupted());
        const auto ended = run_tool(kQemuImg, {"check", "-q", "-f", image.format, image.file});
        if (!ended.ok()) return ended.status();
        if (ended->status == 0 || ended->status == kOnlyLeaks) continue;
        if (ended->status == kCorruptions)
            return {ErrorCode::refused,
                    fmt::format("{} is damaged, says qemu-img check", image.file)};
        return {ErrorCode::io, fmt::format("{}: qemu-img check: {}", image.file, ended->said())};
    }
    return {};
}

std::chrono::nanoseconds last_change(const std::vector<ChainImage>& chain) {
    std::chrono::nanoseconds last{0};
    for (const ChainImage& image : chain) {
        struct stat seen {};
        if (::stat(image.file.c_str(), &seen) != 0) continue;
        last = std::max(last, std::chrono::seconds(seen.st_mtim.tv_sec) +
                                  std::chrono::nanoseconds(seen.st_mtim.tv_nsec));
    }
    return last;
}

Status compare_with_step(const FoundBackup& image, NbdDisk& step,
                         const CopyPlan::OnProgress& on_progress) {
    Result<ImageServer> server =
        ImageServer::start(image.image, image.record.image_format, ImageServer::Access::read);
    if (!server.ok()) return server.status();
    Result<NbdDisk> held = server->connect();
    if (!held.ok()) return held.status();
    if (held->size() != step.size())
        return {ErrorCode::refused,
                fmt::format("{} has {} bytes, and the volume {}; make a full backup", image.image,
                            held->size().value(), step.size().value())};
    CopyPlan plan;
    plan.grain = kGrain;
    plan.only_compare = true;
    plan.on_progress = on_progress;
    Result<std::vector<DiskExtent>> extents = data_of_both(*held, step, kGrain);
    if (!extents.ok()) return server->explained(extents.status());
    plan.extents = std::move(*extents);
    const Status compared = copy_blocks(*held, step, plan).status();
    if (compared.ok()) return {};
    if (compared.code() != ErrorCode::refused) return server->explained(compared);
    return {compared.code(),
            fmt::format("{} does not hold {} any more, something wrote to it: {}; make a full "
                        "backup",
                        image.image, step_text(image.record.point), compared.message())};
}

Result<std::vector<ChainImage>> check_below(const FoundBackup& base, const std::string& file) {
    auto chain = image_chain(base.image, base.record.image_format);
    if (!chain.ok()) return chain.status().with_context(file + ": over " + base.image);
    for (const ChainImage& one : *chain) {
        if (!is_same_file(one.file, file)) continue;
        return Status(ErrorCode::refused,
                      file + " is what the new backup would lie over; write to another file");
    }
    const Status records = check_records(*chain);
    if (records.ok()) return chain;
    return Status(records.code(), records.message() + "; make a full backup");
}

}  // namespace everstep::cli
