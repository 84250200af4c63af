// `group apply`: shows the plan that the primary's node makes of the configuration, asks, and has
// it done. Thread: the command line's; blocks.
#pragma once

#include "cli/options.hpp"

namespace everstep::cli {

// refused: the plan holds what cannot be done, or the answer was no. usage: nobody can be asked and
// --yes is not given.
[[nodiscard]] Status run_apply(const Invocation& invocation, Surroundings& surroundings);

}  // namespace everstep::cli
