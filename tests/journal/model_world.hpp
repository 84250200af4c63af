// A store with its replica and its catalogue against full images of every step: what can happen to
// them, one operation at a time, each with a seed of its own, so that a list of operations that
// fails can be made shorter and still fails.
//
// Thread: one. What does not hold is a gtest failure of the thread.
// Invariants that it checks
//  - a step can be read exactly if it was stored, lies in no gap and retention did not take it, now
//  and behind each opening; what it gives is that step's image;
//  - retention takes no step that a pinned mark, a hold, the replica, an open gap or a kept line
//  needs, none of the line in use before its time, and nothing while there is no limit to keep;
//  - marks go with their step and only so;
//  - what is written on a step, in a store over it, changes nothing below and is read as written,
//  whatever happens below;
//  - the store is the same whichever state of the catalogue it is opened with.
#pragma once

#include <gtest/gtest-spi.h>

#include <array>
#include <set>
#include <span>

#include "journal/step_reader.hpp"
#include "tests/journal/keep_lab.hpp"
#include "tests/journal/memory_catalogue.hpp"
#include "tests/power/memory_disk.hpp"

namespace everstep::journal::lab {

class ModelWorld {
  public:
    ModelWorld(std::uint64_t seed, const testing::TestPartResultArray& results);
    struct Operation {
        const char* name;
        unsigned weight;
        void (ModelWorld::*run)();
    };
    // All that can happen. A new kind is one more line.
    [[nodiscard]] static std::span<const Operation> operations();
    void run(std::size_t operation, std::uint64_t seed);
    void finish();  // everything is compared, as it is and opened again
    [[nodiscard]] bool failed() const;
    // What retention did, by KeepVerb: a test in which it never did something tests less.
    using Verbs = std::array<std::size_t, 5>;
    [[nodiscard]] const Verbs& verbs() const { return verbs_; }

  private:
    struct NoPoints {  // the inside of a gap: (from, to)
        std::size_t line;
        Lsn from;
        Lsn to;
    };
    struct Export {  // a view that is kept while everything else goes on
        Point at;
        View view;
        HoldPtr hold;  // none, or ended: its step may go
        [[nodiscard]] bool held() const { return hold != nullptr && !hold->ended; }
    };
    struct Written {  // a step that is written on: a branch
        Point base;
        std::string directory;
        HoldPtr hold;
        std::unique_ptr<StepReader> below;
        std::unique_ptr<Store> store;
        std::vector<std::unique_ptr<Primary>> lines;  // the last one goes on
    };
    static const std::vector<ByteCount> kSizes;
    [[nodiscard]] std::uint64_t pick(std::uint64_t n) { return rnd_() % n; }
    static void check(const Status& status, const char* what);
    [[nodiscard]] Primary& line() { return *lines_[receiving_]; }
    [[nodiscard]] Point durable() const { return lab_.store->durable().point; }
    [[nodiscard]] TestWrite random_write();
    [[nodiscard]] Point random_point();
    [[nodiscard]] bool is_point(std::size_t n, Lsn lsn) const;
    [[nodiscard]] bool is_kept(std::size_t n, Lsn lsn) const;
    [[nodiscard]] bool is_kept(const Point& at) const {
        return is_kept(number_of(at.timeline), at.lsn);
    }
    [[nodiscard]] bool sees(const Point& at) const { return lab_.store->view(at).ok(); }
    [[nodiscard]] std::size_t number_of(const TimelineId& id) const;
    [[nodiscard]] const std::vector<Image>& image(const Point& at) const;
    void append();
    void sync();
    void sync_low();
    void tend();
    void apply();
    void apply_batch(bool land);
    void rewind();
    void resume();
    void crash();
    void reopen();
    void half_move();
    void branch();
    void takeover();
    void begin_line(Lsn branch, TimelineId from);
    void lose_order();
    void write_batch();
    void leave_gap();
    void put_batch(EntryKind kind);
    void amid();
    void lost_writes(const std::vector<TestWrite>& lost);
    void end_gap();
    void resync(const TestWrite& write);
    void put_mark();
    void drop_mark();
    void open_export();
    void hold(Export& one);
    void read_exports();
    void read_export(const Export& one);
    void check_status(const Export& one);
    void end_holds();
    void write_on_a_step();
    void open_written(Written& one);
    void close_written();
    void drop_written();
    void write_branch();
    void back_on_branch();
    void read_branches();
    void read_branch(const Written& one, const Primary& line, Lsn lsn);
    void compare_branches();
    [[nodiscard]] TimelineId new_branch_line();
    void walk();
    void list_some(const View& view, const std::vector<StepInfo>& all);
    void keep();
    [[nodiscard]] KeepLimits random_limits();
    void keep_once(const KeepLimits& limits);
    void note_came();
    void note_gone(const KeepLimits& limits);
    [[nodiscard]] std::set<Point> needed() const;
    void check_branch_points();
    [[nodiscard]] bool took_some() const;
    void compare_some();
    void go_to(const Point& target);
    void check_facts();
    void check_points();
    void compare_all();
    void append_again();
    [[nodiscard]] bool is_stored(const SealedFrame& frame) const;

    std::mt19937_64 rnd_;
    const testing::TestPartResultArray& results_;
    power::MemoryDisk disk_;
    LabClock clock_;
    MemoryCatalogue catalogue_;
    StoreLab lab_;
    bool keeps_all_ = false;
    Verbs verbs_{};
    std::vector<std::unique_ptr<Primary>> lines_;
    std::vector<NoPoints> no_points_;
    std::size_t receiving_ = 0;
    std::vector<FramePtr> kept_;
    std::set<Point> gone_;                            // what retention took
    std::map<Point, std::chrono::nanoseconds> came_;  // under the name of each line on the path
    std::map<std::string, Mark> marks_;
    std::uint64_t mark_number_ = 0;
    std::optional<Point> held_;
    std::vector<Export> exports_;
    std::vector<Written> written_;
    std::uint8_t branch_lines_ = 0;
};

}  // namespace everstep::journal::lab
