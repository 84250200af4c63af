// Merges: makes the merged indexes of a store, one at a time and piece by piece, and removes what
// is of no use any more.
//
// Thread: who tends the store; recovery fills `files`.
// Invariants: one that is in use has a file, or is noted as damaged; what is made of segments that
// retention took meanwhile is dropped.
#pragma once

#include <set>

#include "journal/merger.hpp"
#include "journal/store.hpp"

namespace everstep::journal {

class Merges {
  public:
    explicit Merges(Store::Impl& store) : s_(store) {}
    std::set<std::uint64_t> files;  // the salts of those that have one
    // A piece of the work. True: there may be more.
    [[nodiscard]] Result<bool> step();

  private:
    [[nodiscard]] Status drop_unused();
    [[nodiscard]] MergedIndexPtr next();
    void give_up_cut();
    [[nodiscard]] MergedIndexPtr next_damaged() const;
    [[nodiscard]] Result<bool> take();

    Store::Impl& s_;
    std::unique_ptr<Merger> work_;
    std::uint64_t kept_ = 0;            // kept_generation when it began
    std::uint64_t seen_ = 0;            // History::merged_changes() when files were removed
    bool mending_ = false;              // some in use were found damaged
    unsigned mended_ = 0;               // since something else was made
    std::set<std::uint64_t> hopeless_;  // salts: what they cover is damaged itself
};

}  // namespace everstep::journal
