// CRC32C for damage, XXH3-128 for identity. Pure functions; any thread.
#pragma once

#include "common/base/types.hpp"

namespace everstep {
// CRC32C (Castagnoli, RFC 3720 B.4: reflected, initial and final XOR ~0); `seed` is the CRC of the
// bytes before.
[[nodiscard]] std::uint32_t crc32c(Bytes bytes, std::uint32_t seed = 0);
// The CRC of two runs of bytes, one behind the other, from the CRC of each; reads none of them.
[[nodiscard]] std::uint32_t crc32c_joined(std::uint32_t first, std::uint32_t second,
                                          std::size_t second_bytes);
[[nodiscard]] Hash128 xxh3_128(Bytes bytes);
// With a seed that who made the bytes does not know: two contents that were made to collide do not.
[[nodiscard]] Hash128 xxh3_128(Bytes bytes, std::uint64_t seed);
[[nodiscard]] std::string hex(const Hash128& hash);
[[nodiscard]] bool is_zero(Bytes bytes);
}  // namespace everstep
