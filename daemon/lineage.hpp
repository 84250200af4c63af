// Who descends from whom: questions about timelines and points that role decisions ask. Pure
// functions; any thread. A path is a list of timelines, parents first, that ends in a tip; its
// steps are numbered on without a hole.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "journal/history_types.hpp"
#include "proto/messages.hpp"

namespace everstep::daemon {

using Timelines = std::vector<journal::TimelineInfo>;

[[nodiscard]] Timelines from_wire(const std::vector<wire::Timeline>& timelines);
[[nodiscard]] std::vector<wire::Timeline> to_wire(const Timelines& timelines);

// The part of `all` that leads to `tip`, parents first; empty when a parent is missing.
[[nodiscard]] Timelines path_to(const Timelines& all, const TimelineId& tip);
// The newest point that lies both on the path (which ends at `tip`) and at or before `other`, where
// `other`'s own ancestors are in `all`. None: nothing in common.
[[nodiscard]] std::optional<Point> common_point(const Timelines& path, Point tip,
                                                const Timelines& all, Point other);
// Steps up to `tip` that are not on the way to `head` of another node, whose timelines are
// `theirs`: "steps 8 to 12 of timeline HEX"; empty: none.
[[nodiscard]] std::string steps_not_there(const Timelines& path, Point tip, const Timelines& theirs,
                                          Point head);
// What an alarm says of them when that node's data is taken.
[[nodiscard]] std::string not_there_text(const std::string& steps, const std::string& node);
// True when `from` lies on the path and is `to` or before it; both in the path's timelines.
[[nodiscard]] bool leads_to(const Timelines& path, Point from, Point to);
// True when `all` holds a timeline that descends from `id` and is not on `path`.
[[nodiscard]] bool has_descendant(const Timelines& all, const TimelineId& id,
                                  const Timelines& path);

// Two nodes that claim the role on lines that parted behind a common ancestor: each began a
// timeline that the other has not, say by a takeover here and by an unclean start there. The
// operator's word counts: the line that knows of more takeovers.
enum class Claim : std::uint8_t { none, own, theirs, undecided };
[[nodiscard]] Claim claim_of(const Timelines& path, std::uint64_t takeovers,
                             const wire::GroupState& peer);

}  // namespace everstep::daemon
