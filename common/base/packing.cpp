#include "common/base/packing.hpp"

#include <fmt/format.h>
#include <zstd.h>

#include <cstring>

#include "common/base/checksum.hpp"
#include "common/base/pack.hpp"

namespace everstep {
namespace {

// The only header of a chunk (RFC 8878, 3.1.1.1): magic, the descriptor of a frame that is one
// segment with a content size of two bytes, without checksum and dictionary; that size. One
// segment: its window is its content.
constexpr std::size_t kHeaderBytes = 7;
constexpr std::uint8_t kDescriptor = 0x60;
constexpr std::uint32_t kSizeBias = 256;
static_assert(kPackChunkBytes - kSizeBias <= 0xffff);

struct FreeDecoder {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

ZSTD_DCtx* decoder() {
    thread_local const std::unique_ptr<ZSTD_DCtx, FreeDecoder> context(ZSTD_createDCtx());
    EVERSTEP_ASSERT(context != nullptr, "out of memory for a decoder");
    return context.get();
}

bool has_header(Bytes stored, std::size_t length) {
    return stored.size() > kHeaderBytes && length >= kSizeBias && length <= kPackChunkBytes &&
           get<std::uint32_t>(stored, 0) == ZSTD_MAGICNUMBER &&
           get<std::uint8_t>(stored, 4) == kDescriptor &&
           get<std::uint16_t>(stored, 5) == length - kSizeBias;
}

Status no_chunk(std::string_view why) {
    return {ErrorCode::corrupt, fmt::format("packed data: {}", why)};
}

}  // namespace

Status unpack_chunk(Bytes stored, MutableBytes to) {
    if (stored.size() == to.size()) {
        if (!to.empty()) std::memcpy(to.data(), stored.data(), to.size());
        return {};
    }
    if (stored.size() > to.size() || !has_header(stored, to.size()))
        return no_chunk("another header than that of a chunk of its length");
    // Nothing behind it: decoding would go on with another frame, or leave one out.
    const std::size_t bytes = ZSTD_findFrameCompressedSize(stored.data(), stored.size());
    if (ZSTD_isError(bytes) != 0 || bytes != stored.size())
        return no_chunk("a chunk of another size than is stored");
    const std::size_t found =
        ZSTD_decompressDCtx(decoder(), to.data(), to.size(), stored.data(), stored.size());
    if (ZSTD_isError(found) != 0) return no_chunk(ZSTD_getErrorName(found));
    if (found != to.size()) return no_chunk("a chunk of another length than it says");
    return {};
}

Result<StoredPayload::Chunk> StoredPayload::chunk(std::uint32_t number) const {
    const std::uint32_t count = pack_chunks(length_);
    EVERSTEP_ASSERT(number < count, "a chunk of the payload");
    const std::uint32_t length = pack_chunk_length(length_, number);
    if (!packed()) {
        const std::size_t at = std::size_t{number} * kPackChunkBytes;
        return Chunk{static_cast<std::uint32_t>(at), stored_.subspan(at, length)};
    }
    if (count == 1) return Chunk{0, stored_};
    const std::size_t table = count * sizeof(std::uint32_t);
    if (stored_.size() <= table) return no_chunk("shorter than its table of chunks");
    const auto end_of = [&](std::uint32_t n) {
        return get<std::uint32_t>(stored_, n * sizeof(std::uint32_t));
    };
    const std::uint32_t begin =
        number == 0 ? static_cast<std::uint32_t>(table) : end_of(number - 1);
    const std::uint32_t end = end_of(number);
    const bool last = number + 1 == count;
    if (begin < table || end <= begin || end - begin > length || end > stored_.size() ||
        (last && end != stored_.size()))
        return no_chunk(
            fmt::format("chunk {} from byte {} to {} of {}", number, begin, end, stored_.size()));
    return Chunk{begin, stored_.subspan(begin, end - begin)};
}

Status StoredPayload::read(MutableBytes to) const {
    EVERSTEP_ASSERT(to.size() == length_, "room for all of the data");
    for (std::uint32_t n = 0; n < pack_chunks(length_); ++n) {
        const auto part = chunk(n);
        if (!part.ok()) return part.status();
        EVERSTEP_TRY(unpack_chunk(part->stored, to.subspan(std::size_t{n} * kPackChunkBytes,
                                                           pack_chunk_length(length_, n))));
    }
    return {};
}

Result<std::uint32_t> StoredPayload::data_crc() const {
    if (!packed()) return crc32c(stored_);
    Buffer data;
    std::uint32_t crc = 0;
    for (std::uint32_t n = 0; n < pack_chunks(length_); ++n) {
        const auto part = chunk(n);
        if (!part.ok()) return part.status();
        data.resize(pack_chunk_length(length_, n));
        EVERSTEP_TRY(unpack_chunk(part->stored, data.bytes()));
        crc = crc32c(data.bytes(), crc);
    }
    return crc;
}

struct Packer::Context {
    struct Free {
        void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
    };
    std::unique_ptr<ZSTD_CCtx, Free> zstd{ZSTD_createCCtx()};
};

Packer::Packer(int level) : context_(std::make_unique<Context>()) {
    EVERSTEP_ASSERT(context_->zstd != nullptr, "out of memory for an encoder");
    set_level(level);
}

Packer::~Packer() = default;

void Packer::set_level(int level) {
    EVERSTEP_ASSERT(level >= 1 && level <= kPackLevelMax, "a level of compression");
    const std::size_t set =
        ZSTD_CCtx_setParameter(context_->zstd.get(), ZSTD_c_compressionLevel, level);
    EVERSTEP_ASSERT(ZSTD_isError(set) == 0, "zstd takes the level");
}

// 0: it does not fit, which only says that the data is better stored as it is.
std::size_t Packer::pack_chunk(Bytes data, MutableBytes to) {
    const std::size_t packed =
        ZSTD_compress2(context_->zstd.get(), to.data(), to.size(), data.data(), data.size());
    if (ZSTD_isError(packed) != 0 || packed >= data.size()) return 0;
    return has_header(to.first(packed), data.size()) ? packed : 0;
}

bool Packer::pack(Bytes data, Buffer& to) {
    if (data.empty()) return false;
    const std::size_t start = to.size();
    const std::uint32_t count = pack_chunks(data.size());
    const MutableBytes room = to.extend(data.size() - 1);  // more would be no gain
    std::size_t at = count == 1 ? 0 : count * sizeof(std::uint32_t);
    for (std::uint32_t n = 0; n < count; ++n) {
        const Bytes part =
            data.subspan(std::size_t{n} * kPackChunkBytes, pack_chunk_length(data.size(), n));
        const std::size_t left = room.size() - at;
        std::size_t stored = pack_chunk(part, room.subspan(at, std::min(left, part.size() - 1)));
        if (stored == 0 && part.size() > left) {  // all in all it is not shorter
            to.resize(start);
            return false;
        }
        if (stored == 0) {
            stored = part.size();
            std::memcpy(room.data() + at, part.data(), stored);
        }
        at += stored;
        if (count > 1) put(room, n * sizeof(std::uint32_t), static_cast<std::uint32_t>(at));
    }
    to.resize(start + at);
    return true;
}

}  // namespace everstep
