// An independent primary: it makes random steps as sealed frames and keeps the image of every step
// by plain copying.
#pragma once

#include <map>
#include <random>
#include <vector>

#include "scene.hpp"

namespace everstep::standby::testing {

using Image = std::vector<std::vector<std::byte>>;  // by volume

struct Shape {
    std::size_t entries_max = 6;  // of a frame
    bool sync_step = false;       // the frame is one step of kind sync
    bool after_gap = false;
};

class HistoryMaker {
  public:
    HistoryMaker(Uuid group, std::vector<ByteCount> sizes, std::uint64_t seed);

    // The next frame of its line; every step's image is kept.
    [[nodiscard]] FramePtr frame(const Shape& shape = {});
    // A long history without the image of each step.
    void keep_no_images() { keep_images_ = false; }
    // A new timeline from a step of this one; the maker goes on there.
    [[nodiscard]] journal::TimelineInfo branch(Lsn at);
    // One that another made, from a step of this one.
    void follow(const journal::TimelineInfo& next);
    // Writes that happen and are lost on the way (what a gap is): only the image knows them.
    void lose_writes(std::size_t count, Lsn skip_to);
    // The whole content of now as frames of kind resync.
    [[nodiscard]] std::vector<FramePtr> content_frames() const;

    [[nodiscard]] const journal::TimelineInfo& timeline() const { return timelines_.back(); }
    [[nodiscard]] const std::vector<journal::TimelineInfo>& timelines() const { return timelines_; }
    [[nodiscard]] const journal::Tip& tip() const { return tip_; }
    [[nodiscard]] Lsn head() const { return tip_.point.lsn; }
    [[nodiscard]] Point head_point() const { return tip_.point; }
    [[nodiscard]] Point point(Lsn lsn) const;  // on the line of now
    [[nodiscard]] const Image& image(Point at) const { return images_.at(at); }
    [[nodiscard]] const Image& now() const { return now_; }
    [[nodiscard]] std::vector<Point> points() const;  // all that have an image
    [[nodiscard]] const std::map<Lsn, WallTime>& times() const { return times_; }
    [[nodiscard]] const std::vector<Lsn>& flushes() const { return flushes_; }
    [[nodiscard]] Uuid group() const { return group_; }
    [[nodiscard]] const std::vector<ByteCount>& sizes() const { return sizes_; }

  private:
    [[nodiscard]] std::uint64_t random(std::uint64_t below) { return random_() % below; }
    [[nodiscard]] FrameEntry random_entry(Lsn lsn);
    void fill(const FrameEntry& entry, std::vector<std::byte>& payload) const;
    void add_step(FrameBuilder& builder, FrameEntry entry);

    Uuid group_;
    bool keep_images_ = true;
    std::vector<ByteCount> sizes_;
    std::uint64_t seed_;
    std::mt19937_64 random_;
    std::vector<journal::TimelineInfo> timelines_;
    journal::Tip tip_;
    Image now_;
    std::map<Point, Image> images_;
    std::map<Point, journal::Tip> tips_;  // the frame that holds a step
    std::map<Lsn, WallTime> times_;
    std::vector<Lsn> flushes_;
};

}  // namespace everstep::standby::testing
