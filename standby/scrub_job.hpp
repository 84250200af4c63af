// ScrubJob: `everstep scrub`: one thread that checks every stored byte of the store, then of the
// branches over it, while they run, at a bounded speed (beside stages 6 to 8).
//
// Thread: run() and the replies on the loop's thread; inside one thread, which only reads the
// store's files.
// Invariants: one scrub of a store at a time: who asks while one runs watches it; it goes on when
// nobody watches any more, and, after a restart, where it was, when it is asked for again; nothing
// that it finds stops reading, appending or applying.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proto/messages.hpp"
#include "standby/standby.hpp"

namespace everstep::standby {

inline constexpr std::uint64_t kScrubRate = 64ULL << 20;  // bytes a second, where none is asked for
// The most findings of one scrub that are told as events and in the answer; beyond, they are
// counted.
inline constexpr std::size_t kScrubFindingsMax = 100;

class ScrubJob {
  public:
    using Reply = std::function<void(wire::AdminReply)>;
    // `standby` outlives it.
    ScrubJob(const Standby& standby, std::vector<std::string> volume_names);
    ~ScrubJob();  // ends it where it is; what it has done is kept
    // Begins or watches a scrub; progress, then the result. `rate`: bytes a second as in
    // "64MiB"; empty: as it is.
    void run(const std::string& rate, Reply reply);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace everstep::standby
