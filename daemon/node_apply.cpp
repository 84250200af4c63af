// Node: `everstep group apply` (docs/admin.md). The primary's node reads the file again, asks every
// member what its own file says, plans, and takes the members over: its record first, durably, then
// its links; then each other node is told to read its file. Killed in between, a node starts with
// the new file and does the same (standby_changes.hpp); asked again, what is left is done.
#include <algorithm>

#include <fmt/format.h>

#include "daemon/apply_plan.hpp"
#include "daemon/intent_map.hpp"
#include "daemon/kept_section.hpp"
#include "daemon/node.hpp"
#include "daemon/reload.hpp"

namespace everstep::daemon {

struct Node::Apply {
    AdminAnswer answer;
    wire::AdminRequest request;
    std::string group;
    Config read;
    std::vector<ApplyMember> members{};
    std::map<std::string, std::string> addresses{};  // theirs
    std::size_t unanswered = 0;
    ApplyPlan plan{};
    Value told{};  // the answer's body
    ErrorCode failed = ErrorCode::ok;
    std::string undone{};  // "NODE: why", of each that could not
};

namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

Value section_value(const GroupConfig* group) {
    if (group == nullptr) return {};
    Value list = Value::list();
    for (const auto& [key, value] : group->canonical()) list.push(key + '=' + value);
    return list;
}

Section section_of(const Value& value) {
    Section section;
    if (const Value::List* list = value.as_list()) {
        for (const Value& one : *list) {
            const std::string text = one.text();
            const std::size_t at = std::min(text.find('='), text.size());
            section.emplace_back(text.substr(0, at), text.substr(std::min(text.size(), at + 1)));
        }
    }
    return section;
}

ApplyMember looked(const std::string& node, const wire::AdminReply& told) {
    ApplyMember member{node};
    if (told.error != ErrorCode::ok) {
        member.silent = told.message.empty() ? "no reason given" : told.message;
        return member;
    }
    member.bad_file = told.body.at("bad_file").text();
    member.file = section_of(told.body.at("file"));
    member.running = section_of(told.body.at("running"));
    const auto* history = std::get_if<bool>(&told.body.at("has_history").data());
    member.has_history = history != nullptr && *history;
    if (const Value::List* volumes = told.body.at("new_volumes").as_list())
        for (const Value& one : *volumes)
            member.volumes.push_back({one.at("name").text(), one.at("problem").text(),
                                      ByteCount(one.at("size").number())});
    return member;
}

// What the group, its status, says of a standby.
bool connected(const Value& status, const std::string& node) {
    const Value::List* peers = status.at("peers").as_list();
    return peers != nullptr && std::any_of(peers->begin(), peers->end(), [&](const Value& peer) {
               return peer.at("node").text() == node && peer.at("state").text() == "connected";
           });
}

std::string refusals_text(const ApplyPlan& plan, bool force) {
    std::string text;
    for (const ApplyRefusal& one : plan.refused) {
        if (one.force && force) continue;
        text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", one.key, one.text);
    }
    return text;
}

}  // namespace

Result<Config> Node::read_again() const {
    Result<Config> read = load_config(config_.file);
    if (!read.ok()) return read;
    EVERSTEP_TRY(check_node(*read, name_));
    EVERSTEP_TRY(check_tls(*read, name_));
    return read;
}

