// A store with its replica against full images of every step: what can happen to them, one
// operation at a time, each with a seed of its own, so that a list of operations that fails can be
// made shorter and still fails.
//
// Thread: one. What does not hold is a gtest failure of the thread.
#pragma once

#include <gtest/gtest-spi.h>

#include <span>

#include "tests/journal/store_lab.hpp"
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

  private:
    struct NoPoints {  // the inside of a gap: (from, to)
        std::size_t line;
        Lsn from;
        Lsn to;
    };
    struct Export {  // a view that is kept while everything else goes on
        Point at;
        View view;
    };
    [[nodiscard]] std::uint64_t pick(std::uint64_t n) { return rnd_() % n; }
    static void check(const Status& status, const char* what);
    [[nodiscard]] Primary& line() { return *lines_[receiving_]; }
    [[nodiscard]] Point durable() const { return lab_.store->durable().point; }
    [[nodiscard]] TestWrite random_write();
    [[nodiscard]] Point random_point();
    [[nodiscard]] bool is_point(std::size_t n, Lsn lsn) const;
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
    void half_move();
    void branch();
    void takeover();
    void begin_line(Lsn branch, TimelineId from);
    void lose_order();
    void lost_writes(const std::vector<TestWrite>& lost);
    void end_gap();
    void resync(const TestWrite& write);
    void put_mark();
    void drop_mark();
    void open_export();
    void read_exports();
    void read_export(const Export& one);
    void check_status(const Export& one);
    void walk();
    void compare_some();
    void go_to(const Point& target);
    void check_facts();
    void compare_all();

    std::mt19937_64 rnd_;
    const testing::TestPartResultArray& results_;
    power::MemoryDisk disk_;
    StoreLab lab_;
    std::vector<std::unique_ptr<Primary>> lines_;
    std::vector<NoPoints> no_points_;
    std::size_t receiving_ = 0;
    std::vector<FramePtr> kept_;
    std::map<std::string, Point> marks_;
    std::uint64_t mark_number_ = 0;
    std::optional<Point> held_;
    std::vector<Export> exports_;
};

}  // namespace everstep::journal::lab
