// Mover: brings the replica from where it stands to another step: by batches over what was never
// applied, by a planned move over history that was, to another line through the point where both
// meet.
//
// Thread: the apply thread, but for applied().
// Invariants
//  - a batch keeps the order of law 4: before-images and high durable, replica written, replica
//  flushed, low;
//  - a planned move is written down ([low, high] spans both ends) before the replica changes;
//  - what was begun is finished or fails; after a crash redo() makes low = high before anything
//  else is done.
#pragma once

#include <atomic>
#include <functional>
#include <optional>

#include "standby/apply_batch.hpp"

namespace everstep::standby {

inline constexpr ByteCount kApplyBatchBytesMax{8ULL << 20};
inline constexpr ByteCount kMoveBytesMax{8ULL << 20};  // that a move reads, then writes, at once

struct MoveFigures {
    std::uint64_t blocks = 0;  // of 4 KiB
    std::uint64_t bytes = 0;
};
[[nodiscard]] MoveFigures figures_of(const std::vector<journal::GapExtent>& extents);

// How far a way is: bytes of a planned move, steps of what is applied batch by batch.
struct MoveProgress {
    std::uint64_t done = 0;
    std::uint64_t total = 0;
    const char* unit = "bytes";
};

class Mover {
  public:
    struct Hooks {
        std::function<void()> moved;     // the replica's position changed
        std::function<bool()> stopping;  // asked between two steps of a way
        std::function<bool()> leaving;   // a takeover waits: asked between two pieces of a move too
        std::function<void(const MoveProgress&)> going;  // told between two pieces, two batches
    };
    Mover(journal::Store& store, Replica& replica, Hooks hooks,
          ByteCount move_bytes = kMoveBytesMax);

    // Writes (low, high] again: after a crash.
    [[nodiscard]] Status redo();
    // One batch or one move towards a step; false when there. `exact`: to the step itself and not
    // to what lies behind it at the same LSN (extents of an open gap, pieces of the next write).
    [[nodiscard]] Result<bool> towards(Point goal, bool exact);
    // All of the way; closed when it was told to stop before the end: low = high all the same, but
    // where a takeover had it leave a planned move; redo() then comes first.
    [[nodiscard]] Status reach(Point target);
    // What reach() would write, without doing it; of half-moved ways a superset.
    [[nodiscard]] Result<std::vector<journal::GapExtent>> foresee(Point target) const;
    // Reads the target's content of some of the extents, as a move does, at most about `most`
    // bytes; gives how many.
    [[nodiscard]] Result<std::uint64_t> read_some(Point target,
                                                  std::span<const journal::GapExtent> extents,
                                                  std::uint64_t most) const;
    // The rest of a write of many positions, or of a gap that is closed: then the replica is a
    // step. Inside an open gap there is none to go to: it does nothing.
    [[nodiscard]] Status finish_step();
    [[nodiscard]] bool to_end() const { return asked(hooks_.stopping) || asked(hooks_.leaving); }
    void reset_figures() { figures_ = {}; }
    [[nodiscard]] MoveFigures figures() const { return figures_; }
    [[nodiscard]] Lsn applied() const { return Lsn(applied_.load(std::memory_order_acquire)); }
    void publish();  // applied() from the store's replica position

  private:
    static bool asked(const std::function<bool()>& hook) { return hook && hook(); }
    [[nodiscard]] Result<std::optional<Point>> way_back(Point goal, bool exact) const;
    [[nodiscard]] Result<Point> viewable(Point meet) const;
    [[nodiscard]] Result<bool> over_passed(Point target);
    [[nodiscard]] Status apply(const journal::ApplyBatch& batch);
    [[nodiscard]] Status move_to(Point target);
    [[nodiscard]] Status carry_out(const journal::MovePlan& plan, const journal::View& view);
    // The wanted_ ranges of a volume, from the view to the replica.
    [[nodiscard]] Status copy(const journal::View& view, VolumeIndex volume);

    journal::Store& store_;
    Replica& replica_;
    Hooks hooks_;
    BatchWriter writer_;
    MoveFigures figures_;
    std::size_t move_bytes_;
    Buffer content_;
    std::vector<io::ReadOp> wanted_;  // their memory is content_'s
    std::vector<io::WriteOp> ops_;
    std::atomic<std::uint64_t> applied_{0};
};

}  // namespace everstep::standby
