#include "daemon/verify_job.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace everstep::daemon {

namespace {

constexpr std::chrono::milliseconds kProgressEvery{500};
constexpr std::chrono::seconds kLinkWait{10};  // the command waits so long for a standby's return

void sort_and_merge(std::vector<journal::GapExtent>& extents) {
    const auto place = [](const journal::GapExtent& one) {
        return std::pair(one.volume, one.offset);
    };
    std::sort(extents.begin(), extents.end(),
              [&](const auto& a, const auto& b) { return place(a) < place(b); });
    std::vector<journal::GapExtent> merged;
    for (const journal::GapExtent& one : extents) {
        const bool apart = merged.empty() || merged.back().volume != one.volume ||
                           merged.back().offset + merged.back().length.value() < one.offset;
        if (apart) {
            merged.push_back(one);
            continue;
        }
        journal::GapExtent& last = merged.back();
        const ByteOffset end =
            std::max(last.offset + last.length.value(), one.offset + one.length.value());
        last.length = ByteCount(end.value() - last.offset.value());
    }
    extents = std::move(merged);
}

}  // namespace

VerifyJob::VerifyJob(GroupContext& context, VerifyAccess access)
    : context_(context), access_(std::move(access)), alive_(std::make_shared<VerifyJob*>(this)) {}

VerifyJob::~VerifyJob() {
    *alive_ = nullptr;
}

Status VerifyJob::begin(Command command) {
    if (command_ && command_->by_itself) give_up("it is verified at a command");
    if (command_) return {ErrorCode::busy, "a verify of this group runs already"};
    command_ = std::move(command);
    results_.clear();
    for (const std::string& name : command_->standbys) results_[name] = Value();
    later_.clear();
    for (const std::string& name : std::vector(command_->standbys)) begin_with(name);
    return {};
}

void VerifyJob::begin_with(const std::string& standby) {
    if (!command_) return;
    CopyOptions options = access_.options();
    if (command_->by_itself) {
        std::uint64_t all = 0;
        for (const VolumeRecord& volume : context_.record.volumes) all += volume.size.value();
        options.bytes_a_second = VerifySchedule::rate(ByteCount(all), context_.group->verify_every,
                                                      ByteCount(options.bytes_a_second))
                                     .value();
    }
    Status begun(ErrorCode::unreachable, "it is not connected");
    if (SendSession* session = access_.session(standby))
        begun =
            session->verify(options, [this, alive = alive_, standby](Result<VerifyResult> done) {
                if (*alive != nullptr) compared(standby, done);
            });
    if (begun.code() == ErrorCode::busy) return later_.push_back(standby);
    if (!begun.ok()) compared(standby, begun);
}

void VerifyJob::look_at_schedule() {
    const std::chrono::seconds every = context_.group->verify_every;
    const bool off = every == std::chrono::seconds(0);
    if (off && command_ && command_->by_itself) give_up("`verify_every` is off");
    if (off || command_) return;
    std::vector<VerifySchedule::Standby> standbys;
    for (const std::string& name : access_.quiet())
        standbys.push_back({name, context_.record.peers[name].verified
                                      ? std::optional(context_.record.peers[name].verified->at)
                                      : std::nullopt});
    Command command;
    command.standbys =
        schedule_.due(every, {context_.clock->wall(), context_.clock->boot()}, standbys);
    if (command.standbys.empty()) return;
    command.by_itself = true;
    command.tell = [](const Value&, bool) {};
    begin(std::move(command)).ignore("none runs");
}

void VerifyJob::give_up(const std::string& why) {
    const Status closed(ErrorCode::closed, why);
    for (const std::string& name : std::vector(command_->standbys)) {
        if (SendSession* session = access_.session(name)) session->end_verify(closed);
        compared(name, closed);  // where it had not begun
    }
}

void VerifyJob::compared(const std::string& standby, const Result<VerifyResult>& done) {
    const auto asked = results_.find(standby);
    if (!command_ || asked == results_.end() || !asked->second.is_null()) return;
    Value result = Value::map().set("node", standby);
    if (done.ok()) {
        record(standby, *done);
        result = result_of(standby, *done);
        const bool differs = !done->extents.empty();
        context_.event(
            differs ? "alarm-verify" : "verify",
            differs
                ? fmt::format("{}: {} bytes are not the primary's", standby, done->differing_bytes)
                : fmt::format("{}: {} bytes compared, all equal", standby, done->compared_bytes));
        if (differs && command_->repair) return repair(standby, *done, std::move(result));
    } else {
        result.set("error", done.status().message());
        if (command_->by_itself) {
            schedule_.failed(standby, context_.clock->boot());
            context_.event("verify", standby + " was not compared: " + done.status().message());
        }
    }
    asked->second = std::move(result);
    end_if_done();
}

