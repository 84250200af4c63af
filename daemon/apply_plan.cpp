#include "daemon/apply_plan.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "common/base/checksum.hpp"
#include "daemon/stream_plan.hpp"

namespace everstep::daemon {

namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

class Planner {
  public:
    explicit Planner(const ApplyInput& input) : in_(input) {}
    ApplyPlan plan() {
        roles();
        volumes();
        for (const ApplyMember& member : in_.members) files(member);
        for (const std::string& name : in_.wanted.members())
            if (!contains(in_.running.members(), name)) added(name);
        for (const std::string& name : in_.running.members())
            if (!contains(in_.wanted.members(), name)) removed(name);
        settings();
        for (const std::string& name : in_.wanted.members())
            if (contains(in_.running.members(), name)) kept(name);
        holders();
        if (in_.restoring && plan_.changes())
            refuse("restore",
                   "a restore is under way, or was cut; `everstep restore` says how it "
                   "goes on");
        return std::move(plan_);
    }

  private:
    void refuse(std::string key, std::string text, bool force = false) {
        plan_.refused.push_back({std::move(key), std::move(text), force});
    }
    [[nodiscard]] const ApplyMember& member(const std::string& name) const {
        static const ApplyMember kNobody{};
        const auto at = std::find_if(in_.members.begin(), in_.members.end(),
                                     [&](const ApplyMember& one) { return one.node == name; });
        return at == in_.members.end() ? kNobody : *at;
    }

    // The role is state: the file says who has it at the very first start.
    void roles() {
        const auto& [now, next] = std::pair(in_.running.primary, in_.wanted.primary);
        if (now != next && next != in_.node)
            refuse("primary", fmt::format("found '{}', runs with '{}', and {} serves: a role is "
                                          "not changed by the file, `everstep failback` and "
                                          "`everstep takeover` change it",
                                          next, now, in_.node));
        if (now != next && next == in_.node)
            plan_.steps.push_back({"primary", next, "has the role already; was " + now, {}});
        if (!contains(in_.wanted.members(), in_.node))
            refuse("standbys", fmt::format("{} serves the group and is no member of it in the "
                                           "file: another node has to take over first",
                                           in_.node));
        if (in_.wanted.standbys.empty() && !in_.running.standbys.empty())
            refuse("standbys", "found none: a group that runs cannot turn to local history alone");
        if (in_.wanted.standbys.size() > in_.standbys_max)
            refuse("standbys", fmt::format("found {}, at most {} can be served",
                                           in_.wanted.standbys.size(), in_.standbys_max));
    }

    // Frames name a volume by its place, which is of that volume for ever.
    void volumes() {
        for (const VolumeConfig& now : in_.running.volumes) {
            const std::string key = "volume." + now.name;
            const auto next = std::find_if(in_.wanted.volumes.begin(), in_.wanted.volumes.end(),
                                           [&](const auto& one) { return one.name == now.name; });
            if (next == in_.wanted.volumes.end()) {
                refuse(key,
                       "is not in the file: a volume cannot be removed from a group that "
                       "runs yet; put it back");
                continue;
            }
            if (now.size != next->size)
                refuse(key + ".size",
                       fmt::format("found {}, runs with {}: a volume cannot be resized yet",
                                   next->size ? format_byte_count(*next->size) : "none",
                                   now.size ? format_byte_count(*now.size) : "none"));
            const auto place = next - in_.wanted.volumes.begin();
            const auto before = &now - in_.running.volumes.data();
            if (place != before)
                refuse(key + ".index", fmt::format("found at place {}, runs at {}: volumes keep "
                                                   "their order",
                                                   place, before));
        }
        for (const VolumeConfig& next : in_.wanted.volumes) {
            const bool known = std::any_of(in_.running.volumes.begin(), in_.running.volumes.end(),
                                           [&](const auto& one) { return one.name == next.name; });
            if (!known) volume_added(next);
        }
    }

