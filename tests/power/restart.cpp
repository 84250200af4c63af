#include "tests/power/restart.hpp"

#include <algorithm>

#include "journal/record_bodies.hpp"
#include "journal/record_scan.hpp"

namespace everstep::power {
namespace {

std::string not_ok(const char* what, const Status& status) {
    return status.ok() ? std::string() : std::string(what) + ": " + status.message();
}

// The blocks of one undo file's images: none may be there twice.
std::string taken_once(const io::File& file) {
    const auto header = journal::read_header(file, journal::FileKind::undo);
    if (!header.ok()) return header.status().message();
    std::set<std::pair<std::uint64_t, std::uint64_t>> blocks;
    std::string twice;
    const auto end =
        journal::scan_records(file, *header, [&](const journal::ScannedRecord& record) {
            if (record.envelope.kind != journal::RecordKind::images) return Status();
            const auto table = journal::unpack_image_table(record.body);
            for (const auto& e : *table)
                for (std::uint64_t b = e.block; b < e.block + e.blocks; ++b)
                    if (!blocks.emplace(e.volume.value(), b).second)
                        twice = file.path() + ": block " + std::to_string(b) + " of volume " +
                                std::to_string(e.volume.value()) + " has two before-images";
            return Status();
        });
    return twice.empty() ? not_ok("scan", end.status()) : twice;
}

}  // namespace

// The first thing that does not hold is what it says.
#define EVERSTEP_HOLDS(expression)                                             \
    do {                                                                       \
        if (std::string fault_ = (expression); !fault_.empty()) return fault_; \
    } while (false)

std::string Restart::run() {
    figures_.recoveries += 1;
    EVERSTEP_HOLDS(open());
    if (!node_.store().has_history()) {
        figures_.without_history += 1;
        return promise_.begun ? "the history is gone" : "";
    }
    EVERSTEP_HOLDS(check_promise());
    EVERSTEP_HOLDS(compare_all(1));
    // What it says to be durable now is what the node tells its primary.
    promise_.begun = true;
    promise_.durable.resize(past_.lines().size());
    promise();
    EVERSTEP_HOLDS(recover());
    EVERSTEP_HOLDS(go_on());
    EVERSTEP_HOLDS(compare_all(random_() % 4 == 0 ? 1 : 8));
    return check_images();
}

void Restart::promise() {
    promise_.catalogue = catalogue_.states();
    const Point durable = node_.store().consistent();
    for (const auto& line : node_.store().timelines()) {
        auto& known = promise_.durable[*past_.number_of(line.id)];
        known = std::max(known.value_or(line.branch_lsn), line.branch_lsn);
    }
    auto& line = promise_.durable[*past_.number_of(durable.timeline)];
    line = std::max(line.value_or(durable.lsn), durable.lsn);
    promises_.push_back(promise_);
    disk_.note(promises_.size() - 1);
}

journal::lab::MemoryCatalogue::States Restart::some_of(
    journal::lab::MemoryCatalogue::States states) {
    const std::size_t all = states.size();
    if (random_() % 3 == 0) states.resize(random_() % (all + 1));
    if (!states.empty() && !states.back()->entries.empty()) {
        figures_.catalogued += 1;
        if (states.size() < all) figures_.catalogue_old += 1;
    }
    return states;
}

std::string Restart::open() {
    for (const auto& [name, id] : disk_.files_now().names)
        if (name.ends_with(".new")) figures_.segment_begun += 1;
    EVERSTEP_HOLDS(not_ok("it does not open", node_.open()));
    for (const std::string& line : node_.report())
        if (line.find("torn tail") != line.npos) figures_.torn_tails += 1;
    for (const std::string& line : node_.report())
        if (line.find("catalogue") != line.npos) return "the catalogue does not fit: " + line;
    count_retention();
    return {};
}

void Restart::count_retention() {
    if (!promise_.going.empty()) figures_.retention += 1;
    if (!promise_.gone.empty()) figures_.dropped += 1;
    if (!node_.store().thinned().empty()) figures_.thinned += 1;
    for (const auto& [name, id] : disk_.files_now().names)
        if (name.find("/pool-") != name.npos) {
            figures_.pooled += 1;
            break;
        }
}

std::string Restart::check_promise() {
    const journal::Store& store = node_.store();
    const journal::ReplicaState replica = store.replica();
    if (replica.low != replica.high) figures_.half_applied += 1;
    if (replica.held) figures_.held += 1;
    if (store.timelines().size() > 1) figures_.branches += 1;
    if (store.gap_open()) figures_.gaps += 1;
    if (promise_.held && *promise_.held != Held{replica.held, replica.held_at})
        return "held is not what it was set to";
    if (store.durable() != store.tip()) return "what a start finds is not called durable";
    return check_marks();
}

std::string Restart::check_marks() {
    std::map<std::string, Point> found;
    for (const journal::Mark& mark : node_.store().marks()) found[mark.name] = mark.at;
    for (const auto& [name, at] : promise_.marks)
        if (!found.contains(name) || found[name] != at) return "lost: " + name;
    for (const auto& [name, at] : found)
        if (!promise_.marks.contains(name) && !promise_.marks_maybe.contains(name))
            return name + " is there again, or too early";
    return {};
}

std::string Restart::compare_all(std::uint64_t one_in) {
    Going going;
    std::set<TimelineId> known;
    for (const auto& line : node_.store().timelines()) {
        const auto n = past_.number_of(line.id);
        if (!n) return "a timeline that never was";
        if (line != past_.lines()[*n].writer.timeline()) return "another timeline under an id";
        known.insert(line.id);
        EVERSTEP_HOLDS(compare_line(*n, one_in, going));
    }
    if (going.there != 0 && going.gone != 0)
        return "retention was cut: " + std::to_string(going.gone) + " steps are gone, " +
               std::to_string(going.there) + " are not";
    if (going.gone != 0) figures_.retention_done += 1;
    for (std::size_t n = 0; n < promise_.durable.size(); ++n)
        if (promise_.durable[n] && !known.contains(past_.lines()[n].writer.timeline().id))
            return "lost: line " + std::to_string(n) + " was durable";
    return {};
}

// Its own steps: those that were durable are there but for what retention took; of the others none
// behind the first that is missing.
std::string Restart::compare_line(std::size_t n, std::uint64_t one_in, Going& going) {
    const journal::lab::Primary& writer = past_.lines()[n].writer;
    bool there = true;
    for (Lsn lsn = writer.timeline().branch_lsn; lsn <= writer.head(); ++lsn) {
        const Point point{writer.timeline().id, lsn};
        const auto view = node_.store().view(point);
        if (!past_.is_point(point)) {
            if (view.ok()) return name_of(point) + " is the inside of a gap and can be read";
            continue;
        }
        const Point own = past_.owner(point);
        if (promise_.gone.contains(own)) {
            if (view.ok()) return name_of(point) + " was dropped and is there again";
            continue;
        }
        if (promise_.going.contains(own)) {
            (view.ok() ? going.there : going.gone) += 1;
            if (!view.ok()) continue;
        }
        const bool durable =
            n < promise_.durable.size() && promise_.durable[n] && lsn <= *promise_.durable[n];
        if (durable && !view.ok())
            return "lost: " + name_of(point) + " was durable: " + view.status().message();
        if (view.ok() && !there) return name_of(point) + " is there, one before it is not";
        there = view.ok();
        if (!there || random_() % one_in != 0) continue;
        EVERSTEP_HOLDS(compare_step(point, *view));
    }
    return {};
}

std::string Restart::compare_step(const Point& point, const journal::View& view) {
    const auto found = node_.read(view);
    EVERSTEP_HOLDS(not_ok("read", found.status()));
    figures_.steps_compared += 1;
    const std::string wrong = difference(*found, past_.image(point));
    return wrong.empty() ? wrong : "wrong: " + name_of(point) + ": " + wrong;
}

// The replica stands at one step and is that step.
std::string Restart::check_raw(const char* when) {
    const journal::ReplicaState at = node_.store().replica();
    const Point point{at.line, at.low.lsn};
    const bool in_gap = !past_.gaps.empty() && (at.low.sub != 0 || !past_.is_point(point));
    if (at.low != at.high || (at.low.sub != 0 && !in_gap))
        return std::string("the replica is between two steps ") + when;
    if (in_gap) return {};
    const std::string wrong = difference(node_.raw(), past_.image(point));
    if (wrong.empty()) return {};
    return "the raw replica at " + name_of(point) + ", " + when + ": " + wrong;
}

// As ApplyStage begins.
std::string Restart::recover() {
    EVERSTEP_HOLDS(not_ok("redo", node_.mover().redo()));
    EVERSTEP_HOLDS(check_raw("after redo"));
    const journal::ReplicaState at = node_.store().replica();
    if (!at.held) return {};
    EVERSTEP_HOLDS(not_ok("reach", node_.mover().reach(at.held_at)));
    return check_raw("where it is held");
}

std::string Restart::go_on() {
    EVERSTEP_HOLDS(resend(random_() % 4));
    if (random_() % 3 == 0) EVERSTEP_HOLDS(travel());
    while (true) {
        const auto more = node_.apply_some(Bug::none);
        EVERSTEP_HOLDS(not_ok("apply", more.status()));
        if (!*more) break;
        if (random_() % 8 == 0) EVERSTEP_HOLDS(resend(1));
        if (random_() % 8 == 0) EVERSTEP_HOLDS(not_ok("tend", node_.tend()));
        promise();
    }
    EVERSTEP_HOLDS(check_raw("when all is applied"));
    if (random_() % 2 == 0) EVERSTEP_HOLDS(not_ok("sync_low", node_.store().sync_low()));
    return {};
}

// The primary sends again what this node does not have; after that the line that came next.
std::string Restart::resend(std::uint64_t count) {
    journal::Store& store = node_.store();
    for (; count > 0; --count) {
        if (const PastGap* gap = gap_ahead()) {
            EVERSTEP_HOLDS(end_gap(*gap));
            continue;
        }
        const journal::Tip tip = store.tip();
        const std::size_t n = *past_.number_of(tip.point.timeline);
        const auto& frames = past_.lines()[n].frames;
        const auto next = std::find_if(frames.begin(), frames.end(), [&](const FramePtr& frame) {
            return tip.seq < frame->header().seq;
        });
        if (next != frames.end()) {
            EVERSTEP_HOLDS(not_ok("append", store.append({&*next, 1})));
        } else if (n + 1 < past_.lines().size()) {
            const auto& line = past_.lines()[n + 1].writer.timeline();
            EVERSTEP_HOLDS(not_ok("append_timeline", store.append_timeline(line)));
        }
        if (random_() % 3 == 0) continue;
        EVERSTEP_HOLDS(not_ok("sync", store.sync()));
        promise();
    }
    return {};
}

// One in which the store stands or before which it stands.
const PastGap* Restart::gap_ahead() {
    const auto open = node_.store().gap_open();
    const Point tip = node_.store().tip().point;
    const std::size_t n = *past_.number_of(tip.timeline);
    for (const PastGap& gap : past_.gaps)
        if (!gap.batch && gap.line == n && gap.from == (open ? open->from.lsn : tip.lsn))
            return &gap;
    return nullptr;
}

std::string Restart::end_gap(const PastGap& gap) {
    journal::Store& store = node_.store();
    const PastLine& line = past_.lines()[gap.line];
    const TimelineId id = line.writer.timeline().id;
    if (!store.gap_open())
        EVERSTEP_HOLDS(not_ok("open_gap", store.open_gap({id, gap.from}, "lost again")));
    if (store.tip().point.lsn == gap.from) {
        for (const journal::lab::TestWrite& write : gap.lost) {
            const FramePtr frame = past_.resync_frame(gap, write, gap.from);
            EVERSTEP_HOLDS(not_ok("append_resync", store.append_resync(frame)));
            if (random_() % 2 == 0) EVERSTEP_HOLDS(not_ok("sync", store.sync()));
            if (random_() % 2 == 0)
                EVERSTEP_HOLDS(not_ok("apply", node_.apply_some(Bug::none).status()));
        }
        const auto end = std::find_if(
            line.frames.begin(), line.frames.end(),
            [&](const FramePtr& frame) { return frame->header().first_lsn == gap.to; });
        EVERSTEP_HOLDS(not_ok("append", store.append({&*end, 1})));
    }
    EVERSTEP_HOLDS(not_ok("close_gap", store.close_gap({id, gap.to})));
    EVERSTEP_HOLDS(not_ok("sync", store.sync()));
    promise();
    return {};
}

std::string Restart::travel() {
    promise_.held.reset();
    promise();
    Held held;
    if (node_.store().replica().held) {
        EVERSTEP_HOLDS(not_ok("resume", node_.travel().resume(false).status()));
    } else {
        const std::size_t n = *past_.number_of(node_.store().durable().point.timeline);
        const TimelineId line = past_.lines()[n].writer.timeline().id;
        std::vector<Point> points;
        for (Lsn lsn(0); lsn <= *promise_.durable[n]; ++lsn)
            if (past_.is_point({line, lsn}) && node_.store().view({line, lsn}).ok())
                points.push_back({line, lsn});
        held = {true, points[random_() % points.size()]};
        EVERSTEP_HOLDS(not_ok("rewind", node_.travel().rewind(held.at, false).status()));
    }
    promise_.held = held;
    promise();
    return {};
}

std::string Restart::check_images() {
    node_.close();
    for (const auto& [name, id] : disk_.state().names) {
        if (!journal::parse_file_name(journal::FileKind::undo, name.substr(name.rfind('/') + 1)))
            continue;
        const auto file = disk_.open(name, {});
        EVERSTEP_HOLDS(not_ok("undo file", file.status()));
        EVERSTEP_HOLDS(taken_once(**file));
    }
    return {};
}

}  // namespace everstep::power
