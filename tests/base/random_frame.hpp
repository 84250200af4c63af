// Random frames for tests: every payload different, all kinds, valid by construction.
#pragma once

#include <random>

#include "common/base/frame.hpp"

namespace everstep::test {

// From EVERSTEP_SEED, else from the system; printed once, so that a failure can be run again.
[[nodiscard]] std::uint64_t test_seed();

struct FramePlan {
    FrameHeader header;
    std::vector<FrameEntry> entries;  // as given to the builder
    std::vector<std::vector<std::byte>> payloads;
};
[[nodiscard]] FramePlan random_plan(std::mt19937_64& random);
[[nodiscard]] FramePtr build(FrameBuilder& builder, const FramePlan& plan);
[[nodiscard]] Buffer copy_of(Bytes bytes);

}  // namespace everstep::test
