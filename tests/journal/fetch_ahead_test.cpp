#include "journal/fetch_ahead.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace everstep::journal {
namespace {

// Knows only what was hinted.
class HintedFile final : public io::File {
  public:
    [[nodiscard]] const std::string& path() const override { return path_; }
    [[nodiscard]] Status read(std::span<const io::ReadOp>) const override { return {}; }
    [[nodiscard]] Status write(std::span<const io::WriteOp>) override { return {}; }
    [[nodiscard]] Status sync() override { return {}; }
    [[nodiscard]] Status allocate(ByteOffset, ByteCount) override { return {}; }
    [[nodiscard]] Status zero(ByteOffset, ByteCount) override { return {}; }
    [[nodiscard]] Status punch(ByteOffset, ByteCount) override { return {}; }
    [[nodiscard]] Status resize(ByteCount) override { return {}; }
    [[nodiscard]] Result<ByteCount> size() const override { return ByteCount(0); }
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(ByteOffset,
                                                              ByteCount) const override {
        return std::vector<io::DataExtent>();
    }
    void will_read(ByteOffset offset, ByteCount count) const override {
        EXPECT_EQ(count, ByteCount(kFetchWindowBytes));
        hints.push_back(offset.value() / kFetchWindowBytes);
    }
    mutable std::vector<std::uint64_t> hints;

  private:
    std::string path_ = "file";
};

TEST(FetchAhead, AWindowIsFetchedOnceManyOfItsPiecesWereRead) {
    const HintedFile file;
    FetchAhead ahead;
    const auto read = [&](std::uint64_t window, std::uint32_t times) {
        for (std::uint32_t n = 0; n < times; ++n)
            ahead.reads(file, ByteOffset(window * kFetchWindowBytes + n * 4096));
    };
    read(3, kFetchPieces);
    read(4, kFetchPieces);
    EXPECT_TRUE(file.hints.empty());
    read(3, 1);
    EXPECT_EQ(file.hints, std::vector<std::uint64_t>{3});
    // What is fetched in vain stays below what is read: it is as many pieces to the next time.
    read(3, kFetchAgainPieces - 1);
    EXPECT_EQ(file.hints.size(), 1U);
    read(3, 1);
    EXPECT_EQ(file.hints, (std::vector<std::uint64_t>{3, 3}));
}

TEST(FetchAhead, BehindItsWindowsNothingIsFetched) {
    const HintedFile file;
    FetchAhead ahead;
    for (std::uint32_t n = 0; n < 1000; ++n)
        ahead.reads(file, ByteOffset(kFetchWindows * kFetchWindowBytes + n));
    EXPECT_TRUE(file.hints.empty());
}

}  // namespace
}  // namespace everstep::journal
