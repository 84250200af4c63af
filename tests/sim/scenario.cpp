#include "tests/sim/scenario.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "daemon/group_record.hpp"
#include "tests/sim/chaos.hpp"

namespace everstep::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Time kSafety = seconds(90);
constexpr Time kLiveness = seconds(240);
constexpr Time kStep = milliseconds(500);
constexpr Time kQuiet = seconds(45);
constexpr Time kAnswer = seconds(20);  // of one operation, with `continue`

ClusterOptions draw_options(World& world) {
    ClusterOptions options;
    const std::uint64_t ack = world.below(5);
    options.ack = ack < 2 ? "local" : ack < 3 ? "received" : "durable";
    if (world.one_in(3)) options.ack_standbys = "1";
    if (world.one_in(4)) options.loss = "stall";
    options.standby_timeout_ms = 500 + world.below(4000);
    options.queue_bytes = kSectorBytes << (world.one_in(2) ? 0 : world.below(14));
    options.segment_bytes = world.one_in(2) ? 64U << 10 : 128U << 10;
    options.sizes = {kBlockBytes * (2 + world.below(12)), kBlockBytes * (1 + world.below(4))};
    if (world.one_in(3)) options.sizes[1] += kSectorBytes * (1 + world.below(7));
    return options;
}

class Scenario {
  public:
    explicit Scenario(const ScenarioOptions& options)
        : options_(options),
          world_(options.seed),
          cluster_(world_, draw_options(world_)),
          duty_(world_, cluster_),
          chaos_(world_, cluster_, duty_) {
        world_.set_trace_file(options.trace);
        world_.yield_one_in = 4 + world_.below(200);
        Machine::on_log() = [this](const std::string& node, const std::string& line) {
            duty_.heard(node, line);
        };
        Chronicle& chronicle = cluster_.chronicle();
        chronicle.on_new_timeline = [this](const std::string& node, const TimelineId& timeline) {
            promoted(node, timeline);
        };
        chronicle.on_claim = [this](const std::string& node, Point at) { claimed(node, at); };
    }
    ~Scenario() { Machine::on_log() = nullptr; }
    Scenario(const Scenario&) = delete;
    Scenario& operator=(const Scenario&) = delete;

    ScenarioResult run() {
        for (const std::string& node : kNodes) cluster_.start(node);
        ApplicationOptions use;
        use.volumes = cluster_.volumes();
        use.sizes = cluster_.sizes();
        use.operations = options_.operations;
        use.depth = 1 + world_.below(6);
        use.think_most = world_.between(milliseconds(1), milliseconds(200));
        application_ = std::make_unique<Application>(
            world_, use,
            [this](std::size_t volume) { return cluster_.address(duty_.serving(), volume); },
            [this](std::uint64_t operation, const SectorRange& range, bool zero) {
                return duty_.kept(operation, range, zero);
            });
        duty_.employ(*application_);
        safety();
        liveness();
        ScenarioResult result;
        result.failure = world_.failure();
        result.trace_hash = world_.trace_hash();
        result.probes = world_.probes();
        result.seconds = std::chrono::duration<double>(world_.now()).count();
        result.answered = application_->answered();
        return result;
    }

  private:
    void safety() {
        if (!world_.one_in(8)) chaos_.begin();
        const Time until = kSafety;
        while (world_.now() < until && !application_->done()) {
            world_.run(std::min(until, world_.now() + kStep), [] { return false; });
            if (!world_.failure().empty()) return;
            check_wait();
        }
        world_.run(world_.now() + world_.between(Time(0), seconds(5)), [] { return false; });
        // A takeover that has begun is brought to its end.
        while (duty_.taking_over() && world_.failure().empty())
            world_.run(world_.now() + kStep, [] { return false; });
        chaos_.end();
        if (world_.one_in(3)) lose_cache_in_quiet();
        world_.trace("liveness begins");
    }

    // Long enough for marks of the write-intent map to go; then the primary's device loses what was
    // in its cache, in the same boot: what has no mark has to be on the device.
    void lose_cache_in_quiet() {
        const std::string& node = duty_.serving();
        if (duty_.takeovers() > 0 || !cluster_.machine(node).up()) return;
        for (const std::string& other : kNodes) cluster_.start(other);
        world_.run(world_.now() + kQuiet, [] { return false; });
        if (!world_.failure().empty() || !cluster_.machine(node).up()) return;
        world_.probe("a device lost its cache after a quiet time");
        duty_.device_lost(node);
        cluster_.machine(node).end(Machine::End::storage_reset);
    }

