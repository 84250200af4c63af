// The NBD protocol's numbers and fixed messages, and the one place that packs and unpacks its
// big-endian fields. Source: github.com/NetworkBlockDevice/nbd, doc/proto.md ("Values", "Message
// types"). Thread: constants and pure functions. Invariant: nothing here trusts a length; callers
// check sizes first.
#pragma once

#include <cstring>
#include <string_view>
#include <type_traits>

#include "common/base/assert.hpp"
#include "common/base/types.hpp"

namespace everstep::daemon {

// Big-endian fields (the protocol calls it network byte order).
template <class T>
[[nodiscard]] constexpr T swap_bytes(T value) {
    static_assert(std::is_unsigned_v<T>);
    if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
    if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
    if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
}
template <class T>
[[nodiscard]] T get_be(Bytes from, std::size_t offset) {
    EVERSTEP_ASSERT(offset + sizeof(T) <= from.size(),
                    "get beyond the end; check the length first");
    T value;
    std::memcpy(&value, from.data() + offset, sizeof value);
    return swap_bytes(value);
}
template <class T>
void put_be(MutableBytes to, std::size_t offset, T value) {
    EVERSTEP_ASSERT(offset + sizeof(T) <= to.size(), "put beyond the end");
    value = swap_bytes(value);
    std::memcpy(to.data() + offset, &value, sizeof value);
}

// Handshake.
inline constexpr std::uint64_t kNbdMagic = 0x4e42444d41474943;        // "NBDMAGIC"
inline constexpr std::uint64_t kNbdOptionMagic = 0x49484156454f5054;  // "IHAVEOPT"
inline constexpr std::uint64_t kNbdOptionReplyMagic = 0x0003e889045565a9;
inline constexpr std::size_t kNbdGreetingBytes = 18;
inline constexpr std::size_t kNbdClientFlagsBytes = 4;
inline constexpr std::size_t kNbdOptionBytes = 16;
inline constexpr std::size_t kNbdOptionReplyBytes = 20;
inline constexpr std::size_t kNbdExportNameReplyBytes = 10;
inline constexpr std::size_t kNbdExportNameZeroes = 124;
inline constexpr std::size_t kNbdStringBytesMax = 4096;

inline constexpr std::uint16_t kNbdFlagFixedNewstyle = 1U << 0;
inline constexpr std::uint16_t kNbdFlagNoZeroes = 1U << 1;

enum class NbdOption : std::uint32_t {
    export_name = 1,
    abort = 2,
    list = 3,
    starttls = 5,
    info = 6,
    go = 7,
    structured_reply = 8,
    list_meta_context = 9,
    set_meta_context = 10,
};

enum class NbdOptionReply : std::uint32_t {
    ack = 1,
    server = 2,
    info = 3,
    meta_context = 4,
    err_unsup = 0x80000001,
    err_invalid = 0x80000003,
    err_unknown = 0x80000006,
    err_too_big = 0x80000009,
};

inline constexpr std::uint16_t kNbdInfoExport = 0;
inline constexpr std::uint16_t kNbdInfoName = 1;
inline constexpr std::uint16_t kNbdInfoDescription = 2;
inline constexpr std::uint16_t kNbdInfoBlockSize = 3;

inline constexpr std::string_view kNbdBaseNamespace = "base:";
inline constexpr std::string_view kNbdBaseAllocation = "base:allocation";
inline constexpr std::uint32_t kNbdBaseAllocationId = 1;

// Transmission flags.
inline constexpr std::uint16_t kNbdHasFlags = 1U << 0;
inline constexpr std::uint16_t kNbdReadOnly = 1U << 1;
inline constexpr std::uint16_t kNbdSendFlush = 1U << 2;
inline constexpr std::uint16_t kNbdSendFua = 1U << 3;
inline constexpr std::uint16_t kNbdSendTrim = 1U << 5;
inline constexpr std::uint16_t kNbdSendWriteZeroes = 1U << 6;
inline constexpr std::uint16_t kNbdSendDf = 1U << 7;
inline constexpr std::uint16_t kNbdCanMultiConn = 1U << 8;

// Transmission.
inline constexpr std::uint32_t kNbdRequestMagic = 0x25609513;
inline constexpr std::uint32_t kNbdSimpleReplyMagic = 0x67446698;
inline constexpr std::uint32_t kNbdStructuredReplyMagic = 0x668e33ef;
inline constexpr std::size_t kNbdRequestBytes = 28;
inline constexpr std::size_t kNbdSimpleReplyBytes = 16;
inline constexpr std::size_t kNbdChunkBytes = 20;  // structured reply header
inline constexpr std::size_t kNbdReadChunkBytes =
    kNbdChunkBytes + 8;  // OFFSET_DATA: and its offset
inline constexpr std::size_t kNbdErrorChunkBytes = kNbdChunkBytes + 6;   // and the text
inline constexpr std::size_t kNbdStatusChunkBytes = kNbdChunkBytes + 4;  // and the descriptors
inline constexpr std::size_t kNbdStatusDescriptorBytes = 8;
static_assert(kNbdRequestBytes == 4 + 2 + 2 + 8 + 8 + 4);
static_assert(kNbdSimpleReplyBytes == 4 + 4 + 8);
static_assert(kNbdChunkBytes == 4 + 2 + 2 + 8 + 4);

enum class NbdCommand : std::uint16_t {
    read = 0,
    write = 1,
    disconnect = 2,
    flush = 3,
    trim = 4,
    write_zeroes = 6,
    block_status = 7,
};

inline constexpr std::uint16_t kNbdCmdFua = 1U << 0;
inline constexpr std::uint16_t kNbdCmdNoHole = 1U << 1;
inline constexpr std::uint16_t kNbdCmdDf = 1U << 2;
inline constexpr std::uint16_t kNbdCmdReqOne = 1U << 3;
inline constexpr std::uint16_t kNbdCmdFastZero = 1U << 4;

inline constexpr std::uint16_t kNbdReplyDone = 1U << 0;
inline constexpr std::uint16_t kNbdReplyNone = 0;
inline constexpr std::uint16_t kNbdReplyOffsetData = 1;
inline constexpr std::uint16_t kNbdReplyBlockStatus = 5;
inline constexpr std::uint16_t kNbdReplyError = 0x8001;

inline constexpr std::uint32_t kNbdStateHole = 1U << 0;
inline constexpr std::uint32_t kNbdStateZero = 1U << 1;

enum class NbdError : std::uint32_t {
    none = 0,
    eperm = 1,
    eio = 5,
    einval = 22,
    enospc = 28,
    eoverflow = 75,
    eshutdown = 108,
};

// What we advertise (NBD_INFO_BLOCK_SIZE).
inline constexpr std::uint32_t kNbdBlockMin = 512;
inline constexpr std::uint32_t kNbdBlockPreferred = 4096;
inline constexpr std::uint32_t kNbdPayloadMax = 32U << 20;  // bytes, one read or write
static_assert(kNbdBlockMin == kSectorBytes && kNbdBlockPreferred == kBlockBytes);

}  // namespace everstep::daemon
