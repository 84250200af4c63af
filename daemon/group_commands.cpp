// Group: what the command line asks of it, but takeover.
#include <algorithm>

#include <fmt/format.h>

#include "daemon/added_volumes.hpp"
#include "daemon/group.hpp"
#include "daemon/volume_files.hpp"

namespace everstep::daemon {
namespace {

// It stands on a line of the branch's record.
constexpr std::size_t kLabelBytesMax = 64;

Status check_label(const ExportRequest& wanted) {
    if (wanted.label.empty()) return {};
    if (wanted.writable) return {ErrorCode::usage, "a writable export takes no label"};
    if (wanted.label.size() <= kLabelBytesMax) return {};
    return {ErrorCode::usage, fmt::format("the label has {} bytes, at most {} are taken",
                                          wanted.label.size(), kLabelBytesMax)};
}

Status check_mount(const ExportRequest& wanted) {
    if (wanted.mount.empty()) return {};
    if (!wanted.writable)
        return {ErrorCode::usage, "an export that is to be mounted has to be writable"};
    const bool good = wanted.mount.front() == '/' &&
                      std::none_of(wanted.mount.begin(), wanted.mount.end(),
                                   [](char c) { return static_cast<unsigned char>(c) < 0x20; });
    if (good) return {};
    return {ErrorCode::usage,
            "the directory " + wanted.mount + " is no absolute path without control characters"};
}

MarkBody mark_of(const wire::AdminRequest& request) {
    MarkBody body;
    body.name = argument(request, "name");
    body.consistency = argument(request, "consistency");
    if (body.consistency.empty()) body.consistency = "crash";
    body.pinned = argument(request, "pin") == "1";
    return body;
}

}  // namespace

wire::AdminReply error_reply(const Status& status) {
    wire::AdminReply reply;
    reply.error = status.code();
    reply.message = status.message();
    return reply;
}

bool serves_group(const wire::AdminReply& told) {
    const Value::List* groups = told.body.at("groups").as_list();
    return told.error == ErrorCode::ok && groups != nullptr && !groups->empty() &&
           groups->front().at("role").text() == "primary" &&
           (groups->front().at("state").text() == "serving" ||
            groups->front().at("state").text() == "restoring");
}

std::string argument(const wire::AdminRequest& request, const std::string& name) {
    const auto at = request.arguments.find(name);
    return at == request.arguments.end() ? "" : at->second;
}

std::string Group::history_node() const {
    if (has_history_here()) return {};
    return context_.group->standbys.size() == 1 && context_.group->standbys[0] != context_.node
               ? context_.group->standbys[0]
           : context_.peers().size() == 1 ? context_.peers()[0]
                                          : "";
}

void Group::run(const wire::AdminRequest& request, AdminAnswer answer) {
    const std::string& verb = request.verb;
    const bool role = verb == "takeover" || verb == "adopt" || verb == "restore" ||
                      verb == "pause" || verb == "unpause";
    if (role && !context_.left.empty()) {
        answer(error_reply(Status(ErrorCode::refused, context_.left)));
        return;
    }
    if (verb == "takeover") return takeover(request, answer);
    if (taking_over_ && (verb == "adopt" || verb == "rewind" || verb == "resume")) {
        answer(error_reply(Status(ErrorCode::refused, "a takeover is under way")));
        return;
    }
    if (verb == "adopt") return adopt(request, answer);
    if (verb == "restore") return restore(request, answer);
    if (verb == "verify") return verify(request, answer);
    if (verb == "pause" || verb == "unpause") return pause(verb == "pause", answer);
    const bool at_head = argument(request, "at").empty();
    if (verb == "mark" && at_head && primary_ && primary_->state() == Primary::State::serving) {
        return mark(request, answer);
    }
    if (!has_history_here()) {
        const std::string why = standby_ ? standby_->why() : failed_;
        answer(
            error_reply(Status(ErrorCode::refused, "this node has no history of group " + name() +
                                                       (why.empty() ? "" : ": " + why))));
        return;
    }
    if (verb == "export") return export_point(request, answer);
    if (!argument(request, "branch").empty()) return rewind_branch(request, answer);
    const bool moves = verb == "rewind" || verb == "resume";
    if (moves && primary_) {
        answer(error_reply(Status(ErrorCode::refused,
                                  "the replica is served here, it cannot be moved; "
                                  "`everstep export` serves any step beside it")));
        return;
    }
    if (!moves || argument(request, "dry_run") == "1")
        return standby_->commands()->run(request, std::move(answer));
    standby_->commands()->run(
        request, [this, alive = alive_, verb, answer](const wire::AdminReply& reply) {
            const bool done = reply.error == ErrorCode::ok && !reply.more;
            if (*alive != nullptr && done) {
                context_.event(verb, "the replica went from step " + reply.body.at("from").text() +
                                         " to step " + reply.body.at("lsn").text());
            }
            answer(reply);
        });
}

namespace {

// Those that lead to it.
Timelines timelines_around(const journal::Store& group, const standby::PlacedPoint& point) {
    Timelines all = group.timelines();
    for (const journal::TimelineInfo& one : point.source->store().timelines()) {
        const bool known = std::any_of(all.begin(), all.end(),
                                       [&](const auto& other) { return other.id == one.id; });
        if (!known) all.push_back(one);
    }
    return all;
}

}  // namespace

void Group::export_point(const wire::AdminRequest& request, const AdminAnswer& answer) {
    const auto point = standby_->commands()->place(argument(request, "point"));
    if (!point.ok()) {
        answer(error_reply(point.status()));
        return;
    }
    ExportRequest wanted;
    wanted.at = *point;
    wanted.socket = argument(request, "socket");
    wanted.tcp = argument(request, "tcp");
    if (!wanted.socket.empty() && !wanted.tcp.empty()) {
        answer(error_reply(Status(ErrorCode::usage, "socket and tcp are two places to serve at")));
        return;
    }
    wanted.writable = argument(request, "writable") == "1";
    wanted.mount = argument(request, "mount");
    wanted.label = argument(request, "label");
    Status good = check_mount(wanted);
    if (good.ok()) good = check_label(wanted);
    if (!good.ok()) {
        answer(error_reply(good));
        return;
    }
    const std::string volume = argument(request, "volume");
    const Timelines all = timelines_around(standby_->standby()->store(), *point);
    Value left_out = Value::list();
    for (const VolumeRecord& one : context_.record.volumes) {
        if (!volume.empty() && volume != one.name) continue;
        const Status whole = whole_at(one, all, point->point);
        if (!whole.ok() && !volume.empty()) return answer(error_reply(whole));
        if (whole.ok()) wanted.volumes.push_back(one.name);
        if (!whole.ok()) left_out.push(one.name);
    }
    if (wanted.volumes.empty()) {
        answer(
            error_reply(Status(ErrorCode::usage, "group " + name() + " has no volume " + volume)));
        return;
    }
    exports_.add(context_, *standby_->standby(), wanted,
                 [this, alive = alive_, writable = wanted.writable, left_out,
                  answer](const Result<Value>& made) {
                     if (*alive == nullptr) return;
                     if (!made.ok()) return answer(error_reply(made.status()));
                     context_.event("export", "export " + made->at("id").text() + " of step " +
                                                  made->at("lsn").text() +
                                                  (writable ? ", writable" : ""));
                     wire::AdminReply reply;
                     reply.body = *made;
                     reply.body.set("left_out", left_out);
                     answer(reply);
                 });
}

// A writable export goes back or forward over its own steps.
void Group::rewind_branch(const wire::AdminRequest& request, const AdminAnswer& answer) {
    if (request.verb != "rewind" || argument(request, "dry_run") == "1") {
        answer(error_reply(Status(ErrorCode::usage, "--branch goes with rewind alone")));
        return;
    }
    const auto point = standby_->commands()->place(argument(request, "point"));
    if (!point.ok()) {
        answer(error_reply(point.status()));
        return;
    }
    const std::string id = argument(request, "branch");
    exports_.go_to(
        id, *point, argument(request, "force") == "1",
        [this, alive = alive_, id, lsn = point->point.lsn, answer](const Result<Value>& gone) {
            if (*alive == nullptr) return;
            if (!gone.ok()) return answer(error_reply(gone.status()));
            context_.event("rewind",
                           "export " + id + " went to step " + std::to_string(lsn.value()));
            wire::AdminReply reply;
            reply.body = *gone;
            answer(reply);
        });
}

void Group::verify(const wire::AdminRequest& request, const AdminAnswer& answer) {
    if (!primary_)
        return answer(error_reply(
            Status(ErrorCode::refused,
                   "verify runs on the primary, and none of this group is known here")));
    const auto tell = [answer](Value body, bool last) {
        wire::AdminReply reply;
        reply.body = std::move(body);
        reply.more = !last;
        answer(reply);
    };
    const Status begun =
        primary_->verify(argument(request, "standby"), argument(request, "repair") == "1", tell);
    if (!begun.ok()) answer(error_reply(begun));
}

void Group::mark(const wire::AdminRequest& request, const AdminAnswer& answer) {
    const MarkBody body = mark_of(request);
    const Status named = check_mark_name(body.name);
    if (!named.ok()) {
        answer(error_reply(named));
        return;
    }
    const auto taken = [body, answer] {
        answer(error_reply(Status(ErrorCode::exists, "the name " + body.name + " is taken")));
    };
    // The names are the history's: it is asked first where it can be reached.
    if (has_history_here()) {
        const standby::NameHold name = standby_->commands()->hold_name(body.name);
        return name ? put_mark(body, name, answer) : taken();
    }
    if (history_node().empty()) return put_mark(body, {}, answer);
    relay_(history_node(), {"marks", {{"group", name()}}},
           [this, alive = alive_, body, answer, taken](const wire::AdminReply& reply) {
               if (*alive == nullptr || reply.more) return;
               const Value::List* list = reply.body.as_list();
               const bool there = list != nullptr &&
                                  std::any_of(list->begin(), list->end(), [&](const Value& one) {
                                      return one.at("name").text() == body.name;
                                  });
               return there && reply.error == ErrorCode::ok ? taken() : put_mark(body, {}, answer);
           });
}

void Group::put_mark(const MarkBody& body, const standby::NameHold& name,
                     const AdminAnswer& answer) {
    const auto refuse = [&](const char* why) {
        answer(error_reply(Status(ErrorCode::refused, why)));
    };
    if (!primary_) return refuse("this node is not the primary of the group any more");
    if (!primary_->status().at("restore").is_null())
        return refuse(
            "a restore is under way, or was cut: the newest step lies inside its batch and is no "
            "point");
    primary_->put_mark(body, [body, name, answer](const Result<Point>& at) {
        if (!at.ok()) {
            answer(error_reply(at.status()));
            return;
        }
        wire::AdminReply reply;
        reply.body = Value::map();
        reply.body.set("name", body.name);
        reply.body.set("lsn", at->lsn.value());
        reply.body.set("timeline", at->timeline.hex());
        reply.body.set("pinned", body.pinned);
        reply.body.set("consistency", body.consistency);
        answer(reply);
    });
}

void Group::pause(bool paused, const AdminAnswer& answer) {
    if (!primary_) {
        answer(
            error_reply(Status(ErrorCode::refused, "this node is not the primary of group " +
                                                       name() + "; this is asked of the primary")));
        return;
    }
    primary_->set_paused(paused);
    wire::AdminReply reply;
    reply.body = Value::map();
    answer(reply);
}

void Group::adopt(const wire::AdminRequest& request, const AdminAnswer& answer) {
    const std::string from = argument(request, "from");
    const bool force = argument(request, "force") == "1";
    if (from.empty() == !force) {
        answer(error_reply(Status(ErrorCode::usage, "either --from NODE or --force")));
        return;
    }
    const std::vector<std::string> peers = context_.peers();
    if (!force && std::find(peers.begin(), peers.end(), from) == peers.end()) {
        answer(
            error_reply(Status(ErrorCode::usage, from + " is no other member of group " + name())));
        return;
    }
    if (force && !primary_) {
        answer(error_reply(Status(ErrorCode::refused,
                                  "this node is a standby; --force is for a primary whose disk is "
                                  "the truth, --from NODE takes the data of NODE")));
        return;
    }
    if (force || primary_serves()) return adopt_as_primary(force, from, answer);
    // Nothing is given up before the other node is known to serve.
    relay_(from, {"status", {{"group", name()}}},
           [this, alive = alive_, from, answer](const wire::AdminReply& told) {
               if (*alive != nullptr && !told.more) adopt_from(from, told, answer);
           });
}

bool Group::primary_serves() const {
    return primary_ && primary_->state() == Primary::State::serving;
}

// From the primary as its standby; from a standby as the primary that goes on with its data.
void Group::adopt_from(const std::string& from, const wire::AdminReply& told,
                       const AdminAnswer& answer) {
    const bool serves = serves_group(told);
    if (primary_ && (!serves || primary_serves())) {
        adopt_as_primary(false, from, answer);
    } else if (told.error != ErrorCode::ok) {
        answer(error_reply(Status(told.error, told.message)));
    } else if (!serves || taking_over_) {
        answer(error_reply(Status(ErrorCode::refused, from + " does not serve group " + name() +
                                                          "; nothing was changed here")));
    } else {
        adopt_as_standby(from, told, answer);
    }
}

void Group::adopt_as_primary(bool force, const std::string& from, const AdminAnswer& answer) {
    primary_->adopt_soon(force, from, [this, alive = alive_, answer](const Status& status) {
        if (*alive == nullptr) return;
        if (!status.ok()) {
            answer(error_reply(status));
            return;
        }
        wire::AdminReply reply;
        reply.body = Value::map();
        reply.body.set("role", "primary");
        reply.body.set("timeline", context_.record.tip.point.timeline.hex());
        reply.body.set("lsn", context_.record.tip.point.lsn.value());
        answer(reply);
    });
}

// Steps that this node holds and the other one, whose status this is, has not: as far as known.
std::string Group::given_up(const wire::AdminReply& told) const {
    Timelines own = context_.record.timelines;
    Point tip = context_.record.tip.point;
    if (has_history_here() && standby_->standby()->store().has_history()) {
        own = standby_->standby()->store().timelines();
        tip = standby_->standby()->store().durable().point;
    }
    const Value& group = told.body.at("groups").as_list()->front();
    Timelines theirs;
    Point head;
    if (const Value::List* list = group.at("timelines").as_list()) {
        for (const Value& one : *list) {
            journal::TimelineInfo& info = theirs.emplace_back();
            const bool root = one.at("parent").is_null();
            const bool read = Uuid::parse(one.at("timeline").text(), info.id) &&
                              (root || Uuid::parse(one.at("parent").text(), info.parent));
            if (!read) theirs.pop_back();
            if (!read) continue;
            info.branch_lsn = Lsn(one.at("from").number());
            const auto* current = std::get_if<bool>(&one.at("current").data());
            if (current != nullptr && *current) head.timeline = info.id;
        }
    }
    head.lsn = Lsn(group.at("positions").at("captured").number());
    return steps_not_there(path_to(own, tip.timeline), tip, theirs, head);
}

// A volume that was added here while this node served it from its own device.
Status Group::holds_alone() const {
    const std::string coming = first_coming(context_.record);
    const bool own_disk = primary_ != nullptr || !context_.record.refused.empty();
    if (coming.empty() || !own_disk || has_history_here()) return {};
    return {ErrorCode::refused,
            fmt::format("volume {} was added here and not all of it has reached the history: what "
                        "it holds is on this node's device alone, and would be written over. Copy "
                        "it away; then, with this node stopped, delete {}/group",
                        coming, context_.directory)};
}

// Becomes an empty standby: the other node, which serves or will serve, copies everything here.
void Group::adopt_as_standby(const std::string& from, const wire::AdminReply& told,
                             const AdminAnswer& answer) {
    const auto branches = standby::branch_ids(*context_.files, branches_directory(context_));
    if (!branches.ok()) return answer(error_reply(branches.status()));
    if (!branches->empty()) {
        answer(error_reply(Status(
            ErrorCode::refused,
            fmt::format("export {} lies over the history that would go; what was written on it "
                        "would be lost: `everstep unexport {} --drop --on {}` first",
                        branches->front(), branches->front(), context_.node))));
        return;
    }
    if (const Status alone = holds_alone(); !alone.ok()) return answer(error_reply(alone));
    const std::string lost = given_up(told);
    exports_.remove_group(name());
    if (primary_) primary_->fence();
    primary_.reset();
    standby_.reset();
    GroupRecord& record = context_.record;
    const GroupRecord before = record;
    record.refused.clear();
    record.pulling.clear();
    record.restore.reset();
    record.role = wire::Role::standby;
    record.group = Uuid();  // taken from the primary that greets it
    record.serves_store = false;
    record.clean = false;
    record.peers.clear();
    record.intent.reset();
    record.timelines.clear();
    record.tip = record.step = journal::Tip();
    record.volumes.clear();
    bool made = false;
    Status status = journal::Store::wipe(*context_.files, context_.directory + "/store");
    if (status.ok()) status = prepare_volumes(context_, made);
    if (status.ok()) status = context_.save();
    if (!status.ok()) {  // as the disk has it; the order can be given again
        record = before;
        start_role();
        answer(error_reply(status));
        return;
    }
    standby_ = std::make_unique<StandbyRole>(context_);
    status = standby_->open();
    if (!status.ok()) {
        answer(error_reply(status));
        return;
    }
    context_.event("adopt", "takes the data of " + from + ": an empty standby now");
    if (!lost.empty()) context_.event("alarm-adopt", not_there_text(lost, from));
    wire::AdminReply reply;
    reply.body = Value::map();
    reply.body.set("role", "standby");
    reply.body.set("timeline", Value());
    reply.body.set("lsn", Value());
    answer(reply);
}

}  // namespace everstep::daemon