    // Law 7: nothing holds the application but what it has asked for, and a machine that is off.
    void check_wait() {
        if (!cluster_.machine(duty_.serving()).up()) off_ = world_.now();
        if (world_.now() < off_ + kAnswer) return;
        if (cluster_.options().loss == "stall" || application_->oldest_wait() < kAnswer) return;
        world_.fail("law 7", "an operation waits for an answer for 20 s");
    }

    void liveness() {
        const Time until = world_.now() + kLiveness;
        bool verifying = false;
        while (world_.failure().empty()) {
            duty_.look_after();
            world_.run(world_.now() + seconds(1), [] { return false; });
            if (!verifying && application_->done()) {
                verifying = true;
                application_->verify();
            }
            if (duty_.converged() && verifying && application_->verified()) break;
            if (world_.now() < until) continue;
            duty_.tell();
            world_.fail("liveness", !duty_.why_not().empty() ? duty_.why_not()
                                    : !verifying             ? "the application waits for an answer"
                                                 : "the application does not get its bytes");
        }
        if (world_.failure().empty())
            compare();
        else if (world_.failure().starts_with("liveness"))
            world_.print_stacks();
    }

    // Every byte, wherever it lies; every mark that was answered for, somewhere.
    void compare() {
        std::set<std::string> marks;
        for (const std::string& node : kNodes) {
            for (std::size_t v = 0; v < cluster_.sizes().size(); ++v) {
                const Image here = cluster_.raw(node, v);
                if (here != cluster_.raw(duty_.serving(), v) && duty_.takeovers() == 0)
                    world_.fail("equality", fmt::format("{} holds another v{}", node, v));
            }
            if (node == duty_.serving() && duty_.takeovers() == 0) continue;
            marks.merge(inspect(world_, cluster_.chronicle(), cluster_.inspected(node),
                                cluster_.machine(node).disk().state()));
            expected(node);
        }
        for (const auto& [name, at] : cluster_.chronicle().marks())
            if (!marks.contains(name))
                world_.fail("law 1", fmt::format("mark {} of step {} was answered for, and no node "
                                                 "has it",
                                                 name, at.lsn.value()));
    }

    // The raw image of a standby that has applied all is what the application may find.
    void expected(const std::string& node) {
        if (node == duty_.serving()) return;
        for (std::size_t v = 0; v < cluster_.sizes().size(); ++v) {
            const Image image = cluster_.raw(node, v);
            for (std::uint64_t s = 0; s < image.size() / kSectorBytes; ++s) {
                const std::string wrong = application_->expectation().check(
                    v, s, Bytes(image).subspan(s * kSectorBytes, kSectorBytes));
                if (!wrong.empty()) return world_.fail("equality", node + ": " + wrong);
            }
        }
    }

    // What is durable of it, behind the line that the file begins with.
    [[nodiscard]] std::string record_of(const std::string& node) {
        const power::DiskState synced =
            cluster_.machine(node).disk().after_cut({power::Fate::nothing, 0});
        const auto name = synced.names.find("/" + node + "/state/groups/db/group");
        std::string text;
        if (name != synced.names.end())
            for (const std::byte one : *synced.files.at(name->second))
                text += static_cast<char>(one);
        return text.substr(text.find('\n') + 1);
    }

    // Laws 1 and 6: what a node that takes over has called durable lies before its branch point,
    // from when that is durable on.
    void claimed(const std::string& node, Point at) {
        if (!duty_.taking_over() || node != duty_.chosen()) return;
        const std::string text = record_of(node);
        const Result<daemon::GroupRecord> record = daemon::unpack_record(text);
        if (!record.ok() || record->timelines.empty()) return;
        const journal::TimelineInfo& newest = record->timelines.back();
        const bool own = newest.node == node && newest.parent == at.timeline;
        if (!own || at.lsn <= newest.branch_lsn) return;
        world_.fail("law 1", fmt::format("{} calls step {} durable, and takes over at step {}",
                                         node, at.lsn.value(), newest.branch_lsn.value()));
    }

    // Law 6: the new timeline was durable before its first frame left.
    void promoted(const std::string& node, const TimelineId& timeline) {
        if (record_of(node).find(timeline.hex()) == std::string::npos)
            world_.fail("law 6", node + " sent the first frame of timeline " + timeline.hex() +
                                     " before its record was durable");
    }

    ScenarioOptions options_;
    World world_;
    Cluster cluster_;
    Duty duty_;
    Chaos chaos_;
    std::unique_ptr<Application> application_;
    Time off_{0};  // the serving machine, the last time that it was
};

}  // namespace

ScenarioResult run_scenario(const ScenarioOptions& options) {
    return Scenario(options).run();
}

}  // namespace everstep::sim
