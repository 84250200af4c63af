// A random life of a standby on a disk that keeps a log: appends, applies, rewinds, resumes,
// branches, marks and pins, retention, indexes and catalogue, restarts, over small segments. Each
// promise that the node makes stands in the log as a note.
//
// Thread: one; what the journal thread would do beside the apply thread happens between two changes
// of a file (MemoryDisk::before_change).
#pragma once

#include <span>

#include "tests/power/node.hpp"

namespace everstep::power {

struct WorkloadOptions {
    std::uint64_t seed = 1;
    unsigned operations = 70;
    Bug bug = Bug::none;
    bool recycled = false;  // new files of the store hold old ones' records
};

class Workload {
  public:
    Workload(MemoryDisk& disk, Past& past, NodeOptions node, WorkloadOptions options);
    ~Workload();
    // Empty, or what went wrong although no power was cut.
    [[nodiscard]] std::string run();

    [[nodiscard]] std::uint64_t recycled_files() const { return recycled_files_; }

    struct Operation {
        const char* name;
        unsigned weight;
        Status (Workload::*run)();
    };
    // All that can happen to a store. A new kind of change of it is one more line.
    [[nodiscard]] static std::span<const Operation> operations();

  private:
    [[nodiscard]] std::uint64_t pick(std::uint64_t below) { return random_() % below; }
    [[nodiscard]] Status begin();
    [[nodiscard]] Status append();
    [[nodiscard]] Status append_synced();
    [[nodiscard]] Status sync();
    [[nodiscard]] Status apply();
    [[nodiscard]] Status apply_all();
    [[nodiscard]] Status sync_low();
    [[nodiscard]] Status rewind();
    [[nodiscard]] Status resume();
    [[nodiscard]] Status branch();
    [[nodiscard]] Status begin_line(const Point& from);
    [[nodiscard]] Status lose_order();
    [[nodiscard]] Status write_batch();
    [[nodiscard]] Status leave_batch();
    [[nodiscard]] Status put_frame(const FramePtr& frame);
    [[nodiscard]] Status put_mark();
    [[nodiscard]] Status drop_mark();
    [[nodiscard]] Status restart();
    [[nodiscard]] Status keep();
    [[nodiscard]] Status keep_one(const journal::KeepLimits& limits, bool& more);
    [[nodiscard]] Status tend();
    [[nodiscard]] Status make_spare();
    [[nodiscard]] std::set<Point> readable() const;
    [[nodiscard]] Status check_kept(const std::set<Point>& now) const;
    void take_marks(Promise& from, const std::set<Point>& taken) const;
    [[nodiscard]] Status append_frames(std::uint64_t count);
    [[nodiscard]] journal::lab::TestWrite random_write();
    [[nodiscard]] Point random_point();
    void beside(const std::string& path);
    void promise();

    MemoryDisk& disk_;
    Past& past_;
    NodeOptions node_options_;
    WorkloadOptions options_;
    std::mt19937_64 random_;
    journal::lab::MemoryCatalogue catalogue_;
    Node node_;
    Promise promise_;
    bool moving_ = false;  // the apply thread is at work: the journal thread may be too
    Status beside_;        // of what it did
    std::uint64_t marks_ = 0;
    std::uint64_t recycled_files_ = 0;
    std::map<std::string, Point> marks_unsynced_;
    std::vector<std::string> drops_unsynced_;
    std::set<std::string> pinned_;
};

}  // namespace everstep::power
