// The search for a position in an index file's pages: as a plain count, however the positions lie,
// and it ends, with an error or a number that is there, whatever the pages say.
#include <gtest/gtest.h>

#include <limits>

#include "journal/body_codec.hpp"
#include "journal/paged_index.hpp"
#include "tests/journal/store_lab.hpp"

namespace everstep::journal::lab {
namespace {

constexpr std::uint64_t kTop = std::numeric_limits<std::uint64_t>::max();

// Counts what is read.
class CountingFile final : public io::File {
  public:
    CountingFile(BodyBytes bytes, std::uint64_t& reads) : bytes_(std::move(bytes)), reads_(reads) {}
    [[nodiscard]] const std::string& path() const override { return path_; }
    [[nodiscard]] Status read(std::span<const io::ReadOp> ops) const override {
        for (const io::ReadOp& op : ops) {
            ++reads_;
            if (op.offset.value() + op.to.size() > bytes_.size())
                return {ErrorCode::corrupt, "behind the end"};
            std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(op.offset.value()),
                        op.to.size(), op.to.begin());
        }
        return {};
    }
    [[nodiscard]] Status write(std::span<const io::WriteOp>) override { return {}; }
    [[nodiscard]] Status sync() override { return {}; }
    [[nodiscard]] Status allocate(ByteOffset, ByteCount) override { return {}; }
    [[nodiscard]] Status zero(ByteOffset, ByteCount) override { return {}; }
    [[nodiscard]] Status punch(ByteOffset, ByteCount) override { return {}; }
    [[nodiscard]] Status resize(ByteCount) override { return {}; }
    [[nodiscard]] Result<ByteCount> size() const override { return ByteCount(bytes_.size()); }
    [[nodiscard]] Result<std::vector<io::DataExtent>> extents(ByteOffset,
                                                              ByteCount) const override {
        return std::vector<io::DataExtent>();
    }

  private:
    BodyBytes bytes_;
    std::uint64_t& reads_;
    std::string path_ = "index";
};

class PositionSearch : public testing::Test {
  protected:
    static constexpr std::size_t kUnits = 3;  // the place of their table
    static constexpr std::size_t kUnitBytes = 48;
    static Unit unit_at(Position position) {
        Unit unit;
        unit.lsn = position.lsn;
        unit.sub = position.sub;
        unit.length = kSectorBytes;
        return unit;
    }
    // The pages of an index of such units, in whatever order, and without a key.
    static BodyBytes pages_of(const std::vector<Position>& positions) {
        BodyBytes units;
        for (const Position& one : positions) {
            BodyWriter item;
            put_unit(item, unit_at(one));
            BodyBytes bytes = item.take();
            bytes.resize(kUnitBytes);
            units.insert(units.end(), bytes.begin(), bytes.end());
        }
        PageTables tables(77, 0);
        for (std::size_t table = 0; table < kRedoPageTables; ++table)
            tables.add_table(table == kUnits ? kUnitBytes : 4,
                             table == kUnits ? Bytes(units) : Bytes());
        return tables.take();
    }
    void open(BodyBytes pages) {
        const auto opened = IndexPages::open(
            std::make_unique<CountingFile>(std::move(pages), reads), {0, 77, kRedoPageTables});
        ASSERT_TRUE(opened.ok()) << opened.status().message();
        pages_ = *opened;
    }
    void expect_as_counted(const std::vector<Position>& positions) {
        open(pages_of(positions));
        std::vector<Position> asked{{Lsn(0), 0}, {Lsn(kTop), 0xffffffff}, {Lsn(kTop / 2), 7}};
        for (std::size_t n = 0; n < positions.size();
             n += 1 + rnd() % (positions.size() < 100 ? 1 : positions.size() / 40)) {
            const auto [lsn, sub] = positions[n];
            asked.push_back(positions[n]);
            asked.push_back({lsn, sub + 1});
            asked.push_back({lsn + 1, 0});
            if (sub > 0) asked.push_back({lsn, sub - 1});
            if (Lsn(0) < lsn) asked.push_back({lsn - 1, 0xffffffff});
            asked.push_back({Lsn(rnd()), static_cast<std::uint32_t>(rnd())});
        }
        unsigned halvings = 2;
        for (std::size_t wide = positions.size(); wide > 1; wide /= 2) ++halvings;
        const Position first = positions.front();
        const PagedWrites::Ends ends{
            first == Position{} || rnd() % 4 == 0 ? Position{}
            : first.sub > 0                       ? Position{first.lsn, first.sub - 1}
                                                  : Position{first.lsn - 1, 0xffffffff},
            rnd() % 4 == 0 ? Position{Lsn(UINT64_MAX), UINT32_MAX} : positions.back()};
        for (const Position& to : asked) {
            PageView view(pages_);
            const PagedWrites paged(view, of_);
            const std::uint64_t before = reads;
            const UnitSpan span = paged.between({Lsn(0), 0}, to, ends);
            EXPECT_LE(reads - before, 2 * halvings);
            ASSERT_TRUE(view.status().ok()) << view.status().message();
            const auto wanted = std::upper_bound(positions.begin(), positions.end(), to);
            ASSERT_EQ(span.last, wanted - positions.begin())
                << positions.size() << " at " << to.lsn.value() << ", " << to.sub;
        }
    }

