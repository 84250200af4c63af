// Any bytes as the body of an index file whose checksums are right: an index that packs and unpacks
// again, or an error.
#include <array>
#include <cstdlib>

#include "common/base/checksum.hpp"
#include "common/base/pack.hpp"
#include "journal/index_file.hpp"

namespace everstep::journal {
namespace {

constexpr std::size_t kHeaderBytes = 64;
constexpr std::size_t kBodyBytesAt = 48;
constexpr std::size_t kBodyCrcAt = 56;
constexpr std::size_t kCrcAt = 60;

// A file of the kind of `empty`, with this body.
BodyBytes with_body(BodyBytes empty, Bytes body) {
    empty.resize(kHeaderBytes);
    empty.insert(empty.end(), body.begin(), body.end());
    const MutableBytes all(empty);
    put<std::uint64_t>(all, kBodyBytesAt, body.size());
    put<std::uint32_t>(all, kBodyCrcAt, crc32c(body));
    put<std::uint32_t>(all, kCrcAt, crc32c(Bytes(all).first(kCrcAt)));
    return empty;
}

}  // namespace
}  // namespace everstep::journal

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace everstep;
    using namespace everstep::journal;
    const Bytes body = std::as_bytes(std::span(data, size));
    const std::array<ByteCount, 2> sizes{ByteCount(1 << 20), ByteCount(64 << 10)};
    const IndexedFile of{Uuid(), 7, 0x1122334455667788, sizes};
    const auto redo = unpack_redo_index(with_body(pack_redo_index(of, {}), body), of, "fuzz");
    if (redo.ok() && !unpack_redo_index(pack_redo_index(of, *redo), of, "again").ok()) std::abort();
    const auto undo = unpack_undo_index(with_body(pack_undo_index(of, {}), body), of, "fuzz");
    if (undo.ok() && !unpack_undo_index(pack_undo_index(of, *undo), of, "again").ok()) std::abort();
    // And as a whole file.
    unpack_redo_index(body, of, "raw").status().ignore("any answer will do");
    unpack_undo_index(body, of, "raw").status().ignore("any answer will do");
    return 0;
}
