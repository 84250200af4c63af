// Images that lie over one another, as they are now: what is looked at before a backup lies over
// them, or a restore reads them. QEMU reads zeroes where the end of an image is missing, and any
// image in the place of a base, without a word.
//
// Thread: the command line's; blocks while qemu-img runs.
#pragma once

#include "cli/backup_record.hpp"
#include "cli/block_copy.hpp"

namespace everstep::cli {

struct ChainImage {
    std::string file;    // as qemu-img names it: a path, unless QEMU opens it in another way
    std::string format;  // of QEMU's
    ByteCount size;      // of the disk that it holds
};
// From `file` down to the one that lies over none. io: what qemu-img said: one cannot be opened, or
// they lie over each other in a ring.
[[nodiscard]] Result<std::vector<ChainImage>> image_chain(const std::string& file,
                                                          ImageFormat format);

// Whether each is what its record says, where it has one. refused: it is shorter than it was made,
// its disk has another size, or it lies over another step than it was made over.
[[nodiscard]] Status check_records(const std::vector<ChainImage>& chain);
// The tables in each of them, by `qemu-img check`; the data has no checksums. refused: names the
// image; io: it cannot be checked.
[[nodiscard]] Status check_tables(const std::vector<ChainImage>& chain);

// The base and all below it. refused: what check_records() says, or `file` is one of them. io: one
// of them cannot be opened.
[[nodiscard]] Result<std::vector<ChainImage>> check_below(const FoundBackup& base,
                                                          const std::string& file);

// When one of the files was changed last, since 1970; those that are none are passed over.
[[nodiscard]] std::chrono::nanoseconds last_change(const std::vector<ChainImage>& chain);
// Reads all of both. refused: the image does not hold what `step` serves, its own step; io; closed:
// interrupted.
[[nodiscard]] Status compare_with_step(const FoundBackup& image, NbdDisk& step,
                                       const CopyPlan::OnProgress& on_progress);

}  // namespace everstep::cli
