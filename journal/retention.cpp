#include "journal/retention.hpp"

#include <algorithm>
#include <optional>

namespace everstep::journal {
namespace {

class Decision {
  public:
    Decision(const KeepInput& in, const KeepLimits& limits)
        : in_(in),
          limits_(limits),
          over_(limits.force ||
                (limits.keep_bytes != ByteCount(0) && limits.keep_bytes < in.bytes)) {}

    KeepAction take() const {
        for (std::size_t n = 0; n < in_.sides.size(); ++n) {
            const KeepAction action = shorten(n, limits_.force);
            if (action.verb != KeepVerb::nothing) return action;
        }
        return trunk();
    }

  private:
    [[nodiscard]] bool expired(Age age) const {
        return limits_.force || (limits_.keep_time != Age(0) && limits_.keep_time < age);
    }

    // What may go of a side; `all` whatever its age.
    [[nodiscard]] KeepAction shorten(std::size_t n, bool all) const {
        const SideLine& side = in_.sides[n];
        if (side.held || side.segments.empty()) return {};
        const SideSegment& newest = side.segments.back();
        if (!all && !expired(newest.age)) return {};
        if (!newest.keeps) return {.verb = KeepVerb::drop_side, .side = n};
        const bool due = std::all_of(side.segments.begin(), side.segments.end(),
                                     [&](const SideSegment& s) { return all || expired(s.age); });
        if (!due || side.condensed || side.with_trunk) return {};
        return {.verb = KeepVerb::condense_side, .side = n};
    }

    // The shortest run of segments from `first` on whose end is a point; its end, or nothing.
    [[nodiscard]] std::optional<std::size_t> group(std::size_t first) const {
        for (std::size_t n = first; n < in_.trunk.size(); ++n) {
            const TrunkSegment& one = in_.trunk[n];
            if (!one.free || (!over_ && !expired(one.age))) return std::nullopt;
            if (one.ends_at_point) return n;
        }
        return std::nullopt;
    }

    // Sides that leave inside the run go first; blocked: one that is held.
    [[nodiscard]] std::optional<KeepAction> sides_in(std::size_t first, std::size_t last) const {
        for (std::size_t n = 0; n < in_.sides.size(); ++n) {
            const SideLine& side = in_.sides[n];
            if (side.root < first || last < side.root || side.segments.empty()) continue;
            if (side.held) return KeepAction();
            const KeepAction action = shorten(n, true);
            if (action.verb != KeepVerb::nothing) return action;
        }
        return std::nullopt;
    }

    [[nodiscard]] bool keeps_in(std::size_t first, std::size_t last) const {
        const auto begin = in_.trunk.begin();
        return std::any_of(begin + static_cast<std::ptrdiff_t>(first),
                           begin + static_cast<std::ptrdiff_t>(last + 1),
                           [](const TrunkSegment& s) { return s.keeps; });
    }

    [[nodiscard]] KeepAction trunk() const {
        const auto last = group(0);
        if (!last || keeps_in(0, *last)) return condense();
        if (const auto action = sides_in(0, *last)) return *action;
        KeepAction drop{.verb = KeepVerb::drop_trunk, .first = 0, .last = *last};
        // As much at once as will go anyway: each time costs a record.
        std::uint64_t left = in_.bytes.value();
        for (std::size_t n = 0; n <= drop.last; ++n) left -= in_.trunk[n].bytes.value();
        while (const auto next = group(drop.last + 1)) {
            const bool over =
                limits_.keep_bytes != ByteCount(0) && limits_.keep_bytes.value() < left;
            const bool wanted = over || expired(in_.trunk[*next].age);
            if (!wanted || keeps_in(drop.last + 1, *next) || sides_in(drop.last + 1, *next)) break;
            for (std::size_t n = drop.last + 1; n <= *next; ++n) left -= in_.trunk[n].bytes.value();
            drop.last = *next;
        }
        return drop;
    }

    // A run that has something to condense: the shortest one.
    [[nodiscard]] std::optional<std::size_t> full_group(std::size_t first) const {
        for (std::optional<std::size_t> last = group(first); last; last = group(*last + 1))
            for (std::size_t n = first; n <= *last; ++n)
                if (!in_.trunk[n].empty) return last;
        return std::nullopt;
    }

    // What is empty is of every line.
    [[nodiscard]] bool can_be_one(std::size_t first, std::size_t last) const {
        std::optional<std::uint32_t> line;
        for (std::size_t n = first; n <= last; ++n) {
            const TrunkSegment& one = in_.trunk[n];
            if (one.stays) return false;
            if (!one.empty && line.value_or(one.line) != one.line) return false;
            if (!one.empty) line = one.line;
        }
        return true;
    }

    // The oldest segments that are not condensed yet, where a kept step before them holds history.
    [[nodiscard]] KeepAction condense() const {
        std::size_t from = 0;  // what lies before stays as it is
        for (std::size_t first = 0;; ++first) {
            while (first < in_.trunk.size() && in_.trunk[first].condensed) ++first;
            const auto last = full_group(first);
            if (!last || !keeps_in(0, *last)) return {};
            if (can_be_one(first, *last)) return condense_from(from, first, *last);
            first = *last;
            from = *last + 1;
        }
    }

    // With what stands before it on its line, while that is no larger.
    [[nodiscard]] KeepAction condense_from(std::size_t from, std::size_t first,
                                           std::size_t last) const {
        if (const auto action = sides_in(first, last)) return *action;
        std::uint64_t bytes = 0;
        for (std::size_t n = first; n <= last; ++n) bytes += in_.trunk[n].bytes.value();
        while (from < first && can_be_one(first - 1, last) &&
               in_.trunk[first - 1].bytes.value() <= bytes)
            bytes += in_.trunk[--first].bytes.value();
        return {.verb = KeepVerb::condense_trunk, .first = first, .last = last};
    }

    const KeepInput& in_;
    const KeepLimits& limits_;
    bool over_;
};

}  // namespace

KeepAction next_action(const KeepInput& input, const KeepLimits& limits) {
    return Decision(input, limits).take();
}

}  // namespace everstep::journal
