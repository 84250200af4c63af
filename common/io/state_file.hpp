// A small file of text that is replaced as a whole: old or new content after any crash, never a
// mix. Roles, identities and clean stops lie in such files. First line: "everstep-state VERSION
// BYTES CRC32C", then the body.
// Thread: one owner per path.
#pragma once

#include <string>

#include "common/io/file.hpp"

namespace everstep::io {

// When it returns ok the new content is durable. On error the old content is still there (or none,
// as before); only when the very last step failed, the sync of the directory, it is old or new.
// PATH.new is its own: a left-over one is ignored and replaced. So is PATH.spare: blocks that are
// freed when the disk is full, so that a save succeeds then too.
[[nodiscard]] Status save_state(FileSystem& files, const std::string& path, std::string_view body);
// not_found: no such file. corrupt: names the file and what failed (length, CRC, header). version:
// a newer format.
[[nodiscard]] Result<std::string> load_state(FileSystem& files, const std::string& path);

}  // namespace everstep::io
