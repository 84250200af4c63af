// GroupRecord: what a node keeps durably of its part in a group: role, ids, volumes, timelines, how
// it last stopped. One small state file, replaced as a whole (common/io/state_file.hpp); text, "key
// = value" lines. Thread: the node's loop; saving blocks on the disk. Invariants: it is saved
// before what depends on it happens: a role before serving, "not clean" before the first write of a
// run, a loss of `ack` before the first write acknowledged alone.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/io/file.hpp"
#include "journal/history_types.hpp"
#include "proto/messages.hpp"

namespace everstep::daemon {

struct VolumeRecord {
    std::string name;
    Uuid id;
    ByteCount size;
    io::FileIdentity identity;
    Hash128 samples{};  // of 256 sampled blocks, at the last clean stop (zero: not taken)
    std::uint32_t sampled_data = 0;  // how many of them held anything but zeroes
    // As wire::Volume's (added_volumes.hpp).
    std::optional<Point> whole_from{};
};

// The newest compare of a standby as a whole with its primary.
struct VerifyRecord {
    WallTime at;  // it ended
    Lsn lsn;      // at which it is equal, or was found different last
    std::uint64_t compared_bytes = 0;
    std::uint64_t differing_bytes = 0;
    bool repaired = false;
    bool operator==(const VerifyRecord&) const = default;
};

// What a primary knows of one standby across restarts.
struct PeerRecord {
    std::optional<Lsn> behind_since;  // writes from here on were acknowledged without it
    std::string compare;              // not empty: order was lost, why; a resync brings it back
    // Marks of the write-intent map have gone since it had everything up to here: what has less is
    // compared as a whole.
    std::optional<Point> proved;
    // It was added to a running group: it counts for `ack` when it has caught up for the first
    // time.
    bool joining = false;
    std::optional<VerifyRecord> verified;
};

// The write-intent map of a primary's own devices (docs/write-intent-map.md).
struct IntentRecord {
    Uuid id;
    Uuid boot;                          // of the machine, when it was last in use
    std::vector<std::string> standbys;  // the n-th has bit n; empty: free
};

// A restore that is under way, or was cut: the volumes hold a mix of two steps.
struct RestoreRecord {
    Point before;        // the step behind which its batch began
    Point to;            // whose content is being written
    std::string node;    // whose history holds both; empty: this node's
    std::string volume;  // the one that is written; empty: all
    bool undo = false;   // back to `before`
    bool operator==(const RestoreRecord&) const = default;
};

struct GroupRecord {
    Uuid group;
    wire::Role role = wire::Role::none;
    bool serves_store = false;    // promoted, or with no standby: the store is what is served
    bool unserved = false;        // nothing was ever written on the newest of `timelines`
    std::uint64_t takeovers = 0;  // by the operator's word, as far as known: the larger line wins
    bool clean = false;           // the last stop was; consumed at the next start
    bool zero_origin = false;     // the volumes were made by us, all zeroes at LSN 0
    bool ack_kept = false;        // what is acknowledged is durable on enough standbys: they may be
                                  // trusted after an unclean stop
    // With ack_kept: of so many standbys that counted one at least has all of it; 0: not known.
    std::uint32_t ack_answers = 0;
    Lsn acked;  // with ack_kept: so far at least; a standby that ends before it has lost some
    std::string refused;  // why this node takes no part
    std::string pulling;  // the node whose content is being written over the volumes: they hold a
                          // mix until it is all there
    Point pulled;         // the step of it
    std::optional<RestoreRecord> restore;
    std::vector<VolumeRecord> volumes;
    std::vector<journal::TimelineInfo> timelines;  // a primary's path, parents first
    journal::Tip tip;                              // a primary's furthest position known
    journal::Tip step;  // the same, with the frame that contains it: what a branch chains to
    std::map<std::string, PeerRecord> peers;
    std::optional<IntentRecord> intent;  // none: all may differ
};

[[nodiscard]] std::string pack_record(const GroupRecord& record);
[[nodiscard]] Result<GroupRecord> unpack_record(std::string_view text);  // corrupt names the line

// LSN, hash, seq and step time of a tip on one line of text, and back.
[[nodiscard]] std::string pack_tip(const journal::Tip& tip);
[[nodiscard]] Result<journal::Tip> unpack_tip(std::string_view text);

}  // namespace everstep::daemon