    void volume_added(const VolumeConfig& volume) {
        const std::string key = "volume." + volume.name;
        const NewVolume own = new_volume(in_.volumes, volume.name);
        const auto place = static_cast<std::size_t>(&volume - in_.wanted.volumes.data());
        if (place < in_.running.volumes.size())
            refuse(key, fmt::format("is new and found at place {}, which volume {} has: a new one "
                                    "goes behind all others",
                                    place, in_.running.volumes[place].name));
        if (in_.serves_store)
            refuse(key, "is new: a group that is served through its store takes no volume yet");
        if (in_.running.standbys != in_.wanted.standbys)
            refuse(key, "is new, and the file names other standbys, too: one after the other");
        if (!own.problem.empty()) refuse(fmt::format("{}.{}", key, in_.node), own.problem);
        for (const ApplyMember& one : in_.members) {
            const NewVolume there = new_volume(one.volumes, volume.name);
            const std::string there_key = fmt::format("{}.{}", key, one.node);
            if (!there.problem.empty()) refuse(there_key, there.problem);
            const bool sized = own.size.value() != 0 && there.size.value() != 0;
            if (there.problem.empty() && own.problem.empty() && sized && own.size != there.size)
                refuse(there_key, fmt::format("found {} bytes on {}, {} on {}", there.size.value(),
                                              one.node, own.size.value(), in_.node));
        }
        plan_.steps.push_back(
            {"volume-added", volume.name,
             fmt::format("served as soon as this is done; what it holds, up to {}, is shipped as "
                         "steps, and history has it from the last of them on. The sessions of the "
                         "standbys begin anew, and exports there end or connect again",
                         format_byte_count(own.size)),
             own.size});
    }
    [[nodiscard]] static NewVolume new_volume(const std::vector<NewVolume>& all,
                                              const std::string& name) {
        for (const NewVolume& one : all)
            if (one.name == name) return one;
        return {name};
    }

    // The same on every member; who has left may have any.
    void files(const ApplyMember& member) {
        if (!member.silent.empty() || !contains(in_.wanted.members(), member.node)) return;
        if (!member.bad_file.empty()) {
            refuse("file", fmt::format("{}: {}", member.node, member.bad_file));
            return;
        }
        if (member.file.empty()) {
            refuse("file", fmt::format("the file on {} has no group {}; put the same one there",
                                       member.node, in_.wanted.name));
            return;
        }
        const std::string difference =
            first_difference(in_.wanted.canonical(), member.file,
                             {"in the file on " + in_.node, "in that on " + member.node});
        if (!difference.empty())
            refuse(difference.substr(0, difference.find(':')),
                   "the files differ: " + difference + "; put the same one on every node");
    }

    void absent(const ApplyMember& one) {
        const std::string named = "node " + one.node + ": ";
        const bool twice = one.silent.starts_with(named);
        plan_.steps.push_back({"absent",
                               one.node,
                               fmt::format("does not answer ({}): it takes this up when it starts "
                                           "with the new file",
                                           one.silent.substr(twice ? named.size() : 0)),
                               {}});
    }

    void added(const std::string& name) {
        const ApplyMember& one = member(name);
        plan_.steps.push_back(
            {"standby-added", name,
             fmt::format(
                 "{}: up to {} are {}; it counts for `ack` when it has caught up",
                 one.has_history ? "compared as a whole, for it has a history" : "initial sync",
                 format_byte_count(in_.volume_bytes), one.has_history ? "read" : "copied"),
             in_.volume_bytes});
        if (!one.silent.empty()) absent(one);
    }

    void removed(const std::string& name) {
        const ApplyMember& one = member(name);
        plan_.steps.push_back(
            {"standby-removed",
             name,
             "its link ends, it counts no more, and nothing is kept for it; its history stays "
             "readable there until the group's directory is deleted",
             {}});
        if (!one.silent.empty()) absent(one);
    }

    void kept(const std::string& name) {
        if (name == in_.node) return;
        const ApplyMember& one = member(name);
        if (!one.moved.empty()) plan_.steps.push_back({"address", name, one.moved, {}});
        if (!one.silent.empty()) {
            if (plan_.changes()) absent(one);
            return;
        }
        const bool emptied = !one.has_history && !one.connected && !one.running.empty();
        if (emptied)
            plan_.steps.push_back({"standby-replaced", name,
                                   fmt::format("has no history: initial sync, up to {} are copied",
                                               format_byte_count(in_.volume_bytes)),
                                   in_.volume_bytes});
        const bool other =
            one.running != in_.running.canonical() && one.running != in_.wanted.canonical();
        if (one.bad_file.empty() && other)
            plan_.steps.push_back({"takes",
                                   name,
                                   "runs with another section: it reads the file "
                                   "again",
                                   {}});
    }

    // Of what was acknowledged one copy beside the primary's stays, unless the operator knows.
    void holders() {
        bool before = false;
        bool after = false;
        bool leaves = false;
        for (const ApplyMember& one : in_.members) {
            const bool stays = contains(in_.wanted.members(), one.node);
            leaves = leaves || (!stays && contains(in_.running.members(), one.node));
            before = before || one.keeps;
            after = after || (one.keeps && stays);
        }
        if (!leaves || !in_.acknowledges || !before || after) return;
        refuse("standbys",
               "no standby that stays holds all that was acknowledged: add the new one, wait until "
               "it has caught up, then remove; `--force` removes the last copy beside the "
               "primary's",
               true);
    }

