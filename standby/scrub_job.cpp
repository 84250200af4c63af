#include "standby/scrub_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "common/base/config.hpp"
#include "common/base/thread.hpp"
#include "standby/branches.hpp"
#include "standby/history_values.hpp"
#include "standby/scrub_state.hpp"

namespace everstep::standby {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kProgressEvery{500};

wire::AdminReply error_of(const Status& status) {
    wire::AdminReply reply;
    reply.error = status.code();
    reply.message = status.message();
    return reply;
}

std::uint64_t bytes_of(const journal::ScrubSegment& segment) {
    return segment.redo.end + segment.undo.end;
}

// A branch over the history, as it was when the scrub began.
struct BranchToScrub {
    std::string directory;         // of the branch
    std::weak_ptr<Branch> branch;  // gone: dropped meanwhile
    std::string failed;            // why it is not open; empty: it is
};

std::vector<BranchToScrub> branches_of(const Standby& standby) {
    std::vector<BranchToScrub> out;
    for (const auto& [id, entry] : standby.branches().all())
        out.push_back({standby.options().branches + "/" + id, entry.branch,
                       entry.branch ? std::string() : entry.failed.message()});
    return out;
}

// Who waits for the end. The loop's thread only; posted callbacks keep it alive.
struct Watchers {
    std::vector<ScrubJob::Reply> replies;
    bool running = false;
    void tell(const wire::AdminReply& reply) {
        const auto all = replies;  // one may add itself or go while it is told
        if (!reply.more) {
            running = false;
            replies.clear();
        }
        for (const auto& one : all) one(reply);
    }
};

}  // namespace

struct ScrubJob::Impl {
    Impl(const Standby& the_standby, std::vector<std::string> names)
        : standby(the_standby), volumes(std::move(names)) {}

    const Standby& standby;
    std::vector<std::string> volumes;
    std::vector<BranchToScrub> branches;
    std::shared_ptr<Watchers> watchers = std::make_shared<Watchers>();
    std::thread thread;

    std::mutex mutex;
    std::condition_variable changed;
    bool stopping = false;
    std::uint64_t rate = kScrubRate;

    // ---- the thread's own
    SteadyClock::time_point began;
    SteadyClock::time_point free_at;  // when the rate lets it read on
    SteadyClock::time_point told_at;
    std::uint64_t done = 0;
    std::uint64_t skipped = 0;  // of `done`: by the runs that were cut short
    std::uint64_t total = 0;
    std::uint64_t segments = 0;
    std::uint64_t resumed_at = 0;
    std::uint64_t damages = 0;
    std::uint64_t damages_before = 0;     // by the runs that were cut short
    std::vector<journal::Finding> found;  // of the segment in work
    Value told = Value::list();

    void work();
    [[nodiscard]] Status scrub_all();
    [[nodiscard]] Status scrub_group();
    [[nodiscard]] Status scrub_one(journal::Scrub& scrub, const journal::ScrubSegment& segment);
    [[nodiscard]] Status scrub_branch(const BranchToScrub& one);
    [[nodiscard]] bool go_on(ByteCount bytes);
    void post(wire::AdminReply reply) const;
    void post_progress();
    void tell_damage(const journal::Finding& finding);
    [[nodiscard]] io::FileSystem& files() const { return *standby.options().files; }
    [[nodiscard]] const std::string& directory() const { return standby.options().directory; }
    [[nodiscard]] bool still_there(std::uint64_t number) const {
        const auto all = standby.store().scrub_segments();
        return std::any_of(all.begin(), all.end(),
                           [&](const auto& segment) { return segment.number == number; });
    }
};

void ScrubJob::Impl::post(wire::AdminReply reply) const {
    standby.on_loop([to = watchers, reply = std::move(reply)] { to->tell(reply); });
}

