// Primary: when marks of the write-intent map go, and when they count (docs/write-intent-map.md).
#include <algorithm>

#include <fmt/format.h>

#include "daemon/added_volumes.hpp"
#include "daemon/primary.hpp"
#include "daemon/standby_changes.hpp"
#include "daemon/volume_files.hpp"

namespace everstep::daemon {

// The map of the last run is that of these disks and standbys, and what it may lack was lost with
// no power.
bool Primary::intent_usable() const {
    const std::optional<IntentRecord>& intent = context_.record.intent;
    if (!intent || intent_ != IntentBegin::as_stored) return false;
    const bool same_boot = !context_.boot.nil() && intent->boot == context_.boot;
    const std::vector<std::string> standbys = context_.peers();
    const bool bits = std::all_of(standbys.begin(), standbys.end(), [&](const std::string& name) {
        return bit_in(intent->standbys, name) < intent->standbys.size();
    });
    return (same_boot || was_clean_) && bits;
}

void Primary::forget_intent() {
    for (auto& [name, peer] : context_.record.peers) peer.proved.reset();
    context_.record.intent.reset();
}

void Primary::prepare_intent() {
    GroupRecord& record = context_.record;
    const std::vector<std::string> standbys = context_.peers();
    const bool wanted =
        store_ == nullptr && !standbys.empty() && standbys.size() <= kIntentStandbysMax;
    if (!wanted || !intent_usable()) forget_intent();
    if (!wanted) return;
    if (!record.intent) {
        // What is left of an older one bears another id, so that it counts as marked.
        if (intent_ == IntentBegin::as_stored) intent_ = IntentBegin::all_marked;
        record.intent = IntentRecord{Uuid::random(), {}, standbys};
    }
    record.intent->boot = context_.boot;
    intent_bits_ = record.intent->standbys;
}

IntentOptions Primary::intent_options() const {
    const std::optional<IntentRecord>& intent = context_.record.intent;
    if (!intent) return {};
    IntentOptions options{
        context_.directory + "/intent", intent->id, intent_, intent->standbys.size(), {}};
    for (const auto& [name, peer] : context_.record.peers)
        if (peer.joining) options.all_of.push_back(bit_of(name));
    return options;
}

Status Primary::intent_lost(const Status& why) {
    std::optional<IntentRecord>& intent = context_.record.intent;
    const std::optional<IntentRecord> before = std::exchange(intent, std::nullopt);
    const Status saved = context_.save();
    if (!saved.ok()) intent = before;
    const std::string so = saved.ok() ? "after the next crash everything is compared"
                                      : "nor can that be recorded (" + saved.message() +
                                            "): writes to regions that are not marked fail";
    context_.event("alarm-intent",
                   "the write-intent map cannot be written: " + why.message() + "; " + so);
    return saved;
}

// As the record has them, when it does; the maps know them also behind intent_lost(), and a start
// asks before it serves.
std::size_t Primary::bit_of(const std::string& node) const {
    const std::optional<IntentRecord>& intent = context_.record.intent;
    return bit_in(intent ? intent->standbys : intent_bits_, node);
}

// What the standby had when marks of it went, it has at `at` still.
bool Primary::proved_before(const std::string& node, Point at) const {
    const auto peer = context_.record.peers.find(node);
    if (peer == context_.record.peers.end() || !peer->second.proved) return true;
    return leads_to(context_.record.timelines, *peer->second.proved, at);
}

// Takes down how far each standby has everything. Never less than was taken down before, as long as
// that lies on this line: marks may have gone for its sake.
std::vector<Lsn> Primary::prove() {
    GroupRecord& record = context_.record;
    if (!record.intent) return {};
    std::vector<Lsn> durable(record.intent->standbys.size());
    for (const auto& [name, standing] : standings_) {
        PeerRecord& peer = record.peers[name];
        if (!standing.session || standing.lost_order || !peer.compare.empty()) continue;
        const wire::Ack& acked = standing.session->acked();  // not what an older session was told
        const bool whole = standing.session->state() == SendSession::State::streaming &&
                           acked.consistent && !acked.timeline.nil();
        if (!whole) continue;
        const Point at{record.timelines.back().id, acked.durable};
        durable[bit_of(name)] = at.lsn;
        if (!peer.proved || !leads_to(record.timelines, at, *peer.proved)) peer.proved = at;
    }
    return durable;
}

// Clients may write meanwhile. What is found counts once it is on the device.
Status Primary::sample_in_use() {
    if (store_ != nullptr) return sample();
    const Result<SampleCounts> found = sample_served(context_);
    if (!found.ok()) return found.status();
    if (pipeline_ == nullptr) return {};
    pipeline_->sync_devices([this, alive = alive_, counts = *found] {
        if (*alive == nullptr || state_ != State::serving) return;
        if (!count_samples(context_, counts)) return;
        if (!save()) return;  // an alarm; the next save takes it along
    });
    return {};
}

// Marks go only behind the record that proves it.
void Primary::save_progress() {
    const GroupRecord before = context_.record;
    const std::vector<Lsn> proved = prove();
    if (sealed_.point.lsn.value() != saved_lsn_) {
        context_.record.tip = sealed_;
        context_.record.step = stepped_;
        if (context_.record.ack_kept)
            context_.record.acked = std::min(released_, sealed_.point.lsn);
        sample_in_use().ignore("a help to recognise a volume, taken again later");
    }
    if (pack_record(context_.record) != pack_record(before) && !save()) {
        context_.record = before;
        return;
    }
    saved_lsn_ = sealed_.point.lsn.value();
    pipeline_->known_durable(proved);
}

// Where a pull from the peer has to look: everywhere, where the map does not say less.
std::vector<journal::GapExtent> Primary::to_pull(const StartDecision& decision) {
    std::vector<journal::GapExtent> extents;
    const bool map = intent_usable() && context_.record.pulling.empty() &&
                     proved_before(decision.peer, decision.tip.point);
    for (std::size_t i = 0; i < context_.group->volumes.size(); ++i) {
        const std::string& name = context_.group->volumes[i].name;
        for (const VolumeRecord& volume : context_.record.volumes) {
            // What the peer has of one that it has not all of is no content to bring.
            const bool whole = whole_at(volume, decision.timelines, decision.tip.point).ok();
            if (volume.name != name || !whole) continue;
            std::vector<journal::GapExtent> more{{VolumeIndex(i), ByteOffset(0), volume.size}};
            if (map) {
                const IntentPlace place{context_.directory + "/intent/" + name,
                                        context_.record.intent->id, VolumeIndex(i), volume.size,
                                        context_.record.intent->standbys.size()};
                std::vector<std::string> report;
                const auto stored = IntentMap::open(
                    *context_.files, place, {IntentBegin::as_stored, context_.record.tip.point.lsn},
                    report);
                for (const std::string& line : report) context_.event("intent", line);
                if (!stored.ok()) context_.event("intent", stored.status().message());
                if (stored.ok()) more = (*stored)->marked(bit_of(decision.peer));
            }
            extents.insert(extents.end(), more.begin(), more.end());
        }
    }
    return extents;
}

// Of the volumes.
std::string Primary::share_of(const std::vector<journal::GapExtent>& extents) const {
    std::uint64_t bytes = 0;
    std::uint64_t total = 0;
    for (const journal::GapExtent& one : extents) bytes += one.length.value();
    for (const VolumeRecord& one : context_.record.volumes) total += one.size.value();
    return fmt::format("{} of {} bytes", bytes, total);
}

void Primary::send_may_differ(Standing& standing, Point from,
                              std::function<void(std::vector<journal::GapExtent>)> done) {
    const std::string& name = standing.peer->name();
    const bool all = !proved_before(name, from) || context_.record.peers[name].joining;
    pipeline_->may_differ(bit_of(name), all,
                          [this, alive = alive_, name,
                           done = std::move(done)](std::vector<journal::GapExtent> extents) {
                              if (*alive == nullptr) return;
                              extents = verify_.with_repair(name, std::move(extents));
                              context_.event("resync", name + ": " + share_of(extents) +
                                                           " may differ and are compared");
                              done(std::move(extents));
                          });
}

}  // namespace everstep::daemon
