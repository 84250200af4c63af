// History: everything that the store knows, in memory: timelines, segments with their indexes,
// frames, marks, gaps and the receiving line's end. It does no I/O: a record that was written (or
// found at recovery) is taken in by one of the take_* functions, the same ones for both, so that
// recovery rebuilds exactly what was there.
//
// Thread: the store guards it: it is changed under the writer lock and the unique lock, read under
// either. Invariants: a record is checked (check_*) before it is taken; segments are in the order
// of their numbers and, along one timeline, of their positions; frames of a timeline are in the
// order of their seq.
#pragma once

#include <map>
#include <memory>
#include <set>

#include "journal/line.hpp"
#include "journal/topology.hpp"

namespace everstep::journal {

// Extents named by one gap: beyond this, neighbours are joined (the list then covers a little
// more).
inline constexpr std::size_t kGapExtentsMax = 4096;

class History {
  public:
    explicit History(std::vector<ByteCount> volume_bytes)
        : volume_bytes_(std::move(volume_bytes)) {}

    // ---- taking in (history_take.cpp)
    enum class Verdict : std::uint8_t { take, stored };
    // What a write frame is behind `chain`. `stored`: the frame that the store has in its place, if
    // any. corrupt: other content for a stored LSN (names both hashes), or a range outside the
    // volumes; refused: it does not continue the chain.
    [[nodiscard]] Result<Verdict> check_frame(const SealedFrame& frame, const Chain& chain,
                                              const std::optional<FrameRef>& stored) const;
    [[nodiscard]] Status check_resync(const SealedFrame& frame) const;
    [[nodiscard]] static Chain behind(Chain chain, const SealedFrame& frame);
    Segment& take_segment(std::unique_ptr<Segment> segment);
    // One of which everything is known already: nothing of its records will be taken in.
    Segment& take_known(std::unique_ptr<Segment> segment);
    void take_timeline(const TimelineInfo& timeline) { topology_.add(timeline); }
    // `at`: where the frame's bytes begin in the segment's redo file.
    void take_frame(Segment& segment, const SealedFrame& frame, ByteOffset at);
    void take_resync(Segment& segment, const SealedFrame& frame, ByteOffset at);
    void take_gap_open(const Gap& gap);   // order is lost, perhaps within a batch
    void take_gap(const GapRecord& gap);  // one that has ended
    // A segment's head says all that is valid when it begins. corrupt: it does not fit what came
    // before.
    [[nodiscard]] Status take_head(const HeadBody& head);
    // The next head continues no segment that is here: those before it were dropped or condensed.
    void after_cut() { cut_ = true; }
    void take_mark(const Mark& mark) { marks_[mark.name] = mark; }
    void drop_mark(const std::string& name) { marks_.erase(name); }

    // ---- keeping and forgetting (history_forget.cpp)
    void take_kept(const KeptBody& kept) { baseline_ = kept.baseline; }
    void take_condensed(Segment& segment, const CondensedBody& body);
    void take_ends(Segment& segment);  // what its kept steps say of it
    // A resync frame of a condensed segment: units behind the step at which it stands. False: it
    // stands at none, or out of order.
    [[nodiscard]] bool take_condensed_frame(Segment& segment, const SealedFrame& frame,
                                            ByteOffset at);
    // Drops segments; history begins at `baseline`. settle() follows.
    using Segments = std::vector<std::unique_ptr<Segment>>;
    Segments forget(const std::vector<std::uint64_t>& numbers, const KeptTip& baseline);
    // Marks and gaps that lie on nothing that is kept any more go.
    void settle();
    [[nodiscard]] bool in_open_gap(const Place& place) const;
    // False once what lies at the place was dropped or thinned.
    [[nodiscard]] bool reachable(const Place& place) const;
    // The nearest kept steps around a place inside a condensed segment.
    [[nodiscard]] std::optional<Thinned> thinned_around(const Place& place) const;
    [[nodiscard]] const KeptStep* kept_step(const Place& place) const;  // an end there
    // Of the baseline, or of an end.
    [[nodiscard]] std::optional<KeptTip> kept_tip_at(const Place& place) const;
    [[nodiscard]] KeptBody kept(Age age) const;

    // ---- merged indexes (history_merged.cpp)
    // What of them fits the segments that are here comes into use, larger ones in the place of what
    // they cover.
    void take_merged(const std::vector<MergedIndexPtr>& indexes);
    void note_undo_sealed(const Segment& segment);
    // Segments under it are gone.
    [[nodiscard]] bool is_cut(const MergedIndex& index) const;
    // It, and what covers it, is in use no more; the others under that stay.
    void give_up_merged(const MergedIndex& index);
    // One that can be made of what is in no memory any more, and has none of these salts; none:
    // there is enough.
    [[nodiscard]] MergedIndexPtr next_merge(const std::set<std::uint64_t>& without) const;
    // All in use and those under them, these first.
    [[nodiscard]] std::vector<MergedIndexPtr> merged() const;
    [[nodiscard]] std::uint64_t merged_changes() const { return merged_changes_; }

