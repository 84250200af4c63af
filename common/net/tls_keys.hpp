// How much one key of a TLS connection encrypts before the next one takes its place (RFC
// 8446 4.6.3).
//
// AES-GCM keys wear out after 2^24.5 records (RFC 8446 5.5): 370 GiB of full ones. A link lives
// longer than that. Thread: before the context's connections are made.
#pragma once

#include <cstdint>

#include "common/net/stream.hpp"

namespace everstep::net {

inline constexpr std::uint64_t kBytesUnderKeyMax = 16ULL << 30;

// Of connections that are made from here on.
void change_keys_after(TlsContext& context, std::uint64_t bytes);

}  // namespace everstep::net
