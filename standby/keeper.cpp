#include "standby/keeper.hpp"

#include <fmt/format.h>

#include <tuple>

#include "common/base/thread.hpp"

namespace everstep::standby {
namespace {

// Prewriting ahead leaves so many segments of room beside the reserve.
constexpr std::uint64_t kRoomAheadSegments = 8;

}  // namespace

Keeper::Keeper(journal::Store& store, const journal::ReplicaReader& replica, KeeperOptions options,
               KeeperHooks hooks)
    : store_(store), replica_(replica), options_(std::move(options)), hooks_(std::move(hooks)) {
    age_saved_ = store_.age();
}

Keeper::~Keeper() {
    stop();
}

Status Keeper::start() {
    return start_thread(thread_, [this] { run(); });
}

void Keeper::stop() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake_.notify_one();
    if (!thread_.joinable()) return;
    thread_.join();
    save_age();
}

void Keeper::serve(bool serving) {
    serving_ = serving;
    // What was received is taken; from here on the application is told instead.
    if (serving) hooks_.pause(false);
}

void Keeper::set_limits(const journal::KeepLimits& limits, ByteCount reserve_bytes) {
    {
        const std::lock_guard lock(mutex_);
        wanted_.emplace(limits, reserve_bytes);
    }
    wake_.notify_one();
}

void Keeper::run() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
        if (wanted_) std::tie(options_.limits, options_.reserve_bytes) = *wanted_;
        wanted_.reset();
        lock.unlock();
        tick();
        lock.lock();
        if (!backlog_) wake_.wait_for(lock, kKeepInterval, [this] { return stop_ || wanted_; });
    }
}

void Keeper::tick() {
    if (!store_.has_history()) return;
    tend();
    while (!stop_ && keep(options_.limits)) continue;
    if (is_short(0)) make_room();
    const std::uint64_t margin = full_ ? options_.reserve_bytes.value() / 8 : 0;
    set_full(is_short(margin));
    if (!full_ && options_.makes_spares) make_ahead();
    if (store_.age() - age_saved_ >= kAgeSaved) save_age();
}

// Indexes of sealed files leave memory, and are merged. One that cannot be written stays there.
// Retention and the reserve do not wait for the end of a long backlog: it goes on with the next
// tick, which comes at once.
void Keeper::tend() {
    backlog_ = false;
    for (int piece = 0; !stop_ && store_.wants_tending(); ++piece) {
        backlog_ = piece == kTendPieces;
        if (backlog_) return;
        const auto done = store_.tend();
        if (done.ok()) continue;
        told("alarm-index", done.status().message());
        return;
    }
}

// True when something was done.
bool Keeper::keep(const journal::KeepLimits& limits) {
    const auto report = store_.keep({limits, &replica_, &stop_});
    if (!report.ok()) {
        if (report.status().code() != ErrorCode::closed)
            told("alarm-retention", report.status().message());
        return false;
    }
    if (!report->text.empty())
        told(limits.force ? "alarm-history" : "retention",
             report->text + (limits.force ? ", before its time: the disk is full" : ""));
    return report->action.verb != journal::KeepVerb::nothing;
}

bool Keeper::is_short(std::uint64_t margin) const {
    if (options_.reserve_bytes == ByteCount(0)) return false;
    const auto free = options_.files->free_bytes(options_.directory);
    return free.ok() && free->value() < options_.reserve_bytes.value() + margin;
}

void Keeper::make_room() {
    store_.free_pool().ignore("what is left is tried again");
    if (!is_short(0)) return;
    if (const std::size_t ended = store_.end_holds(journal::HoldKind::passing); ended > 0) {
        told("alarm-full", fmt::format("{} listings were ended: the disk is full", ended));
        while (!stop_ && keep(options_.limits)) continue;
    }
    if (serving_ && !options_.keeps_all) force_room();
}

void Keeper::force_room() {
    journal::KeepLimits all = options_.limits;
    all.force = true;
    while (!stop_ && is_short(0) && keep(all)) store_.free_pool().ignore("tried again");
    if (stop_ || !is_short(0)) return;
    const std::size_t ended = store_.end_holds(journal::HoldKind::lasting);
    if (ended == 0) return;
    told("alarm-full", fmt::format("{} exports lost their step: the disk is full", ended));
    while (!stop_ && is_short(0) && keep(all)) store_.free_pool().ignore("tried again");
}

// full() is seen last: whoever sees it finds receiving stopped and the alarm told.
void Keeper::set_full(bool full) {
    hooks_.pause(full && !serving_);
    if (full_ == full) return;
    if (full) {
        told("alarm-full",
             fmt::format("{}: less than the reserve of {} bytes is free; {}", options_.directory,
                         options_.reserve_bytes.value(),
                         serving_ ? "writes are refused" : "nothing more is acknowledged"));
    } else {
        told("room", options_.directory + ": there is room again");
    }
    full_ = full;
}

// While nothing comes, so that it costs nobody's bandwidth.
void Keeper::make_ahead() {
    const Point tip = store_.tip().point;
    const bool idle = seen_ == tip;
    seen_ = tip;
    if (!idle || is_short(kRoomAheadSegments * options_.segment_bytes.value())) return;
    if (options_.reserve_bytes == ByteCount(0)) return;
    const Status made = store_.make_spare();
    if (!made.ok()) told("alarm-retention", made.message());
}

void Keeper::save_age() {
    if (!store_.has_history() || store_.age() == age_saved_) return;
    const Status saved = store_.keep_age();
    if (saved.ok()) age_saved_ = store_.age();
}

void Keeper::told(const char* kind, const std::string& text) {
    if (text == last_told_) return;
    last_told_ = text;
    hooks_.event(kind, text);
}

}  // namespace everstep::standby
