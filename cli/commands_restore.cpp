#include "cli/commands_restore.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "cli/admin_client.hpp"
#include "cli/backup_chain.hpp"
#include "cli/image_tools.hpp"
#include "cli/node_exports.hpp"
#include "cli/reply_printer.hpp"

namespace everstep::cli {
namespace {

constexpr ByteCount kGrain{4096};  // what is compared and written

// The image's content, on its way: a writable export, dropped at the end.
class Branch {
  public:
    [[nodiscard]] static Result<Branch> make(const HistoryNode& node, Arguments wanted) {
        wanted["point"] = "head";
        wanted["writable"] = "1";
        const Result<Value> told = node.ask("export", std::move(wanted));
        if (!told.ok()) return told.status();
        return Branch(node, *told);
    }
    Branch(Branch&& other) noexcept = default;
    Branch& operator=(Branch&&) = delete;
    ~Branch() { drop().ignore("what was made of it is what is told"); }

    [[nodiscard]] const Value& told() const { return told_; }
    [[nodiscard]] std::string id() const { return told_.at("id").text(); }
    void keep() { node_.release(); }
    [[nodiscard]] Status drop() {
        if (!node_) return {};
        const HistoryNode& node = *node_.release();
        return node
            .ask("unexport", {{"id", id()}, {"group", told_.at("group").text()}, {"drop", "1"}})
            .status()
            .with_context("export " + id());
    }
    // The same where filling it failed: why, and what is left.
    [[nodiscard]] Status given_up(const Status& why) {
        const Status dropped = drop();
        if (dropped.ok() || dropped.code() == ErrorCode::not_found) return why;
        return {why.code(), fmt::format("{}; {}; where the node still has it, `everstep unexport "
                                        "{} --drop` ends it",
                                        why.message(), dropped.message(), id())};
    }
    // Its newest step, as a point.
    [[nodiscard]] Result<std::string> newest() const {
        const Result<Value> all = node_->ask("exports", {{"group", told_.at("group").text()}});
        if (!all.ok()) return all.status();
        for (std::size_t i = 0; all->as_list() != nullptr && i < all->as_list()->size(); ++i) {
            const Value& one = (*all->as_list())[i];
            if (one.at("id").text() != id()) continue;
            return fmt::format("t:{}@step:{}", one.at("timeline").text(), one.at("lsn").number());
        }
        return Status(ErrorCode::not_found, "export " + id() + " was ended by somebody else");
    }

