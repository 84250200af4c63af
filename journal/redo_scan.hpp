// RedoScan: the records of one redo file, taken in their order into a history of their own: the
// file's head says what came before it, so that one segment can be indexed and checked alone.
//
// Thread: one owner.
// Invariants: a record that does not fit what came before is an error and is not taken; what give()
// gives equals what was in memory when the file was sealed.
#pragma once

#include "journal/history.hpp"
#include "journal/index_file.hpp"
#include "journal/record_scan.hpp"

namespace everstep::journal {

class RedoScan {
  public:
    explicit RedoScan(const IndexedFile& of);
    // corrupt, or refused where a frame does not continue the one before; does not name the file.
    [[nodiscard]] Status take(const ScannedRecord& record);
    [[nodiscard]] bool begun() const { return segment_ != nullptr; }  // the head was there
    [[nodiscard]] const History& history() const { return history_; }
    [[nodiscard]] const Segment& segment() const { return *segment_; }  // only if begun()
    [[nodiscard]] RedoIndex give() { return std::move(*segment_->index); }

  private:
    [[nodiscard]] Status take_head(const ScannedRecord& record);
    [[nodiscard]] Status take_timeline(const ScannedRecord& record);
    [[nodiscard]] Status take_condensed(const ScannedRecord& record);
    [[nodiscard]] Status take_frame(const ScannedRecord& record);

    History history_;
    std::uint64_t number_;
    Segment* segment_ = nullptr;
};

}  // namespace everstep::journal
