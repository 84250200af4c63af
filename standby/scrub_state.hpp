// Where a scrub stands: a small file in the store's directory, so that one that was cut short goes
// on where it was. Losing it costs a scrub from the beginning, nothing else.
// Thread: one owner of a path.
#pragma once

#include "journal/scrub.hpp"

namespace everstep::standby {

struct ScrubState {
    std::uint64_t segment = 0;            // the newest one that is done; 0: none
    std::uint64_t salt = 0;               // of its redo file: another file of that number is not it
    std::uint64_t damages = 0;            // found so far
    std::optional<journal::Chain> chain;  // behind it
};

inline constexpr const char* kScrubStateName = "scrub";

[[nodiscard]] Status save_scrub(io::FileSystem& files, const std::string& directory,
                                const ScrubState& state);
// Nothing where there is none, or none that can be read, or none of this store.
[[nodiscard]] std::optional<ScrubState> load_scrub(io::FileSystem& files,
                                                   const std::string& directory);
// The scrub has come to its end. Durable enough with the next sync of the directory.
void forget_scrub(io::FileSystem& files, const std::string& directory);

}  // namespace everstep::standby
