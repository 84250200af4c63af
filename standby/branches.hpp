// Branches: all that are there of one group's history, by the id of their export; which of their
// stores, or the group's, a point lies in.
//
// Thread: the loop's. What it gives out may be used by any thread, and lives as long as it is held.
#pragma once

#include <map>
#include <memory>

#include "standby/branch.hpp"

namespace everstep::standby {

// A point and the history that it lies in.
struct PlacedPoint {
    Point point;
    std::shared_ptr<const HistorySource> source;
};

class Branches {
  public:
    struct Options {
        BranchOptions each;              // directory: of all of them
        HistorySource* group = nullptr;  // outlives them
    };
    struct Entry {
        BranchRecord record;
        std::shared_ptr<Branch> branch;  // none: it could not be opened,
        Status failed;                   // why,
        journal::HoldPtr hold;           // and what lies below it stays all the same
    };
    explicit Branches(Options options);
    // Those that are there. One that cannot be opened stays where it is and is told (event). An
    // error: they are not known, and retention must not run.
    [[nodiscard]] Status open();
    // Over a durable step; its id is new.
    [[nodiscard]] Result<std::shared_ptr<Branch>> make(const BranchRecord& record,
                                                       const PlacedPoint& base);
    // refused: another branch lies over it.
    [[nodiscard]] Status drop(const std::string& id);
    void set_reserve(ByteCount reserve_bytes);
    void stop();  // blocks

    [[nodiscard]] const std::map<std::string, Entry>& all() const { return all_; }
    [[nodiscard]] std::shared_ptr<Branch> find(const std::string& id) const;
    // The group's own, where no branch has begun the timeline.
    [[nodiscard]] std::shared_ptr<const HistorySource> holder(const TimelineId& timeline) const;
    [[nodiscard]] std::shared_ptr<const HistorySource> group() const;
    // The branch that this is; none: the group's own.
    [[nodiscard]] std::shared_ptr<Branch> branch_of(const HistorySource* source) const;

  private:
    [[nodiscard]] std::string directory_of(const std::string& id) const;
    [[nodiscard]] BranchOptions options_of(const std::string& id) const;
    void open_one(const std::string& id);
    [[nodiscard]] Status misplaced(const std::string& id, const std::string& recorded) const;
    [[nodiscard]] bool may_lie_over(const Entry& upper, const Entry& lower) const;
    Options options_;
    std::map<std::string, Entry> all_;
};

// Ids of branches that lie there, numbers, growing: the next export's id is above them all. None
// was ever made: empty.
[[nodiscard]] Result<std::vector<std::uint64_t>> branch_ids(const io::FileSystem& files,
                                                            const std::string& directory);

}  // namespace everstep::standby
