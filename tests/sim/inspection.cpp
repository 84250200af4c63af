#include "tests/sim/inspection.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "daemon/lineage.hpp"
#include "journal/store.hpp"
#include "standby/replica.hpp"
#include "standby/standby.hpp"
#include "tests/journal/memory_catalogue.hpp"

namespace everstep::sim {
namespace {

class Inspection {
  public:
    Inspection(World& world, Chronicle& chronicle, const InspectedNode& node,
               const power::DiskState& state)
        : world_(world), chronicle_(chronicle), node_(node), disk_(state) {}

    void run() {
        if (chronicle_.group().nil() || !there()) return;
        if (!open()) return;
        if (!store_->has_history()) {
            const bool claimed = !chronicle_.claims(node_.name).empty();
            for (const auto& [timeline, lsn] : chronicle_.claims(node_.name))
                if (claimed && lsn != Lsn(0)) fail("law 1", "its history is gone");
            return;
        }
        for (const auto& [timeline, lsn] : chronicle_.claims(node_.name)) claim(timeline, lsn);
        for (const journal::TimelineInfo& one : store_->timelines()) look_at(one);
        const Point tip = store_->tip().point;
        const auto line = chronicle_.timelines().find(tip.timeline);
        if (chronicle_.resyncs_to(node_.name, tip.timeline) && tip.lsn > line->second.branch_lsn &&
            !store_->gap_open())
            fail("law 5", "it holds step " + std::to_string(tip.lsn.value()) + " of timeline " +
                              tip.timeline.hex() +
                              " in the middle of a resync, and no gap is open");
        const Point consistent = store_->consistent();
        if (!store_->view(consistent).ok()) fail("law 2", "there is no step that can be promoted");
        for (const journal::Mark& mark : store_->marks()) look_at(mark);
    }
    [[nodiscard]] const std::set<std::string>& marks() const { return marks_; }

