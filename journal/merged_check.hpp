// Whether the files of merged indexes are undamaged and say what the indexes that they cover say.
//
// Thread: any; it reads only, also beside a running store.
#pragma once

#include "journal/finding.hpp"
#include "journal/merge_sweep.hpp"

namespace everstep::journal {

// Of one file. Nothing: it is right, or gone. What it covers and is not there is not compared.
[[nodiscard]] std::optional<Finding> check_merged(const MergeSweep::From& from, std::uint64_t salt);

}  // namespace everstep::journal
