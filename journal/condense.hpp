// Condenser: makes one segment of several: the newest write of each sector between two kept steps,
// and the content of each block before the first of them (DESIGN.md 7, Retention). Its frames are
// resync frames at positions (kept step, n).
//
// Thread: retention's. It reads sealed files only; nothing that it makes is known to anybody until
// the store's record names it.
// Invariants: the content of a write comes out of frames and before-images under their checksums,
// never out of the replica; a segment without before-images is one that the replica has not passed.
#pragma once

#include "journal/store_impl.hpp"
#include "journal/survey.hpp"

namespace everstep::journal {

struct Condensed {
    std::unique_ptr<Segment> segment;  // its files stand under their final names
};

class Condenser {
  public:
    Condenser(const Store& store, Store::Impl& impl, const CondensePlan& plan,
              const KeepOrder& order)
        : store_(store), s_(impl), plan_(plan), order_(order) {}
    // As much room as what is condensed takes, and would if nothing of it were packed.
    [[nodiscard]] Result<bool> has_room();
    // closed: it was told to stop.
    [[nodiscard]] Result<Condensed> make();
    void discard() const;  // what make() left when it failed

  private:
    [[nodiscard]] Result<std::uint64_t> saved_bytes() const;
    [[nodiscard]] Result<std::vector<KeptStep>> kept_steps() const;
    [[nodiscard]] Result<KeptStep> kept_step(const Point& at) const;
    [[nodiscard]] Result<std::unique_ptr<RecordWriter>> begin_file(FileKind kind,
                                                                   FileState& state) const;
    [[nodiscard]] Status write_redo();
    [[nodiscard]] Status write_span(const Point& from, const Point& to);
    [[nodiscard]] Status write_extent(const Point& from, const Point& to, const GapExtent& extent);
    [[nodiscard]] Status add(const FrameEntry& entry, Bytes payload);
    [[nodiscard]] Status seal_frame();
    [[nodiscard]] Status write_undo();
    [[nodiscard]] Status finish_names() const;
    [[nodiscard]] Result<std::vector<GapExtent>> written(const Point& from, const Point& to) const;
    [[nodiscard]] bool stopped() const { return order_.stop != nullptr && *order_.stop; }

    const Store& store_;
    Store::Impl& s_;
    const CondensePlan& plan_;
    const KeepOrder& order_;
    std::unique_ptr<Segment> segment_;
    std::unique_ptr<RecordWriter> redo_;
    FrameBuilder builder_;
    std::optional<Packer> packer_;  // where something of it was packed
    std::uint64_t pieces_ = 0;      // of zeroes in it
    Lsn span_;                      // the kept step at which it stands
    std::uint32_t sub_ = 0;         // units of the span that are in frames
    std::uint32_t sub_added_ = 0;
};

}  // namespace everstep::journal
