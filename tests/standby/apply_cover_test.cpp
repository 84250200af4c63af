#include "standby/apply_cover.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace everstep::standby {
namespace {

using Sectors =
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::size_t>;  // newest unit of each

TEST(ApplyCover, EachSectorIsWrittenOnceByItsNewestUnit) {
    ApplyCover cover;
    for (std::uint64_t seed = 0; seed < 500; ++seed) {
        std::mt19937_64 random(seed);
        std::vector<journal::ApplyUnit> units(random() % 40);
        Sectors wanted;
        for (std::size_t i = 0; i < units.size(); ++i) {
            units[i].volume = VolumeIndex(random() % 3);
            units[i].offset = ByteOffset(random() % 60);
            units[i].length = ByteCount(random() % 20);
            for (std::uint64_t s = 0; s < units[i].length.value(); ++s) {
                wanted[{units[i].volume.value(), units[i].offset.value() + s}] = i;
            }
        }
        Sectors found;
        for (const CoverPiece& piece : cover.pieces(units)) {
            for (std::uint64_t s = 0; s < piece.length.value(); ++s) {
                const std::pair at(units[piece.unit].volume.value(), piece.offset.value() + s);
                EXPECT_TRUE(found.emplace(at, piece.unit).second) << "written twice, seed " << seed;
            }
        }
        ASSERT_EQ(found, wanted) << "seed " << seed;
    }
}

}  // namespace
}  // namespace everstep::standby
