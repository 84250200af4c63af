#include "journal/record_format.hpp"

#include "common/base/checksum.hpp"
#include "common/base/pack.hpp"

namespace everstep::journal {
namespace {

constexpr std::uint32_t kEnvelopeMagic = 0x43525645;  // "EVRC"

// Where each field lies; the static_asserts keep the table free of holes and overlaps.
constexpr std::size_t kMagicAt = 0;
constexpr std::size_t kKindAt = 4;
constexpr std::size_t kFlagsAt = 6;
constexpr std::size_t kSaltAt = 8;
constexpr std::size_t kSequenceAt = 16;
constexpr std::size_t kOffsetAt = 24;
constexpr std::size_t kSyncedToAt = 32;
constexpr std::size_t kBodyBytesAt = 40;
constexpr std::size_t kPreviousCrcAt = 44;
constexpr std::size_t kBodyCrcAt = 48;
constexpr std::size_t kReservedAt = 52;
constexpr std::size_t kCrcAt = 60;
static_assert(kKindAt == kMagicAt + 4 && kFlagsAt == kKindAt + 2 && kSaltAt == kFlagsAt + 2);
static_assert(kSequenceAt == kSaltAt + 8 && kOffsetAt == kSequenceAt + 8);
static_assert(kSyncedToAt == kOffsetAt + 8 && kBodyBytesAt == kSyncedToAt + 8);
static_assert(kPreviousCrcAt == kBodyBytesAt + 4 && kBodyCrcAt == kPreviousCrcAt + 4);
static_assert(kReservedAt == kBodyCrcAt + 4 && kCrcAt == kReservedAt + 8);
static_assert(kCrcAt + 4 == kEnvelopeBytes);

}  // namespace

std::uint32_t pack_envelope(const Envelope& envelope, MutableBytes to) {
    put<std::uint32_t>(to, kMagicAt, kEnvelopeMagic);
    put<std::uint16_t>(to, kKindAt, static_cast<std::uint16_t>(envelope.kind));
    put<std::uint16_t>(to, kFlagsAt, 0);
    put<std::uint64_t>(to, kSaltAt, envelope.salt);
    put<std::uint64_t>(to, kSequenceAt, envelope.sequence);
    put<std::uint64_t>(to, kOffsetAt, envelope.offset.value());
    put<std::uint64_t>(to, kSyncedToAt, envelope.synced_to.value());
    put<std::uint32_t>(to, kBodyBytesAt, envelope.body_bytes);
    put<std::uint32_t>(to, kPreviousCrcAt, envelope.previous_crc);
    put<std::uint32_t>(to, kBodyCrcAt, envelope.body_crc);
    put<std::uint64_t>(to, kReservedAt, 0);
    const std::uint32_t crc = crc32c(to.first(kCrcAt));
    put<std::uint32_t>(to, kCrcAt, crc);
    return crc;
}

bool bears_salt(Bytes from, std::uint64_t salt) {
    return from.size() >= kEnvelopeBytes && get<std::uint64_t>(from, kSaltAt) == salt;
}

std::optional<CheckedEnvelope> unpack_envelope(Bytes from) {
    if (from.size() < kEnvelopeBytes || get<std::uint32_t>(from, kMagicAt) != kEnvelopeMagic)
        return std::nullopt;
    const auto crc = get<std::uint32_t>(from, kCrcAt);
    if (crc32c(from.first(kCrcAt)) != crc) return std::nullopt;
    const auto kind = get<std::uint16_t>(from, kKindAt);
    if (kind == 0 || get<std::uint16_t>(from, kFlagsAt) != 0 ||
        get<std::uint64_t>(from, kReservedAt) != 0)
        return std::nullopt;
    CheckedEnvelope out;
    out.crc = crc;
    out.envelope = {.kind = static_cast<RecordKind>(kind),
                    .salt = get<std::uint64_t>(from, kSaltAt),
                    .sequence = get<std::uint64_t>(from, kSequenceAt),
                    .offset = ByteOffset(get<std::uint64_t>(from, kOffsetAt)),
                    .synced_to = ByteOffset(get<std::uint64_t>(from, kSyncedToAt)),
                    .body_bytes = get<std::uint32_t>(from, kBodyBytesAt),
                    .previous_crc = get<std::uint32_t>(from, kPreviousCrcAt),
                    .body_crc = get<std::uint32_t>(from, kBodyCrcAt)};
    return out;
}

}  // namespace everstep::journal
