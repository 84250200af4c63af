// Which steps of a segment a filter may take, from the pages of its index file: so that a listing
// of what was written in one place does not read all that was written elsewhere.
//
// Thread: any; takes `mutex` for an instant.
#pragma once

#include "journal/store_impl.hpp"

namespace everstep::journal {

// The steps of a sealed segment that may be taken, sorted; none that is taken is missing. Nothing,
// where its index says it no sooner than its frames do: small ones, ones in memory, damaged ones,
// and where very many are taken.
[[nodiscard]] std::optional<std::vector<Lsn>> steps_written(const Store::Impl& s,
                                                            std::uint64_t segment,
                                                            const StepFilter& filter);

}  // namespace everstep::journal
