// Chronicle: what was said between the nodes: each frame that a primary has sealed and sent, by
// timeline and step; what each standby has called durable; which timelines there are. From it comes
// what each step has to hold.
//
// Thread: the world's. Law 6 is checked here: a (timeline, step) has one content, whoever sends it.
#pragma once

#include <map>
#include <set>

#include "journal/history_types.hpp"
#include "proto/messages.hpp"
#include "tests/sim/expectation.hpp"

namespace everstep::sim {

using Image = std::vector<std::byte>;
using Images = std::vector<Image>;  // by volume

class Chronicle {
  public:
    Chronicle(World& world, std::vector<ByteCount> sizes);
    void heard(const std::string& from, const std::string& to, const wire::Control& message);
    void heard(const std::string& from, const FramePtr& frame);

    [[nodiscard]] const Uuid& group() const { return group_; }
    [[nodiscard]] const std::map<TimelineId, journal::TimelineInfo>& timelines() const {
        return timelines_;
    }
    // The content of a step; nothing where the frames that lead there were never sent (a gap).
    [[nodiscard]] const Images* image(Point at);
    // Of a step behind a gap it is what the first node that is asked holds, which all others have
    // to hold too.
    void learn(Point at, Images images) { images_[canonical(at)] = std::move(images); }

    // A line of which a primary has said that its disk's content counts, not the branch point's.
    void begins_apart(const std::string& timeline) { named_apart_.insert(timeline); }
    // What this standby has called durable, by timeline; forgotten when it takes other data.
    [[nodiscard]] std::map<TimelineId, Lsn> claims(const std::string& node) const {
        const auto found = claims_.find(node);
        return found == claims_.end() ? std::map<TimelineId, Lsn>() : found->second;
    }
    void forget(const std::string& node) {
        claims_.erase(node);
        begins_.erase(node);
        resyncs_.erase(node);
        lose_marks();  // it may have been the one that kept them
    }
    // Where its history begins, as it has said itself: a full disk has cost it the rest.
    void dropped(const std::string& node, Lsn begins) {
        begins_[node] = begins;
        lose_marks();
    }
    // A mark that was answered for; its step. `losses`: of when it was asked for.
    void marked(const std::string& name, Point at, std::uint64_t losses) {
        if (losses == losses_) marks_[name] = at;
    }
    [[nodiscard]] std::uint64_t losses() const { return losses_; }
    [[nodiscard]] const std::map<std::string, Point>& marks() const { return marks_; }
    [[nodiscard]] bool same_step(Point a, Point b) const { return canonical(a) == canonical(b); }
    [[nodiscard]] bool has_dropped(const std::string& node, Point claimed, Point baseline) const;
    // A resync brings the node onto this timeline, and its end was not sent yet.
    [[nodiscard]] bool resyncs_to(const std::string& node, const TimelineId& timeline) const {
        const auto found = resyncs_.find(node);
        return found != resyncs_.end() && found->second == timeline;
    }
    // The step of an operation, the newest one that is known.
    [[nodiscard]] std::optional<Point> step_of(std::uint64_t operation, const SectorRange& range,
                                               bool zero) const;
    [[nodiscard]] Lsn claimed(const std::string& node, Point at) const;
    // Called at the first frame of each timeline, and at each claim.
    std::function<void(const std::string& node, const TimelineId&)> on_new_timeline;
    std::function<void(const std::string& node, Point at)> on_claim;

  private:
    void lose_marks() {
        marks_.clear();
        ++losses_;
    }
    struct Step {
        FramePtr frame;
        std::size_t entry = 0;
    };
    [[nodiscard]] Point canonical(Point at) const;
    [[nodiscard]] std::optional<Point> before(Point at) const;
    void take_entry(const FrameHeader& header, const Step& step);
    World& world_;
    std::vector<ByteCount> sizes_;
    Uuid group_;
    std::map<TimelineId, journal::TimelineInfo> timelines_;
    std::map<std::pair<TimelineId, FrameSeq>, Hash128> frames_;
    std::map<Point, Step> steps_;
    std::map<Point, Images> images_;
    std::map<std::string, std::map<TimelineId, Lsn>> claims_;
    std::map<std::string, Lsn> begins_;
    std::map<std::string, Point> marks_;
    std::uint64_t losses_ = 0;
    std::map<std::string, TimelineId> resyncs_;
    std::map<std::uint64_t, Point> operations_;
    std::map<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>, Point> zeroes_;
    std::set<TimelineId> seen_;
    std::set<TimelineId> apart_;  // a gap lies over their branch: they begin with another content
    std::set<std::string> named_apart_;  // so do these
};

}  // namespace everstep::sim