  private:
    struct Keep {  // the node is not owned
        void operator()(const HistoryNode*) const {}
    };
    Branch(const HistoryNode& node, Value told) : node_(&node), told_(std::move(told)) {}
    std::unique_ptr<const HistoryNode, Keep> node_;  // none: it is ended, kept, or moved away
    Value told_;
};

struct Image {
    std::string file;
    ImageFormat format = ImageFormat::raw;
    bool force = false;
};

// Of a backup, by what stands beside it (backup_file.hpp).
bool is_half(const std::string& file) {
    constexpr std::string_view kPart = ".part";
    if (!file.ends_with(kPart)) return false;
    std::error_code error;
    const std::string whole = file.substr(0, file.size() - kPart.size());
    return std::filesystem::exists(whole + std::string(kRecordSuffix) + std::string(kPart), error);
}

// What the record beside it says of it, or the words of the command.
Result<Image> image_of(const Invocation& invocation, const std::string& volume) {
    const Result<std::string> file = absolute_file(argument(invocation, "from"));
    if (!file.ok()) return file.status();
    const bool force = !argument(invocation, "force").empty();
    Image image{real_image(*file), ImageFormat::raw, force};
    std::error_code error;
    if (!std::filesystem::is_regular_file(image.file, error) &&
        !std::filesystem::is_block_file(image.file, error))
        return Status(ErrorCode::not_found, image.file + ": there is no such file");
    if (is_half(image.file) && !force)
        return Status(ErrorCode::refused, image.file +
                                              " is half an image: its backup was cut, or "
                                              "is under way; --force restores it as it is");
    const std::string format = argument(invocation, "format");
    const Result<FoundBackup> found = read_backup(image.file);
    const bool damaged = !found.ok() && found.status().code() != ErrorCode::not_found;
    if (damaged && (!force || format.empty()))
        return Status(found.status().code(), found.status().message() +
                                                 "; --force and --format F restore the image "
                                                 "without it");
    if (!found.ok() && format.empty())
        return Status(ErrorCode::usage,
                      fmt::format("{}: no {}{} says what it is; give --format raw or qcow2",
                                  image.file, image.file, kRecordSuffix));
    image.format = format == "qcow2" ? ImageFormat::qcow2 : ImageFormat::raw;
    if (!found.ok()) return image;
    const BackupRecord& record = found->record;
    if (!format.empty() && image.format != record.image_format)
        return Status(ErrorCode::usage,
                      fmt::format("{} is {}, says its record, and not {}", image.file,
                                  image_format_name(record.image_format), format));
    image.format = record.image_format;
    const bool same = record.group == argument(invocation, "group") && record.volume == volume;
    if (same || force) return image;
    return Status(ErrorCode::refused,
                  fmt::format("{} is a backup of {}/{}, not of {}/{}; --force restores it all the "
                              "same",
                              image.file, record.group, record.volume,
                              argument(invocation, "group"), volume));
}

// Whether it, and all that it lies over, is still what was made.
Status check_image(const Image& image) {
    const auto chain = image_chain(image.file, image.format);
    if (!chain.ok()) return chain.status();
    if (image.force) return {};
    Status sound = check_records(*chain);
    if (sound.ok()) sound = check_tables(*chain);
    if (sound.code() != ErrorCode::refused) return sound;
    return {sound.code(), sound.message() + "; --force restores what can be read of it"};
}

// A raw file is its disk, and QEMU fills its last sector up with zeroes.
ByteCount disk_bytes(const Image& image, const NbdDisk& disk) {
    std::error_code error;
    const std::uint64_t bytes = std::filesystem::file_size(image.file, error);
    return error || image.format != ImageFormat::raw ? disk.size() : ByteCount(bytes);
}

Status copy_image(const Image& image, const Value& branch, Progress& progress) {
    const auto served = served_volume(branch);
    if (!served.ok()) return served.status();
    const std::string& uri = served->second;
    EVERSTEP_TRY(check_served(branch, uri));
    EVERSTEP_TRY(check_image(image));
    Result<ImageServer> server =
        ImageServer::start(image.file, image.format, ImageServer::Access::read);
    if (!server.ok()) return server.status();
    Result<NbdDisk> from = server->connect();
    if (!from.ok()) return from.status();
    Result<NbdDisk> to =
        NbdDisk::open(uri, "the export for " + image.file, branch.at("description").text());
    if (!to.ok()) return to.status();
    if (disk_bytes(image, *from) != to->size())
        return {ErrorCode::refused,
                fmt::format("{} has {} bytes, and the volume {}", image.file,
                            disk_bytes(image, *from).value(), to->size().value())};
    // Where both are zeroes nothing is to be done.
    Result<std::vector<DiskExtent>> extents = data_of_both(*from, *to, kGrain);
    if (!extents.ok()) return server->explained(extents.status());
    CopyPlan plan;
    plan.extents = std::move(*extents);
    plan.grain = kGrain;
    plan.write_zeroes = plan.skip_equal = true;
    plan.on_progress = [&](ByteCount done, ByteCount total) {
        Value amount = Value::map();
        amount.set("done", done.value()).set("total", total.value()).set("unit", "bytes");
        progress.take(Value::map().set("progress", std::move(amount)));
        return Status();
    };
    const Result<Copied> copied = copy_blocks(*from, *to, plan);
    if (!copied.ok()) return server->explained(copied.status());
    EVERSTEP_TRY(to->flush());
    to->close();
    from->close();
    return server->end();
}

// The image's content is the branch's newest step: its name.
Result<std::string> fill(const Branch& branch, const Invocation& invocation,
                         Surroundings& surroundings) {
    const auto served = served_volume(branch.told());
    if (!served.ok()) return served.status();
    const Result<Image> image = image_of(invocation, served->first);
    if (!image.ok()) return image.status();
    Progress progress(surroundings, invocation.label(), !invocation.quiet);
    const Status copied = copy_image(*image, branch.told(), progress);
    EVERSTEP_TRY(check_not_interrupted());
    EVERSTEP_TRY(copied);
    return branch.newest();
}

// The node's own part, to the branch's newest step.
Status restore_to(const HistoryNode& node, const Invocation& invocation, const std::string& point,
                  Surroundings& surroundings) {
    wire::AdminRequest request = invocation.request;
    request.arguments.erase("from");
    request.arguments.erase("format");
    request.arguments["point"] = point;
    ReplyPrinter printer(invocation, surroundings);
    return ask_node(
        node.socket, request,
        [&](const Value& body, bool last) { return printer.take(body, last); }, limits_of(request));
}

// Before a long copy: whether the node would take it.
Status check_free(const HistoryNode& node, const Invocation& invocation) {
    Arguments wanted{{"group", argument(invocation, "group")}, {"point", "head"}, {"dry_run", "1"}};
    const Result<Value> told = node.ask("restore", std::move(wanted));
    if (!told.ok()) return told.status();
    const std::uint64_t clients = told->at("clients").number();
    if (clients == 0 || !argument(invocation, "force").empty() ||
        !argument(invocation, "dry_run").empty())
        return {};
    return {ErrorCode::refused,
            fmt::format("the volumes are in use, {} connected; disconnect first, or --force, "
                        "which disconnects them",
                        clients == 1 ? "1 client is" : fmt::format("{} clients are", clients))};
}

}  // namespace

Status run_restore_file(const Invocation& invocation, Surroundings& surroundings) {
    for (const Tool& tool : {kQemuImg, kQemuNbd}) EVERSTEP_TRY(find_tool(tool).status());
    const Result<HistoryNode> node = find_history_node(invocation);
    if (!node.ok()) return node.status();
    EVERSTEP_TRY(check_volume(*node, invocation));
    EVERSTEP_TRY(check_free(*node, invocation));
    Arguments wanted{{"group", argument(invocation, "group")}};
    if (const std::string volume = argument(invocation, "volume"); !volume.empty())
        wanted["volume"] = volume;
    std::optional<HeldSignals> held(std::in_place);  // until the branch is whole, or gone
    Result<Branch> branch = Branch::make(*node, std::move(wanted));
    if (!branch.ok()) return branch.status();
    const Result<std::string> point = fill(*branch, invocation, surroundings);
    if (!point.ok()) return branch->given_up(point.status());
    held.reset();
    const Status restored = restore_to(*node, invocation, *point, surroundings);
    const ErrorCode code = restored.code();
    if (restored.ok() || code == ErrorCode::refused || code == ErrorCode::usage ||
        code == ErrorCode::busy) {
        const Status dropped = branch->drop();
        return restored.ok() ? dropped : restored;
    }
    branch->keep();
    return {code, fmt::format("{}; export {} keeps the content of the image for that, `everstep "
                              "unexport {} --drop` when it is not needed any more",
                              restored.message(), branch->id(), branch->id())};
}

}  // namespace everstep::cli