void Node::group_apply(const wire::AdminRequest& request, bool relayed, const AdminAnswer& answer) {
    const auto refuse = [&](ErrorCode code, const std::string& why) {
        answer(error_reply(Status(code, why)));
    };
    std::string name = argument(request, "group");
    if (name.empty() && groups_.size() == 1) name = groups_.begin()->first;
    if (name.empty()) return refuse(ErrorCode::usage, "say which group; this node has several");
    const auto at = groups_.find(name);
    if (at == groups_.end()) return answer(no_group(name));
    Group& group = *at->second;
    if (!group.context().left.empty()) return refuse(ErrorCode::refused, group.context().left);
    if (const std::string primary = group.primary_node(); !primary.empty()) {
        if (relayed)
            return refuse(ErrorCode::refused,
                          fmt::format("node {} does not serve group {}", name_, name));
        wire::AdminRequest there = request;
        there.arguments["group"] = name;
        return relay(primary, there, answer);
    }
    if (!group.serves())
        return refuse(ErrorCode::refused, "group " + name +
                                              " is not served here now; its members "
                                              "are changed while it is");
    if (applying_) return refuse(ErrorCode::busy, "a `group apply` is under way");
    const Result<Config> read = read_again();
    if (!read.ok()) return answer(error_reply(read.status()));
    if (read->group(name) == nullptr)
        return refuse(ErrorCode::refused,
                      read->file + " has no group " + name + ", which runs; put it back");
    applying_ = true;
    ask_members(std::make_shared<Apply>(Apply{answer, request, name, *read}));
}

// All at once; one that is away is waited for as long as a link takes to say so.
void Node::ask_members(const std::shared_ptr<Apply>& job) {
    std::vector<std::string> names = config_.group(job->group)->members();
    for (const std::string& name : job->read.group(job->group)->members())
        if (!contains(names, name)) names.push_back(name);
    std::erase(names, name_);
    job->unanswered = names.size();
    if (names.empty()) return plan(job);
    for (const std::string& name : names) {
        const NodeConfig* node = job->read.node(name);
        if (node == nullptr) node = config_.node(name);
        job->addresses[name] = node->address;
        relay_->ask({name, node->address}, {"group look", {{"group", job->group}}},
                    [this, job, name](const wire::AdminReply& told) {
                        if (told.more || stopped_) return;
                        job->members.push_back(looked(name, told));
                        if (--job->unanswered == 0) plan(job);
                    });
    }
}

void Node::plan(const std::shared_ptr<Apply>& job) {
    Group& group = *groups_.at(job->group);
    const auto end = [&](const Status& status) {
        applying_ = false;
        job->answer(error_reply(status));
    };
    if (!group.serves())
        return end(Status(ErrorCode::refused, "group " + job->group + " stopped being served"));
    std::sort(job->members.begin(), job->members.end(),
              [](const ApplyMember& a, const ApplyMember& b) { return a.node < b.node; });
    const Value status = group.status();
    for (ApplyMember& one : job->members) {
        one.connected = connected(status, one.node);
        one.keeps = group.keeps_acknowledged(one.node);
        const NodeConfig* now = config_.node(one.node);
        const NodeConfig* next = job->read.node(one.node);
        if (now != nullptr && next != nullptr && now->address != next->address)
            one.moved = fmt::format("{}, was {}", next->address, now->address);
    }
    ApplyInput input{name_, *group.context().group, *job->read.group(job->group)};
    input.members = job->members;
    input.standbys_max = kIntentStandbysMax;
    input.acknowledges = group.context().group->ack != AckLevel::local;
    input.restoring = !status.at("restore").is_null();
    input.serves_store = group.context().record.serves_store;
    input.volumes = look_at_new_volumes(job->read, input.running, name_);
    for (const VolumeRecord& volume : group.context().record.volumes)
        input.volume_bytes = ByteCount(input.volume_bytes.value() + volume.size.value());
    Config trial = config_;
    take_members(trial, job->read, job->group, name_);
    const Reload change = take_over(trial, job->read);
    for (const Reload::Key& key : change.taken)
        if (key.group == job->group) input.live.push_back(key.text);
    for (const std::string& key : change.restart) {
        const bool here = key.starts_with("group." + job->group + ".") ||
                          key.starts_with("node." + name_ + ".") || key == "tls.ca";
        if (here) input.restart.push_back(key);
    }
    job->plan = plan_apply(input);
    const std::string digest = plan_digest(job->plan, input.wanted);
    job->told = plan_value(job->plan);
    job->told.set("group", job->group).set("node", name_).set("plan", digest).set("done", false);
    const std::string shown = argument(job->request, "plan");
    if (argument(job->request, "dry_run") == "1") {
        applying_ = false;
        job->answer({ErrorCode::ok, "", job->told, false});
        return;
    }
    const std::string refused = refusals_text(job->plan, argument(job->request, "force") == "1");
    if (!refused.empty()) return end(Status(ErrorCode::refused, refused));
    if (!shown.empty() && shown != digest)
        return end(Status(ErrorCode::refused,
                          "the plan is not the one that was shown any more; look at it again"));
    take_plan(job);
}

