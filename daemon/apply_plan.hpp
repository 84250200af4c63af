// The plan of `everstep group apply`: what runs, what the file says, what the members say of
// themselves, and what follows; a decision without I/O. And how a running configuration takes the
// members of one that was read. Pure; any thread.
// Invariants: what cannot be done whole is refused, and a plan with a refusal changes nothing; the
// places of volumes never change, and one that is new takes the place behind all others.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/config.hpp"
#include "common/base/value.hpp"
#include "daemon/apply_volumes.hpp"

namespace everstep::daemon {

using Section = std::vector<std::pair<std::string, std::string>>;  // GroupConfig::canonical()

// A node of the running group or of the one in the file, besides the one that serves.
struct ApplyMember {
    std::string node;
    std::string silent{};    // not empty: it did not answer, why
    std::string bad_file{};  // not empty: it cannot read its file, why
    Section file{};          // the group in its file; empty: it is not there
    Section running{};       // what it runs; empty: nothing
    std::string moved{};     // not empty: "ADDRESS, was ADDRESS"
    bool has_history = false;
    bool connected = false;            // it receives this node's writes
    bool keeps = false;                // all that was acknowledged is durable there
    std::vector<NewVolume> volumes{};  // that its file adds
};

struct ApplyInput {
    std::string node;  // serves
    GroupConfig running;
    GroupConfig wanted;
    std::vector<std::string> live{};     // settings that count at once: "KEY: VALUE, was VALUE"
    std::vector<std::string> restart{};  // keys, as in "group.db.queue_bytes"
    std::vector<ApplyMember> members{};
    ByteCount volume_bytes{};  // all of them
    std::size_t standbys_max = 0;
    bool acknowledges = false;  // `ack` is beyond local
    bool restoring = false;     // a restore runs, or was cut
    bool serves_store = false;
    std::vector<NewVolume> volumes{};  // that the file adds
};

struct ApplyStep {
    std::string kind;    // standby-added, standby-removed, standby-replaced, address, primary,
                         // volume-added, setting, restart, takes, absent
    std::string object;  // a node's or a volume's name, or a key
    std::string text;
    ByteCount bytes{};  // at most to be copied
    bool operator==(const ApplyStep&) const = default;
};
struct ApplyRefusal {
    std::string key;
    std::string text;    // what was found and wanted, what to do
    bool force = false;  // `--force` does it all the same
    bool operator==(const ApplyRefusal&) const = default;
};
struct ApplyPlan {
    std::vector<ApplyStep> steps;
    std::vector<ApplyRefusal> refused;
    [[nodiscard]] bool changes() const;  // something is to be done
};

[[nodiscard]] ApplyPlan plan_apply(const ApplyInput& input);
[[nodiscard]] Value plan_value(const ApplyPlan& plan);  // {"steps","refused"}
// The same for the same plan.
[[nodiscard]] std::string plan_digest(const ApplyPlan& plan, const GroupConfig& wanted);
[[nodiscard]] std::string section_digest(const Section& section);

// Of the group of that name: primary, standbys, where the volumes of new members lie, and volumes
// that are new; and the nodes' sections. Settings stay, and `self` keeps its own section. Sections
// of nodes move in memory, those of groups do not: links look at them.
void take_members(Config& running, const Config& read, const std::string& group,
                  const std::string& self);

}  // namespace everstep::daemon
