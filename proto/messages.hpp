// What nodes say to each other and what the command line says to a node. Plain structs here;
// Protocol Buffers only inside the codec. Byte layout: docs/wire-protocol.md.
//
// Every message on a link: length u32 | type u16 | zero u16 | body, little-endian, length = the
// body's bytes. type control: a protobuf ControlMessage (at most kControlBytesMax). type frame: the
// bytes of one sealed frame. type data: the bytes that a ReadReply announced. Invariants: a length
// over its limit ends the session before memory is taken for it; unknown fields are ignored,
// unknown messages and types end the session (the version range and feature bits say what may be
// sent).
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/base/buffer.hpp"
#include "common/base/frame.hpp"
#include "common/base/status.hpp"
#include "common/base/types.hpp"
#include "common/base/value.hpp"

namespace everstep::wire {

inline constexpr std::uint32_t kProtocolMin = 1;
inline constexpr std::uint32_t kProtocolMax = 1;
// Feature bits of Hello; in force are those that both sides offered.
inline constexpr std::uint64_t kFeatureCompressedFrames = 1ULL << 0;  // reads them
inline constexpr std::uint64_t kFeatures = kFeatureCompressedFrames;  // of this program
inline constexpr std::uint32_t kMessageHeaderBytes = 8;
inline constexpr std::uint32_t kControlBytesMax = 4U << 20;
inline constexpr std::uint32_t kDataBytesMax = 8U << 20;

enum class MessageType : std::uint16_t { control = 1, frame = 2, data = 3 };

enum class Purpose : std::uint8_t { replicate = 1, admin = 2 };
enum class Role : std::uint8_t { none = 0, primary = 1, standby = 2 };

struct Timeline {
    TimelineId id;
    TimelineId parent;
    Lsn branch_lsn;
    Hash128 branch_hash{};
    FrameSeq branch_seq;
    std::uint32_t number = 1;
    std::string node;
};

struct Volume {
    std::string name;
    Uuid id;
    ByteCount size;
    // Of one that was added to a group that had begun: the step from which on the history has all
    // of it. A nil timeline: it has not yet.
    std::optional<Point> whole_from{};
};

// What a node says of a group when a session begins.
struct GroupState {
    std::string group;
    Uuid group_id;  // nil: not known yet
    Role role = Role::none;
    std::vector<std::pair<std::string, std::string>>
        configuration;  // canonical; compared key by key
    std::vector<Volume> volumes;
    std::vector<Timeline> timelines;  // parents first
    bool has_history = false;         // a standby: there is a consistent step to keep
    bool has_state = false;           // it has taken part in this group before
    Point head;                       // primary: newest LSN given; standby: newest durable step
    Hash128 head_hash{};
    FrameSeq head_seq;
    std::int64_t head_step_time_ns = 0;
    Hash128 step_hash{};  // of the frame that contains `head`; newer ones hold no step
    FrameSeq step_seq;
    Lsn applied;
    bool gap_open = false;
    Point consistent;             // newest step that may be promoted
    std::string refused;          // why this node takes no part; empty: it does
    std::uint64_t takeovers = 0;  // known ones, by the operator's word (daemon/lineage.hpp)
};

struct Hello {  // both directions, first message
    std::uint32_t protocol_min = kProtocolMin;
    std::uint32_t protocol_max = kProtocolMax;
    std::uint64_t features = 0;
    std::string node;
    Uuid node_id;
    Purpose purpose = Purpose::replicate;
    ErrorCode error = ErrorCode::ok;  // the answer: a refusal and why
    std::string message;
    std::optional<GroupState> group;
};

enum class StartMode : std::uint8_t { stream = 1, initial = 2, resync = 3 };

struct Start {  // primary -> standby: how the stream begins
    StartMode mode = StartMode::stream;
    Uuid group_id;
    std::vector<Volume> volumes;
    std::vector<Timeline>
        timelines;  // the primary's path, parents first; the standby takes what it lacks
    Point from;  // stream: the standby's head it continues; resync: the last common step (the gap's
                 // a)
    std::string reason;  // resync: why order was lost
};
struct Started {  // standby -> primary
    ErrorCode error = ErrorCode::ok;
    std::string message;
};
struct InitialEnd {  // primary -> standby: the copy is complete; history begins at base
    Point base;
    Hash128 hash{};
    FrameSeq seq;
    std::int64_t step_time_ns = 0;
};
struct ResyncEnd {  // primary -> standby: extents and stream up to this `sync` step have been sent
    Point at;       // the gap ends here
};
struct Ack {  // standby -> primary; positions of the session's timeline path
    TimelineId timeline;
    Lsn received;
    Lsn durable;
    Lsn applied;
    std::uint64_t consumed_bytes = 0;  // of this session, all frames taken in: the sender's window
    bool consistent = true;            // no gap or initial sync is open
};
struct Keepalive {                   // both directions
    std::int64_t step_clock_ns = 0;  // primary: now on its step clock
    Lsn captured;                    // primary
    std::uint64_t captured_bytes = 0;
};
struct ReadRequest {  // the content of a range at a step; primary -> standby, or a node that adopts
    std::uint64_t id = 0;
    Point at;
    VolumeIndex volume;
    ByteOffset offset;
    ByteCount length;  // at most kDataBytesMax
};
struct ReadReply {
    std::uint64_t id = 0;
    ErrorCode error = ErrorCode::ok;
    std::string message;
    bool zero = false;         // all zeroes: no data message follows
    std::uint32_t length = 0;  // bytes of the data message that follows at once
};
inline constexpr std::uint32_t kHashedBytesMax = 1U << 20;  // of one HashRequest
inline constexpr std::uint32_t kHashedBlockBytes = 4096;
// primary -> standby: what a range holds behind everything that was sent before this. Block by
// block from `offset` on; the last may be shorter.
struct HashRequest {
    std::uint64_t id = 0;
    VolumeIndex volume;
    ByteOffset offset;
    ByteCount length;  // at most kHashedBytesMax
    std::uint64_t seed = 0;
};
struct HashReply {
    std::uint64_t id = 0;
    ErrorCode error = ErrorCode::ok;
    std::string message;
    bool zero = false;            // all zeroes: no hashes
    std::vector<Hash128> hashes;  // XXH3-128 with the seed, one for each block
};
struct Goodbye {  // an orderly end and why
    ErrorCode error = ErrorCode::ok;
    std::string message;
};

// The admin socket and the relay between nodes.
struct AdminRequest {
    std::string verb;
    std::map<std::string, std::string> arguments;
};
struct AdminReply {
    ErrorCode error = ErrorCode::ok;
    std::string message;
    Value body;
    bool more = false;  // further replies to the same request follow (log, progress, events)
};

using Control =
    std::variant<Hello, Start, Started, InitialEnd, ResyncEnd, Ack, Keepalive, ReadRequest,
                 ReadReply, HashRequest, HashReply, Goodbye, AdminRequest, AdminReply>;

// One whole message with its header, ready to send. One over the protocol's limits becomes a
// Goodbye (an AdminReply for an AdminReply) with too_large, so that the other side hears why.
[[nodiscard]] std::vector<std::byte> encode(const Control& message);
// The body of a control message. corrupt: not a message of this protocol, names the field;
// too_large.
[[nodiscard]] Result<Control> decode(Bytes body);
// The 8-byte header that goes before `body_bytes` raw bytes of a frame or data message.
[[nodiscard]] std::array<std::byte, kMessageHeaderBytes> raw_header(MessageType type,
                                                                    std::uint32_t body_bytes);

}  // namespace everstep::wire
