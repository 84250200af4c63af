// Recovery: rebuilds the history from the store's files alone when a store is opened (before stage
// 6).
//
// Thread: one, before any other sees the store.
// Invariants
//  - every redo file but the newest ends in a footer, or it is damaged: a segment is sealed and
//    synced before the next one's files are made;
//  - a tail is cut only where nothing says that it had been synced: not a later record of its file,
//    not a following segment, not the replica's stored position. Cut means zeroed (redo) or
//    truncated (undo), and synced, before anything is written behind it;
//  - which segments there have to be says the newest `kept` record (recovery_kept.cpp); a file that
//  it does not name was being dropped when the program ended, and goes before anything is read;
//  - with a catalogue (catalogue.hpp), a sealed file that it describes is not read; the newest
//  segment always is. Every header has to bear the salt that it names;
//  - what was found counts as durable only after it was written again and synced here, and the
//    directory with it: the process that wrote it may have ended before its sync, or after one that
//    failed.
#pragma once

#include <map>
#include <unordered_set>

#include "journal/catalogue.hpp"
#include "journal/kept.hpp"
#include "journal/record_scan.hpp"
#include "journal/store_impl.hpp"

namespace everstep::journal {

class Recovery {
  public:
    Recovery(Store::Impl& store, std::vector<std::string>& report) : s_(store), report_(report) {}
    [[nodiscard]] Status run();
    // With the store's catalogue in the place of what it describes. Its own damage is only told.
    [[nodiscard]] Status run_by_catalogue();
    [[nodiscard]] bool by_catalogue() const { return known_.has_value(); }

  private:
    struct Found {
        std::unique_ptr<io::File> redo;
        std::unique_ptr<io::File> undo;
    };
    [[nodiscard]] Status finish_wipe();
    [[nodiscard]] Status list_files();
    // recovery_kept.cpp
    [[nodiscard]] Status learn_kept();
    [[nodiscard]] bool is_kept(std::uint64_t number) const;
    [[nodiscard]] bool has_unkept() const;
    [[nodiscard]] Status drop_unkept();
    [[nodiscard]] Status check_numbers();
    [[nodiscard]] Status drop_indexes() const;
    [[nodiscard]] Status take_kept(Segment& segment, const ScannedRecord& record);
    [[nodiscard]] Status take_condensed(Segment& segment, const ScannedRecord& record);
    [[nodiscard]] bool cut_before(std::uint64_t number) const;
    [[nodiscard]] bool behind_condensed(const Segment& segment) const;
    // recovery_merged.cpp
    void take_merged();
    [[nodiscard]] MergedIndexPtr merged_over(const std::vector<Covered>& covered) const;
    // recovery_catalogue.cpp
    void learn_catalogue();
    void begin_known();
    [[nodiscard]] Status check_known(const CheckedHeader& header) const;
    [[nodiscard]] Result<bool> recover_known(std::uint64_t number);
    [[nodiscard]] Status fetch_indexes(Segment& segment, const CheckedHeader& undo);
    [[nodiscard]] Status recover_segment(std::uint64_t number, bool newest);
    [[nodiscard]] Status open_file(FileKind kind, std::uint64_t number, CheckedHeader& header);
    [[nodiscard]] Status recover_redo(Segment& segment, const CheckedHeader& header, bool newest);
    [[nodiscard]] Status recover_undo(Segment& segment, const CheckedHeader& header);
    void put_away(Segment& segment);
    [[nodiscard]] Status take_redo(Segment& segment, const ScannedRecord& record);
    [[nodiscard]] Status take_frame(Segment& segment, const ScannedRecord& record);
    [[nodiscard]] Status take_note(const ScannedRecord& record);
    [[nodiscard]] Status take_undo(Segment& segment, const ScannedRecord& record);
    [[nodiscard]] Status take_position(const ScannedRecord& record, PositionBody* out);
    [[nodiscard]] Status cut_tail(io::File& file, const ScanEnd& end, FileKind kind);
    [[nodiscard]] static Status make_durable(io::File& file, const ScanEnd& end);
    [[nodiscard]] Status check_positions() const;
    void begin_writing();

    Store::Impl& s_;
    std::vector<std::string>& report_;
    std::vector<std::uint64_t> redo_;  // condensed ones first, then in the order of their numbers
    std::vector<std::uint64_t> undo_;
    std::unordered_set<std::uint64_t> here_;  // the numbers of redo_
    std::vector<std::uint64_t> indexed_;      // segments with index files
    std::vector<std::uint64_t> condensed_redo_;
    std::vector<std::uint64_t> condensed_undo_;
    std::optional<KeptBody> kept_;         // none: a store in which nothing was ever dropped
    std::vector<TimelineInfo> timelines_;  // that the newest segment's head names
    std::optional<CatalogueContent> known_;
    bool skipped_ = false;                 // the newest segment so far was not read
    std::unique_ptr<Segment> made_;        // in work, until its head is taken
    std::unique_ptr<io::File> file_;       // in work
    std::unique_ptr<io::File> open_redo_;  // the newest segment's, if it is not sealed
    std::uint64_t open_capacity_ = 0;
    std::uint64_t sequence_max_ = 0;
    std::uint64_t position_sequence_ = 0;
    std::optional<PositionBody> position_;
};

// Removes a store's files and the marker that says that they have to go. Used by wipe() and by a
// later open().
[[nodiscard]] Status remove_store_files(io::FileSystem& files, const std::string& directory);
inline constexpr const char* kWipeMarker = "wiping";
inline constexpr const char* kLockName = "lock";
[[nodiscard]] Result<std::unique_ptr<io::File>> lock_store(io::FileSystem& files,
                                                           const std::string& directory);

}  // namespace everstep::journal