  private:
    void fail(const std::string& law, const std::string& what) {
        world_.fail(law, node_.name + ": " + what);
    }
    [[nodiscard]] bool there() const {
        const auto names = disk_.list(node_.store);
        return names.ok() && std::any_of(names->begin(), names->end(), [](const std::string& one) {
                   return one.starts_with("redo-");
               });
    }
    [[nodiscard]] bool open() {
        journal::StoreOptions options;
        options.directory = node_.store;
        options.group = chronicle_.group();
        options.volume_bytes = node_.sizes;
        options.segment_bytes = node_.segment_bytes;
        options.catalogue = &catalogue_;
        std::vector<std::string> report;
        auto store = journal::Store::open(disk_, options, report);
        if (!store.ok()) {
            fail("law 1", "its store does not open: " + store.status().message());
            return false;
        }
        store_ = std::move(*store);
        std::vector<standby::VolumeFile> volumes;
        for (std::size_t v = 0; v < node_.images.size(); ++v)
            volumes.push_back({"v" + std::to_string(v), node_.images[v], node_.sizes[v]});
        auto replica = standby::Replica::open(disk_, volumes);
        if (!replica.ok()) {
            fail("law 2", "its replica does not open: " + replica.status().message());
            return false;
        }
        replica_ = std::move(*replica);
        return true;
    }
    void claim(const TimelineId& timeline, Lsn lsn) {
        // Of a timeline without a step of its own nothing is stored but the branch.
        const auto info = chronicle_.timelines().find(timeline);
        if (info != chronicle_.timelines().end() && lsn <= info->second.branch_lsn) return;
        const auto all = store_->timelines();
        const bool known = std::any_of(all.begin(), all.end(),
                                       [&](const auto& one) { return one.id == timeline; });
        if (known && store_->stream_tip_at({timeline, lsn}).ok()) return;
        if (known && end_of(timeline) >= lsn) return;
        if (chronicle_.has_dropped(node_.name, {timeline, lsn}, store_->baseline())) {
            world_.probe("a step that was called durable was dropped for room");
            return;
        }
        fail("law 1", "it called step " + std::to_string(lsn.value()) + " of timeline " +
                          timeline.hex() +
                          " durable, and does not have it; history begins at step " +
                          std::to_string(store_->baseline().lsn.value()));
    }
    [[nodiscard]] Lsn end_of(const TimelineId& timeline) const {
        const Point tip = store_->tip().point;
        return tip.timeline == timeline ? tip.lsn : Lsn(0);
    }
    void look_at(const journal::TimelineInfo& timeline) {
        const Lsn first = std::max(timeline.branch_lsn, store_->baseline().lsn);
        Lsn last = end_of(timeline.id);
        for (const auto& [id, lsn] : chronicle_.claims(node_.name))
            if (id == timeline.id) last = std::max(last, lsn);
        if (last < first) return;
        const std::uint64_t count = last - first + 1;
        for (std::uint64_t n = 0; n < std::min<std::uint64_t>(count, node_.points_most); ++n) {
            const std::uint64_t back = n < 3 ? n : world_.below(count);
            if (back < count) look_at(Point{timeline.id, Lsn(last.value() - back)});
        }
    }
    void look_at(const journal::Mark& mark) {
        marks_.insert(mark.name);
        const auto answered = chronicle_.marks().find(mark.name);
        if (answered == chronicle_.marks().end()) return;
        if (!chronicle_.same_step(answered->second, mark.at))
            fail("law 9",
                 fmt::format("mark {} names step {}, and was answered for step {}", mark.name,
                             mark.at.lsn.value(), answered->second.lsn.value()));
    }
    [[nodiscard]] bool on_path(Point at) const {
        const Point tip = store_->tip().point;
        const std::vector<journal::TimelineInfo> all = store_->timelines();
        return daemon::common_point(daemon::path_to(all, tip.timeline), tip, all, at) == at;
    }
    [[nodiscard]] bool in_gap(Point at) const {
        const auto open = store_->gap_open();
        if (open && at.lsn > open->from.lsn) return true;
        const auto gaps = store_->gaps();
        return std::any_of(gaps.begin(), gaps.end(), [&](const journal::Gap& gap) {
            if (gap.to.timeline.nil()) return at.lsn > gap.from.lsn && !on_path(at);  // given up
            return at.lsn > gap.from.lsn && at.lsn < gap.to.lsn;
        });
    }
    [[nodiscard]] std::string gaps() const {
        std::string text = "gaps:";
        for (const journal::Gap& gap : store_->gaps())
            text += ' ' + std::to_string(gap.from.lsn.value()) + ".." +
                    std::to_string(gap.to.lsn.value());
        if (const auto open = store_->gap_open())
            text += ' ' + std::to_string(open->from.lsn.value()) + "..";
        return text;
    }
    void look_at(Point at) {
        const auto view = store_->view(at);
        if (!view.ok()) {
            if (in_gap(at))
                world_.probe("a point inside a gap was refused");
            else if (chronicle_.image(at) != nullptr &&
                     store_->step(store_->view_at_tip(), at.lsn).ok())
                fail("law 3", "step " + std::to_string(at.lsn.value()) + " of timeline " +
                                  at.timeline.hex() +
                                  " is stored and cannot be reached: " + view.status().message());
            return;
        }
        Images found;
        for (std::size_t v = 0; v < node_.sizes.size(); ++v) {
            found.emplace_back(node_.sizes[v].value(), std::byte{0xee});
            const Status read =
                store_->read(*view, *replica_, VolumeIndex(v), ByteOffset(0), found[v]);
            if (!read.ok()) return fail("law 2", "a step cannot be read: " + read.message());
        }
        const Images* wanted = chronicle_.image(at);
        if (wanted == nullptr) {
            world_.probe("a step behind a gap was learnt");
            world_.trace(node_.name + ": step " + std::to_string(at.lsn.value()) + " of timeline " +
                         at.timeline.hex() + " is learnt; " + gaps());
            chronicle_.learn(at, std::move(found));
            return;
        }
        compare(at, found, *wanted);
    }
    void compare(Point at, const Images& found, const Images& wanted) {
        for (std::size_t v = 0; v < found.size(); ++v) {
            const auto [here, there] =
                std::mismatch(found[v].begin(), found[v].end(), wanted[v].begin());
            if (here == found[v].end()) continue;
            const auto sector = static_cast<std::uint64_t>(here - found[v].begin()) / kSectorBytes;
            const auto stamp = [&](const Image& image) {
                const auto one =
                    stamp_of(Bytes(image).subspan(sector * kSectorBytes, kSectorBytes));
                return one ? std::to_string(one->operation) : std::string("no stamp");
            };
            const journal::ReplicaState stands = store_->replica();
            fail("law 2", "step " + std::to_string(at.lsn.value()) + " of timeline " +
                              at.timeline.hex() + ": volume " + std::to_string(v) + " sector " +
                              std::to_string(sector) + " is of operation " + stamp(found[v]) +
                              ", wanted " + stamp(wanted[v]) + "; the replica stands between " +
                              std::to_string(stands.low.lsn.value()) + " and " +
                              std::to_string(stands.high.lsn.value()) + "; " + gaps());
            return;
        }
    }

    World& world_;
    Chronicle& chronicle_;
    const InspectedNode& node_;
    power::MemoryDisk disk_;
    journal::lab::MemoryCatalogue catalogue_;
    std::unique_ptr<journal::Store> store_;
    std::unique_ptr<standby::Replica> replica_;
    std::set<std::string> marks_;
};

}  // namespace

std::set<std::string> inspect(World& world, Chronicle& chronicle, const InspectedNode& node,
                              const power::DiskState& state) {
    Inspection inspection(world, chronicle, node, state);
    inspection.run();
    return inspection.marks();
}

}  // namespace everstep::sim
