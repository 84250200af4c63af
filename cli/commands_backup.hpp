// `backup`: an image of a step in a file of this machine, whole or over an earlier one. The node
// serves the step (an export, which holds its history meanwhile), QEMU's tools make and write the
// image, and a record beside it says what it is (backup_record.hpp).
// Why: docs/decisions/0018-backups-by-qemu-img.md. Thread: the command line's; blocks.
#pragma once

#include "cli/options.hpp"

namespace everstep::cli {

// The file and its record are there and durable when it returns well; else neither is (what holds
// after a crash: backup_file.hpp), and the exports that it made are ended, or the error names them.
// refused: the file is there, or the base is not the right one; also the node's own refusals.
[[nodiscard]] Status run_backup(const Invocation& invocation, Surroundings& surroundings);

}  // namespace everstep::cli
