#include "common/base/checksum.hpp"

#include <isa-l/crc.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>  // the plain functions go by SSE2: 2 to 3 times the time of AVX2's
#else
#include <xxhash.h>
#endif

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

namespace everstep {
namespace {

constexpr std::size_t kChunkBytes = 1U << 30;  // ISA-L takes its length as an int

static_assert(sizeof(XXH128_canonical_t) == sizeof(Hash128));

// Polynomials over GF(2) modulo that of CRC32C, reflected: the highest bit is x^0.
constexpr std::uint32_t kPolynomial = 0x82F63B78;
constexpr std::uint32_t kOne = 1U << 31;

constexpr std::uint32_t times_x(std::uint32_t a) {
    return (a & 1U) != 0 ? a >> 1 ^ kPolynomial : a >> 1;
}

constexpr std::uint32_t product(std::uint32_t a, std::uint32_t b) {
    std::uint32_t sum = 0;
    for (; a != 0; a <<= 1, b = times_x(b))
        if ((a & kOne) != 0) sum ^= b;
    return sum;
}

// x^8, x^16, x^32, ..: behind 2^n bytes a CRC counts times the nth.
constexpr auto kBehindBytes = [] {
    std::array<std::uint32_t, std::numeric_limits<std::size_t>::digits> powers{};
    powers[0] = kOne >> 8;
    for (std::size_t n = 1; n < powers.size(); ++n)
        powers[n] = product(powers[n - 1], powers[n - 1]);
    return powers;
}();

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

std::uint32_t crc32c_joined(std::uint32_t first, std::uint32_t second, std::size_t second_bytes) {
    for (std::size_t n = 0; second_bytes != 0; ++n, second_bytes >>= 1)
        if ((second_bytes & 1U) != 0) first = product(kBehindBytes[n], first);
    return first ^ second;
}

Hash128 xxh3_128(Bytes bytes) {
    return xxh3_128(bytes, 0);
}

Hash128 xxh3_128(Bytes bytes, std::uint64_t seed) {
    XXH128_canonical_t canonical;
    ::XXH128_canonicalFromHash(&canonical,
                               ::XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed));
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
