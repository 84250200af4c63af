#include "cli/commands_mount.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "cli/json.hpp"
#include "cli/mount_place.hpp"
#include "cli/node_exports.hpp"
#include "cli/render.hpp"

namespace everstep::cli {
namespace {

constexpr Tool kNeeded[] = {kNbdfuse, kLosetup, kBlkid, kMount, kUmount};

struct Mounted {
    Value told;  // the export
    std::string volume;
    std::string device;
    std::string type;
};

Status need_root() {
    if (::geteuid() == 0) return {};
    return {ErrorCode::io, fmt::format("only root can mount and umount, and this is user {}: run "
                                       "it as root",
                                       ::geteuid())};
}

Status print(Surroundings& surroundings, const std::string& text) {
    surroundings.out << text;
    surroundings.out.flush();
    if (!surroundings.out) return {ErrorCode::io, "the output could not be written"};
    return {};
}

// Without links in it: as the kernel lists what is mounted there.
Result<std::string> directory_to_mount_on(const std::string& asked) {
    std::error_code error;
    const std::filesystem::path directory = std::filesystem::canonical(asked, error);
    if (error) return status_from_errno(error.value(), "look", asked);
    if (!std::filesystem::is_directory(directory, error))
        return Status(ErrorCode::io, asked + " is no directory");
    const std::vector<MountEntry> mounts = current_mounts();
    if (const MountEntry* const there = mount_at(mounts, directory.string()))
        return Status(ErrorCode::refused,
                      fmt::format("{} ({}) is mounted on {} already; umount it, or choose another "
                                  "directory",
                                  there->source, there->type, directory.string()));
    const bool empty = std::filesystem::is_empty(directory, error);
    if (error) return status_from_errno(error.value(), "read", asked);
    if (!empty)
        return Status(ErrorCode::refused,
                      asked +
                          " is not empty, and a mount would hide what is in it; choose an "
                          "empty directory");
    return directory.string();
}

// The same, of what may be mounted and dead: the directory itself may answer with an error.
Result<std::string> directory_to_umount(const std::string& asked) {
    std::error_code error;
    const auto whole = std::filesystem::canonical(asked, error);
    if (!error) return whole.string();
    std::filesystem::path path = std::filesystem::absolute(asked, error).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    const auto parent = std::filesystem::weakly_canonical(path.parent_path(), error);
    if (error) return status_from_errno(error.value(), "look", asked);
    return (parent / path.filename()).string();
}

// The exports that were made for this directory, of all groups. An error of one group counts only
// where none has any.
Result<Value::List> exports_for(const HistoryNode& node, const std::string& directory) {
    Value::List found;
    Status failed;
    for (const GroupConfig& group : node.groups) {
        const Result<Value> list = node.ask("exports", {{"group", group.name}});
        if (!list.ok()) {
            const bool elsewhere = list.status().code() == ErrorCode::usage;  // not this node's
            if (failed.ok() && !elsewhere) failed = list.status();
            continue;
        }
        if (list->as_list() == nullptr) continue;
        for (const Value& one : *list->as_list()) {
            if (one.at("mount").text() == directory) found.push_back(one);
        }
    }
    if (found.empty() && !failed.ok()) return failed;
    return found;
}

Status end_export(const HistoryNode& node, const Value& told, bool keep) {
    const Status ended = node.ask("unexport", {{"id", told.at("id").text()},
                                               {"group", told.at("group").text()},
                                               {keep ? "keep" : "drop", "1"}})
                             .status();
    return ended.with_context("export " + told.at("id").text());
}

Status check_nothing_left(const HistoryNode& node, const std::string& directory) {
    const Result<Value::List> left = exports_for(node, directory);
    if (!left.ok()) return left.status();
    if (left->empty()) return {};
    return {ErrorCode::exists,
            fmt::format("export {} is left of an earlier mount of {}: `everstep umount {}` first, "
                        "or umount --keep for what was written on it",
                        left->front().at("id").text(), directory, directory)};
}

Status attach(const MountPlace& place, const Invocation& invocation, Mounted& out) {
    const auto volume = served_volume(out.told);
    if (!volume.ok()) return volume.status();
    out.volume = volume->first;
    EVERSTEP_TRY(check_served(out.told, volume->second));
    EVERSTEP_TRY(check_not_interrupted());
    EVERSTEP_TRY(place.attach_file(volume->second));
    const std::string object = "volume " + out.volume;
    std::optional<Partition> part;
    if (const std::string number = argument(invocation, "partition"); !number.empty()) {
        const Result<Partition> found = find_partition(place.file(), std::stoull(number));
        if (!found.ok()) return found.status().with_context(object);
        part = *found;
    }
    const Result<std::string> device = place.attach_loop(part);
    if (!device.ok()) return device.status();
    out.device = *device;
    EVERSTEP_TRY(check_not_interrupted());
    const Result<std::string> type = find_file_system(*device);
    if (!type.ok()) {
        const std::string number = argument(invocation, "partition");
        return type.status().with_context(number.empty() ? object
                                                         : object + ", partition " + number);
    }
    out.type = *type;
    EVERSTEP_TRY(place.mount(*device, *type, invocation.request.arguments.contains("writable")));
    return check_not_interrupted();
}

Result<Value> make_export(const HistoryNode& node, const Invocation& invocation,
                          const std::string& directory) {
    auto arguments = invocation.request.arguments;
    for (const char* own : {"directory", "partition", "on"}) arguments.erase(own);
    arguments["writable"] = "1";
    arguments["mount"] = directory;
    return node.ask("export", std::move(arguments));
}

// The error that made it necessary, and what could not be undone.
Status undone(const Status& why, const MountPlace& place, const Status& undo) {
    if (undo.ok()) return why;
    return {why.code(),
            fmt::format("{}; and it could not all be taken down: {}; `everstep umount {}` goes on "
                        "with that",
                        why.message(), undo.message(), place.directory())};
}

Result<Mounted> mount_step(const HistoryNode& node, const Invocation& invocation,
                           const MountPlace& place) {
    Mounted out;
    const Result<Value> told = make_export(node, invocation, place.directory());
    if (!told.ok()) return undone(told.status(), place, place.detach());
    out.told = *told;
    const Status attached = attach(place, invocation, out);
    if (attached.ok()) return out;
    Status undo = place.detach();
    if (undo.ok()) undo = end_export(node, *told, false);
    return undone(attached, place, undo);
}

Value mount_value(const Invocation& invocation, const MountPlace& place, const Mounted& mounted) {
    Value body = Value::map();
    body.set("directory", place.directory()).set("device", mounted.device);
    body.set("id", mounted.told.at("id")).set("group", mounted.told.at("group"));
    body.set("volume", mounted.volume).set("lsn", mounted.told.at("base_lsn"));
    body.set("timeline", mounted.told.at("base_timeline"));
    body.set("writable", invocation.request.arguments.contains("writable"));
    body.set("filesystem", mounted.type);
    return body;
}

}  // namespace

Status run_mount(const Invocation& invocation, Surroundings& surroundings) {
    const std::chrono::nanoseconds began = surroundings.now();
    EVERSTEP_TRY(need_root());
    for (const Tool& tool : kNeeded) EVERSTEP_TRY(find_tool(tool).status());
    const Result<HistoryNode> node = find_history_node(invocation);
    if (!node.ok()) return node.status();
    EVERSTEP_TRY(check_volume(*node, invocation));
    const Result<std::string> directory = directory_to_mount_on(argument(invocation, "directory"));
    if (!directory.ok()) return directory.status();
    const Result<MountPlace> place = MountPlace::of(*directory);
    if (!place.ok()) return place.status();
    EVERSTEP_TRY(check_nothing_left(*node, *directory));
    const HeldSignals held;
    EVERSTEP_TRY(place->make());
    const Result<Mounted> mounted = mount_step(*node, invocation, *place);
    if (!mounted.ok()) return mounted.status();
    Value body = mount_value(invocation, *place, *mounted);
    const std::chrono::duration<double> seconds = surroundings.now() - began;
    body.set("seconds", seconds.count());
    if (invocation.json) return print(surroundings, json_text(body) + '\n');
    return print(surroundings, invocation.quiet ? "" : mount_text(body));
}

Status run_umount(const Invocation& invocation, Surroundings& surroundings) {
    EVERSTEP_TRY(need_root());
    const bool keep = invocation.request.arguments.contains("keep");
    const Result<HistoryNode> node = find_history_node(invocation);
    if (!node.ok()) return node.status();
    const Result<std::string> directory = directory_to_umount(argument(invocation, "directory"));
    if (!directory.ok()) return directory.status();
    const Result<MountPlace> place = MountPlace::of(*directory);
    if (!place.ok()) return place.status();
    const bool here = place->is_there();
    EVERSTEP_TRY(place->detach());
    const std::string again = fmt::format(
        "; nothing is mounted any more, but its export may be "
        "left: `everstep umount {}` again ends it",
        *directory);
    const Result<Value::List> left = exports_for(*node, *directory);
    if (!left.ok()) {
        const Status why = left.status();
        return here ? Status(why.code(), why.message() + again) : why;
    }
    if (!here && left->empty())
        return {ErrorCode::not_found, *directory +
                                          " is no mount of a step, and none was left of "
                                          "one; `everstep exports` lists them"};
    Value ids = Value::list();
    for (const Value& told : *left) {
        if (const Status ended = end_export(*node, told, keep); !ended.ok())
            return {ended.code(), ended.message() + again};
        ids.push(told.at("id"));
    }
    Value body = Value::map();
    body.set("directory", *directory).set("ids", ids).set("kept", keep);
    if (invocation.json) return print(surroundings, json_text(body) + '\n');
    return print(surroundings, invocation.quiet ? "" : umount_text(body));
}

}  // namespace everstep::cli
