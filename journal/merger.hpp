// Merger: makes the file of one merged index out of the indexes that it covers, piece by piece, so
// that who tends the store has its turn between two.
//
// Thread: who tends the store.
// Invariants: nothing stands under the final name before all of it is written.
#pragma once

#include "journal/merge_sweep.hpp"

namespace everstep::journal {

class Merger {
  public:
    Merger(MergeSweep::From from, MergedIndexPtr index);
    [[nodiscard]] const MergedIndexPtr& index() const { return index_; }
    // One piece. True: the file is there. After an error it is of no more use.
    [[nodiscard]] Result<bool> step();
    void discard();  // what is unfinished goes

  private:
    [[nodiscard]] Status begin();
    [[nodiscard]] Status write(Bytes bytes);
    [[nodiscard]] Status finish();
    [[nodiscard]] std::string path_of(const std::string& name) const {
        return from_.options.directory + "/" + name;
    }

    MergeSweep::From from_;
    MergedIndexPtr index_;
    std::optional<MergeSweep> sweep_;
    MergedPages pages_;
    std::unique_ptr<io::File> file_;
    std::uint64_t pages_at_ = 0;  // page 0 in the file
    std::uint64_t end_ = 0;
};

}  // namespace everstep::journal