// What was equal is so from then on, as both sides take the same writes.
void VerifyJob::record(const std::string& standby, const VerifyResult& found) {
    schedule_.done(standby);
    VerifyRecord verified;
    verified.at = context_.clock->wall();
    verified.lsn = found.extents.empty() ? access_.newest() : found.lsn;
    verified.compared_bytes = found.compared_bytes;
    verified.differing_bytes = found.differing_bytes;
    context_.record.peers[standby].verified = verified;
    context_.save().ignore("then it is verified sooner again");
}

Value VerifyJob::result_of(const std::string& standby, const VerifyResult& found) const {
    Value list = Value::list();
    const std::size_t listed = std::min(found.extents.size(), kVerifyExtentsMax);
    for (std::size_t i = 0; i < listed; ++i) {
        const journal::GapExtent& extent = found.extents[i];
        Value one = Value::map();
        one.set("volume", context_.record.volumes[extent.volume.value()].name);
        one.set("offset", extent.offset.value()).set("length", extent.length.value());
        list.push(std::move(one));
    }
    Value result = Value::map();
    result.set("node", standby);
    result.set("compared_bytes", found.compared_bytes);
    result.set("differing_bytes", found.differing_bytes);
    result.set("lsn", found.extents.empty() ? Value() : Value(found.lsn.value()));
    result.set("extents", std::move(list));
    result.set("extents_not_listed", found.extents.size() - listed);
    return result.set("repaired", false);
}

void VerifyJob::repair(const std::string& standby, const VerifyResult& found, Value result) {
    repairs_[standby] = {found.extents, std::move(result), context_.clock->boot()};
    context_.record.peers[standby].compare = "verify found a difference";
    context_.save().ignore("then the next verify finds it again");
    access_.resync(standby, "what differs is repaired");
}

std::vector<journal::GapExtent> VerifyJob::with_repair(
    const std::string& standby, std::vector<journal::GapExtent> extents) const {
    const auto found = repairs_.find(standby);
    if (found == repairs_.end()) return extents;
    extents.insert(extents.end(), found->second.extents.begin(), found->second.extents.end());
    sort_and_merge(extents);
    return extents;
}

void VerifyJob::tick() {
    look_at_repairs();
    look_at_schedule();
    for (const std::string& name : std::exchange(later_, {})) begin_with(name);
    if (command_) tell_progress();
}

// A standby that is consistent again has what differed.
void VerifyJob::look_at_repairs() {
    for (auto at = repairs_.begin(); at != repairs_.end();) {
        auto& [name, what] = *at;
        if (!context_.record.peers[name].compare.empty()) {
            wait_for_link(name, what);
            ++at;
            continue;
        }
        if (!what.told) results_[name] = Value(what.result).set("repaired", true);
        if (auto& verified = context_.record.peers[name].verified) {
            verified->repaired = verified->differing_bytes > 0;
            context_.save().ignore("it is only told");
        }
        at = repairs_.erase(at);
        end_if_done();
    }
}

// Whoever waits for the command hears that it is not repaired; it will be when the link is back.
void VerifyJob::wait_for_link(const std::string& standby, Repair& repair) {
    const std::chrono::nanoseconds now = context_.clock->boot();
    if (access_.session(standby) != nullptr) repair.linked_at = now;
    if (repair.told || now - repair.linked_at < kLinkWait) return;
    repair.told = true;
    results_[standby] = repair.result;
    end_if_done();
}

void VerifyJob::tell_progress() {
    std::uint64_t done = 0;
    std::uint64_t total = 0;
    for (const std::string& name : std::vector(command_->standbys)) {
        SendSession* session = access_.session(name);
        if (session == nullptr || session->verifying() == nullptr) continue;
        done += session->verifying()->compared_bytes();
        total += session->verifying()->total_bytes();
        session->pump();  // the rate may let more be compared now
    }
    const std::chrono::nanoseconds now = context_.clock->boot();
    if (!command_ || now - told_ < kProgressEvery) return;
    told_ = now;
    Value figures = Value::map();
    figures.set("done", done).set("total", total).set("unit", "bytes");
    command_->tell(Value::map().set("progress", std::move(figures)), false);
}

void VerifyJob::end_if_done() {
    if (!command_) return;
    Value list = Value::list();
    for (const auto& [name, result] : results_) {
        if (result.is_null()) return;
        list.push(result);
    }
    const auto tell = std::move(command_->tell);
    command_.reset();
    tell(Value::map().set("standbys", std::move(list)), true);
}

void VerifyJob::forget(const std::string& standby, const std::string& why) {
    repairs_.erase(standby);
    std::erase(later_, standby);
    compared(standby, Status(ErrorCode::closed, why));
}

void VerifyJob::cut(const std::string& why) {
    repairs_.clear();
    later_.clear();
    for (auto& [name, result] : results_)
        if (result.is_null()) result = Value::map().set("node", name).set("error", why);
    end_if_done();
}

}  // namespace everstep::daemon
