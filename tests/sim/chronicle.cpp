#include "tests/sim/chronicle.hpp"

#include <algorithm>

namespace everstep::sim {
namespace {

constexpr std::uint64_t kImageEvery = 32;  // steps: images that are kept

void apply(const SealedFrame& frame, const FrameEntry& entry, Images& images) {
    if (entry.kind == EntryKind::sync) return;
    Image& image = images[entry.volume.value()];
    const auto at = image.begin() + static_cast<std::ptrdiff_t>(entry.offset.value());
    if (entry.payload_bytes != 0) {
        Buffer unpacked;
        const Result<Bytes> payload = frame.payload(entry, unpacked);
        EVERSTEP_ASSERT(payload.ok(), "a frame that was parsed gives its data");
        std::copy(payload->begin(), payload->end(), at);
    } else {
        std::fill_n(at, entry.length.value(), std::byte{0});
    }
}

std::string text_of(const wire::Control& message) {
    if (const auto* start = std::get_if<wire::Start>(&message))
        return "Start from step " + std::to_string(start->from.lsn.value());
    if (const auto* begun = std::get_if<wire::Started>(&message))
        return "Started " + begun->message;
    if (const auto* end = std::get_if<wire::ResyncEnd>(&message))
        return "ResyncEnd at step " + std::to_string(end->at.lsn.value());
    if (const auto* end = std::get_if<wire::InitialEnd>(&message))
        return "InitialEnd at step " + std::to_string(end->base.lsn.value());
    if (const auto* goodbye = std::get_if<wire::Goodbye>(&message))
        return "Goodbye " + goodbye->message;
    const auto* ack = std::get_if<wire::Ack>(&message);
    if (ack == nullptr) return {};
    return "Ack " + std::to_string(ack->received.value()) + ' ' +
           std::to_string(ack->durable.value()) + ' ' + std::to_string(ack->applied.value()) + ' ' +
           std::to_string(ack->consumed_bytes) + (ack->consistent ? "" : " not consistent");
}

}  // namespace

Chronicle::Chronicle(World& world, std::vector<ByteCount> sizes)
    : world_(world), sizes_(std::move(sizes)) {}

void Chronicle::heard(const std::string& from, const std::string& to,
                      const wire::Control& message) {
    if (const std::string text = text_of(message); !text.empty())
        world_.trace(from + " to " + to + ": " + text);
    if (const auto* start = std::get_if<wire::Start>(&message)) {
        group_ = start->group_id;
        for (const wire::Timeline& one : start->timelines) {
            const journal::TimelineInfo info{one.id,          one.parent,     one.branch_lsn,
                                             one.branch_hash, one.branch_seq, one.number,
                                             one.node};
            const auto [known, fresh] = timelines_.emplace(one.id, info);
            if (!fresh && !(known->second == info))
                world_.fail("law 6", "a timeline that has two branch points: " + one.id.hex());
        }
        const wire::Timeline& newest = start->timelines.back();
        const bool crosses =
            start->from.timeline != newest.id || start->from.lsn <= newest.branch_lsn;
        if (start->mode == wire::StartMode::resync && crosses) {
            apart_.insert(newest.id);
            resyncs_[to] = newest.id;
        }
        if (start->mode != wire::StartMode::resync) resyncs_.erase(to);
    }
    if (std::holds_alternative<wire::ResyncEnd>(message)) resyncs_.erase(to);
    const auto* ack = std::get_if<wire::Ack>(&message);
    if (ack == nullptr || ack->timeline.nil()) return;
    if (ack->applied > ack->durable || ack->durable > ack->received)
        world_.fail("chain", from + " says applied " + std::to_string(ack->applied.value()) +
                                 ", durable " + std::to_string(ack->durable.value()) +
                                 ", received " + std::to_string(ack->received.value()));
    Lsn& claim = claims_[from][ack->timeline];
    if (ack->durable <= claim) return;
    claim = ack->durable;
    if (on_claim) on_claim(from, {ack->timeline, claim});
}

void Chronicle::heard(const std::string& from, const FramePtr& frame) {
    const FrameHeader& header = frame->header();
    world_.trace(from + ": frame " + std::to_string(header.seq.value()) + ", steps " +
                 std::to_string(header.first_lsn.value()) + " to " +
                 std::to_string(header.last_lsn.value()));
    if (header.kind != FrameKind::writes) return;
    const auto [known, fresh] =
        frames_.emplace(std::pair(header.timeline, header.seq), frame->hash());
    if (!fresh) {
        if (known->second != frame->hash())
            world_.fail("law 6", from + " sent another frame " +
                                     std::to_string(header.seq.value()) + " of timeline " +
                                     header.timeline.hex());
        return;
    }
    if (seen_.insert(header.timeline).second && on_new_timeline)
        on_new_timeline(from, header.timeline);
    for (std::size_t i = 0; i < frame->entries().size(); ++i)
        if (takes_lsn(frame->entries()[i].kind)) take_entry(header, {frame, i});
}

void Chronicle::take_entry(const FrameHeader& header, const Step& step) {
    const FrameEntry& entry = step.frame->entries()[step.entry];
    const Point at{header.timeline, entry.lsn};
    const auto [known, fresh] = steps_.emplace(at, step);
    if (!fresh && known->second.frame != step.frame) {
        world_.fail("law 6", "step " + std::to_string(entry.lsn.value()) + " of timeline " +
                                 header.timeline.hex() + " lies in two frames");
        return;
    }
    const auto parent = before(at);
    const auto older = parent ? steps_.find(*parent) : steps_.end();
    if (older != steps_.end() &&
        entry.step_time < older->second.frame->entries()[older->second.entry].step_time)
        world_.fail("times", "step " + std::to_string(entry.lsn.value()) + " of timeline " +
                                 header.timeline.hex() +
                                 " bears an older time than its predecessor");
    if (entry.kind == EntryKind::data) {
        Buffer unpacked;
        const Result<Bytes> payload = step.frame->payload(entry, unpacked);
        EVERSTEP_ASSERT(payload.ok(), "a frame that was parsed gives its data");
        const auto stamp = stamp_of(payload->first(kSectorBytes));
        if (stamp && stamp->operation != 0) operations_[stamp->operation] = at;
    } else if (entry.kind == EntryKind::zero || entry.kind == EntryKind::discard) {
        zeroes_[{entry.volume.value(), entry.offset.value() / kSectorBytes,
                 entry.length.value() / kSectorBytes}] = at;
    }
}

// A branch point is a step of the parent's.
Point Chronicle::canonical(Point at) const {
    while (true) {
        const auto found = timelines_.find(at.timeline);
        if (found == timelines_.end() || found->second.parent.nil() ||
            at.lsn > found->second.branch_lsn)
            return at;
        at = {found->second.parent, at.lsn};
    }
}

std::optional<Point> Chronicle::before(Point at) const {
    if (at.lsn == Lsn(0)) return std::nullopt;
    return canonical({at.timeline, at.lsn - 1});
}

// A step on the way to where history begins now.
bool Chronicle::has_dropped(const std::string& node, Point claimed, Point baseline) const {
    const auto said = begins_.find(node);
    if (said == begins_.end() || said->second < baseline.lsn) return false;
    while (baseline.timeline != claimed.timeline) {
        const auto found = timelines_.find(baseline.timeline);
        if (found == timelines_.end() || found->second.parent.nil()) return false;
        baseline = {found->second.parent, std::min(baseline.lsn, found->second.branch_lsn)};
    }
    return claimed.lsn <= baseline.lsn;
}

const Images* Chronicle::image(Point at) {
    at = canonical(at);
    std::vector<Point> way;
    Point from = at;
    while (!images_.contains(from)) {
        if (from.lsn == Lsn(0)) {
            Images zero;
            for (const ByteCount size : sizes_) zero.emplace_back(size.value());
            images_[from] = std::move(zero);
            break;
        }
        if (!steps_.contains(from)) return nullptr;
        way.push_back(from);
        const Point next = *before(from);
        const bool apart =
            apart_.contains(from.timeline) || named_apart_.contains(from.timeline.hex());
        if (next.timeline != from.timeline && apart) return nullptr;
        from = next;
    }
    if (way.empty()) return &images_.at(at);
    Images images = images_.at(from);
    for (auto step = way.rbegin(); step != way.rend(); ++step) {
        const Step& one = steps_.at(*step);
        apply(*one.frame, one.frame->entries()[one.entry], images);
        if (step->lsn.value() % kImageEvery == 0) images_[*step] = images;
    }
    return &(images_[at] = std::move(images));
}

std::optional<Point> Chronicle::step_of(std::uint64_t operation, const SectorRange& range,
                                        bool zero) const {
    if (zero) {
        const auto found = zeroes_.find({range.volume, range.first, range.count});
        if (found == zeroes_.end()) return std::nullopt;
        return found->second;
    }
    const auto found = operations_.find(operation);
    if (found == operations_.end()) return std::nullopt;
    return found->second;
}

Lsn Chronicle::claimed(const std::string& node, Point at) const {
    const auto found = claims_.find(node);
    if (found == claims_.end()) return {};
    const auto claim = found->second.find(at.timeline);
    return claim == found->second.end() ? Lsn() : claim->second;
}

}  // namespace everstep::sim
