#include "journal/record_scan.hpp"

#include <algorithm>

#include "common/base/checksum.hpp"
#include "journal/file_window.hpp"

namespace everstep::journal {
namespace {

class Scanner {
  public:
    Scanner(const io::File& file, const CheckedHeader& header, std::uint64_t size)
        : file_(file), window_(file, size), salt_(envelope_salt(header.header.salt)) {
        end_.tail = {kFileHeaderBytes, header.crc, kFileHeaderBytes};
    }

    Result<ScanEnd> run(const std::function<Status(const ScannedRecord&)>& visit) {
        while (!end_.sealed) {
            const auto more = next(visit);
            if (!more.ok()) return more.status();
            if (!*more) break;
        }
        EVERSTEP_TRY(look_behind());
        return end_;
    }

  private:
    // A good envelope and body at `at`, whatever comes before it.
    Result<std::optional<CheckedEnvelope>> good_at(std::uint64_t at) {
        if (at + kEnvelopeBytes > window_.size()) return std::optional<CheckedEnvelope>();
        auto bytes = window_.get(at, kEnvelopeBytes);
        if (!bytes.ok()) return bytes.status();
        auto found = unpack_envelope(*bytes);
        if (!found || found->envelope.salt != salt_ || found->envelope.offset != ByteOffset(at) ||
            found->envelope.body_bytes > window_.size() - at - kEnvelopeBytes)
            return std::optional<CheckedEnvelope>();
        auto whole = window_.get(at, kEnvelopeBytes + found->envelope.body_bytes);
        if (!whole.ok()) return whole.status();
        if (crc32c(whole->subspan(kEnvelopeBytes)) != found->envelope.body_crc)
            return std::optional<CheckedEnvelope>();
        return found;
    }

    Result<bool> next(const std::function<Status(const ScannedRecord&)>& visit) {
        const std::uint64_t end = end_.tail.end;
        for (const std::uint64_t at : {end, align_up(end, kBatchAlign)}) {
            const auto found = good_at(at);
            if (!found.ok()) return found.status();
            if (*found && (*found)->envelope.previous_crc == end_.tail.crc &&
                ((*found)->envelope.sequence > end_.sequence_max || end_.records == 0)) {
                EVERSTEP_TRY(take(**found, at, visit));
                return true;
            }
        }
        return false;
    }

    Status take(const CheckedEnvelope& found, std::uint64_t at,
                const std::function<Status(const ScannedRecord&)>& visit) {
        const Envelope& envelope = found.envelope;
        if (static_cast<std::uint16_t>(envelope.kind) > kRecordKindMax)
            return {ErrorCode::version,
                    place(at) + ": a record of kind " +
                        std::to_string(static_cast<std::uint16_t>(envelope.kind)) +
                        ", which this program does not know"};
        const auto whole = window_.get(at, kEnvelopeBytes + envelope.body_bytes);
        if (!whole.ok()) return whole.status();
        EVERSTEP_TRY(
            visit({envelope, ByteOffset(at + kEnvelopeBytes), whole->subspan(kEnvelopeBytes)}));
        end_.tail.end = at + record_bytes(envelope.body_bytes);
        end_.tail.crc = found.crc;
        end_.tail.synced_to = std::max(end_.tail.synced_to, envelope.synced_to.value());
        end_.sequence_max = envelope.sequence;
        end_.records += 1;
        end_.sealed = envelope.kind == RecordKind::footer;
        return {};
    }

    // What lies behind the end: nothing, the torn rest of what was never synced, or proof of
    // damage.
    Status look_behind() {
        const std::uint64_t end = end_.tail.end;
        std::uint64_t bad_at = 0;  // the first place that holds something
        for (std::uint64_t at = end; at < window_.size(); at += kRecordAlign) {
            const auto bytes = window_.get(at, std::min(kRecordAlign, window_.size() - at));
            if (!bytes.ok()) return bytes.status();
            if (is_zero(*bytes)) continue;
            if (end_.sealed) return {};
            // What an earlier use of the file left is nobody's; what this one tore has its salt.
            if (bad_at == 0) bad_at = at;
            if (!bears_salt(*bytes, salt_)) continue;
            end_.tail_dirty = true;
            const auto found = good_at(at);
            if (!found.ok()) return found.status();
            if (!*found) continue;
            end_.sequence_max = std::max(end_.sequence_max, (*found)->envelope.sequence);
            if ((*found)->envelope.synced_to.value() > end)
                return {ErrorCode::corrupt,
                        place(std::min(bad_at, at)) +
                            ": damaged: no good record, but the record at offset " +
                            std::to_string(at) + " says that the file was synced up to offset " +
                            std::to_string((*found)->envelope.synced_to.value())};
        }
        return {};
    }

    [[nodiscard]] std::string place(std::uint64_t at) const {
        return file_.path() + ": offset " + std::to_string(at);
    }

    const io::File& file_;
    FileWindow window_;
    std::uint64_t salt_;
    ScanEnd end_;
};

}  // namespace

Result<CheckedHeader> read_header(const io::File& file, FileKind kind) {
    const auto size = file.size();
    if (!size.ok()) return size.status();
    Buffer bytes;
    bytes.resize(std::min(size->value(), kFileHeaderBytes));
    EVERSTEP_TRY(file.read_at(ByteOffset(0), bytes.bytes()));
    return unpack_header(bytes.bytes(), kind, file.path());
}

Result<ScanEnd> scan_records(const io::File& file, const CheckedHeader& header,
                             const std::function<Status(const ScannedRecord&)>& visit) {
    const auto size = file.size();
    if (!size.ok()) return size.status();
    return Scanner(file, header, size->value()).run(visit);
}

}  // namespace everstep::journal
