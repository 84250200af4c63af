// The limits of everstep.proto, checked on the bytes of a control message before it is parsed: a
// parser allocates for each element that it meets, so a few megabytes of hostile bytes could become
// hundreds.
//
// Thread: any; pure functions. Allocates nothing that grows with the message.
// What holds after ok: every length lies inside the message; no text, id or hash is over its
// `bytes_max`; no repeated field is over its `count_max`; no other field and no choice of a oneof
// stands twice; every enum, bool and 32-bit number has a value of its kind; at most
// kUnknownFieldsMax unknown fields and kMessagesMax messages inside.
#pragma once

#include <cstdint>

#include "common/base/status.hpp"
#include "common/base/types.hpp"

namespace everstep::wire {

inline constexpr std::uint32_t kTextBytesMax = 64U << 10;
inline constexpr std::uint32_t kValueDepthMax = 16;  // a scalar has depth 1
inline constexpr std::uint32_t kListItemsMax = 65536;
inline constexpr std::uint32_t kMapEntriesMax = 1024;
inline constexpr std::uint32_t kMessagesMax = 1U
                                              << 19;  // all messages nested in one control message
inline constexpr std::uint32_t kUnknownFieldsMax = 1024;
// Messages nested in each other: three for each level of a Value (value, map, entry) and what
// stands around it.
inline constexpr std::uint32_t kNestingMax = 3 * kValueDepthMax + 4;

// corrupt or too_large, naming the field.
[[nodiscard]] Status check_limits(Bytes control_body);

}  // namespace everstep::wire