void Node::take_plan(const std::shared_ptr<Apply>& job) {
    if (job->plan.changes()) {
        const Status taken = take_section(job->read, job->group);
        if (!taken.ok()) {
            applying_ = false;
            job->answer(error_reply(taken));
            return;
        }
        take_settings(job->read);
    }
    tell_members(job);
}

// Sections of groups and nodes have moved.
void Node::point_anew() {
    self_ = config_.node(name_);
    for (auto& [name, group] : groups_)
        if (!left_.contains(name)) group->context().group = config_.group(name);
}

// For nodes that came, and without those that left.
Status Node::listen_anew() {
    listener_.reset();
    return listen();
}

Status Node::take_section(const Config& read, const std::string& group) {
    const Config before = config_;
    take_members(config_, read, group, name_);
    point_anew();
    const auto at = groups_.find(group);
    Status taken = at == groups_.end() ? Status() : at->second->change_members();
    const auto name_of = [](const NodeConfig& node) { return node.name; };
    std::vector<std::string> nodes(before.nodes.size());
    std::transform(before.nodes.begin(), before.nodes.end(), nodes.begin(), name_of);
    const bool same =
        std::equal(nodes.begin(), nodes.end(), config_.nodes.begin(), config_.nodes.end(),
                   [](const std::string& a, const auto& b) { return a == b.name; });
    if (taken.ok() && !same) taken = listen_anew();
    if (taken.ok()) return {};
    // The links follow the configuration; a record that is ahead of it is one that a start reads.
    events_.add(group, "alarm-state", taken.message());
    if (listener_) {
        config_ = before;
        point_anew();
        if (at != groups_.end()) at->second->take_role_again();
    }
    return taken;
}

// Each reads its own file; who does not answer reads it at its next start.
void Node::tell_members(const std::shared_ptr<Apply>& job) {
    const GroupConfig& wanted = *job->read.group(job->group);
    const std::string digest = section_digest(wanted.canonical());
    const std::string runs = section_digest(config_.group(job->group)->canonical());
    job->unanswered = 1;
    const auto one_less = [this, job] {
        if (--job->unanswered > 0 || stopped_) return;
        applying_ = false;
        job->told.set("done", true);
        if (job->plan.changes())
            events_.add(job->group, "group", "the file's members are taken over");
        if (const auto group = groups_.find(job->group); group != groups_.end())
            group->second->dial_standbys();
        if (job->failed == ErrorCode::ok) return job->answer({ErrorCode::ok, "", job->told, false});
        job->answer(error_reply(
            Status(job->failed, fmt::format("done here, but not on {}; run it again when that is "
                                            "put right",
                                            job->undone))));
    };
    for (const ApplyMember& member : job->members) {
        if (!member.silent.empty()) continue;
        const bool stays = contains(wanted.members(), member.node);
        if (stays && member.running == config_.group(job->group)->canonical()) continue;
        ++job->unanswered;
        const wire::AdminRequest request{"group take",
                                         {{"group", job->group},
                                          {"file", digest},
                                          {"runs", runs},
                                          {"leave", stays ? "0" : "1"}}};
        relay_->ask({member.node, job->addresses.at(member.node)}, request,
                    [job, name = member.node, one_less](const wire::AdminReply& told) {
                        if (told.more) return;
                        if (told.error != ErrorCode::ok) {
                            job->failed = told.error;
                            job->undone += fmt::format("{}{}: {}", job->undone.empty() ? "" : "; ",
                                                       name, told.message);
                        }
                        one_less();
                    });
    }
    one_less();
}

