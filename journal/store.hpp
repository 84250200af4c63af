// The history store of one group on one node: segments of redo (frames as they came) and undo
// (before-images), the index over them, and the one reading function. Formats:
// docs/journal-format.md. Rules: DESIGN.md 7.
//
// Place in the walk: stage 6 (journal) appends, stage 7 (apply) takes before-images and moves low
// and high, stage 8 (time travel) reads.
//
// Threads: append*, put_mark, drop_mark, open_gap, close_gap, begin_history, sync: the journal
// thread only. next_batch .. set_held: the apply thread only (asserted: the first thread that comes
// is it). keep .. make_spare: one thread of their own, beside all others. Everything const: any
// thread, beside the others (a shared lock inside; no lock is held while a file is read or synced).
//
// Invariants
//  - frames are durable before they are acknowledged (the caller acknowledges durable() only);
//  - a before-image is durable before its block is overwritten, and is taken once per segment;
//  - `low` becomes durable only after the replica was flushed; high before the replica is written;
//  - a segment belongs to one timeline; a (timeline, LSN) has one content: a second, different
//  frame for a stored
//    LSN is `corrupt` and names both hashes; the same frame again is dropped (returns ok);
//  - everything here can be rebuilt from the segments, which is what open() does.
// After a crash: open() gives all that was durable; what was appended and not synced may or may not
// be there.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "common/base/block_device.hpp"
#include "journal/store_types.hpp"

namespace everstep::journal {

struct Finding;       // finding.hpp
struct ScrubSegment;  // scrub.hpp

class Store {
  public:
    // Opens or makes the store and recovers it: tail scan, topology, index, replica position.
    // `report` gets one line for each thing worth telling (a torn tail that was cut, damage and its
    // place). corrupt: damage below what was synced; names file and offset. version: a newer
    // format.
    [[nodiscard]] static Result<std::unique_ptr<Store>> open(io::FileSystem& files,
                                                             const StoreOptions& options,
                                                             std::vector<std::string>& report);
    // Drops a whole store, durably. Nothing else does.
    [[nodiscard]] static Status wipe(io::FileSystem& files, const std::string& directory);
    ~Store();

    // ---- facts (any thread)
    [[nodiscard]] bool has_history() const;
    [[nodiscard]] Tip tip() const;         // newest appended
    [[nodiscard]] Tip durable() const;     // newest synced
    [[nodiscard]] Point baseline() const;  // the oldest step that can be reached
    [[nodiscard]] std::optional<Gap> gap_open() const;
    // Nothing is lost up to durable(): no gap is open there, or only that of a batch.
    [[nodiscard]] bool order_kept() const;
    [[nodiscard]] Point consistent() const;  // newest durable step that may be promoted
    [[nodiscard]] ReplicaState replica() const;
    [[nodiscard]] std::vector<TimelineInfo> timelines() const;  // parents first
    [[nodiscard]] std::vector<Mark> marks() const;
    [[nodiscard]] std::vector<Gap> gaps() const;  // closed ones, oldest first
    [[nodiscard]] ByteCount stored_bytes() const;
    // With the hash and seq of the frame that contains `at`: what a branch there chains to.
    // Frames without a step, which not every standby has, do not count. At the baseline: its own.
    [[nodiscard]] Result<Tip> tip_at(Point at) const;
    // With those of the newest frame at `at`, one without steps included: what the stream goes on
    // from.
    [[nodiscard]] Result<Tip> stream_tip_at(Point at) const;

    // For a scrub beside the running store: every segment, and how far its files are written.
    [[nodiscard]] std::vector<ScrubSegment> scrub_segments() const;
    // What is wrong with what follows from the segments alone: the catalogue, merged indexes.
    [[nodiscard]] std::vector<Finding> check_derived() const;

    // ---- journal thread
    // Begins an empty store's history: the first timeline (or one taken over from a primary that
    // already has a past) with the replica at `base`. Durable when it returns.
    [[nodiscard]] Status begin_history(const std::vector<TimelineInfo>& timelines, const Tip& base);
    // Frames in order: each continues the tip (timeline, LSN + 1, hash), or is one that is stored
    // already. Visible to readers when it returns, durable after sync(). not ok: nothing of the
    // refused frame was taken.
    // `synced_soon`: sync() follows; else by the page cache, several appends to the disk together.
    [[nodiscard]] Status append(std::span<const FramePtr> frames, bool synced_soon = true);
    // It can be appended without a new segment, which takes its time.
    [[nodiscard]] bool fits(const SealedFrame& frame) const;
    // A resync frame made on this node, inside an open gap: takes positions (tip.lsn, next sub) of
    // its own.
    [[nodiscard]] Status append_resync(const FramePtr& frame);
    // A new timeline; the tip moves to its branch point, which must be a kept step on a kept
    // timeline, or, inside an open gap, may lie beyond what is stored. The receiving line follows
    // it.
    [[nodiscard]] Status append_timeline(const TimelineInfo& timeline);
    // The gap after `from`, which becomes the last consistent step until close_gap().
    [[nodiscard]] Status open_gap(Point from, const std::string& reason);
    // The open gap ends at a step of the receiving line that is stored; what was appended behind it
    // stays. Durable after sync(). refused: no gap is open; corrupt: no such end.
    [[nodiscard]] Status close_gap(Point at);
    [[nodiscard]] Status put_mark(const Mark& mark);  // exists: the name is taken
    [[nodiscard]] Status drop_mark(const std::string& name);
    [[nodiscard]] Status
    sync();  // one fdatasync a file that changed; durable() == what tip() was at its begin

