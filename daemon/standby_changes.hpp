// The standbys of a group that a primary has served before are others now: what its record says of
// them. The same for a start with a changed configuration and for `group apply`, so that one that
// is killed in the middle ends up as one that was not. Pure; any thread.
// Invariants: a standby that is new to the group joins (PeerRecord::joining) and is compared as a
// whole; nothing of one that has left is believed when it comes back; each standby keeps its bit of
// the write-intent map.
// What was acknowledged on the word of one that has left is not trusted to those that stay: the
// caller says what `ack_kept` is then.
#pragma once

#include "daemon/group_record.hpp"

namespace everstep::daemon {

struct StandbyChanges {
    std::vector<std::string> added;
    std::vector<std::string> removed;
    [[nodiscard]] bool empty() const { return added.empty() && removed.empty(); }
};

// Brings the record to `standbys`.
StandbyChanges take_standbys(GroupRecord& record, const std::vector<std::string>& standbys);
// Whether the record is one of a group that was served: before that all standbys are there from
// the beginning.
[[nodiscard]] bool knows_standbys(const GroupRecord& record);
// Of those that do not count as the record says: what the operator is told when it is served again.
// A crash may have come between the record and its alarm.
[[nodiscard]] std::vector<std::string> told_behind(const GroupRecord& record);
// The bit of a standby; the number of bits where it has none.
[[nodiscard]] std::size_t bit_in(const std::vector<std::string>& bits, const std::string& standby);

}  // namespace everstep::daemon