    // ---- facts
    [[nodiscard]] const Topology& topology() const { return topology_; }
    [[nodiscard]] const Chain& chain() const { return chain_; }
    [[nodiscard]] const Tip& baseline() const { return baseline_.step; }
    [[nodiscard]] bool begun() const { return !segments_.empty(); }
    [[nodiscard]] const std::vector<std::unique_ptr<Segment>>& segments() const {
        return segments_;
    }
    [[nodiscard]] const std::map<std::string, Mark>& marks() const { return marks_; }
    [[nodiscard]] const std::vector<GapRecord>& gaps() const { return gaps_; }
    [[nodiscard]] const std::optional<Gap>& open_gap() const { return open_gap_; }
    // The open gap as it will be kept when it ends at `at`.
    [[nodiscard]] GapRecord gap_closed_at(const Point& at) const;
    [[nodiscard]] std::uint64_t volume_bytes(VolumeIndex v) const {
        return volume_bytes_[v.value()].value();
    }
    [[nodiscard]] std::size_t volume_count() const { return volume_bytes_.size(); }
    [[nodiscard]] HeadBody head() const;
    // The head of a segment in which the receiving line goes on from `branch` on another timeline:
    // what becomes of an open gap. Its chain is the caller's to fill.
    [[nodiscard]] HeadBody head_after(const Place& branch) const;

    // ---- questions (history_queries.cpp)
    [[nodiscard]] Segment* segment(std::uint64_t number) const;
    [[nodiscard]] const Line* line(const TimelineId& timeline) const;
    [[nodiscard]] Place tip_place() const { return {chain_.tip.point.timeline, chain_.position()}; }
    // The newest place stored on a timeline (its branch point, if it has nothing of its own).
    [[nodiscard]] Place end_of(const TimelineId& timeline) const;
    // ok, or refused with the nearest points on both sides.
    [[nodiscard]] Status check_point(const Point& point) const;
    [[nodiscard]] std::string name_of(const Point& point) const;  // "step:N" or "t:HEX@step:N"
    // Everything that was taken in names timelines that are known.
    [[nodiscard]] bool timelines_known() const;
    // The segments with positions in (after, place] on the line to `place`, oldest first.
    [[nodiscard]] std::vector<PathSegment> path_segments(Position after, const Place& place) const;
    // The same, by merged indexes where there are some; `undone`: where the before-images of all
    // that they cover are sealed.
    enum class Way : std::uint8_t { newer, undone };
    [[nodiscard]] std::vector<PathRun> path_runs(Position after, const Place& place, Way way) const;
    struct Ways {
        std::vector<PathRun> newer;   // (a, L] of the reading rule, newest first
        std::vector<PathRun> undone;  // (p, high], oldest first
    };
    // refused: the two have no timeline in common.
    [[nodiscard]] Result<Ways> ways(const Place& point, const ReplicaState& replica) const;
    // The newest position up to which all before-images on the line are taken.
    [[nodiscard]] Position passed(const TimelineId& timeline) const;

  private:
    [[nodiscard]] Status check_ranges(const SealedFrame& frame) const;
    [[nodiscard]] Status check_continues(const SealedFrame& frame, const Chain& chain) const;
    void take_step(Segment& segment, const SealedFrame& frame, const FrameEntry& entry,
                   ByteOffset at);
    void add_units(Segment& segment, const FrameEntry& entry, const StoredPayload& payload,
                   ByteOffset payload_at);
    void take_stream_mark(const SealedFrame& frame, const FrameEntry& entry);
    Segment& insert(std::unique_ptr<Segment> segment);
    void note_flush(Segment& segment, const FlushMark& mark);
    static void note_reach(Line& line, const Segment& segment);
    void settle_merged(Line& line);  // its segments changed
    void settle_merged(Line& line, std::vector<MergedIndexPtr> indexes);
    static void note_undone(const Line& line, MergedRun& run);
    void note_gap_extent(const GapExtent& extent);  // of the open one
    void take_batch_end_or_begin(EntryKind kind, const Point& at);
    void coarsen(std::vector<GapExtent>& extents, std::size_t extents_max) const;
    [[nodiscard]] const GapRecord* closed_gap_around(const Place& place) const;

    std::vector<ByteCount> volume_bytes_;
    Topology topology_;
    KeptTip baseline_;
    bool cut_ = false;
    Chain chain_;
    std::vector<std::unique_ptr<Segment>> segments_;
    std::unordered_map<TimelineId, Line> lines_;
    std::map<std::string, Mark> marks_;
    std::vector<GapRecord> gaps_;
    std::optional<Gap> open_gap_;
    std::uint64_t merged_changes_ = 0;
};

// Joins what touches or overlaps; sorted by volume and offset.
void merge_extents(std::vector<GapExtent>& extents);

}  // namespace everstep::journal