    std::uint64_t reads = 0;
    std::mt19937_64 rnd{seed_of("PositionSearch", 4)};
    std::shared_ptr<const IndexPages> pages_;
    const std::vector<ByteCount> sizes_{ByteCount(1 << 20)};
    const IndexedFile of_{test_uuid(1), 9, 77, sizes_};
};

TEST_F(PositionSearch, IsAPlainCountHoweverThePositionsLie) {
    for (const std::size_t count : {1U, 2U, 3U, 84U, 85U, 86U, 500U, 6000U}) {
        std::vector<Position> even;
        std::vector<Position> one_step;
        std::vector<Position> doubling;
        std::vector<Position> at_the_top;
        std::vector<Position> two_heaps;
        std::vector<Position> any;
        for (std::size_t n = 0; n < count; ++n) {
            const auto sub = static_cast<std::uint32_t>(n);
            even.push_back({Lsn(n * 3 + 1), 0});
            one_step.push_back({Lsn(kTop), sub});
            const std::size_t bit = n * 64 / count;
            doubling.push_back({Lsn((1ULL << bit) + (bit > 12 ? n : 0)), sub});
            at_the_top.push_back({Lsn(kTop - (count - n) / 2), sub});
            two_heaps.push_back({Lsn(n < count / 3 ? n / 5 + 1 : kTop - 9), sub});
            any.push_back({Lsn(rnd() >> rnd() % 64), static_cast<std::uint32_t>(1 + rnd() % 4)});
        }
        for (std::vector<Position>* one :
             {&even, &one_step, &doubling, &at_the_top, &two_heaps, &any}) {
            std::sort(one->begin(), one->end());
            one->erase(std::unique(one->begin(), one->end()), one->end());
            expect_as_counted(*one);
        }
        // The same position for all.
        expect_as_counted(std::vector<Position>(count, {Lsn(41), 3}));
    }
}

// Pages whose checksums are right and whose positions are in any order.
TEST_F(PositionSearch, EndsWhateverThePagesSay) {
    for (std::uint64_t round = 0; round < 200; ++round) {
        const std::size_t count = 1 + rnd() % 3000;
        std::vector<Position> positions(count);
        for (Position& one : positions)
            one = {Lsn(rnd() >> rnd() % 64), static_cast<std::uint32_t>(rnd() % 3)};
        BodyBytes bytes = pages_of(positions);
        if (round % 4 == 0) bytes.resize(bytes.size() - bytes.size() / 4);
        open(std::move(bytes));
        for (int n = 0; n < 50; ++n) {
            PageView view(pages_);
            const PagedWrites paged(view, of_);
            const std::uint64_t before = reads;
            const UnitSpan span =
                paged.between({Lsn(rnd() >> rnd() % 64), 1}, {Lsn(rnd() >> rnd() % 64), 1},
                              {{Lsn(rnd() >> rnd() % 64), 1}, {Lsn(rnd() >> rnd() % 64), 1}});
            EXPECT_LE(std::max(span.first, span.last), count);
            EXPECT_LE(reads - before, 60U);
        }
    }
}

}  // namespace
}  // namespace everstep::journal::lab
