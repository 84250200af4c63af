// The reading rule on random trees of timelines with half-moved replicas, every sector of every
// step: the program of DESIGN.md 7's model, through the real unit. And the index under it against a
// plain list.
#include <algorithm>
#include <map>
#include <memory>

#include <gtest/gtest.h>

#include "journal/reading.hpp"
#include "journal/topology.hpp"
#include "tests/journal/store_lab.hpp"

namespace everstep::journal {
namespace {

constexpr std::uint64_t kBlocks = 3;
constexpr std::uint64_t kSectors = kBlocks << kBlockLevel;
constexpr std::size_t kWritesPerSegment = 6;

using Content = std::vector<std::uint64_t>;  // by sector: step * 100 + sector, 0 at the baseline

struct Step {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    int parent = -1;
    int segment = -1;
    Content image;
};

// Steps form a tree. Every step that does not continue its parent's segment begins a timeline of
// its own, so that a segment belongs to one timeline.
class RandomTree {
  public:
    explicit RandomTree(std::mt19937_64& rnd) : rnd_(rnd) {
        steps_.push_back({.image = Content(kSectors, 0)});
        TimelineInfo root;
        root.id = lab::test_uuid(200);
        topology_.add(root);
        places_.push_back({root.id, {Lsn(0), 0}});
        const std::uint64_t count = 20 + rnd_() % 25;
        for (std::uint64_t i = 0; i < count; ++i) add_step();
        take_images();
    }

    [[nodiscard]] std::vector<int> line(int step) const {
        std::vector<int> out;
        for (; step >= 0; step = steps_[static_cast<std::size_t>(step)].parent) out.push_back(step);
        return out;
    }

    struct Half {
        int low = 0;
        int high = 0;
        Content replica;
    };
    Half half_moved() {
        Half half;
        half.high = static_cast<int>(rnd_() % steps_.size());
        const std::vector<int> way = line(half.high);
        half.low = way[rnd_() % way.size()];
        half.replica = at(half.low).image;
        for (auto x = way.rbegin(); x != way.rend(); ++x) {
            if (*x <= half.low)
                continue;  // ancestors of low have smaller numbers, low's descendants larger
            for (std::uint64_t s = at(*x).first; s < at(*x).first + at(*x).count; ++s)
                if (rnd_() % 2 == 0) half.replica[s] = value(*x, s);
        }
        return half;
    }

    [[nodiscard]] std::uint64_t wrong_sectors(const Half& half) const {
        std::uint64_t wrong = 0;
        for (std::size_t point = 0; point < steps_.size(); ++point) {
            const ReadPaths paths = read_paths(static_cast<int>(point), half);
            Content found(kSectors, ~0ULL);
            const auto runs = resolve(paths, {VolumeIndex(0), 0, kSectors});
            for (const SectorRun& run : *runs)
                for (std::uint64_t s = run.first; s < run.first + run.count; ++s)
                    found[s] = content_of(run, s, half);
            for (std::uint64_t s = 0; s < kSectors; ++s)
                if (found[s] != steps_[point].image[s]) ++wrong;
        }
        return wrong;
    }

  private:
    struct TestSegment {
        TimelineId timeline;
        SegmentIndex writes;
        BeforeImageIndex images;
        std::map<std::uint64_t, Content> image_content;  // by block
        std::vector<int> steps;                          // by unit
    };
    [[nodiscard]] const Step& at(int step) const { return steps_[static_cast<std::size_t>(step)]; }
    static std::uint64_t value(int step, std::uint64_t sector) {
        return static_cast<std::uint64_t>(step) * 100 + sector;
    }

    void add_step() {
        const int step = static_cast<int>(steps_.size());
        int base = step - 1;
        const bool branches = rnd_() % 100 < 8;
        if (branches) base = static_cast<int>(rnd_() % static_cast<std::uint64_t>(step));
        Step s;
        s.parent = base;
        const bool fresh = branches || base == 0 ||
                           segments_[static_cast<std::size_t>(at(base).segment)]->steps.size() >=
                               kWritesPerSegment;
        if (branches || base == 0) {
            TimelineInfo info;
            info.id = lab::test_uuid(static_cast<std::uint8_t>(topology_.order().size() + 1));
            info.parent = places_[static_cast<std::size_t>(base)].timeline;
            info.branch_lsn = places_[static_cast<std::size_t>(base)].at.lsn;
            if (base != 0 || topology_.order().size() > 1 || branches) {
                topology_.add(info);
                newest_line_ = info.id;
            } else {
                newest_line_ = info.parent;
            }
        } else {
            newest_line_ = places_[static_cast<std::size_t>(base)].timeline;
        }
        if (fresh) {
            segments_.push_back(std::make_unique<TestSegment>());
            segments_.back()->timeline = newest_line_;
        }
        s.segment = fresh ? static_cast<int>(segments_.size()) - 1 : at(base).segment;
        static constexpr std::uint64_t kCounts[] = {1, 1, 2, 8, 10};
        s.first = rnd_() % kSectors;
        s.count = std::min(kCounts[rnd_() % 5], kSectors - s.first);
        s.image = at(base).image;
        for (std::uint64_t x = s.first; x < s.first + s.count; ++x) s.image[x] = value(step, x);
        const Lsn lsn = places_[static_cast<std::size_t>(base)].at.lsn + 1;
        places_.push_back({newest_line_, {lsn, 0}});
        TestSegment& segment = *segments_[static_cast<std::size_t>(s.segment)];
        Unit unit;
        unit.lsn = lsn;
        unit.offset = ByteOffset(s.first * kSectorBytes);
        unit.length = static_cast<std::uint32_t>(s.count * kSectorBytes);
        unit.payload_at = ByteOffset(segment.steps.size());
        segment.writes.add(unit, {});
        segment.steps.push_back(step);
        steps_.push_back(std::move(s));
    }

