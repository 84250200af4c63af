// Volumes that were added to a group that had begun (docs/decisions/0026): from which step on the
// history has all of one. Pure; any thread. Invariants: what was never said to be whole is at no
// point served, restored or taken over from a history; a step from which on it is whole is given
// once, by the primary that has brought all of it.
#pragma once

#include "daemon/group_record.hpp"
#include "daemon/lineage.hpp"

namespace everstep::daemon {

// The history does not have all of it yet.
[[nodiscard]] inline bool coming(const VolumeRecord& volume) {
    return volume.whole_from && volume.whole_from->timeline.nil();
}
// The first such volume of the group; empty: none.
[[nodiscard]] std::string first_coming(const GroupRecord& record);
// A history of the group has begun: volumes that come from now on were added to it.
[[nodiscard]] bool history_begun(const GroupRecord& record);

// Whether the step has all of the volume. `all`: timelines that lead to it; where they do not, only
// a volume of the beginning is whole. refused: says from where on it is.
[[nodiscard]] Status whole_at(const VolumeRecord& volume, const Timelines& all, Point at);

// ok: of a peer's volumes, as it says, the step has all.
[[nodiscard]] Status all_whole_at(const std::vector<wire::Volume>& said, const Timelines& all,
                                  Point at);
// What follows stands on this step: volumes of which it has not all are coming again. Their names.
std::vector<std::string> stand_on(std::vector<VolumeRecord>& volumes, const Timelines& all,
                                  Point at);

[[nodiscard]] std::vector<wire::Volume> to_wire(const std::vector<VolumeRecord>& volumes);
// What the node that brings them says, by place and name. True: something is new.
bool take_whole_from(std::vector<VolumeRecord>& volumes, const std::vector<wire::Volume>& said);

}  // namespace everstep::daemon
