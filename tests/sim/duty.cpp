#include "tests/sim/duty.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace everstep::sim {
namespace {

constexpr Time kCutOff = std::chrono::seconds(25);
constexpr Time kTryAgain = std::chrono::milliseconds(500);
constexpr unsigned kTries = 60;
constexpr Time kMembersAsked = std::chrono::seconds(2);
constexpr Time kAdoptAgain = std::chrono::seconds(5);  // the primary's word may be older
constexpr std::uint64_t kBack = 40;
constexpr Time kRace = std::chrono::milliseconds(120);
constexpr Time kRecorded = std::chrono::seconds(1);  // so long may the record of it take

// What a node's log says where a rare branch was taken.
struct Said {
    const char* words;
    const char* probe;
};
constexpr std::array kSaid{
    Said{"alarm-gap: ", "order was lost"},
    Said{"resync: a resync was interrupted", "a resync that was cut begins again"},
    Said{"resync: the primary stopped uncleanly", "a resync behind an unclean stop"},
    Said{"resync: the standby is ahead", "a standby that is ahead of its primary"},
    Said{" is consistent again", "a resync came to its end"},
    Said{"acknowledged writes are brought", "a pull from a standby"},
    Said{"pull: done: 0 bytes", "a pull found nothing different"},
    Said{"while its volumes were brought", "a pull that was cut"},
    Said{" 0 of ", "nothing is marked: nothing is compared"},
    Said{"(new)", "a new timeline was served"},
    Said{"clean, at step", "a clean stop was recorded"},
    Said{"alarm-stop: not clean", "a stop that was not clean"},
    Said{"no standby answered; serving alone", "a start without an answer"},
    Said{"no standby confirmed the timeline", "an unclean start without an answer"},
    Said{"too few standbys answered", "an unclean start with too few answers"},
    Said{"alarm-demoted: ", "an old primary stepped down"},
    Said{"alarm-full: ", "less free than the reserve"},
    Said{"there is room again", "room again"},
    Said{"journal-failed: ", "a store failed"},
    Said{"apply-failed: ", "applying failed"},
    Said{"alarm-retention: ", "retention met an error"},
    Said{"alarm-state: ", "a record could not be saved"},
    Said{"the state can be saved again", "a record could be saved again"},
    Said{"alarm-intent: ", "a write-intent map was given up"},
    Said{"store-recovered: ", "a store cut its torn tail"},
    Said{"has been silent for", "a silent peer was given up"},
    Said{"no Hello within", "a link without a Hello"},
    Said{" has caught up; ", "a standby counts again"},
    Said{"the backlog could not be stored", "a clean stop without room for its backlog"},
    Said{"the spool does not end", "a spool that does not fit"},
    Said{"the wall clock jumped", "step times left the wall clock"},
    Said{"the wall clock is steady again", "step times follow the wall clock again"},
};

// The word behind "db: kind: ".
std::string named_in(const std::string& line, const std::string& before,
                     const std::string& behind) {
    const auto at = line.find(before);
    if (at == line.npos) return {};
    const auto end = line.find(behind, at + before.size());
    return end == line.npos ? std::string()
                            : line.substr(at + before.size(), end - at - before.size());
}

bool asks_to_adopt(const Value& told) {
    return told.at("why").text().find("everstep adopt") != std::string::npos;
}

// Known: where the primary's new timeline leaves a line inside another standby's gap, that one is
// refused, and asks for adopt (tests/sim/README.md).
void note_branch_in_gap(const Value& peer) {
    if (peer.at("why").text().find("its branch point") != std::string::npos)
        probe("a branch point inside a standby's gap");
}

}  // namespace

Duty::Duty(World& world, Cluster& cluster) : world_(world), cluster_(cluster) {}

