// What the parts of Store share: the history in memory, its locks, and the files that are written.
// Private to journal/.
//
// Locks, in this order: keep_mutex (one retention at a time), position_mutex (the replica's
// position: the apply thread while it changes it, retention while it decides and drops),
// writer_mutex (redo writing: the journal thread, and the apply thread for its rare records in the
// open redo file), then mutex (everything that readers see); and status_mutex before mutex, never
// with writer_mutex. History is changed only under both, or, for images and the replica's position,
// by the apply thread under `mutex` alone; so a thread that holds either may read it. No file is
// read, written or synced under `mutex`, and no look-up holds it for longer than one window
// (reading.hpp).
#pragma once

#include <mutex>
#include <shared_mutex>
#include <thread>

#include "journal/age_clock.hpp"
#include "journal/file_cache.hpp"
#include "journal/frame_cache.hpp"
#include "journal/history.hpp"
#include "journal/index_cache.hpp"
#include "journal/merges.hpp"
#include "journal/pool.hpp"
#include "journal/store.hpp"
#include "journal/store_parts.hpp"

namespace everstep::journal {

struct Store::Impl {
    Impl(io::FileSystem& file_system, const StoreOptions& store_options)
        : files(file_system),
          options(store_options),
          cache(file_system, store_options.directory),
          recent(store_options.recent_frame_bytes),
          indexes(file_system, options),
          pool(file_system, store_options.directory, redo_file_bytes()),
          age(store_options.clock != nullptr ? *store_options.clock : system_clock()),
          history(store_options.volume_bytes) {}
    [[nodiscard]] ByteCount redo_file_bytes() const {
        return ByteCount(align_up(options.segment_bytes.value(), kBatchAlign));
    }

    io::FileSystem& files;
    StoreOptions options;
    std::unique_ptr<io::File> lock_file;
    mutable FileCache cache;
    FrameCache recent;
    mutable IndexCache indexes;
    std::atomic<bool> to_tend{false};  // something is left for tend(): a file was sealed, or went
    Merges merges{*this};
    Pool pool;
    AgeClock age;
    std::mutex keep_mutex;
    std::mutex position_mutex;
    mutable std::mutex writer_mutex;
    mutable std::shared_mutex mutex;
    // Held over each window of a block status: two of them that overlapped without end would keep
    // writers from `mutex`, which lets readers in while one is there.
    mutable std::mutex status_mutex;
    std::atomic<std::uint64_t> sequence{1};

    // ---- under writer_mutex, published under mutex
    History history;
    std::unique_ptr<RecordWriter> redo;  // of the open segment; none after a failed roll, too
    Segment* open_segment = nullptr;
    struct Pending {
        FramePtr frame;
        ByteOffset at;
    };
    std::vector<Pending> pending;  // staged write frames
    struct Durable {
        Chain chain;
        std::optional<Point> gap_from;
        bool lost = false;  // it is no batch
    };
    Durable durable;                    // under mutex
    [[nodiscard]] Durable now() const;  // store.cpp

    // ---- the apply thread's, published under mutex
    std::atomic<std::thread::id> applier{};  // the thread that is it: the first that came
    ReplicaState replica;
    ReplicaState recorded;  // the newest position that is durable
    std::uint64_t move_generation = 0;
    std::atomic<std::uint64_t> kept_generation{0};  // changes under mutex, before files do
    std::vector<std::weak_ptr<Hold>> holds;         // under mutex
    std::vector<std::uint64_t> dropped_numbers;  // under mutex: the catalogue may still have them
    std::atomic<std::uint64_t> condensed_number{kCondensedNumbers};  // the newest given
    std::unique_ptr<RecordWriter> undo;
    Segment* undo_segment = nullptr;

    // ---- append.cpp (all under writer_mutex)
    [[nodiscard]] Status require_history() const;
    [[nodiscard]] Result<Tip> tip_at(Point at, bool newest_frame) const;
    // A frame that was staged before it in the same call counts as stored.
    [[nodiscard]] Result<History::Verdict> judge(const SealedFrame& frame,
                                                 const Chain& chain) const;
    [[nodiscard]] Status stage_frame(const FramePtr& frame);
    [[nodiscard]] Status commit_frames();
    bool synced_soon = true;  // what is committed
    [[nodiscard]] Status make_room(std::uint64_t body_bytes);
    [[nodiscard]] Status write_record(RecordKind kind, Bytes body);
    [[nodiscard]] Status sync_redo();
    // A position record in the open redo file, durable when it returns. Takes writer_mutex.
    [[nodiscard]] Status record_position_in_redo(const PositionBody& position);

    // ---- segment_files.cpp (under writer_mutex)
    struct Made {  // a segment's two files under their final names
        std::unique_ptr<Segment> segment;
        std::unique_ptr<RecordWriter> redo;
    };
    [[nodiscard]] Result<std::unique_ptr<io::File>> make_file(const std::string& path,
                                                              ByteCount bytes);
    [[nodiscard]] Result<Made> make_files(NewSegment& begin);
    [[nodiscard]] Status make_undo(Segment& segment, FileHeader header);
    [[nodiscard]] Status make_redo(Segment& segment, FileHeader header, const NewSegment& begin);
    [[nodiscard]] Status seal_redo();
    [[nodiscard]] Status begin_segment(NewSegment begin);
    [[nodiscard]] std::string path_of(const std::string& name) const {
        return options.directory + "/" + name;
    }

