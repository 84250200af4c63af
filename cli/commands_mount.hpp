// `mount` and `umount`: the file system of a step in a directory of this machine. A mount is a
// branch (export --writable) that the node keeps together with the directory's name, and a
// MountPlace; so journals are replayed on the branch, and the history stays what it is.
// Why: docs/decisions/0017-a-mount-is-a-branch.md. Thread: the command line's; blocks.
#pragma once

#include "cli/options.hpp"

namespace everstep::cli {

// What was set up is taken down again when a later part fails; the error says what could not be.
[[nodiscard]] Status run_mount(const Invocation& invocation, Surroundings& surroundings);
// Whatever is there of a mount goes, also of one that was cut short or whose node has died. An
// error says what is left; called again it goes on with that.
[[nodiscard]] Status run_umount(const Invocation& invocation, Surroundings& surroundings);

}  // namespace everstep::cli
