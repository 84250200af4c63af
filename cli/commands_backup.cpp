#include "cli/commands_backup.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "cli/backup_base.hpp"
#include "cli/backup_chain.hpp"
#include "cli/backup_file.hpp"
#include "cli/image_tools.hpp"
#include "cli/json.hpp"
#include "cli/node_exports.hpp"
#include "cli/progress.hpp"
#include "cli/render.hpp"
#include "common/base/clock.hpp"

namespace everstep::cli {
namespace {

constexpr std::uint64_t kClusterBytes = 64 << 10;  // of qcow2, as qemu-img makes it
constexpr std::uint64_t kHoleBytes = 4096;         // of a raw file
constexpr std::string_view kLast = "last";

// An export that lives as long as this. What cannot be ended with it is told in `left`.
class HeldExport {
  public:
    [[nodiscard]] static Result<HeldExport> make(const HistoryNode& node, Arguments wanted,
                                                 std::string& left) {
        const Result<Value> told = node.ask("export", std::move(wanted));
        if (!told.ok()) return told.status();
        HeldExport out(node, *told, left);
        const auto served = served_volume(*told);
        if (!served.ok()) return served.status();
        out.volume = served->first;
        out.uri = served->second;
        out.description = told->at("description").text();
        out.point.lsn = Lsn(told->at("lsn").number());
        if (Uuid::parse(told->at("timeline").text(), out.point.timeline)) return out;
        return Status(ErrorCode::internal, "the export names no timeline");
    }
    HeldExport(HeldExport&& other) noexcept = default;
    HeldExport& operator=(HeldExport&&) = delete;
    ~HeldExport() {
        const Status ended = end();
        if (!ended.ok() && ended.code() != ErrorCode::not_found) *left_ += "; " + ended.message();
    }

    // An error names it: it is left.
    [[nodiscard]] Status end() {
        if (!node_) return {};
        const HistoryNode& node = *node_.release();
        const Status ended = node.ask("unexport", {{"id", told_.at("id").text()},
                                                   {"group", told_.at("group").text()}})
                                 .status();
        if (ended.ok()) return {};
        return {ended.code(), fmt::format("export {0}: {1}; where the node still has it, `everstep "
                                          "unexport {0}` ends it",
                                          told_.at("id").text(), ended.message())};
    }
    [[nodiscard]] std::string name() const { return "export " + told_.at("id").text(); }

    std::string volume;
    std::string uri;
    std::string description;
    Point point;

