// `restore --from FILE`: the content of an image becomes a branch of the newest step (what differs
// is written on a writable export), and the primary is brought to that branch as to any point: so
// it is one batch, that can be continued and undone. Why:
// docs/decisions/0019-a-restore-is-a-batch.md. Every other restore is the node's alone. Thread: the
// command line's; blocks.
#pragma once

#include "cli/options.hpp"

namespace everstep::cli {

// The export is gone when it returns, unless a restore that has begun may need it: then the error
// names it. refused: FILE is of another size, or a backup of another volume; also the node's own
// refusals. usage: the format of FILE is not known.
[[nodiscard]] Status run_restore_file(const Invocation& invocation, Surroundings& surroundings);

}  // namespace everstep::cli
