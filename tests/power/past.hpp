// What a power test knows independently of the store: the lines with their frames and the image
// behind every step, and what had been promised at each moment.
//
// Thread: one owner while it grows; then read only.
#pragma once

#include <set>

#include "tests/journal/memory_catalogue.hpp"
#include "tests/journal/store_lab.hpp"

namespace everstep::power {

struct PastLine {
    explicit PastLine(journal::lab::Primary primary) : writer(std::move(primary)) {}
    journal::lab::Primary writer;
    std::vector<FramePtr> frames;
};

// Steps that never reach the standby: what they changed comes by resync. Or a batch, of which
// nothing is lost.
struct PastGap {
    bool batch = false;
    std::size_t line = 0;
    Lsn from;
    Lsn to;  // of the frame that ends it
    std::vector<journal::lab::TestWrite> lost;
};

struct Held {
    bool held = false;
    Point at;
    bool operator==(const Held&) const = default;
};

// What has to hold whatever happens from here on.
struct Promise {
    bool begun = false;
    std::vector<std::optional<Lsn>> durable;  // by line; none: the line itself may be missing
    std::map<std::string, Point> marks;
    std::map<std::string, Point> marks_maybe;  // put or dropped, and not yet said to be
    std::optional<Held> held;                  // none: it is just being changed
    // What retention took is never there again; what it is at is there, or all of it is not. Under
    // their owners.
    std::set<Point> gone;
    std::set<Point> going;
    // The catalogue's states so far: a start may find any of them, or none.
    journal::lab::MemoryCatalogue::States catalogue;
};

class Past {
  public:
    Past(Uuid group, std::vector<ByteCount> sizes);
    [[nodiscard]] PastLine& receiving() { return lines_[receiving_]; }
    [[nodiscard]] std::size_t receiving_number() const { return receiving_; }
    [[nodiscard]] const std::vector<PastLine>& lines() const { return lines_; }
    // A new line from a step of another one; it becomes the receiving line.
    PastLine& branch(std::size_t parent, Lsn at);
    [[nodiscard]] std::optional<std::size_t> number_of(const TimelineId& id) const;
    [[nodiscard]] const std::vector<journal::lab::Image>& image(const Point& at) const;

    // The same step under the line that it lies on itself.
    [[nodiscard]] Point owner(const Point& at) const;
    // No inside of a gap, on whatever line it lies.
    [[nodiscard]] bool is_point(const Point& at) const;
    // A resync frame behind `tip` of what `write` touches, as it is at the gap's end.
    [[nodiscard]] FramePtr resync_frame(const PastGap& gap, const journal::lab::TestWrite& write,
                                        Lsn tip) const;

    std::vector<Promise> promises;  // a note of the log names one
    std::vector<PastGap> gaps;

  private:
    Uuid group_;
    std::vector<PastLine> lines_;
    std::size_t receiving_ = 0;
};

// The first sector in which two images differ; empty if there is none.
[[nodiscard]] std::string difference(const std::vector<journal::lab::Image>& found,
                                     const std::vector<journal::lab::Image>& wanted);
[[nodiscard]] std::string name_of(const Point& point);

}  // namespace everstep::power
