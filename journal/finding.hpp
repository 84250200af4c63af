// Finding: one damage in a store, with its place and what it hits; and how what it hits is worked
// out from what is left of a damaged record.
//
// Thread: pure functions.
// Invariants: any bytes are taken; a range is named only if what says so passes its own checksum.
#pragma once

#include <optional>
#include <string>

#include "journal/record_bodies.hpp"

namespace everstep::journal {

struct Finding {
    bool damage = true;  // else worth a note: nothing that had been synced is hurt
    std::string file;    // path
    ByteOffset at;
    ByteCount length;  // 0: something is missing here
    std::string what;
    // What it hits, as far as that is known: steps first .. last of the timeline (either may be
    // unknown), ranges of volumes.
    TimelineId timeline;
    std::optional<Lsn> first;
    std::optional<Lsn> last;
    std::vector<GapExtent> extents;
    [[nodiscard]] bool located() const { return first || last || !extents.empty(); }
};
// The most ranges that one finding names; beyond, neighbours count as one.
inline constexpr std::size_t kFindingExtentsMax = 64;

// One line: file, place, what, what it hits. `volumes`: their names; a number where there is none.
[[nodiscard]] std::string describe(const Finding& finding, std::span<const std::string> volumes);

// The steps and ranges that a damaged frame held, or only those whose payload is bad.
void locate_in_frame(Bytes frame, Finding& finding);
// The blocks whose before-image is bad. `good`: the others, if the record's table can be read.
void locate_in_images(Bytes body, Finding& finding, std::vector<ImageExtent>& good);

// Joins what touches; then, where there are too many, neighbours.
void shorten(std::vector<GapExtent>& extents);

}  // namespace everstep::journal
