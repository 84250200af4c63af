// Group: `restore`: the point and the node whose history has it; the rest is Restore's
// (restore.hpp).
#include <algorithm>

#include <fmt/format.h>

#include "daemon/added_volumes.hpp"
#include "daemon/group.hpp"

namespace everstep::daemon {

namespace {

std::string name_of(Point at) {
    return fmt::format("t:{}@step:{}", at.timeline.hex(), at.lsn.value());
}

Result<Point> point_of(const wire::AdminReply& reply) {
    if (reply.error != ErrorCode::ok) return Status(reply.error, reply.message);
    Point at;
    if (!Uuid::parse(reply.body.at("timeline").text(), at.timeline))
        return Status(ErrorCode::corrupt, "the answer names no timeline");
    at.lsn = Lsn(reply.body.at("lsn").number());
    return at;
}

std::uint64_t bytes_of(const std::vector<journal::GapExtent>& extents) {
    std::uint64_t bytes = 0;
    for (const journal::GapExtent& one : extents) bytes += one.length.value();
    return bytes;
}

}  // namespace

std::string Group::primary_node() const {
    if (primary_) return {};
    if (standby_ && !standby_->primary_node().empty()) return standby_->primary_node();
    return context_.group->primary == context_.node ? std::string() : context_.group->primary;
}

// Of this node where `node` is empty.
void Group::ask_history(const std::string& node, const wire::AdminRequest& request,
                        std::function<void(const wire::AdminReply&)> answer) {
    if (!node.empty()) {
        relay_(node, request, std::move(answer));
    } else if (has_history_here()) {
        standby_->commands()->run(request, std::move(answer));
    } else {
        answer(error_reply(Status(ErrorCode::refused, "this node has no history of the group")));
    }
}

void Group::diff_points(const std::string& node, Between points,
                        std::function<void(Result<std::vector<journal::GapExtent>>)> done) {
    const auto extents = std::make_shared<std::vector<journal::GapExtent>>();
    const auto take = [this, alive = alive_, extents,
                       done = std::move(done)](const wire::AdminReply& reply) {
        if (*alive == nullptr) return;
        if (reply.error != ErrorCode::ok) return done(Status(reply.error, reply.message));
        const Value::List* list = reply.body.as_list();
        for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
            const Value& one = (*list)[i];
            for (std::size_t v = 0; v < context_.group->volumes.size(); ++v) {
                if (context_.group->volumes[v].name != one.at("volume").text()) continue;
                extents->push_back({VolumeIndex(v), ByteOffset(one.at("offset").number()),
                                    ByteCount(one.at("length").number())});
            }
        }
        if (!reply.more) done(check_extents(std::move(*extents)));
    };
    ask_history(
        node,
        {"diff", {{"group", name()}, {"from", name_of(points.from)}, {"to", name_of(points.to)}}},
        take);
}

// What another node names is inside the volumes, by whole sectors.
Result<std::vector<journal::GapExtent>> Group::check_extents(
    std::vector<journal::GapExtent> extents) const {
    for (const journal::GapExtent& one : extents) {
        const VolumeConfig& volume = context_.group->volumes[one.volume.value()];
        std::uint64_t size = 0;
        for (const VolumeRecord& record : context_.record.volumes)
            if (record.name == volume.name) size = record.size.value();
        const std::uint64_t offset = one.offset.value();
        const std::uint64_t length = one.length.value();
        if (length != 0 && offset <= size && length <= size - offset &&
            offset % kSectorBytes == 0 && length % kSectorBytes == 0)
            continue;
        return Status(ErrorCode::corrupt,
                      fmt::format("volume {}: the difference names {} bytes at {}, which are not "
                                  "whole sectors inside its {} bytes",
                                  volume.name, length, offset, size));
    }
    return extents;
}

