// What of a history is kept: the bodies of the `kept` record (which segments there are, where
// history begins, the age clock) and of the `condensed` record (the steps that a condensed segment
// keeps). docs/journal-format.md has the bytes, journal/retention.hpp says what goes and when.
//
// Thread: values and pure functions.
// Invariants: unpack_* takes any bytes and gives a whole value or nothing; runs and lists are in
// growing order; a condensed segment has at least two ends, in growing positions of one timeline.
#pragma once

#include <optional>
#include <vector>

#include "journal/record_bodies.hpp"

namespace everstep::journal {

// Condensed segments are numbered apart, so that the others keep their order.
inline constexpr std::uint64_t kCondensedNumbers = 1ULL << 63;
[[nodiscard]] constexpr bool is_condensed(std::uint64_t number) {
    return (number & kCondensedNumbers) != 0;
}

// A step whose frame is not kept, and what a branch there (the frame that held it) or the stream
// (the newest frame there, one without steps included) chains to.
struct KeptTip {
    Tip step;
    Hash128 stream_hash{};
    FrameSeq stream_seq;
    bool operator==(const KeptTip&) const = default;
};
[[nodiscard]] inline KeptTip kept_tip(const Tip& tip) {
    return {tip, tip.hash, tip.seq};
}

struct NumberRun {  // segments first .. last
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    bool operator==(const NumberRun&) const = default;
};

// Every segment's redo file begins with one, right behind what its head says; each change writes
// another. The newest one is true: what it does not name is gone, or on its way.
struct KeptBody {
    Age age{0};  // the age clock when it was written
    KeptTip baseline;
    std::vector<NumberRun> segments;  // up to the one in which it lies
    std::vector<std::uint64_t> condensed;
};

// One kept step of a condensed segment.
struct KeptStep {
    KeptTip tip;
    std::optional<StepInfo> info;      // none: the step's own frame was not here (a baseline)
    std::vector<VolumeIndex> flushed;  // volumes with a flush mark right behind it
};
struct CondensedBody {
    Age age{0};          // the age clock at or behind its newest step
    Position imaged_to;  // when it was made
    std::vector<KeptStep> ends;
};

[[nodiscard]] BodyBytes pack_kept(const KeptBody& kept);
[[nodiscard]] std::optional<KeptBody> unpack_kept(Bytes body);
[[nodiscard]] BodyBytes pack_condensed(const CondensedBody& condensed);
[[nodiscard]] std::optional<CondensedBody> unpack_condensed(Bytes body);

// Numbers, sorted, as runs.
[[nodiscard]] std::vector<NumberRun> runs_of(const std::vector<std::uint64_t>& numbers);

}  // namespace everstep::journal