void Duty::heard(const std::string& node, const std::string& line) {
    for (const Said& said : kSaid)
        if (line.find(said.words) != line.npos) world_.probe(said.probe);
    count(node, line);
    if (const auto step = named_in(line, "history begins at step ", ","); !step.empty())
        cluster_.chronicle().dropped(node, Lsn(std::stoull(step)));
    if (line.find("alarm-gap") != line.npos) lost_order_.insert(node);
    if (line.find("the first copy is done") != line.npos && application_ != nullptr)
        copied_[node] = application_->newest();
    // Its disk counts, whatever it has lost of the step where the line begins; a store has lost
    // nothing.
    const std::string begun = named_in(line, " (", ") begins behind step ");
    const bool own_disk = line.find(": the primary stopped uncleanly") != line.npos ||
                          line.find(": adopted by force") != line.npos;
    if (own_disk && node != chosen_) cluster_.chronicle().begins_apart(begun);
    const bool alone = line.find("too few standbys answered") != line.npos ||
                       line.find("no standby confirmed") != line.npos;
    if (alone && node == lossy_ && application_ != nullptr) {
        world_.probe("a primary came back without what its standbys keep");
        application_->expectation().device_lost(true);
    }
    if (line.find("serving from step") != line.npos && node == lossy_) lossy_.clear();
}

void Duty::count(const std::string& node, const std::string& line) {
    if (const auto name = named_in(line, "alarm-ack: ", " has not answered"); !name.empty()) {
        world_.probe("a standby was declared behind");
        behind_[node].insert(name);
    }
    if (const auto name = named_in(line, "alarm-ack: ", " is behind since"); !name.empty())
        behind_[node].insert(name);
    if (const auto name = named_in(line, " ack: ", " has caught up"); !name.empty())
        behind_[node].erase(name);
    if (line.find("the primary stopped uncleanly") != line.npos &&
        line.find(" timeline: ") != line.npos)
        for (const std::string& other : kNodes)
            if (other != node) compared_[node].insert(other);
    if (const auto name = named_in(line, " resync: ", " is consistent again"); !name.empty())
        compared_[node].erase(name);
    if (line.find("alarm-state: ") != line.npos) unsaved_.insert(node);
    if (line.find("the state can be saved again") != line.npos) unsaved_.erase(node);
    if (line.find("serving from step") != line.npos) unsaved_.erase(node);
    if (node != serving_) return;
    if (!in_force())
        in_force_since_.reset();
    else if (!in_force_since_)
        in_force_since_ = world_.now();
}

std::vector<std::string> Duty::present() const {
    const auto behind = behind_.find(serving_);
    std::vector<std::string> nodes;
    for (const std::string& node : kNodes)
        if (node != serving_ && (behind == behind_.end() || !behind->second.contains(node)))
            nodes.push_back(node);
    return nodes;
}

std::size_t Duty::needed() const {
    return cluster_.options().ack_standbys == "1" ? 1 : kNodes.size() - 1;
}

bool Duty::in_force() const {
    const auto compared = compared_.find(serving_);
    const std::vector<std::string> all = present();
    const auto counts = std::count_if(all.begin(), all.end(), [&](const std::string& node) {
        return compared == compared_.end() || !compared->second.contains(node);
    });
    return !unsaved_.contains(serving_) && static_cast<std::size_t>(counts) >= needed();
}

// What the standbys keep is brought back where `durable` was in force to the end. Elsewhere the
// device's content wins, and those steps stay in history.
void Duty::device_lost(const std::string& node) {
    if (node != serving_) return;
    lossy_ = node;
    const bool kept = in_force_since_ && world_.now() - *in_force_since_ >= kRecorded;
    if (!kept && cluster_.options().ack == "durable")
        world_.probe("a device lost its cache while `durable` was not in force");
    application_->expectation().device_lost(!kept);
}

bool Duty::kept(std::uint64_t operation, const SectorRange& range, bool zero) {
    const ClusterOptions& options = cluster_.options();
    if (options.ack != "durable") return false;
    const std::vector<std::string> all = present();
    if (all.size() < needed()) return false;
    const auto at = cluster_.chronicle().step_of(operation, range, zero);
    // Written while order was lost: it went with the resync, whose end they have called durable; or
    // with a first copy.
    const auto copied = copied_.find(serving_);
    const bool in_copy = copied != copied_.end() && operation <= copied->second;
    if (!at && (in_copy || lost_order_.contains(serving_))) return true;
    const auto holds = [&](const std::string& node) {
        return at && cluster_.chronicle().claimed(node, *at) >= at->lsn;
    };
    if (static_cast<std::size_t>(std::count_if(all.begin(), all.end(), holds)) >= needed())
        return true;
    world_.fail("law 1", fmt::format("{} answered operation {} while `durable` is in force, and "
                                     "not {} standbys have called step {} durable",
                                     serving_, operation, needed(), at ? at->lsn.value() : 0));
    return false;
}