void Group::restore(const wire::AdminRequest& request, const AdminAnswer& answer) {
    const auto refuse = [&](ErrorCode code, const std::string& why) {
        answer(error_reply(Status(code, why)));
    };
    const bool go_on = argument(request, "continue") == "1";
    const bool undo = argument(request, "undo") == "1";
    const std::string expression = argument(request, "point");
    if (static_cast<int>(go_on) + static_cast<int>(undo) + static_cast<int>(!expression.empty()) !=
        1)
        return refuse(ErrorCode::usage, "either a point, or --continue, or --undo");
    if (!primary_)
        return refuse(ErrorCode::refused, "this node is not the primary of group " + name());
    RestoreRequest wanted;
    wanted.kind = go_on  ? RestoreRequest::Kind::go_on
                  : undo ? RestoreRequest::Kind::undo
                         : RestoreRequest::Kind::begin;
    wanted.force = argument(request, "force") == "1";
    wanted.volume = argument(request, "volume");
    wanted.node = argument(request, "on");
    const auto& volumes = context_.group->volumes;
    const bool known = std::any_of(volumes.begin(), volumes.end(), [&](const VolumeConfig& one) {
        return one.name == wanted.volume;
    });
    if (!wanted.volume.empty() && !known)
        return refuse(ErrorCode::usage, "group " + name() + " has no volume " + wanted.volume);
    if (!wanted.node.empty() && wanted.node != context_.node) {
        const std::vector<std::string> peers = context_.peers();
        if (std::find(peers.begin(), peers.end(), wanted.node) == peers.end())
            return refuse(ErrorCode::usage, wanted.node + " is no other member of group " + name());
    }
    const bool dry_run = argument(request, "dry_run") == "1";
    if (wanted.kind != RestoreRequest::Kind::begin) {
        if (!dry_run && wanted.volume.empty()) return restore_to(wanted, answer);
        return refuse(ErrorCode::usage,
                      "--continue and --undo are for all that the restore began with: neither "
                      "--dry-run nor a volume goes with them");
    }
    if (wanted.node == context_.node) wanted.node.clear();
    if (wanted.node.empty()) wanted.node = history_node();
    if (wanted.node.empty() && !has_history_here())
        return refuse(ErrorCode::usage, "several nodes may have the history: --on names one");
    ask_history(wanted.node, {"point", {{"group", name()}, {"point", expression}}},
                [this, alive = alive_, wanted, dry_run, answer](const wire::AdminReply& reply) {
                    if (*alive == nullptr || reply.more) return;
                    const Result<Point> at = point_of(reply);
                    if (!at.ok()) return answer(error_reply(at.status()));
                    RestoreRequest placed = wanted;
                    placed.to = *at;
                    if (const Status whole = whole_to(placed); !whole.ok())
                        return answer(error_reply(whole));
                    if (dry_run) return restore_dry(placed, answer);
                    restore_to(placed, answer);
                });
}

// A step that has not all of a volume is nothing to bring the volume to.
Status Group::whole_to(const RestoreRequest& wanted) const {
    for (const VolumeRecord& one : context_.record.volumes)
        if (wanted.volume.empty() || wanted.volume == one.name)
            EVERSTEP_TRY(whole_at(one, context_.record.timelines, wanted.to));
    return {};
}

// As far as the history goes now.
void Group::restore_dry(const RestoreRequest& wanted, const AdminAnswer& answer) {
    const auto against = [this, alive = alive_, wanted, answer](const wire::AdminReply& reply) {
        if (*alive == nullptr || reply.more) return;
        const Result<Point> head = point_of(reply);
        if (!head.ok()) return answer(error_reply(head.status()));
        diff_points(wanted.node, {wanted.to, *head},
                    [this, alive, wanted, head = *head,
                     answer](Result<std::vector<journal::GapExtent>> extents) {
                        if (*alive == nullptr) return;
                        if (!extents.ok()) return answer(error_reply(extents.status()));
                        std::erase_if(*extents, [&](const journal::GapExtent& one) {
                            return !wanted.volume.empty() &&
                                   context_.group->volumes[one.volume.value()].name !=
                                       wanted.volume;
                        });
                        wire::AdminReply told;
                        told.body = Value::map();
                        told.body.set("before", head.lsn.value());
                        told.body.set("to", wanted.to.lsn.value());
                        told.body.set("to_timeline", wanted.to.timeline.hex());
                        told.body.set("bytes", bytes_of(*extents));
                        told.body.set("extents", static_cast<std::uint64_t>(extents->size()));
                        told.body.set("clients", primary_ ? primary_->restore().clients() : 0);
                        answer(told);
                    });
    };
    ask_history(wanted.node, {"point", {{"group", name()}, {"point", "head"}}}, against);
}

void Group::restore_to(const RestoreRequest& wanted, const AdminAnswer& answer) {
    if (!primary_) return answer(error_reply(Status(ErrorCode::refused, "the role has changed")));
    RestoreEvents events;
    events.going = [answer](const RestoreFigures& figures) {
        wire::AdminReply told;
        Value progress = Value::map();
        progress.set("done", figures.done).set("total", figures.total).set("unit", "bytes");
        told.body = Value::map().set("progress", std::move(progress));
        told.more = true;
        answer(told);
    };
    events.done = [answer](const Result<Value>& done) {
        if (!done.ok()) return answer(error_reply(done.status()));
        wire::AdminReply reply;
        reply.body = *done;
        answer(reply);
    };
    primary_->restore().run(wanted, std::move(events));
}

}  // namespace everstep::daemon