    // ---- apply thread
    // The next batch towards `goal` (a step on the replica's line or on the line that continues it;
    // at most the durable tip), at most `limit` bytes but at least one unit; never crosses a
    // segment. Empty when there.
    [[nodiscard]] Result<ApplyBatch> next_batch(Point goal, ByteCount limit) const;
    // Before-images that the segment lacks, and high = batch.to: durable and visible when it
    // returns.
    [[nodiscard]] Status begin_batch(const ApplyBatch& batch, const ReplicaReader& replica);
    [[nodiscard]] Status read_unit(const ApplyUnit& unit,
                                   MutableBytes to) const;  // payload, CRC checked
    // The replica is written and flushed: low = batch.to. Stored with the next synced record;
    // sync_low() at idle.
    [[nodiscard]] Status end_batch(const ApplyBatch& batch);
    [[nodiscard]] Status sync_low();
    // After a crash: units in (low, high] to be written again before anything else (before-images
    // are there).
    [[nodiscard]] Result<std::vector<ApplyBatch>> redo_batches() const;
    // The newest position up to which all before-images on `line` are taken: a move may go anywhere
    // at or below it.
    [[nodiscard]] Position passed(TimelineId line) const;
    // From where the replica stands (low = high) to `target` on its line, both at or below
    // passed(). The newest common ancestor of replica and another line: meet().
    [[nodiscard]] Result<Point> meet(Point target) const;
    [[nodiscard]] Result<MovePlan> plan_move(Point target) const;
    [[nodiscard]] Status begin_move(const MovePlan& plan);  // [low, high] spans both ends, durable
    [[nodiscard]] Status end_move(
        const MovePlan& plan);  // the replica is flushed: low = high = plan.to, durable
    // Held (rewound) or not, durable; survives a restart.
    [[nodiscard]] Status set_held(bool held, Point at);

    // ---- housekeeping (one thread, beside all the others)
    // True when tend() has something to do.
    [[nodiscard]] bool wants_tending() const;
    // One piece of background work: the index of a sealed file is written to its index file and
    // leaves memory. True: there may be more. An error leaves it in memory; nothing is lost.
    [[nodiscard]] Result<bool> tend();

    // ---- time travel (any thread)
    // refused: before history, after the tip, inside a gap, unknown timeline; says the nearest
    // points on both sides.
    [[nodiscard]] Result<View> view(Point at) const;
    // A position inside a gap or between units, for the resync's own compare.
    [[nodiscard]] View view_at_tip() const;
    [[nodiscard]] Status read(const View& view, const ReplicaReader& replica, VolumeIndex volume,
                              ByteOffset offset, MutableBytes to) const;
    // Many ranges of it at once, which may overlap: what lies in one file comes from the disk
    // together.
    [[nodiscard]] Status read(const View& view, const ReplicaReader& replica, VolumeIndex volume,
                              std::span<const io::ReadOp> wanted) const;
    [[nodiscard]] Result<std::vector<BlockExtent>> block_status(const View& view,
                                                                const ReplicaReader& replica,
                                                                VolumeIndex volume,
                                                                ByteOffset offset, ByteCount length,
                                                                std::size_t extents_max) const;
    // Extents written on the path between two points of one tree, either direction (a superset of
    // what differs).
    [[nodiscard]] Result<std::vector<GapExtent>> touched(const View& a, const View& b) const;
    // Steps on the view's path that the filter takes, newest first, down to and without `after`,
    // until `each` says false. Of a sealed segment the index says which frames are to be read.
    [[nodiscard]] Status each_step(const View& view, Lsn after, const StepFilter& filter,
                                   const std::function<bool(const StepInfo&)>& each) const;
    [[nodiscard]] Result<StepInfo> step(const View& view,
                                        Lsn lsn) const;  // not_found for the baseline
    // The last step on the path with step_time <= time. refused: before history (names the oldest
    // time).
    [[nodiscard]] Result<Lsn> step_at_time(const View& view, WallTime time) const;
    // The newest flush mark at or before the view's step, of `volume` or of any.
    [[nodiscard]] Result<std::optional<Lsn>> flush_before(const View& view,
                                                          std::optional<VolumeIndex> volume) const;

    // ---- retention (its own thread; expire.cpp)
    // Does the next thing that retention wants, if there is one, durably: a crash at any point
    // leaves all of it or nothing of it. What was dropped does not come back.
    [[nodiscard]] Result<KeepReport> keep(const KeepOrder& order);
    // refused: no step that can be read. Any thread.
    [[nodiscard]] Result<HoldPtr> hold(Point at, HoldKind kind) const;
    // Ends the holds of this kind; gives how many. Any thread.
    std::size_t end_holds(HoldKind kind);
    // Stores the age clock; what it went since the last time is lost in a crash.
    [[nodiscard]] Status keep_age();
    [[nodiscard]] Age age() const;
    // A prewritten file for the next segment, if none waits. Writes a whole segment.
    [[nodiscard]] Status make_spare();
    [[nodiscard]] Status free_pool();                    // room is wanted
    [[nodiscard]] std::vector<Thinned> thinned() const;  // any thread

    struct Impl;  // journal/store_impl.hpp; nobody else's business

  private:
    Store();
    [[nodiscard]] Result<ByteCount> window_status(const View& view, const ReplicaReader& replica,
                                                  const GapExtent& range,
                                                  std::vector<BlockExtent>& extents) const;
    std::unique_ptr<Impl> impl_;
};

}  // namespace everstep::journal
