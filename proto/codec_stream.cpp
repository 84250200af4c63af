// What goes beside the frames while a session runs: InitialEnd, ResyncEnd, Ack, Keepalive,
// ReadRequest, ReadReply, HashRequest, HashReply.
#include <cstring>

#include "everstep.pb.h"
#include "proto/codec_fields.hpp"
#include "proto/codec_messages.hpp"

namespace everstep::wire {
namespace {

constexpr std::uint32_t kVolumesMax = 256;

}  // namespace

void to_pb(const InitialEnd& from, pb::InitialEnd& to) {
    to_pb(from.base, *to.mutable_base());
    to.set_hash(hash_bytes(from.hash));
    to.set_seq(from.seq.value());
    to.set_step_time_ns(from.step_time_ns);
}

Status from_pb(const pb::InitialEnd& from, InitialEnd& to) {
    to.seq = FrameSeq(from.seq());
    to.step_time_ns = from.step_time_ns();
    EVERSTEP_TRY(read_hash("initial_end.hash", from.hash(), to.hash));
    return from_pb("initial_end.base", from.base(), to.base);
}

void to_pb(const ResyncEnd& from, pb::ResyncEnd& to) {
    to_pb(from.at, *to.mutable_at());
}

Status from_pb(const pb::ResyncEnd& from, ResyncEnd& to) {
    return from_pb("resync_end.at", from.at(), to.at);
}

void to_pb(const Ack& from, pb::Ack& to) {
    to.set_timeline(id_bytes(from.timeline));
    to.set_received(from.received.value());
    to.set_durable(from.durable.value());
    to.set_applied(from.applied.value());
    to.set_consumed_bytes(from.consumed_bytes);
    to.set_consistent(from.consistent);
}

Status from_pb(const pb::Ack& from, Ack& to) {
    to.received = Lsn(from.received());
    to.durable = Lsn(from.durable());
    to.applied = Lsn(from.applied());
    to.consumed_bytes = from.consumed_bytes();
    to.consistent = from.consistent();
    return read_id("ack.timeline", from.timeline(), to.timeline);
}

void to_pb(const Keepalive& from, pb::Keepalive& to) {
    to.set_step_clock_ns(from.step_clock_ns);
    to.set_captured(from.captured.value());
    to.set_captured_bytes(from.captured_bytes);
}

Status from_pb(const pb::Keepalive& from, Keepalive& to) {
    to.step_clock_ns = from.step_clock_ns();
    to.captured = Lsn(from.captured());
    to.captured_bytes = from.captured_bytes();
    return {};
}

void to_pb(const ReadRequest& from, pb::ReadRequest& to) {
    EVERSTEP_ASSERT(from.length.value() <= kDataBytesMax, "a read over the limit of one message");
    EVERSTEP_ASSERT(from.volume.value() < kVolumesMax, "no such volume");
    to.set_id(from.id);
    to_pb(from.at, *to.mutable_at());
    to.set_volume(static_cast<std::uint32_t>(from.volume.value()));
    to.set_offset(from.offset.value());
    to.set_length(static_cast<std::uint32_t>(from.length.value()));
}

Status from_pb(const pb::ReadRequest& from, ReadRequest& to) {
    if (from.volume() >= kVolumesMax) return field_error("read_request.volume", "over 255");
    if (from.length() == 0 || from.length() > kDataBytesMax) {
        return field_error(
            "read_request.length",
            std::to_string(from.length()) + " bytes, wanted 1.." + std::to_string(kDataBytesMax));
    }
    if (from.offset() > UINT64_MAX - from.length()) {
        return field_error("read_request.offset", "the range goes past 2^64");
    }
    to.id = from.id();
    to.volume = VolumeIndex(from.volume());
    to.offset = ByteOffset(from.offset());
    to.length = ByteCount(from.length());
    return from_pb("read_request.at", from.at(), to.at);
}

void to_pb(const ReadReply& from, pb::ReadReply& to) {
    EVERSTEP_ASSERT(from.length <= kDataBytesMax, "a read reply over the limit of one message");
    to.set_id(from.id);
    to.set_error(error_to_pb(from.error));
    to.set_message(clipped(from.message));
    to.set_zero(from.zero);
    to.set_length(from.length);
}

Status from_pb(const pb::ReadReply& from, ReadReply& to) {
    if (from.length() > kDataBytesMax) {
        return field_error("read_reply.length", std::to_string(from.length()) + " bytes, at most " +
                                                    std::to_string(kDataBytesMax));
    }
    to.id = from.id();
    to.message = from.message();
    to.zero = from.zero();
    to.length = from.length();
    return read_error("read_reply.error", from.error(), to.error);
}

void to_pb(const HashRequest& from, pb::HashRequest& to) {
    EVERSTEP_ASSERT(from.length.value() <= kHashedBytesMax, "hashes over the limit of one message");
    EVERSTEP_ASSERT(from.volume.value() < kVolumesMax, "no such volume");
    to.set_id(from.id);
    to.set_volume(static_cast<std::uint32_t>(from.volume.value()));
    to.set_offset(from.offset.value());
    to.set_length(static_cast<std::uint32_t>(from.length.value()));
    to.set_seed(from.seed);
}

Status from_pb(const pb::HashRequest& from, HashRequest& to) {
    if (from.volume() >= kVolumesMax) return field_error("hash_request.volume", "over 255");
    if (from.length() == 0 || from.length() > kHashedBytesMax) {
        return field_error(
            "hash_request.length",
            std::to_string(from.length()) + " bytes, wanted 1.." + std::to_string(kHashedBytesMax));
    }
    if (from.offset() > UINT64_MAX - from.length()) {
        return field_error("hash_request.offset", "the range goes past 2^64");
    }
    to.id = from.id();
    to.volume = VolumeIndex(from.volume());
    to.offset = ByteOffset(from.offset());
    to.length = ByteCount(from.length());
    to.seed = from.seed();
    return {};
}

void to_pb(const HashReply& from, pb::HashReply& to) {
    to.set_id(from.id);
    to.set_error(error_to_pb(from.error));
    to.set_message(clipped(from.message));
    to.set_zero(from.zero);
    std::string* bytes = to.mutable_hashes();
    bytes->reserve(from.hashes.size() * sizeof(Hash128));
    for (const Hash128& hash : from.hashes)
        bytes->append(reinterpret_cast<const char*>(hash.data()), hash.size());
}

Status from_pb(const pb::HashReply& from, HashReply& to) {
    const std::string& bytes = from.hashes();
    if (bytes.size() % sizeof(Hash128) != 0) {
        return field_error("hash_reply.hashes",
                           std::to_string(bytes.size()) + " bytes, wanted whole hashes of 16");
    }
    to.id = from.id();
    to.message = from.message();
    to.zero = from.zero();
    to.hashes.resize(bytes.size() / sizeof(Hash128));
    for (std::size_t i = 0; i < to.hashes.size(); ++i)
        std::memcpy(to.hashes[i].data(), bytes.data() + i * sizeof(Hash128), sizeof(Hash128));
    return read_error("hash_reply.error", from.error(), to.error);
}

}  // namespace everstep::wire