void ScrubJob::Impl::post_progress() {
    const auto now = SteadyClock::now();
    if (now - told_at < kProgressEvery) return;
    told_at = now;
    Value figures = Value::map();
    figures.set("done", std::min(done, total)).set("total", total).set("unit", "bytes");
    wire::AdminReply reply;
    reply.body = Value::map().set("progress", std::move(figures));
    reply.more = true;
    post(std::move(reply));
}

// Waits until the rate lets it read on. False: the end.
bool ScrubJob::Impl::go_on(ByteCount bytes) {
    done += bytes.value();
    post_progress();
    std::unique_lock lock(mutex);
    // What it was slower than the rate before is not caught up.
    const auto from = std::max(free_at, SteadyClock::now());
    while (!stopping) {
        const std::chrono::duration<double> takes(static_cast<double>(bytes.value()) /
                                                  static_cast<double>(rate));
        free_at = from + std::chrono::duration_cast<SteadyClock::duration>(takes);
        const std::uint64_t waited_at = rate;  // a new one counts at once
        if (!changed.wait_until(lock, free_at, [&] { return stopping || rate != waited_at; }))
            break;
    }
    return !stopping;
}

void ScrubJob::Impl::tell_damage(const journal::Finding& finding) {
    ++damages;
    if (damages > kScrubFindingsMax) return;
    standby.event("alarm-damage", journal::describe(finding, volumes));
    told.push(finding_value(finding, {volumes, {}}));
}

Status ScrubJob::Impl::scrub_one(journal::Scrub& scrub, const journal::ScrubSegment& segment) {
    found.clear();
    const auto made = scrub.segment(segment);
    if (!made.ok()) return made.status();
    if (!found.empty() && !still_there(segment.number)) return {};  // dropped meanwhile
    for (const journal::Finding& finding : found)
        if (finding.damage) tell_damage(finding);
    ScrubState state;
    state.segment = segment.number;
    state.salt = made->redo_salt;
    state.damages = damages_before + damages;
    if (scrub.chain()) state.chain = scrub.chain()->chain;
    save_scrub(files(), directory(), state).ignore("one that is cut short begins further back");
    return {};
}

// A branch is looked at as a whole: it is small, and where it lies nothing is kept of a scrub.
Status ScrubJob::Impl::scrub_branch(const BranchToScrub& one) {
    const std::string store_directory = one.directory + "/store";
    if (!one.failed.empty()) {
        journal::Finding finding;
        finding.file = one.directory;
        finding.what = "the branch is not open: " + one.failed;
        tell_damage(finding);
        return {};
    }
    // Its files go when it is dropped, and with them what was found.
    const auto dropped = [&] {
        const auto there = files().exists(one.directory + "/branch");
        return there.ok() && !*there;
    };
    std::vector<journal::ScrubSegment> all;
    std::vector<journal::Finding> derived;
    journal::Scrub scrub(files(), store_directory,
                         {.found = [this](const journal::Finding& f) { found.push_back(f); },
                          .go_on = [this](ByteCount bytes) { return go_on(bytes); }});
    if (const auto branch = one.branch.lock()) {
        all = branch->store().scrub_segments();
        derived = branch->store().check_derived();
        scrub.know(branch->store().timelines());
    }
    found.clear();
    for (const auto& segment : all) {
        const auto made = scrub.segment(segment);
        if (made.status().code() == ErrorCode::closed) return made.status();
        if (dropped()) return {};
        if (!made.ok()) return made.status();
        ++segments;
    }
    found.insert(found.end(), derived.begin(), derived.end());
    for (const journal::Finding& finding : found)
        if (finding.damage) tell_damage(finding);
    return {};
}

Status ScrubJob::Impl::scrub_all() {
    for (const BranchToScrub& one : branches)
        if (const auto branch = one.branch.lock())
            for (const auto& segment : branch->store().scrub_segments()) total += bytes_of(segment);
    EVERSTEP_TRY(scrub_group());
    for (const BranchToScrub& one : branches) EVERSTEP_TRY(scrub_branch(one));
    forget_scrub(files(), directory());
    return {};
}