    // ---- apply.cpp
    void on_apply_thread();  // asserts it
    [[nodiscard]] Result<ApplyBatch> collect(Position from, const Place& goal,
                                             ByteCount limit) const;
    [[nodiscard]] Segment* segment_of(const ApplyBatch& batch) const;
    [[nodiscard]] Status use_undo(Segment& segment);
    [[nodiscard]] Status begin_imaging(Segment& segment);
    [[nodiscard]] Status record_position(const PositionBody& position);
    [[nodiscard]] bool undo_open() const { return undo != nullptr && !undo_segment->undo.sealed; }

    // ---- frames.cpp, flush_marks.cpp: look-ups in the indexes of redo files; take `mutex`
    // Calls look() with the segment's index, or with what of it is no writes, which a sealed one's
    // file gives sooner: under `mutex` while it grows, else without.
    [[nodiscard]] Status with_index(std::uint64_t number, const Look<RedoIndex>& look) const;
    [[nodiscard]] Status with_lists(std::uint64_t number, const Look<RedoLists>& look) const;
    // Of a line, those with frames that begin at or before the LSN, newest first. Under `mutex`.
    [[nodiscard]] std::vector<std::uint64_t> segments_to(const TimelineId& timeline, Lsn lsn) const;
    [[nodiscard]] Result<std::optional<FrameRef>> frame_of_seq(const TimelineId& timeline,
                                                               FrameSeq seq) const;
    // Nothing for the baseline, and inside a hole of a gap.
    [[nodiscard]] Result<FrameAt> frame_at(const Point& point) const;
    // The frame that the store has in this one's place.
    [[nodiscard]] Result<std::optional<FrameRef>> stored_frame(const SealedFrame& frame,
                                                               const Chain& chain) const;
    // The newest one with steps that began at or before the time.
    [[nodiscard]] Result<std::optional<FrameRef>> frame_at_time(const PathPart& part,
                                                                WallTime time) const;
    [[nodiscard]] std::vector<const Segment*> flush_holders(const TimelineId& timeline, Lsn first,
                                                            Lsn last) const;
    [[nodiscard]] Result<std::optional<Lsn>> flush_before(
        const Place& at, const std::optional<VolumeIndex>& volume) const;
    // The steps in [first, last] that have a flush mark, sorted.
    [[nodiscard]] Result<std::vector<Lsn>> flushes_in(const std::vector<PathPart>& path, Lsn first,
                                                      Lsn last) const;

    // ---- shares.cpp: what a look-up of the reading rule goes through
    // `as_if`: with the replica there, instead of where it is.
    [[nodiscard]] Result<Looked> look(const Place& point, const UnitRange& window,
                                      const ReplicaState* as_if = nullptr) const;
    [[nodiscard]] bool stands(const ReplicaStand& stand) const;

    // ---- move.cpp
    // What the writes of (after, to] touched, joined; quicker by blocks, a superset.
    [[nodiscard]] Result<std::vector<GapExtent>> touched(Position after, const Place& to,
                                                         Grain grain) const;
    [[nodiscard]] Result<std::vector<GapExtent>> touched_once(Position after, const Place& to,
                                                              Grain grain) const;
    [[nodiscard]] Status add_segment(std::uint64_t number, const PathRun& run,
                                     std::vector<GapExtent>& extents) const;
    [[nodiscard]] Status add_merged(const MergedIndex& index, const PathRun& run,
                                    std::vector<GapExtent>& extents) const;

    // ---- tend.cpp
    [[nodiscard]] Result<bool> put_away_redo();
    [[nodiscard]] Result<bool> put_away_undo();
    [[nodiscard]] Result<bool> write_catalogue();

    // ---- expire.cpp: the files of segments that nothing names any more
    [[nodiscard]] Status retire(const std::vector<std::uint64_t>& numbers);
    // Under position_mutex and writer_mutex: the record, and then the history, without `numbers`.
    [[nodiscard]] Status commit_kept(const std::vector<std::uint64_t>& numbers,
                                     const KeptTip& baseline, std::unique_ptr<Segment> instead);

    // ---- read.cpp: with the replica at a step that it may not be at, of which nothing is read
    [[nodiscard]] Status read_as_if(const Place& point, const ReplicaState& at,
                                    const GapExtent& range, MutableBytes to) const;

    // ---- steps.cpp
    [[nodiscard]] Result<std::vector<FrameEntry>> read_entries(const FrameRef& frame) const;
    [[nodiscard]] Status steps_of(const FrameRef& frame, const StepRange& range,
                                  const std::function<bool(const StepInfo&)>& each) const;
    [[nodiscard]] Status steps_on(const StepRange& range,
                                  const std::function<bool(const StepInfo&)>& each) const;
    [[nodiscard]] std::vector<StepHolder> step_holders(const StepRange& range) const;
    [[nodiscard]] std::optional<Lsn> kept_at_time(const PathPart& part, WallTime time) const;
};

}  // namespace everstep::journal
