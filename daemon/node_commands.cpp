// Node: the command line's requests, its own and those that other nodes relay.
#include "daemon/node.hpp"

namespace everstep::daemon {

void Node::relay(const std::string& node, const wire::AdminRequest& request, AdminAnswer answer) {
    const NodeConfig* target = config_.node(node);
    if (target == nullptr) {
        answer(error_reply(Status(ErrorCode::usage, "the configuration has no node " + node)));
        return;
    }
    if (removed_.contains(node)) {
        answer(error_reply(
            Status(ErrorCode::refused, "the configuration has no node " + node + " any more")));
        return;
    }
    relay_->ask({node, target->address}, request, std::move(answer));
}

wire::AdminReply Node::no_group(const std::string& group) const {
    return error_reply(Status(ErrorCode::usage, "node " + name_ + " has no group " + group));
}

wire::AdminReply Node::status(const std::string& group) const {
    if (!group.empty() && !groups_.contains(group)) return no_group(group);
    Value list = Value::list();
    for (const auto& [name, one] : groups_) {
        if (group.empty() || group == name) list.push(one->status());
    }
    wire::AdminReply reply;
    reply.body = Value::map();
    reply.body.set("node", name_);
    reply.body.set("groups", std::move(list));
    return reply;
}

void Node::run_command(const wire::AdminRequest& request, bool relayed, AdminAnswer answer) {
    const std::string& verb = request.verb;
    if (stopped_) {
        answer(error_reply(Status(ErrorCode::unreachable, "the node stops")));
        return;
    }
    const std::string on = argument(request, "on");
    if (!relayed && !on.empty() && on != name_ && verb != "restore") {
        wire::AdminRequest there = request;
        there.arguments.erase("on");
        relay(on, there, std::move(answer));
        return;
    }
    if (verb == "status") return answer(status(argument(request, "group")));
    if (verb == "events") return events(request, answer);
    if (verb == "group apply") return group_apply(request, relayed, answer);
    if (verb == "group look") return group_look(request, answer);
    if (verb == "group take") return group_take(request, answer);
    if (verb == "exports" || verb == "unexport") return exports(request, relayed, answer);
    run_for_group(request, relayed, answer);
}

void Node::run_for_group(const wire::AdminRequest& request, bool relayed,
                         const AdminAnswer& answer) {
    const std::string name = argument(request, "group");
    const auto at = groups_.find(name);
    if (at == groups_.end()) {
        answer(name.empty() ? error_reply(Status(ErrorCode::usage, "a group is wanted"))
                            : no_group(name));
        return;
    }
    Group& group = *at->second;
    const std::string& verb = request.verb;
    const bool history = verb == "log" || verb == "marks" || verb == "unmark" || verb == "rewind" ||
                         verb == "resume" || verb == "diff" || verb == "export" ||
                         verb == "scrub" || verb == "point" ||
                         (verb == "mark" && !argument(request, "at").empty());
    if (history && !relayed && argument(request, "on").empty() && !group.has_history_here()) {
        const std::string node = group.history_node();
        if (!node.empty()) {
            relay(node, request, answer);
            return;
        }
    }
    const bool primarys = verb == "restore" || verb == "verify";
    if (primarys && !relayed && !group.primary_node().empty())
        return relay(group.primary_node(), request, answer);
    const bool known = history || primarys || verb == "mark" || verb == "takeover" ||
                       verb == "adopt" || verb == "pause" || verb == "unpause";
    if (!known) {
        answer(error_reply(Status(ErrorCode::usage, "unknown command " + verb)));
        return;
    }
    group.run(request, answer);
}

// The node whose exports are meant where none is named: the one that `export` asks. Empty: this
// one.
std::string Node::exports_node(const std::string& group) const {
    std::string node;
    for (const auto& [name, one] : groups_) {
        if (!group.empty() && name != group) continue;
        const std::string there = one->history_node();
        if (there.empty() || (!node.empty() && there != node)) return {};
        node = there;
    }
    return node;
}

void Node::exports(const wire::AdminRequest& request, bool relayed, const AdminAnswer& answer) {
    const std::string group = argument(request, "group");
    if (!group.empty() && !groups_.contains(group)) return answer(no_group(group));
    if (!relayed && argument(request, "on").empty()) {
        if (const std::string node = exports_node(group); !node.empty())
            return relay(node, request, answer);
    }
    wire::AdminReply reply;
    if (request.verb == "exports") {
        reply.body = exports_->list(group);
        return answer(reply);
    }
    const std::string id = argument(request, "id");
    const bool keep = argument(request, "keep") == "1";
    const Status ended =
        keep ? exports_->keep(id) : exports_->remove(id, argument(request, "drop") == "1");
    if (!ended.ok()) return answer(error_reply(ended));
    events_.add("", "unexport",
                "export " + id + (keep ? " is kept without its mount" : " is ended"));
    reply.body = Value::map();
    answer(reply);
}

void Node::events(const wire::AdminRequest& request, const AdminAnswer& answer) {
    wire::AdminReply reply;
    if (argument(request, "follow") != "1") {
        reply.body = events_.all();
        answer(reply);
        return;
    }
    std::uint64_t follower = 0;
    std::tie(reply.body, follower) = events_.follow([this, answer](const Value& event) {
        loop_.post([answer, event] {
            wire::AdminReply one;
            one.body = Value::list();
            one.body.push(event);
            one.more = true;
            answer(one);
        });
    });
    reply.more = true;
    answer(reply);
    answer.on_gone([this, follower] { events_.unfollow(follower); });
}

}  // namespace everstep::daemon
