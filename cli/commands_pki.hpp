// `everstep pki init` and `everstep pki issue`: certificates for the nodes, made here, without a
// node.
#pragma once

#include "cli/options.hpp"

namespace everstep::cli {

// Blocks on disk. Prints what was made.
[[nodiscard]] Status run_pki(const Invocation& invocation, Surroundings& surroundings);

}  // namespace everstep::cli
