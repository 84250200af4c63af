// Packed payloads: how the data of a write lies in a compressed frame (docs/journal-format.md,
// "Packed payloads"; docs/decisions/0021-compression-per-frame.md). Data is packed in chunks of
// 64 KiB, each a zstd frame of its own where that is shorter, so that no byte needs more than its
// chunk to be read, and nothing needs another write.
//
//   at most 64 KiB of data:  the chunk
//   more:                    u32 of each chunk: where it ends | the chunks
//
// Thread: functions any (what zstd needs is each thread's own); a Packer has one owner.
// Invariants: a payload is packed exactly if it is shorter than its data, and a chunk too; a chunk
// has one header that it may have, which says how much it holds, so that hostile bytes never take
// memory or give more bytes than were asked for.
#pragma once

#include <algorithm>
#include <memory>

#include "common/base/buffer.hpp"
#include "common/base/status.hpp"

namespace everstep {

inline constexpr std::uint32_t kPackChunkBytes = 64U << 10;
inline constexpr int kPackLevelMax = 9;  // of zstd's; 1 is the fastest

[[nodiscard]] constexpr std::uint32_t pack_chunks(std::uint64_t length) {
    return static_cast<std::uint32_t>((length + kPackChunkBytes - 1) / kPackChunkBytes);
}
[[nodiscard]] constexpr std::uint32_t pack_chunk_length(std::uint64_t length, std::uint32_t chunk) {
    const std::uint64_t behind = length - std::uint64_t{chunk} * kPackChunkBytes;
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(behind, kPackChunkBytes));
}

// The data of one chunk: `to` is as long as it is. As many bytes are the data itself. corrupt: they
// are not one chunk that a Packer made of so many bytes; `to` holds anything then.
[[nodiscard]] Status unpack_chunk(Bytes stored, MutableBytes to);

// What is stored of a write's data: itself, or fewer bytes in which it is packed. No Bytes, so that
// nobody takes the one for the other. Borrowed: valid as long as what it points to.
class StoredPayload {
  public:
    StoredPayload() = default;
    // `length`: of the data; at least stored.size(), at most 4 GiB.
    StoredPayload(Bytes stored, std::uint64_t length) : stored_(stored), length_(length) {}
    [[nodiscard]] std::uint64_t length() const { return length_; }
    [[nodiscard]] bool packed() const { return stored_.size() < length_; }
    [[nodiscard]] Bytes stored() const { return stored_; }  // what its checksum covers

    struct Chunk {
        std::uint32_t at = 0;  // from the begin of what is stored
        Bytes stored;
    };
    // corrupt: the table of chunks makes no sense. `chunk` < pack_chunks(length()).
    [[nodiscard]] Result<Chunk> chunk(std::uint32_t number) const;
    // The data; `to`: length() bytes. corrupt: what is stored is not packed data of that length.
    [[nodiscard]] Status read(MutableBytes to) const;
    // Of the data; the same errors. Takes 64 KiB of memory, however long the data.
    [[nodiscard]] Result<std::uint32_t> data_crc() const;

  private:
    Bytes stored_;
    std::uint64_t length_ = 0;
};

class Packer {
  public:
    explicit Packer(int level);  // 1 to kPackLevelMax
    ~Packer();
    Packer(const Packer&) = delete;
    Packer& operator=(const Packer&) = delete;
    void set_level(int level);
    // Appends `data` as it is packed, where that is shorter; false: `to` is as it was.
    [[nodiscard]] bool pack(Bytes data, Buffer& to);

  private:
    struct Context;
    [[nodiscard]] std::size_t pack_chunk(Bytes data, MutableBytes to);
    std::unique_ptr<Context> context_;
};

}  // namespace everstep
