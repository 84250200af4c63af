// The devices and images of a group on this node: made where missing, recognised again (DESIGN.md
// 5, "Unknown disks"). Blocks on the disk; called at starts and stops only.
#pragma once

#include "daemon/group_context.hpp"

namespace everstep::daemon {

inline constexpr std::uint32_t kSamples = 256;  // blocks looked at to recognise a volume

// Why the volumes of the configuration are not those of the history that has begun, in their order;
// empty: they are. Before a history has begun the record's are forgotten instead.
[[nodiscard]] std::string volumes_moved(GroupContext& context);
// Makes missing image files (sparse, the configured size), finds every size, and fills
// record.volumes for volumes that are not in it yet. `made_all`: every volume was made now, so all
// of them are zeroes. An error names volume, file, found and wanted.
[[nodiscard]] Status prepare_volumes(GroupContext& context, bool& made_all);
// Makes the image of a known volume anew where it is gone: its data is about to be brought from
// another node.
[[nodiscard]] Status make_gone_volumes(GroupContext& context);
// Why a volume is not the one of the record; empty: all are. Reads kSamples blocks a volume.
[[nodiscard]] Result<std::string> volume_problem(const GroupContext& context);
// Takes identities and samples anew, before a clean stop is recorded. Nothing else may write to the
// volumes meanwhile, and they are flushed.
[[nodiscard]] Status sample_volumes(GroupContext& context);
// The same of volumes that are in use, whose content may lie in a cache and be lost with it: what
// is counted of it gets less at once, and more by count_samples(), with what this gave, once the
// devices were flushed behind it. Else an outage would make a volume look emptied.
using SampleCounts = std::vector<std::uint32_t>;  // by volume of the record
[[nodiscard]] Result<SampleCounts> sample_served(GroupContext& context);
bool count_samples(GroupContext& context, const SampleCounts& counts);  // anything new?
// The samples say nothing any more: the content changes without this record's knowledge.
void forget_samples(GroupContext& context);

}  // namespace everstep::daemon