std::string Duty::furthest() const {
    std::string best;
    Lsn lsn;
    for (const std::string& node : kNodes) {
        if (node == serving_) continue;
        Lsn own;
        for (const auto& [timeline, claim] : cluster_.chronicle().claims(node))
            own = std::max(own, claim);
        if (best.empty() || own > lsn) {
            best = node;
            lsn = own;
        }
    }
    return best;
}

void Duty::take_over() {
    if (taking_) return;
    taking_ = true;
    const std::string node = chosen_ = furthest();
    world_.trace("operator: " + serving_ + " is cut off, " + node + " is to take over");
    for (const std::string& other : kNodes) {
        if (other == serving_) continue;
        cluster_.network().block(serving_, other, world_.now() + kCutOff);
        cluster_.network().block(other, serving_, world_.now() + kCutOff);
    }
    // Heard of at once, or when the node has been silent for long.
    if (world_.one_in(2))
        for (const std::string& other : kNodes)
            if (other != serving_) cluster_.network().break_all(serving_, other);
    if (world_.one_in(2)) take_time(node);
    try_take_over(node, kTries);
}

// It takes over slowly: it was rewound, and its disk takes its time.
void Duty::take_time(const std::string& node) {
    DiskFaults& faults = cluster_.machine(node).disk().faults;
    faults.slow_most = world_.between(std::chrono::milliseconds(1), std::chrono::milliseconds(60));
    cluster_.ask(node, {"rewind", {{"group", "db"}, {"point", fmt::format("head~{}", kBack)}}},
                 [this](const wire::AdminReply& reply) {
                     if (reply.error == ErrorCode::ok)
                         world_.probe("a rewound standby is to take over");
                 });
}

void Duty::try_take_over(const std::string& node, unsigned left) {
    if (left == 0) {
        taking_ = false;
        return;
    }
    // The link may come back while the node takes over: it waits so long for the others' answers.
    // Not where it was refused before: it would be refused as long as the link is there.
    const auto answered = std::make_shared<bool>(false);
    if (world_.one_in(2))
        world_.at(world_.now() + kMembersAsked + world_.between(-kRace, kRace), 0,
                  [this, node, answered] {
                      if (*answered) return;
                      world_.probe("a link came back while a node took over");
                      cluster_.network().free(node, serving_);
                  });
    cluster_.ask(node, {"takeover", {{"group", "db"}, {"force", "1"}}},
                 [this, node, left, answered](const wire::AdminReply& reply) {
                     *answered = true;
                     if (reply.error == ErrorCode::ok) return taken(node);
                     world_.trace("operator: takeover: " + reply.message);
                     world_.at(world_.now() + kTryAgain, 0,
                               [this, node, left] { try_take_over(node, left - 1); });
                 });
}

// The application moves a little later.
void Duty::taken(const std::string& node) {
    ++takeovers_;
    world_.probe("a takeover");
    world_.at(world_.now() + world_.between(Time(0), std::chrono::seconds(2)), 0, [this, node] {
        application_->leave([this, node] {
            world_.trace("operator: the application uses " + node);
            serving_ = node;
            in_force_since_.reset();
            lossy_.clear();
            taking_ = false;
            application_->expectation().taken_over();
        });
    });
}

void Duty::look_after() {
    judge();
    for (const std::string& node : kNodes) {
        if (!cluster_.machine(node).up()) {
            status_.erase(node);
            cluster_.start(node);
            continue;
        }
        cluster_.status(node, [this, node](const Value& group) {
            status_[node] = group;
            tend(node, group);
        });
    }
}

