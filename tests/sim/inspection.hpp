// Inspection: what a standby's disk holds is opened as a start opens it, on a copy, and compared
// with the chronicle: every step that it has called durable is there, every step that can be
// reached reads as it was written, wherever the replica stands, no point lies in a gap, and each
// mark is where it was put.
//
// Thread: the world's, in no fiber.
#pragma once

#include <set>

#include "tests/power/memory_disk.hpp"
#include "tests/sim/chronicle.hpp"

namespace everstep::sim {

struct InspectedNode {
    std::string name;
    std::string store;                // directory
    std::vector<std::string> images;  // files, by volume
    std::vector<ByteCount> sizes;
    ByteCount segment_bytes;
    std::size_t points_most = 24;  // of one timeline
};

// Gives the names of the marks that it holds.
std::set<std::string> inspect(World& world, Chronicle& chronicle, const InspectedNode& node,
                              const power::DiskState& state);

}  // namespace everstep::sim
