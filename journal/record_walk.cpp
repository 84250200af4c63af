#include "journal/record_walk.hpp"

#include <algorithm>

#include "common/base/checksum.hpp"
#include "journal/file_window.hpp"

namespace everstep::journal {
namespace {

class Walk {
  public:
    Walk(const io::File& file, const WalkLimits& limits, const RecordVisitor& visitor)
        : window_(file, limits.end),
          limits_(limits),
          visitor_(visitor),
          salt_(limits.salt),
          crc_(limits.header_crc) {}

    Result<WalkEnd> run() {
        while (!end_.sealed && end_.end < limits_.end) {
            const auto more = next();
            if (!more.ok()) return more.status();
            if (!*more) break;
        }
        return end_;
    }

  private:
    struct Found {
        CheckedEnvelope checked;
        std::uint64_t at = 0;
        bool good = false;  // its body passes its checksum
        [[nodiscard]] const Envelope& envelope() const { return checked.envelope; }
        [[nodiscard]] std::uint64_t body_end() const {
            return at + kEnvelopeBytes + checked.envelope.body_bytes;
        }
    };

    // An undamaged envelope of this file, with room for its body.
    Result<std::optional<Found>> envelope_at(std::uint64_t at) {
        std::optional<Found> none;
        if (at >= limits_.end || limits_.end - at < kEnvelopeBytes) return none;
        auto bytes = window_.get(at, kEnvelopeBytes);
        if (!bytes.ok()) return bytes.status();
        const auto checked = unpack_envelope(*bytes);
        if (!checked || checked->envelope.offset != ByteOffset(at) ||
            (salt_ != 0 && checked->envelope.salt != salt_) ||
            checked->envelope.body_bytes > limits_.end - at - kEnvelopeBytes)
            return none;
        bytes = window_.get(at, kEnvelopeBytes + checked->envelope.body_bytes);
        if (!bytes.ok()) return bytes.status();
        const bool good = crc32c(bytes->subspan(kEnvelopeBytes)) == checked->envelope.body_crc;
        return std::optional(Found{*checked, at, good});
    }

    [[nodiscard]] bool newer(const Found& found) const {
        return end_.records == 0 || found.envelope().sequence > sequence_;
    }

    Result<bool> next() {
        const std::uint64_t end = end_.end;
        for (const std::uint64_t at : {end, align_up(end, kBatchAlign)}) {
            const auto found = envelope_at(at);
            if (!found.ok()) return found.status();
            if (*found && newer(**found) && (!crc_ || (*found)->envelope().previous_crc == *crc_))
                return step(**found, true);
        }
        return over_bad_range();
    }

    Result<bool> step(const Found& found, bool joined) {
        if (!found.good) {
            const auto synced = was_synced(found.at);
            if (!synced.ok()) return synced.status();
            if (!*synced) return over_bad_range();
        }
        if (joined) EVERSTEP_TRY(check_padding(end_.end, found.at));
        const auto bytes = window_.get(found.at, found.body_end() - found.at);
        if (!bytes.ok()) return bytes.status();
        const Envelope envelope = found.envelope();
        EVERSTEP_TRY(visitor_.record({envelope, ByteOffset(found.at + kEnvelopeBytes),
                                      bytes->subspan(kEnvelopeBytes), found.good, joined}));
        end_.end = std::min(found.at + record_bytes(envelope.body_bytes), limits_.end);
        EVERSTEP_TRY(check_padding(found.body_end(), end_.end));
        end_.records += 1;
        end_.sealed = found.good && envelope.kind == RecordKind::footer;
        salt_ = envelope.salt;
        crc_ = found.checked.crc;
        sequence_ = envelope.sequence;
        return true;
    }

    Status check_padding(std::uint64_t from, std::uint64_t to) {
        if (from >= to) return {};
        const auto bytes = window_.get(from, to - from);
        if (!bytes.ok()) return bytes.status();
        if (is_zero(*bytes)) return {};
        return visitor_.bad({ByteOffset(from), ByteCount(to - from), false, true,
                             "the padding behind a record is not zero; no record is hurt"});
    }

    // From the end of the chain to the next good record, or to the end of everything.
    Result<bool> over_bad_range() {
        const std::uint64_t from = end_.end;
        const auto rest = look_on();
        if (!rest.ok()) return rest.status();
        const auto synced = was_synced(from);
        if (!synced.ok()) return synced.status();
        if (!*synced) {
            if (rest->dirty_end > from)
                EVERSTEP_TRY(
                    visitor_.bad({ByteOffset(from), ByteCount(rest->dirty_end - from), true, false,
                                  "the torn tail; nothing of it had been synced"}));
            return false;
        }
        const std::uint64_t claimed = std::max(claimed_.value_or(0), limits_.synced_to);
        const std::uint64_t to = rest->next ? rest->next->at : std::min(claimed, limits_.end);
        EVERSTEP_TRY(
            visitor_.bad({ByteOffset(from), ByteCount(to - from), false, false,
                          to == from ? "the record here does not continue the one before it"
                                     : "no good record, but the file had been synced behind it"}));
        end_.end = to;
        if (!rest->next) return false;
        return step(*rest->next, false);
    }

    struct Rest {
        std::optional<Found> next;    // the first good record
        std::uint64_t dirty_end = 0;  // behind the last sector that is not zero
    };
    // All of the rest the first time, for what its records claim; then up to the next good record.
    Result<Rest> look_on() {
        Rest rest;
        const bool whole = !claimed_;
        std::uint64_t claimed = claimed_.value_or(0);
        for (std::uint64_t at = end_.end; at < limits_.end; at += kRecordAlign) {
            const auto bytes = window_.get(at, std::min(kRecordAlign, limits_.end - at));
            if (!bytes.ok()) return bytes.status();
            if (is_zero(*bytes)) continue;
            rest.dirty_end = std::min(at + kRecordAlign, limits_.end);
            const auto found = envelope_at(at);
            if (!found.ok()) return found.status();
            if (!*found || !(*found)->good || !newer(**found)) continue;
            claimed = std::max(claimed, (*found)->envelope().synced_to.value());
            if (!rest.next) rest.next = *found;
            if (!whole) break;
        }
        claimed_ = claimed;
        return rest;
    }

    Result<bool> was_synced(std::uint64_t at) {
        if (limits_.synced_to > at) return true;
        if (!claimed_) {
            const auto rest = look_on();
            if (!rest.ok()) return rest.status();
        }
        return *claimed_ > at;
    }

    FileWindow window_;
    const WalkLimits& limits_;
    const RecordVisitor& visitor_;
    std::uint64_t salt_;
    std::optional<std::uint32_t> crc_;  // of the record before, where it is known
    std::uint64_t sequence_ = 0;
    WalkEnd end_;
    std::optional<std::uint64_t> claimed_;  // up to where later good records say it was synced
};

}  // namespace

Result<WalkEnd> walk_records(const io::File& file, const WalkLimits& limits,
                             const RecordVisitor& visitor) {
    return Walk(file, limits, visitor).run();
}

}  // namespace everstep::journal
