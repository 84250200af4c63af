#include "tests/power/swarm.hpp"

#include <fmt/format.h>

#include <iterator>

namespace everstep::power {
namespace {

// With up to this many operations that are not synced every subset is tried.
constexpr std::size_t kAllSubsets = 2;

class Cutter {
  public:
    Cutter(const CutLog& what, const CutOptions& options, Figures& figures)
        : what_(what), options_(options), figures_(figures), random_(options.seed) {}
    std::string run() {
        return cut(PowerCut(DiskState()), what_.log, {what_.past.promises, Promise(), 1});
    }

  private:
    struct Promises {
        std::vector<Promise> noted;
        Promise before;  // any note
        unsigned depth;
    };

    // Cuts at every place of a log (at depth 2: at a few).
    // `power`: what the disk may lose when the log begins.
    std::string cut(PowerCut power, const std::vector<DiskOp>& log, const Promises& promises) {
        const Promise* promise = &promises.before;
        const std::uint64_t one_in =
            promises.depth == 1 ? options_.one_in : std::max<std::uint64_t>(1, log.size() / 4);
        for (std::size_t n = 0; n < log.size(); ++n) {
            power.pass(log[n]);
            learn_name(log[n]);
            if (log[n].kind == DiskOp::Kind::note) promise = &promises.noted[log[n].length];
            if (n + 1 < log.size() && log[n + 1].kind == DiskOp::Kind::note) continue;
            if (random_() % one_in != 0) continue;
            between_image_and_replica_ = promises.depth == 1 && is_between(log, n);
            for (const Choice& choice : choices(power, promises.depth)) {
                const std::string fault = start(power, choice, {{}, *promise, promises.depth});
                if (!fault.empty())
                    return fmt::format("cut behind operation {} of {} at depth {}, fate {} {}: {}",
                                       n, log.size(), promises.depth, static_cast<int>(choice.fate),
                                       choice.bits, fault);
            }
        }
        return {};
    }

    std::vector<Choice> choices(const PowerCut& power, unsigned depth) {
        if (power.pending() == 0) return {{Fate::nothing}};
        if (depth > 1) return {{Fate::random, random_()}};
        std::vector<Choice> out{{Fate::nothing}, {Fate::everything}};
        if (power.pending() <= kAllSubsets)
            for (std::uint64_t bits = 1; bits + 1 < 1ULL << power.pending(); ++bits)
                out.push_back({Fate::subset, bits});
        for (std::uint64_t n = 0; n < options_.states; ++n)
            out.push_back({Fate::random, random_()});
        return out;
    }

    std::string start(const PowerCut& power, const Choice& choice, const Promises& promises) {
        const DiskState state = power.after(choice);
        MemoryDisk disk(state);
        if (between_image_and_replica_) figures_.image_not_replica += 1;
        if (promises.depth > 1) figures_.second += 1;
        Restart restart(disk, {what_.past, what_.node, promises.before, figures_}, random_());
        const std::string fault = restart.run();
        if (!fault.empty() || promises.depth > 1 || random_() % options_.second_in != 0)
            return fault;
        const std::vector<DiskOp> log = disk.take_log();
        // Where everything was there it may have been the process that ended and not the power:
        // then what was not synced may still be lost.
        const bool killed = choice.fate == Fate::everything && random_() % 2 == 0;
        if (killed) figures_.killed += 1;
        return cut(killed ? power : PowerCut(state), log,
                   {restart.promises(), promises.before, promises.depth + 1});
    }

    void learn_name(const DiskOp& op) {
        if (op.kind == DiskOp::Kind::create) names_[op.file] = op.name;
    }
    // The before-images are synced, and the next change is the replica's.
    bool is_between(const std::vector<DiskOp>& log, std::size_t n) {
        return log[n].kind == DiskOp::Kind::sync &&
               names_[log[n].file].find("/undo-") != std::string::npos && n + 1 < log.size() &&
               log[n + 1].kind == DiskOp::Kind::write &&
               names_[log[n + 1].file].starts_with("/images/");
    }

    const CutLog& what_;
    const CutOptions& options_;
    Figures& figures_;
    std::mt19937_64 random_;
    std::map<FileId, std::string> names_;
    bool between_image_and_replica_ = false;
};

struct Named {
    const char* name;
    std::uint64_t Figures::*value;
};
constexpr Named kFigures[] = {
    {"recoveries", &Figures::recoveries},
    {"of a recovery that was cut itself", &Figures::second},
    {"killed first", &Figures::killed},
    {"steps compared", &Figures::steps_compared},
    {"before any history", &Figures::without_history},
    {"replica between two steps", &Figures::half_applied},
    {"torn tails", &Figures::torn_tails},
    {"held", &Figures::held},
    {"with branches", &Figures::branches},
    {"inside a gap", &Figures::gaps},
    {"in the making of a segment", &Figures::segment_begun},
    {"files with old records", &Figures::recycled_files},
    {"between before-image and replica", &Figures::image_not_replica},
    {"inside retention", &Figures::retention},
    {"inside retention, what went is gone", &Figures::retention_done},
    {"behind retention", &Figures::dropped},
    {"with condensed segments", &Figures::thinned},
    {"with files in the pool", &Figures::pooled},
    {"opened by the catalogue", &Figures::catalogued},
    {"opened by an older catalogue", &Figures::catalogue_old},
};

}  // namespace

NodeOptions small_node(std::uint64_t seed) {
    NodeOptions node;
    node.sizes = {ByteCount(48 << 10), ByteCount(23 * kSectorBytes)};
    node.segment_bytes = ByteCount((24 + seed / 2 % 4 * 8) << 10);
    node.group = journal::lab::test_uuid(0x11);
    if (seed % 4 < 2) node.whole_index_bytes = ByteCount(1 << 20);
    return node;
}

std::string cut_log(const CutLog& what, const CutOptions& options, Figures& figures) {
    return Cutter(what, options, figures).run();
}

std::string run_seed(const SwarmOptions& options, Figures& figures) {
    const std::uint64_t seed = options.cut.seed;
    const NodeOptions node = small_node(seed);
    Past past(node.group, node.sizes);
    MemoryDisk disk;
    Workload workload(disk, past, node,
                      {.seed = seed,
                       .operations = options.operations,
                       .bug = options.bug,
                       .recycled = seed % 2 == 1});
    const std::string fault = workload.run();
    if (!fault.empty()) return "before any cut: " + fault;
    figures.recycled_files += workload.recycled_files();
    const std::vector<DiskOp> log = disk.take_log();
    return cut_log({past, node, log}, options.cut, figures);
}

std::string figures_text(const Figures& figures) {
    std::string text;
    for (const Named& one : kFigures)
        text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", one.name, figures.*one.value);
    return text;
}

std::string missing_in(const Figures& figures) {
    for (const Named& one : kFigures)
        if (figures.*one.value == 0) return std::string("never seen: ") + one.name;
    return {};
}

}  // namespace everstep::power