  private:
    struct Keep {  // the node is not owned
        void operator()(const HistoryNode*) const {}
    };
    HeldExport(const HistoryNode& node, Value told, std::string& left)
        : node_(&node), told_(std::move(told)), left_(&left) {}
    std::unique_ptr<const HistoryNode, Keep> node_;  // none: it is ended, or moved away
    Value told_;
    std::string* left_;
};

// What is to be done, from the words of the command.
struct Job {
    std::string group;
    std::string point;
    std::string file;   // absolute
    std::string since;  // a point expression or "last"; empty: none given
    std::string base;   // absolute; empty: none given
    ImageFormat format = ImageFormat::qcow2;
    bool force = false;
    std::string label;            // of this run's exports, and of no others
    std::string* left = nullptr;  // takes "; WHAT" of each export that is left at the node
    [[nodiscard]] bool is_incremental() const { return !since.empty() || !base.empty(); }
    [[nodiscard]] std::string directory() const {
        return std::filesystem::path(file).parent_path().string();
    }
};

Result<Job> job_of(const Invocation& invocation) {
    Job out;
    out.group = argument(invocation, "group");
    out.point = argument(invocation, "point");
    out.label = Uuid::random().hex();
    out.since = argument(invocation, "since");
    out.force = !argument(invocation, "force").empty();
    const bool raw = argument(invocation, "format") == "raw";
    out.format = raw ? ImageFormat::raw : ImageFormat::qcow2;
    const Result<std::string> file = absolute_file(argument(invocation, "output"));
    if (!file.ok()) return file.status();
    out.file = *file;
    if (const std::string base = argument(invocation, "base"); !base.empty()) {
        const Result<std::string> named = absolute_file(base);
        if (!named.ok()) return named.status();
        out.base = real_image(*named);
    }
    if (out.file.ends_with(kRecordSuffix) || out.file.ends_with(".part"))
        return Status(ErrorCode::usage, fmt::format("{}: names that end in {} or .part are used "
                                                    "for what lies beside an image",
                                                    out.file, kRecordSuffix));
    return out;
}

Result<HeldExport> export_of(const HistoryNode& node, const Job& job, const std::string& volume,
                             const std::string& point) {
    Arguments wanted{{"group", job.group}, {"point", point}, {"label", job.label}};
    if (!volume.empty()) wanted["volume"] = volume;
    Result<HeldExport> out = HeldExport::make(node, std::move(wanted), *job.left);
    if (!out.ok()) return out.status();
    const Result<Value> status = node.ask("status", {{"group", job.group}});
    if (!status.ok()) return status.status();
    const Value::List* const groups = status->at("groups").as_list();
    for (const Value& one : groups == nullptr ? Value::List() : *groups) {
        if (one.at("name").text() == job.group)
            out->point = own_name(one.at("timelines"), out->point);
    }
    return out;
}

// The image to lie over. Where the words name its step, `held` is an export of that.
Result<FoundBackup> find_base(const HistoryNode& node, const Job& job, const HeldExport& step,
                              std::optional<HeldExport>& held) {
    BaseWanted wanted{job.group, step.volume, std::nullopt};
    if (!job.since.empty() && job.since != kLast) {
        Result<HeldExport> since = export_of(node, job, step.volume, job.since);
        if (!since.ok()) return since.status().with_context("--since");
        wanted.since = since->point;
        held.emplace(std::move(*since));
    }
    if (!job.base.empty()) {
        Result<FoundBackup> base = read_backup(job.base);
        if (!base.ok()) return base.status().with_context("--base " + job.base);
        EVERSTEP_TRY(check_base(*base, wanted));
        return base;
    }
    const Result<FoundBackups> found = find_backups(job.directory());
    if (!found.ok()) return found.status();
    return job.since == kLast ? last_base(*found, wanted) : choose_base(*found, wanted);
}

// As it is to stand in the image and in the record. A name with a colon in it would be taken for a
// protocol by QEMU.
std::string base_name(const Job& job, const FoundBackup& base) {
    const std::filesystem::path path(base.image);
    if (path.parent_path() != job.directory()) return base.image;
    const std::string name = path.filename().string();
    return name.find(':') == std::string::npos ? name : "./" + name;
}

Status take_extents(const Value& body, const std::string& volume, std::vector<DiskExtent>& to) {
    EVERSTEP_TRY(check_not_interrupted());
    if (body.as_list() == nullptr) return {};  // progress
    for (const Value& one : *body.as_list()) {
        if (one.at("volume").text() != volume) continue;
        to.push_back({ByteOffset(one.at("offset").number()), ByteCount(one.at("length").number())});
    }
    return {};
}

// What the finished file is, by its length and time.
Status note_file(BackupRecord& record, const std::string& file) {
    std::error_code error;
    record.bytes = ByteCount(std::filesystem::file_size(file, error));
    if (error) return status_from_errno(error.value(), "look", file);
    record.changed = last_change({{file, "", record.size}});
    return {};
}

// What of the volume is to be looked at.
Result<std::vector<DiskExtent>> extents_of(const HistoryNode& node, const BackupRecord& record) {
    std::vector<DiskExtent> out;
    if (!record.since) {
        out.push_back({ByteOffset(0), record.size});
        return out;
    }
    const Status asked =
        node.ask_each("diff",
                      {{"group", record.group},
                       {"from", point_expression(*record.since)},
                       {"to", point_expression(record.point)}},
                      [&](const Value& body) { return take_extents(body, record.volume, out); });
    if (!asked.ok()) return asked;
    const std::uint64_t size = record.size.value();
    for (const DiskExtent& one : out) {
        const std::uint64_t offset = one.offset.value();
        if (offset > size || one.length.value() > size - offset)
            return Status(ErrorCode::internal, "diff names an extent beyond the volume");
    }
    return out;
}

// RFC 3339; empty where the step is not listed (the baseline is not).
std::string time_of(const HistoryNode& node, const BackupRecord& record) {
    const std::string point = point_expression(record.point);
    std::string time;
    const Status asked = node.ask_each(
        "log", {{"group", record.group}, {"from", point}, {"to", point}, {"limit", "1"}},
        [&](const Value& body) {
            if (body.as_list() == nullptr) return Status();
            for (const Value& one : *body.as_list()) {
                if (one.at("lsn").number() == record.point.lsn.value() && time.empty())
                    time = one.at("time").text();
            }
            return Status();
        });
    asked.ignore("the time is for people; the step says which one it is");
    return time;
}

// What goes into the image, and into which.
struct Work {
    const Job& job;
    const BackupRecord& record;
    std::optional<FoundBackup> base;
    std::vector<DiskExtent> extents;
};

CopyPlan::OnProgress shown_by(Progress& progress) {
    return [&progress](ByteCount done, ByteCount total) {
        Value amount = Value::map();
        amount.set("done", done.value()).set("total", total.value());
        progress.take(Value::map().set("progress", amount.set("unit", "bytes")));
        return Status();
    };
}

Result<Copied> write_image(const Work& work, NbdDisk& from, const std::string& part,
                           Progress& progress) {
    const bool raw = work.job.format == ImageFormat::raw;
    const ByteCount grain(raw ? kHoleBytes : kClusterBytes);
    ImageSpec spec{part, work.job.format, work.record.size, work.record.base};
    if (work.base) spec.base_format = work.base->record.image_format;
    if (const Status made = make_image(spec); !made.ok())
        return work.base ? made.with_context("over " + work.base->image) : made;
    Result<ImageServer> server =
        ImageServer::start(part, work.job.format, ImageServer::Access::write);
    if (!server.ok()) return server.status();
    Result<NbdDisk> to = server->connect();
    if (!to.ok()) return to.status();
    if (to->size() != work.record.size)
        return Status(ErrorCode::io, fmt::format("{}: qemu-img made {} bytes of it, wanted {}",
                                                 part, to->size().value(), spec.size.value()));
    CopyPlan plan;
    plan.extents = in_blocks(work.extents, grain, work.record.size);
    plan.grain = grain;
    plan.write_zeroes = work.base.has_value();
    plan.on_progress = shown_by(progress);
    const Result<Copied> copied = copy_blocks(from, *to, plan);
    if (!copied.ok()) return server->explained(copied.status());
    if (const Status flushed = to->flush(); !flushed.ok()) return server->explained(flushed);
    to->close();
    EVERSTEP_TRY(server->end());
    return copied;
}

Value backup_value(const Work& work, const Copied& copied) {
    const BackupRecord& record = work.record;
    const auto point_value = [](const Point& point) {
        Value value = Value::map();
        value.set("timeline", point.timeline.hex()).set("lsn", point.lsn.value());
        return value;
    };
    Value body = Value::map();
    body.set("file", work.job.file).set("format", image_format_name(record.image_format));
    body.set("group", record.group).set("volume", record.volume);
    body.set("lsn", record.point.lsn.value()).set("timeline", record.point.timeline.hex());
    body.set("time", record.time.empty() ? Value() : Value(record.time));
    body.set("since", record.since ? point_value(*record.since) : Value());
    body.set("base", work.base ? Value(work.base->image) : Value());
    body.set("size", record.size.value()).set("read", copied.read.value());
    return body.set("written", copied.written.value());
}

Status check_sizes(const Work& work, const NbdDisk& from) {
    if (!work.base || work.base->record.size == from.size()) return {};
    return {ErrorCode::refused,
            fmt::format("{} has {} bytes, and the volume {}; make a full backup", work.base->image,
                        work.base->record.size.value(), from.size().value())};
}

Status check_record_text(const BackupRecord& record) {
    const auto again = parse_backup_record(backup_record_text(record));
    if (again.ok() && *again == record) return {};
    return {ErrorCode::usage, "the name of the base is not UTF-8, or too long: rename it"};
}

// The exports of a run to this file that was killed.
void end_left(const HistoryNode& node, const Job& job, const std::string& note) {
    if (note.empty()) return;
    const Result<Value> exports = node.ask("exports", {{"group", job.group}});
    if (!exports.ok() || exports->as_list() == nullptr) return;
    for (const Value& told : *exports->as_list()) {
        const std::string label = told.at("label").text();
        if (label.empty() || note.find(label) == std::string::npos) continue;
        node.ask("unexport", {{"id", told.at("id").text()}, {"group", job.group}})
            .status()
            .ignore("a writable one is refused; any other is seen with `everstep exports`");
    }
}

// Before anything is copied, and when nobody can begin to lie over the file any more.
Status check_job(const Job& job) {
    const Result<FoundBackups> found = find_backups(job.directory());
    if (!found.ok()) return found.status();
    return check_nothing_over(*found, job.file);
}

// The image to lie over and its step, which stay what they are as long as this lives.
struct HeldBase {
    FoundBackup found;
    RecordLock lock;
    HeldExport step;
    std::chrono::nanoseconds changed;  // last_change() of it and all below
};

Result<HeldBase> hold_base(const HistoryNode& node, const Job& job, const HeldExport& step) {
    std::optional<HeldExport> since;
    Result<FoundBackup> base = find_base(node, job, step, since);
    if (!base.ok()) return base.status();
    EVERSTEP_TRY(check_not_below(*base, job.file));
    Result<RecordLock> lock = RecordLock::take(base->image, RecordLock::Kind::base);
    if (!lock.ok()) return lock.status();
    const Result<FoundBackup> again = read_backup(base->image);
    if (!again.ok() || again->record != base->record)
        return Status(ErrorCode::busy, base->image + " has just become another backup; try again");
    const auto chain = check_below(*base, job.file);
    if (!chain.ok()) return chain.status();
    if (!since) {
        Result<HeldExport> held =
            export_of(node, job, step.volume, point_expression(base->record.point));
        if (!held.ok()) return held.status().with_context("the base " + base->image);
        since.emplace(std::move(*held));
    }
    return HeldBase{std::move(*base), std::move(*lock), std::move(*since), last_change(*chain)};
}

// A guest may have been booted from it, or it was only copied.
Status check_content(const HeldBase& base, Progress& progress) {
    if (base.changed == base.found.record.changed) return {};
    Result<NbdDisk> step =
        NbdDisk::open(base.step.uri, fmt::format("{} (for {})", base.step.name(), base.found.image),
                      base.step.description);
    if (!step.ok()) return step.status();
    return compare_with_step(base.found, *step, shown_by(progress));
}

Result<Value> make_backup(const HistoryNode& node, const Job& job, const std::string& volume,
                          Progress& progress) {
    Result<BackupFile> file = BackupFile::begin(job.file, job.force);
    if (!file.ok()) return file.status();
    EVERSTEP_TRY(check_job(job));
    end_left(node, job, file->left());
    EVERSTEP_TRY(file->note(job.label + "\n"));  // before it is asked for any
    Result<HeldExport> step = export_of(node, job, volume, job.point);
    if (!step.ok()) return step.status();
    EVERSTEP_TRY(check_socket(step->uri));
    std::optional<HeldBase> base;
    BackupRecord record;
    Work work{job, record, std::nullopt, {}};
    record.group = job.group;
    record.volume = step->volume;
    record.point = step->point;
    record.image_format = job.format;
    record.made = format_time(system_clock().wall());
    if (job.is_incremental()) {
        Result<HeldBase> held = hold_base(node, job, *step);
        if (!held.ok()) return held.status();
        base.emplace(std::move(*held));
        work.base = base->found;
        record.since = base->found.record.point;
        record.base = base_name(job, base->found);
        EVERSTEP_TRY(check_content(*base, progress));
    }
    Result<NbdDisk> from = NbdDisk::open(
        step->uri, fmt::format("{} (for {})", step->name(), job.file), step->description);
    if (!from.ok()) return from.status();
    EVERSTEP_TRY(check_sizes(work, *from));
    record.size = from->size();
    record.time = time_of(node, record);
    EVERSTEP_TRY(check_record_text(record));
    Result<std::vector<DiskExtent>> extents = extents_of(node, record);
    if (!extents.ok()) return extents.status();
    work.extents = std::move(*extents);
    const Result<Copied> copied = write_image(work, *from, file->part(), progress);
    if (!copied.ok()) return copied.status();
    from->close();
    EVERSTEP_TRY(check_not_interrupted());
    Status ended = step->end();  // first, for publish() takes the note of them away
    if (base && ended.ok()) ended = base->step.end();
    EVERSTEP_TRY(note_file(record, file->part()));
    if (base) record.changed = std::max(record.changed, base->changed);
    EVERSTEP_TRY(file->publish(record));
    if (!ended.ok()) return ended.with_context(job.file + " is whole");
    return backup_value(work, *copied);
}

}  // namespace

Status run_backup(const Invocation& invocation, Surroundings& surroundings) {
    const std::chrono::nanoseconds began = surroundings.now();
    for (const Tool& tool : {kQemuImg, kQemuNbd}) EVERSTEP_TRY(find_tool(tool).status());
    const Result<HistoryNode> node = find_history_node(invocation);
    if (!node.ok()) return node.status();
    EVERSTEP_TRY(check_volume(*node, invocation));
    Result<Job> job = job_of(invocation);
    if (!job.ok()) return job.status();
    std::string left;
    job->left = &left;
    Result<Value> body = Status(ErrorCode::internal, "no backup");
    {
        const HeldSignals held;
        Progress progress(surroundings, invocation.label(), !invocation.quiet);
        body = make_backup(*node, *job, argument(invocation, "volume"), progress);
        const Status interrupted = check_not_interrupted();
        if (!body.ok() && !interrupted.ok()) body = interrupted;
    }
    if (!body.ok()) return {body.status().code(), body.status().message() + left};
    const std::chrono::duration<double> seconds = surroundings.now() - began;
    body->set("seconds", seconds.count());
    if (invocation.json)
        surroundings.out << json_text(*body) << '\n';
    else if (!invocation.quiet)
        surroundings.out << backup_text(*body);
    surroundings.out.flush();
    if (!surroundings.out) return {ErrorCode::io, "the output could not be written"};
    return {};
}

}  // namespace everstep::cli
