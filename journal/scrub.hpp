// Scrub: checks every stored byte of a store against its checksums and chains, and says for each
// damage where it lies and what it hits (`everstep scrub`, `everstep-journal verify`).
//
// Checked: file headers; envelopes, their chain and their padding; the bodies of all records;
// frames, their entries and payloads, the chain of frame hashes, inside a segment and over
// segments and branches; before-images; footers; index files, against one made again.
//
// Thread: one owner; it reads only, also beside a running store: what the store says to be sealed,
// or written up to some place, does not change any more.
// Invariants: any bytes give findings, never a crash; memory is bounded by the index of one
// segment.
#pragma once

#include <functional>

#include "journal/finding.hpp"
#include "journal/index_file.hpp"

namespace everstep::journal {

// One of the two files of a segment, as far as it is known from elsewhere.
struct ScrubFile {
    bool sealed = false;    // a footer must end it
    std::uint64_t end = 0;  // a running store's: records reach up to here, and what lies behind
                            // does not count. 0: not known, the file says where it ends
};
struct ScrubSegment {
    std::uint64_t number = 0;
    ScrubFile redo;
    ScrubFile undo;
};

// Where the chain of frames stands behind a segment.
struct ScrubChain {
    std::uint64_t segment = 0;
    Chain chain;
};

struct ScrubHooks {
    std::function<void(const Finding&)> found;
    // After each record, with the bytes that were checked since the last call; false ends it.
    std::function<bool(ByteCount)> go_on;
};

// What was made again of one segment's files; no index where the file is not sealed, or damage kept
// it from being made.
struct ScrubbedSegment {
    Uuid group;
    std::uint64_t redo_salt = 0;
    std::uint64_t undo_salt = 0;
    std::optional<RedoIndex> redo;
    std::optional<BeforeImageIndex> undo;
};

// Volumes of any number and size: for who does not know the group's.
[[nodiscard]] const std::vector<ByteCount>& any_volumes();

class RedoScrub;

class Scrub {
  public:
    // `files` outlives it.
    Scrub(io::FileSystem& files, std::string directory, ScrubHooks hooks);
    // Timelines whose branch points are compared with the frames there.
    void know(std::vector<TimelineInfo> timelines) { timelines_ = std::move(timelines); }
    void go_on_from(const ScrubChain& chain) { chain_ = chain; }
    // Nothing when the segment before had damage, or none was checked.
    [[nodiscard]] const std::optional<ScrubChain>& chain() const { return chain_; }
    // closed: go_on said so; nothing else is an error, everything else a finding.
    [[nodiscard]] Result<ScrubbedSegment> segment(const ScrubSegment& segment);
    [[nodiscard]] std::uint64_t damages() const { return damages_; }

  private:
    void check_chain(const RedoScrub& redo);
    void check_index(const std::string& name, std::uint64_t salt, const BodyBytes& wanted);
    void tell(const Finding& finding);

    io::FileSystem& files_;
    std::string directory_;
    ScrubHooks hooks_;
    std::vector<TimelineInfo> timelines_;
    std::optional<ScrubChain> chain_;
    std::uint64_t damages_ = 0;
};

}  // namespace everstep::journal
