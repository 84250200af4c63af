#include "common/base/checksum.hpp"

#include <isa-l/crc.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>

namespace everstep {
namespace {

constexpr std::size_t kChunkBytes = 1U << 30;  // ISA-L takes its length as an int

static_assert(sizeof(XXH128_canonical_t) == sizeof(Hash128));

}  // namespace

std::uint32_t crc32c(Bytes bytes, std::uint32_t seed) {
    // ISA-L leaves both inversions of RFC 3720 to its caller.
    std::uint32_t crc = ~seed;
    while (!bytes.empty()) {
        const Bytes chunk = bytes.first(std::min(bytes.size(), kChunkBytes));
        // Its pointer is not const; it only reads.
        auto* data = const_cast<std::byte*>(chunk.data());
        crc = ::crc32_iscsi(reinterpret_cast<unsigned char*>(data), static_cast<int>(chunk.size()),
                            crc);
        bytes = bytes.subspan(chunk.size());
    }
    return ~crc;
}

Hash128 xxh3_128(Bytes bytes) {
    XXH128_canonical_t canonical;
    ::XXH128_canonicalFromHash(&canonical, ::XXH3_128bits(bytes.data(), bytes.size()));
    Hash128 hash;
    std::memcpy(hash.data(), canonical.digest, hash.size());
    return hash;
}

std::string hex(const Hash128& hash) {
    return Uuid(hash).hex();
}

bool is_zero(Bytes bytes) {
    if (bytes.empty()) return true;
    // The first byte is zero and every byte equals the one before it.
    return bytes[0] == std::byte{0} &&
           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

}  // namespace everstep