    void take_images() {
        for (std::size_t n = 1; n < steps_.size(); ++n) {
            const Step& s = steps_[n];
            TestSegment& segment = *segments_[static_cast<std::size_t>(s.segment)];
            for (std::uint64_t b = s.first >> kBlockLevel;
                 b <= (s.first + s.count - 1) >> kBlockLevel; ++b) {
                if (segment.image_content.contains(b)) continue;
                const Content& before = at(s.parent).image;
                segment.image_content[b] =
                    Content(before.begin() + static_cast<std::ptrdiff_t>(b << kBlockLevel),
                            before.begin() + static_cast<std::ptrdiff_t>((b + 1) << kBlockLevel));
                const ImageExtent extent{
                    .volume = VolumeIndex(0), .block = b, .blocks = 1, .data_at = 1};
                segment.images.add({&extent, 1}, ByteOffset(0));
            }
        }
    }

    class Share final : public PathShare {
      public:
        explicit Share(const SegmentShare& share) : share_(share) {}
        [[nodiscard]] Status newest(std::span<const UnitRange> sectors,
                                    std::vector<SectorRun>& out) const override {
            for (const UnitRange& range : sectors) share_.newest(range, out);
            return {};
        }
        [[nodiscard]] Status before(std::span<const UnitRange> sectors,
                                    std::vector<SectorRun>& out) const override {
            for (const UnitRange& range : sectors) share_.before(range, out);
            return {};
        }

      private:
        SegmentShare share_;
    };
    using Shares = std::vector<std::shared_ptr<const PathShare>>;
    [[nodiscard]] Shares path(Position after, const Place& to) const {
        Shares out;
        for (const PathPart& part : topology_.path_behind(after, to))
            for (std::size_t n = 0; n < segments_.size(); ++n) {
                if (segments_[n]->timeline != part.timeline) continue;
                const UnitSpan span = segments_[n]->writes.between(part.after, part.to);
                if (!span.empty())
                    out.push_back(std::make_shared<Share>(
                        SegmentShare{&segments_[n]->writes, &segments_[n]->images, n, span}));
            }
        return out;
    }

    [[nodiscard]] ReadPaths read_paths(int point, const Half& half) const {
        const Place to = places_[static_cast<std::size_t>(point)];
        const Place high = places_[static_cast<std::size_t>(half.high)];
        const Place low = places_[static_cast<std::size_t>(half.low)];
        const auto meet = topology_.meet(to, high);
        ReadPaths paths;
        paths.newer = path(std::min(low.at, meet->at), to);
        std::reverse(paths.newer.begin(), paths.newer.end());
        paths.undone = path(meet->at, high);
        return paths;
    }

    // A unit's payload lies at its number.
    [[nodiscard]] std::uint64_t content_of(const SectorRun& run, std::uint64_t sector,
                                           const Half& half) const {
        if (run.source == Source::replica) return half.replica[sector];
        const TestSegment& segment = *segments_[run.segment];
        if (run.source == Source::undo)
            return segment.image_content.at(sector >> kBlockLevel)[sector % (1U << kBlockLevel)];
        if (run.source != Source::redo) return ~0ULL;
        const Unit& unit = segment.writes.unit(static_cast<std::uint32_t>(run.at.value()));
        const bool skip_fits =
            run.skip + unit.offset.value() / kSectorBytes == run.first && run.bytes == unit.length;
        return skip_fits ? value(segment.steps[run.at.value()], sector) : ~0ULL;
    }