void Duty::adopt(const std::string& node) {
    if (const auto last = adopted_.find(node);
        last != adopted_.end() && world_.now() < last->second + kAdoptAgain)
        return;
    adopted_[node] = world_.now();
    world_.probe("a node was adopted");
    cluster_.ask(node, {"adopt", {{"group", "db"}, {"from", serving_}}},
                 [this, node](const wire::AdminReply& reply) {
                     world_.trace("operator: adopt on " + node + ": " + reply.message);
                     if (reply.error == ErrorCode::ok) cluster_.chronicle().forget(node);
                 });
}

// The primary's own writes have emptied a small volume, or a power cut has: nobody has changed the
// disk, and the operator, who is asked, knows it. What only the standbys keep is given up with that
// word where a cache was lost (DESIGN.md 5, "Unknown disks").
void Duty::trust_disk() {
    world_.probe("a disk that looked emptied was trusted by the operator");
    if (lossy_ == serving_) application_->expectation().device_lost(true);
    cluster_.ask(serving_, {"adopt", {{"group", "db"}, {"force", "1"}}},
                 [this](const wire::AdminReply& reply) {
                     world_.trace("operator: adopt --force: " + reply.message);
                 });
}

// What the node's own words ask for.
void Duty::tend(const std::string& node, const Value& group) {
    const std::string state = group.at("state").text();
    if (!group.at("held_at").is_null())
        cluster_.ask(node, {"resume", {{"group", "db"}}}, [](const wire::AdminReply&) {});
    const Value::List* peers = group.at("peers").as_list();
    for (std::size_t i = 0; node == serving_ && peers != nullptr && i < peers->size(); ++i) {
        note_branch_in_gap((*peers)[i]);
        if (asks_to_adopt((*peers)[i])) adopt((*peers)[i].at("node").text());
    }
    if (state == "serving" && node != serving_ && !taking_) {
        // The answer to its takeover did not come.
        taking_ = true;
        taken(node);
    } else if (node == serving_ && state == "refused" &&
               group.at("why").text().find("is empty now") != std::string::npos) {
        trust_disk();
    } else if (asks_to_adopt(group) && node != serving_) {
        adopt(node);
    } else if (state == "failed") {
        world_.probe("a failed node was started again");
        cluster_.stop(node);
    }
}

// For the trace.
void Duty::tell() {
    for (const auto& [node, group] : status_) {
        std::string text = node + ": " + group.at("role").text() + ' ' + group.at("state").text() +
                           ' ' + group.at("why").text() + "; captured " +
                           group.at("positions").at("captured").text();
        const Value::List* peers = group.at("peers").as_list();
        for (std::size_t i = 0; peers != nullptr && i < peers->size(); ++i) {
            const Value& peer = (*peers)[i];
            for (const char* key :
                 {"node", "state", "why", "replica", "received", "durable", "applied", "compare"})
                text += (std::string(key) == "node" ? "; " : ", ") + std::string(key) + ' ' +
                        peer.at(key).text();
        }
        world_.trace(text);
    }
}

void Duty::judge() {
    why_not_.clear();
    const auto primary = status_.find(serving_);
    if (primary == status_.end() || primary->second.at("state").text() != "serving")
        why_not_ = serving_ + " does not serve: " +
                   (primary == status_.end() ? "down" : primary->second.at("why").text());
    for (const std::string& node : kNodes) {
        const auto found = status_.find(node);
        if (node == serving_ || !why_not_.empty()) continue;
        if (found == status_.end() || found->second.at("state").text() != "streaming") {
            why_not_ = node + " is " +
                       (found == status_.end() ? "down"
                                               : found->second.at("state").text() + ": " +
                                                     found->second.at("why").text());
            continue;
        }
        const Value& has = found->second.at("positions");
        const Value& wanted = primary->second.at("positions");
        for (const char* name : {"durable", "applied"})
            if (has.at(name).number() != wanted.at("captured").number())
                why_not_ = fmt::format("{}: {} is {}, captured {}", node, name,
                                       has.at(name).number(), wanted.at("captured").number());
    }
    converged_ = why_not_.empty() ? converged_ + 1 : 0;
}

}  // namespace everstep::sim
