// Any bytes as the file of a write-intent map, as they are and with right checksums: a map that
// marks no more than its volume holds and all of each page that it cannot use, or an error.
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/base/checksum.hpp"
#include "common/base/pack.hpp"
#include "daemon/intent_map.hpp"
#include "tests/fuzz/bytes_file.hpp"

namespace everstep::daemon {
namespace {

constexpr std::size_t kCheckedAt = 12;  // docs/write-intent-map.md
constexpr std::size_t kCrcAt = 8;

// One file, there already, that forgets what is written to it.
class Files final : public io::FileSystem {
  public:
    explicit Files(Bytes bytes) : bytes_(bytes) {}
    [[nodiscard]] Result<std::unique_ptr<io::File>> open(const std::string&,
                                                         const io::OpenOptions&) override {
        return std::unique_ptr<io::File>(std::make_unique<Forgetful>(bytes_));
    }
    [[nodiscard]] Status make_directory(const std::string&) override { return {}; }
    [[nodiscard]] Status rename(const std::string&, const std::string&) override { return {}; }
    [[nodiscard]] Status remove(const std::string&) override { return {}; }
    [[nodiscard]] Status sync_directory(const std::string&) override { return {}; }
    [[nodiscard]] Result<std::vector<std::string>> list(const std::string&) const override {
        return std::vector<std::string>();
    }
    [[nodiscard]] Result<bool> exists(const std::string&) const override { return true; }
    [[nodiscard]] Result<ByteCount> free_bytes(const std::string&) const override {
        return ByteCount(0);
    }

  private:
    class Forgetful final : public fuzz::BytesFile {
      public:
        using BytesFile::BytesFile;
        [[nodiscard]] Status write(std::span<const io::WriteOp>) override { return {}; }
        [[nodiscard]] Status sync() override { return {}; }
        [[nodiscard]] Status resize(ByteCount) override { return {}; }
    };
    Bytes bytes_;
};

void open(const IntentPlace& place, Bytes bytes) {
    Files files(bytes);
    std::vector<std::string> report;
    const auto map = IntentMap::open(files, place, {IntentBegin::as_stored, Lsn(7)}, report);
    if (!map.ok()) return;
    if (report.empty() && bytes.size() != 2 * kIntentPageBytes) std::abort();
    for (std::size_t standby = 0; standby < place.standbys; ++standby) {
        ByteOffset end(0);
        for (const journal::GapExtent& extent : (*map)->marked(standby)) {
            if (extent.offset < end || extent.length == ByteCount(0)) std::abort();
            end = extent.offset + extent.length.value();
        }
        if (end.value() > place.size.value()) std::abort();
    }
    (*map)->mark_all(0);
    if ((*map)->marked_bytes(0) != place.size) std::abort();
}

}  // namespace
}  // namespace everstep::daemon

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace everstep;
    using namespace everstep::daemon;
    constexpr std::uint64_t kMiB = 1ULL << 20;
    Uuid id;
    if (!Uuid::parse("00112233445566778899aabbccddeeff", id)) std::abort();
    const Bytes bytes = std::as_bytes(std::span(data, size));
    // Two pages, the second one partly used, and a mask for each number of standbys there may be.
    for (const std::size_t standbys : std::array<std::size_t, 3>{1, 2, kIntentStandbysMax}) {
        const IntentPlace place{"fuzz", id, VolumeIndex(0), ByteCount(1500 * kMiB - 512), standbys};
        open(place, bytes);
        std::vector<std::byte> whole(2 * kIntentPageBytes);
        std::copy_n(bytes.begin(), std::min(bytes.size(), whole.size()), whole.begin());
        for (std::size_t page = 0; page < 2; ++page) {
            const MutableBytes one =
                MutableBytes(whole).subspan(page * kIntentPageBytes, kIntentPageBytes);
            put(one, kCrcAt, crc32c(Bytes(one).subspan(kCheckedAt)));
        }
        open(place, whole);
    }
    return 0;
}
