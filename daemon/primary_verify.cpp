// Primary: `everstep verify`: its standbys compared with it while all run, and brought what
// differs.
#include <algorithm>

#include <fmt/format.h>

#include "daemon/primary.hpp"

namespace everstep::daemon {

namespace {

constexpr std::chrono::milliseconds kProgressEvery{500};

Value extents_value(const VerifyResult& result, const std::vector<VolumeRecord>& volumes) {
    Value list = Value::list();
    for (std::size_t i = 0; i < std::min(result.extents.size(), kVerifyExtentsMax); ++i) {
        const journal::GapExtent& extent = result.extents[i];
        Value one = Value::map();
        one.set("volume", volumes[extent.volume.value()].name);
        one.set("offset", extent.offset.value()).set("length", extent.length.value());
        list.push(std::move(one));
    }
    return list;
}

}  // namespace

// One command: what each standby's compare said so far.
struct Primary::Verifying {
    bool repair = false;
    std::function<void(Value body, bool last)> tell;
    std::map<std::string, Value> results;  // null: it is under way
    std::chrono::nanoseconds told{0};
};

void Primary::verify(const std::string& only, bool repair,
                     std::function<void(Value body, bool last)> tell,
                     const std::function<void(Status)>& failed) {
    if (state_ != State::serving)
        return failed({ErrorCode::refused, "this node does not serve the group"});
    if (verifying_) return failed({ErrorCode::busy, "a verify of this group runs already"});
    if (standings_.empty())
        return failed({ErrorCode::refused, "the group has no standby to compare with"});
    if (!only.empty() && !standings_.contains(only))
        return failed({ErrorCode::usage, only + " is no standby of the group"});
    verifying_ = std::make_shared<Verifying>();
    verifying_->repair = repair;
    verifying_->tell = std::move(tell);
    for (const auto& [name, standing] : standings_)
        if (only.empty() || name == only) verifying_->results[name] = Value();
    for (const auto& [name, result] : std::map(verifying_->results)) {
        const std::unique_ptr<SendSession>& session = standings_[name].session;
        Status begun(ErrorCode::unreachable, "it is not connected");
        if (session)
            begun = session->verify(copy_options(wire::StartMode::initial),
                                    [this, alive = alive_, name](Result<VerifyResult> done) {
                                        if (*alive != nullptr) verified(name, std::move(done));
                                    });
        if (!begun.ok()) verified(name, begun);
    }
}

void Primary::verified(const std::string& name, const Result<VerifyResult>& done) {
    if (!verifying_) return;
    Value result = Value::map();
    result.set("node", name);
    if (!done.ok()) {
        result.set("error", done.status().message());
    } else {
        result.set("compared_bytes", done->compared_bytes);
        result.set("differing_bytes", done->differing_bytes);
        result.set("lsn", done->extents.empty() ? Value() : Value(done->lsn.value()));
        result.set("extents", extents_value(*done, context_.record.volumes));
        result.set("extents_not_listed",
                   done->extents.size() - std::min(done->extents.size(), kVerifyExtentsMax));
        const bool differs = !done->extents.empty();
        if (differs)
            context_.event("alarm-verify", fmt::format("{}: {} bytes are not the primary's", name,
                                                       done->differing_bytes));
        else
            context_.event("verify", fmt::format("{}: {} bytes compared, all equal", name,
                                                 done->compared_bytes));
        result.set("repaired", false);
        if (differs && verifying_->repair) return begin_repair(name, done->extents, result);
    }
    verifying_->results[name] = std::move(result);
    end_verify();
}

// A resync of what differs: journaled extents in a gap that ends in a step of its own.
void Primary::begin_repair(const std::string& name, std::vector<journal::GapExtent> extents,
                           Value result) {
    repairs_[name] = {std::move(extents), std::move(result)};
    context_.record.peers[name].compare = "verify found a difference";
    context_.save().ignore("without it the repair begins again with the next verify");
    Standing& standing = standings_[name];
    standing.lost_order = true;
    send_actions(standing, Point()).fail(Status(ErrorCode::closed, "what differs is repaired"));
}

// Of a resync to that standby: also there.
void Primary::add_repair(const std::string& name, std::vector<journal::GapExtent>& extents) const {
    const auto repair = repairs_.find(name);
    if (repair == repairs_.end()) return;
    const auto& more = repair->second.extents;
    extents.insert(extents.end(), more.begin(), more.end());
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

void Primary::end_verify() {
    if (!verifying_) return;
    Value list = Value::list();
    for (const auto& [name, result] : verifying_->results) {
        if (result.is_null()) return;
        list.push(result);
    }
    const auto ended = std::exchange(verifying_, nullptr);
    ended->tell(Value::map().set("standbys", std::move(list)), true);
}

// Each tick: how far it is, and which repairs have ended.
void Primary::watch_verify() {
    for (auto repair = repairs_.begin(); repair != repairs_.end();) {
        const auto& [name, what] = *repair;
        if (!context_.record.peers[name].compare.empty()) {
            ++repair;
            continue;
        }
        if (verifying_) verifying_->results[name] = Value(what.result).set("repaired", true);
        repair = repairs_.erase(repair);
        end_verify();
    }
    if (!verifying_) return;
    for (auto& [name, standing] : standings_)
        if (standing.session && standing.session->verifying() != nullptr) standing.session->pump();
    const auto now = context_.clock->boot();
    if (!verifying_ || now - verifying_->told < kProgressEvery) return;
    verifying_->told = now;
    std::uint64_t done = 0;
    std::uint64_t total = 0;
    for (const auto& [name, result] : verifying_->results) {
        const auto& session = standings_[name].session;
        const Verify* verify = session ? session->verifying() : nullptr;
        if (verify == nullptr) continue;
        done += verify->compared_bytes();
        total += verify->total_bytes();
    }
    Value figures = Value::map();
    figures.set("done", done).set("total", total).set("unit", "bytes");
    verifying_->tell(Value::map().set("progress", std::move(figures)), false);
}

void Primary::cut_verify(const std::string& why) {
    repairs_.clear();
    if (!verifying_) return;
    for (auto& [name, result] : verifying_->results)
        if (result.is_null()) result = Value::map().set("node", name).set("error", why);
    end_verify();
}

}  // namespace everstep::daemon
