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
    if (command_) return {ErrorCode::busy, "a verify of this group runs already"};
    command_ = std::move(command);
    results_.clear();
    for (const std::string& name : command_->standbys) results_[name] = Value();
    for (const std::string& name : std::vector(command_->standbys)) {
        Status begun(ErrorCode::unreachable, "it is not connected");
        if (SendSession* session = access_.session(name))
            begun = session->verify(access_.options(),
                                    [this, alive = alive_, name](Result<VerifyResult> done) {
                                        if (*alive != nullptr) compared(name, done);
                                    });
        if (!begun.ok()) compared(name, begun);
    }
    return {};
}

void VerifyJob::compared(const std::string& standby, const Result<VerifyResult>& done) {
    const auto asked = results_.find(standby);
    if (!command_ || asked == results_.end() || !asked->second.is_null()) return;
    Value result = Value::map().set("node", standby);
    if (done.ok()) {
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
    }
    asked->second = std::move(result);
    end_if_done();
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
    compared(standby, Status(ErrorCode::closed, why));
}

void VerifyJob::cut(const std::string& why) {
    repairs_.clear();
    for (auto& [name, result] : results_)
        if (result.is_null()) result = Value::map().set("node", name).set("error", why);
    end_if_done();
}

}  // namespace everstep::daemon