// What this node's file says of a group, and what it runs.
void Node::group_look(const wire::AdminRequest& request, const AdminAnswer& answer) {
    const std::string name = argument(request, "group");
    const Result<Config> read = read_again();
    const auto at = groups_.find(name);
    const bool runs = at != groups_.end() && at->second->context().left.empty();
    Value body = Value::map();
    body.set("node", name_);
    body.set("bad_file", read.ok() ? Value() : Value(read.status().message()));
    body.set("file", read.ok() ? section_value(read->group(name)) : Value());
    body.set("running", runs ? section_value(at->second->context().group) : Value());
    bool history = false;
    if (at != groups_.end() && at->second->has_history_here())
        history = !at->second->status().at("history").at("head").is_null();
    body.set("has_history", history);
    Value fresh = Value::list();
    if (read.ok() && runs) {
        for (const NewVolume& volume :
             look_at_new_volumes(*read, *at->second->context().group, name_)) {
            Value one = Value::map();
            one.set("name", volume.name).set("problem", volume.problem);
            fresh.push(one.set("size", volume.size.value()));
        }
    }
    body.set("new_volumes", std::move(fresh));
    answer({ErrorCode::ok, "", std::move(body), false});
}

void Node::group_take(const wire::AdminRequest& request, const AdminAnswer& answer) {
    const std::string name = argument(request, "group");
    const auto refuse = [&](const std::string& why) {
        answer(error_reply(Status(ErrorCode::refused, why)));
    };
    const auto at = groups_.find(name);
    if (at != groups_.end() && at->second->serves())
        return refuse("node " + name_ + " serves group " + name);
    const Result<Config> read = read_again();
    if (argument(request, "leave") == "1") {
        if (at == groups_.end() || !at->second->context().left.empty())
            return answer({ErrorCode::ok, "", Value::map(), false});
        const std::vector<std::string> members = read.ok() && read->group(name) != nullptr
                                                     ? read->group(name)->members()
                                                     : std::vector<std::string>();
        if (contains(members, name_))
            events_.add(name, "alarm-reload",
                        config_.file + " still names this node: put the new file here");
        // As it was kept: without the limits of retention.
        Result<GroupConfig> section = unpack_section(pack_section(*at->second->context().group));
        if (!section.ok()) return answer(error_reply(section.status()));
        left_[name] = std::make_unique<GroupConfig>(std::move(*section));
        at->second->leave(*left_[name]);
        return answer({ErrorCode::ok, "", Value::map(), false});
    }
    if (!read.ok()) return answer(error_reply(read.status()));
    const GroupConfig* wanted = read->group(name);
    if (wanted == nullptr || !contains(wanted->members(), name_))
        return refuse("the file on " + name_ + " does not name it as a member of group " + name);
    if (section_digest(wanted->canonical()) != argument(request, "file"))
        return refuse("the file on " + name_ + " is not the one of the plan");
    if (const Status taken = take_section(*read, name); !taken.ok())
        return answer(error_reply(taken));
    take_settings(*read);
    if (section_digest(config_.group(name)->canonical()) != argument(request, "runs"))
        return refuse("node " + name_ +
                      " runs with a setting that only a restart changes; restart it there");
    join(name, answer);
}

// A member that has not run the group so far, or had left it.
void Node::join(const std::string& group, const AdminAnswer& answer) {
    const auto begin = [this, group, answer] {
        left_.erase(group);
        make_group(*config_.group(group), false);
        groups_.at(group)->start();
        answer({ErrorCode::ok, "", Value::map(), false});
    };
    const auto at = groups_.find(group);
    if (at == groups_.end()) return begin();
    if (at->second->context().left.empty()) return answer({ErrorCode::ok, "", Value::map(), false});
    at->second->stop([this, group, begin] {
        loop_.post([this, group, begin] {
            if (stopped_) return;
            groups_.erase(group);
            begin();
        });
    });
}

}  // namespace everstep::daemon