Status ScrubJob::Impl::scrub_group() {
    journal::Scrub scrub(files(), directory(),
                         {.found = [this](const journal::Finding& f) { found.push_back(f); },
                          .go_on = [this](ByteCount bytes) { return go_on(bytes); }});
    auto all = standby.store().scrub_segments();
    for (const auto& segment : all) total += bytes_of(segment);
    if (const auto state = load_scrub(files(), directory())) {
        resumed_at = state->segment + 1;
        damages_before = state->damages;
        if (state->chain) scrub.go_on_from({state->segment, *state->chain});
        for (const auto& segment : all)
            if (segment.number < resumed_at) skipped += bytes_of(segment);
        done = skipped;
        std::erase_if(all, [&](const auto& segment) { return segment.number < resumed_at; });
    }
    scrub.know(standby.store().timelines());
    for (const auto& segment : all) {
        EVERSTEP_TRY(scrub_one(scrub, segment));
        ++segments;
    }
    for (const journal::Finding& finding : standby.store().check_derived())
        if (finding.damage) tell_damage(finding);
    return {};
}

void ScrubJob::Impl::work() {
    began = free_at = told_at = SteadyClock::now();
    const Status status = scrub_all();
    if (status.code() == ErrorCode::closed) return;  // the standby stops
    if (!status.ok()) {
        standby.event("scrub", "failed: " + status.message());
        return post(error_of(status));
    }
    const double seconds = std::chrono::duration<double>(SteadyClock::now() - began).count();
    standby.event(damages > 0 ? "alarm-damage" : "scrub",
                  fmt::format("{} segments, {} bytes checked: {} places are damaged", segments,
                              done - skipped, damages));
    wire::AdminReply reply;
    reply.body = Value::map();
    reply.body.set("segments", segments).set("bytes", done - skipped).set("seconds", seconds);
    reply.body.set("resumed_at", resumed_at == 0 ? Value() : Value(resumed_at));
    reply.body.set("damages", damages).set("damages_before", damages_before);
    reply.body.set("damage", std::move(told));
    post(std::move(reply));
}

ScrubJob::ScrubJob(const Standby& standby, std::vector<std::string> volume_names)
    : impl_(std::make_unique<Impl>(standby, std::move(volume_names))) {}

ScrubJob::~ScrubJob() {
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->stopping = true;
    }
    impl_->changed.notify_all();
    if (impl_->thread.joinable()) impl_->thread.join();
    if (impl_->watchers->running)
        impl_->watchers->tell(error_of({ErrorCode::closed,
                                        "scrub: ended where it was, with its store; the next "
                                        "scrub goes on there"}));
}

void ScrubJob::run(const std::string& rate, Reply reply) {
    std::uint64_t wanted = 0;
    if (!rate.empty()) {
        const auto parsed = parse_byte_count(rate);
        if (!parsed.ok() || parsed->value() == 0)
            return reply(
                error_of({ErrorCode::usage,
                          fmt::format("rate '{}': wanted bytes a second, as in 64MiB", rate)}));
        wanted = parsed->value();
    }
    if (!impl_->standby.store().has_history())
        return reply(error_of({ErrorCode::refused, "scrub: there is no history yet"}));
    Impl& job = *impl_;
    if (!job.watchers->running && job.thread.joinable()) {
        job.thread.join();
        impl_ = std::make_unique<Impl>(job.standby, job.volumes);
    }
    Impl& now = *impl_;
    {
        const std::lock_guard lock(now.mutex);
        if (wanted != 0) now.rate = wanted;
        now.changed.notify_all();
    }
    if (!now.watchers->running) {
        now.branches = branches_of(now.standby);
        const Status begun = start_thread(now.thread, [work = &now] { work->work(); });
        if (!begun.ok()) return reply(error_of(begun));
        now.watchers->running = true;
    }
    now.watchers->replies.push_back(std::move(reply));
}

}  // namespace everstep::standby