    void settings() {
        for (const std::string& text : in_.live)
            plan_.steps.push_back({"setting", text.substr(0, text.find(':')), text, {}});
        for (const std::string& key : in_.restart)
            plan_.steps.push_back({"restart",
                                   key,
                                   "has changed and needs a restart: it stays as it "
                                   "is until then",
                                   {}});
    }

    const ApplyInput& in_;
    ApplyPlan plan_;
};

}  // namespace

bool ApplyPlan::changes() const {
    return std::any_of(steps.begin(), steps.end(), [](const ApplyStep& one) {
        return one.kind != "restart" && one.kind != "absent" && one.kind != "standby-replaced";
    });
}

ApplyPlan plan_apply(const ApplyInput& input) {
    return Planner(input).plan();
}

Value plan_value(const ApplyPlan& plan) {
    Value steps = Value::list();
    for (const ApplyStep& step : plan.steps) {
        Value one = Value::map();
        one.set("kind", step.kind).set("object", step.object).set("text", step.text);
        one.set("bytes", step.bytes.value());
        steps.push(std::move(one));
    }
    Value refused = Value::list();
    for (const ApplyRefusal& refusal : plan.refused) {
        Value one = Value::map();
        one.set("key", refusal.key).set("text", refusal.text).set("force", refusal.force);
        refused.push(std::move(one));
    }
    Value value = Value::map();
    return value.set("steps", std::move(steps)).set("refused", std::move(refused));
}

std::string section_digest(const Section& section) {
    std::string all;
    for (const auto& [key, value] : section) all += key + '=' + value + '\n';
    return hex(xxh3_128(std::as_bytes(std::span(all))));
}

std::string plan_digest(const ApplyPlan& plan, const GroupConfig& wanted) {
    Section all = wanted.canonical();
    for (const ApplyStep& step : plan.steps) all.emplace_back(step.kind, step.object);
    for (const ApplyRefusal& refusal : plan.refused) all.emplace_back("refused", refusal.key);
    return section_digest(all);
}

namespace {

VolumeOnNode* find_on(VolumeConfig& volume, const std::string& node) {
    for (VolumeOnNode& one : volume.nodes)
        if (one.node == node) return &one;
    return nullptr;
}

void take_nodes(Config& running, const Config& read, const std::string& self) {
    std::vector<NodeConfig> nodes;
    for (const NodeConfig& one : read.nodes) {
        const NodeConfig* known = running.node(one.name);
        nodes.push_back(one.name == self && known != nullptr ? *known : one);
    }
    // Of a node that another group still runs with.
    for (const NodeConfig& one : running.nodes) {
        if (read.node(one.name) != nullptr) continue;
        const bool used = std::any_of(
            running.groups.begin(), running.groups.end(),
            [&](const GroupConfig& group) { return contains(group.members(), one.name); });
        if (used) nodes.push_back(one);
    }
    running.nodes = std::move(nodes);
}

}  // namespace

void take_members(Config& running, const Config& read, const std::string& group,
                  const std::string& self) {
    const GroupConfig* wanted = read.group(group);
    const auto at = std::find_if(running.groups.begin(), running.groups.end(),
                                 [&](const GroupConfig& one) { return one.name == group; });
    if (wanted == nullptr) return;
    if (at == running.groups.end()) {
        running.groups.push_back(*wanted);
    } else {
        at->primary = wanted->primary;
        at->standbys = wanted->standbys;
        at->ack_standbys =
            std::min(at->ack_standbys, static_cast<std::uint32_t>(wanted->standbys.size()));
        for (VolumeConfig& volume : at->volumes) {
            for (VolumeConfig next : wanted->volumes) {
                if (next.name != volume.name) continue;
                for (VolumeOnNode& one : next.nodes)
                    if (const VolumeOnNode* known = find_on(volume, one.node)) one = *known;
                volume.nodes = std::move(next.nodes);
                break;
            }
        }
        // A plan that takes them has none in another place.
        for (std::size_t i = at->volumes.size(); i < wanted->volumes.size(); ++i)
            at->volumes.push_back(wanted->volumes[i]);
    }
    take_nodes(running, read, self);
}

}  // namespace everstep::daemon