    std::mt19937_64& rnd_;
    Topology topology_;
    std::vector<Step> steps_;
    std::vector<Place> places_;
    std::vector<std::unique_ptr<TestSegment>> segments_;
    TimelineId newest_line_;
};

TEST(Reading, GivesEverySectorOfEveryStepOnRandomTrees) {
    const std::uint64_t seed = lab::seed_of("Reading", 7);
    std::uint64_t wrong = 0;
    for (std::uint64_t n = 0; n < 1500; ++n) {
        std::mt19937_64 rnd(seed + n);
        RandomTree tree(rnd);
        const auto half = tree.half_moved();
        const std::uint64_t here = tree.wrong_sectors(half);
        ASSERT_EQ(here, 0U) << "tree " << n << " seed " << seed + n;
        wrong += here;
    }
    EXPECT_EQ(wrong, 0U);
}

TEST(Reading, WithoutHistoryBetweenTheReplicaAnswersForAll) {
    const auto runs = resolve({}, {VolumeIndex(0), 5, 1ULL << 40});
    ASSERT_EQ(runs->size(), 1U);
    EXPECT_EQ(runs->front().source, Source::replica);
    EXPECT_EQ(runs->front().count, 1ULL << 40);
}

TEST(RangeIndex, NewestEqualsAPlainList) {
    std::mt19937_64 rnd(lab::seed_of("RangeIndex", 99));
    SegmentIndex index;
    struct Write {
        std::uint64_t volume, first, count;
    };
    std::vector<Write> writes;
    for (std::uint32_t n = 0; n < 4000; ++n) {
        const Write w{rnd() % 2, rnd() % 5000, 1 + (rnd() % 4 == 0 ? rnd() % 900 : rnd() % 17)};
        writes.push_back(w);
        Unit unit;
        unit.lsn = Lsn(n + 1);
        unit.volume = static_cast<std::uint16_t>(w.volume);
        unit.offset = ByteOffset(w.first * kSectorBytes);
        unit.length = static_cast<std::uint32_t>(w.count * kSectorBytes);
        unit.zero = true;
        index.add(unit, {});
    }
    for (int i = 0; i < 4000; ++i) {
        const std::uint64_t volume = rnd() % 2;
        const std::uint64_t sector = rnd() % 6000;
        std::uint32_t a = static_cast<std::uint32_t>(rnd() % 4001);
        std::uint32_t b = static_cast<std::uint32_t>(rnd() % 4001);
        if (a > b) std::swap(a, b);
        std::uint32_t newest = kRangeNone;
        for (std::uint32_t n = a; n < b; ++n) {
            const Write& w = writes[n];
            if (w.volume != volume || sector < w.first || sector >= w.first + w.count) continue;
            newest = n;
        }
        ASSERT_EQ(index.newest(VolumeIndex(volume), sector, {a, b}), newest);
    }
    const UnitSpan span = index.between({Lsn(10), 0}, {Lsn(20), 0});
    EXPECT_EQ(span.first, 10U);
    EXPECT_EQ(span.last, 20U);
}

TEST(RangeIndex, PiecesAreAlignedAndCoverTheRange) {
    std::uint64_t at = 13;
    for_each_piece(13, 100000, kRangeLevelMax, [&](std::uint64_t first, unsigned level) {
        EXPECT_EQ(first, at);
        EXPECT_EQ(first % (1ULL << level), 0U);
        at += 1ULL << level;
    });
    EXPECT_EQ(at, 100013U);
}

TEST(Topology, MeetIsTheNewestCommonAncestor) {
    Topology t;
    const auto add = [&](std::uint8_t id, std::uint8_t parent, std::uint64_t branch) {
        TimelineInfo info;
        info.id = lab::test_uuid(id);
        if (parent != 0) info.parent = lab::test_uuid(parent);
        info.branch_lsn = Lsn(branch);
        t.add(info);
    };
    add(1, 0, 0);
    add(2, 1, 10);
    add(3, 1, 15);
    add(4, 3, 20);
    add(9, 0, 0);
    const auto place = [](std::uint8_t id, std::uint64_t lsn, std::uint32_t sub = 0) {
        return Place{lab::test_uuid(id), {Lsn(lsn), sub}};
    };
    EXPECT_EQ(t.meet(place(2, 30), place(4, 40)), place(1, 10));
    EXPECT_EQ(t.meet(place(3, 18), place(4, 40)), place(3, 18));
    EXPECT_EQ(t.meet(place(4, 12), place(1, 14)), place(1, 12));
    EXPECT_EQ(t.meet(place(2, 10), place(1, 99)), place(1, 10));
    EXPECT_EQ(t.meet(place(1, 10, 3), place(2, 11)), place(1, 10));
    EXPECT_FALSE(t.meet(place(9, 5), place(1, 5)));
    EXPECT_TRUE(t.leads_to(place(1, 15), place(4, 21)));
    EXPECT_FALSE(t.leads_to(place(1, 16), place(4, 21)));
    EXPECT_TRUE(t.same(place(4, 15), place(1, 15)));
}

}  // namespace
}  // namespace everstep::journal
