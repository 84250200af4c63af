// Primary: marks at its head. A mark travels in the stream; its answer waits until it survives the
// loss of this node, or says that it does not yet.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "daemon/primary.hpp"

namespace everstep::daemon {

namespace {
constexpr std::chrono::seconds kMarkWait{2};
}

void Primary::put_mark(const MarkBody& mark, std::function<void(Result<Point>)> done) {
    if (state_ != State::serving) {
        done(Status(ErrorCode::refused, "the group is not served here now"));
        return;
    }
    const bool taken = std::any_of(marks_.begin(), marks_.end(),
                                   [&](const auto& one) { return one.second.name == mark.name; });
    if (taken) {
        done(Status(ErrorCode::exists, "the name " + mark.name + " is taken"));
        return;
    }
    const std::uint64_t id = next_mark_++;
    marks_[id] = {mark.name, context_.clock->boot() + kMarkWait, std::move(done)};
    pipeline_->put_mark(mark, [this, alive = alive_, id](const journal::Tip& at) {
        if (*alive != nullptr) mark_sealed(id, at);
    });
}

void Primary::mark_sealed(std::uint64_t id, const journal::Tip& at) {
    const auto marking = marks_.find(id);
    if (marking == marks_.end()) return;
    marking->second.at = at;
    if (store_ == nullptr) {
        answer_marks();
        return;
    }
    // This node is its own standby: what its store has synced is kept.
    store_->sync_local([loop = context_.loop, alive = alive_, id](const Status& status) {
        loop->post([alive, id, status] {
            if (*alive == nullptr) return;
            auto gone = (*alive)->marks_.extract(id);
            if (gone.empty()) return;
            const Marking& one = gone.mapped();
            one.done(status.ok() ? Result<Point>(one.at->point) : Result<Point>(status));
        });
    });
}

// A copy brings no marks: who has all of the content may lack the frame.
bool Primary::kept_by_a_standby(const Marking& marking) const {
    return std::any_of(standings_.begin(), standings_.end(), [&](const auto& one) {
        const Standing& standing = one.second;
        return standing.session && standing.session->state() == SendSession::State::streaming &&
               standing.droppable >= marking.at->seq &&
               std::max(standing.skipped, standing.session->skipped()) < marking.at->seq;
    });
}

Status Primary::mark_not_kept(const Marking& marking) const {
    const bool connected = std::any_of(standings_.begin(), standings_.end(), [](const auto& one) {
        return one.second.session != nullptr;
    });
    return {
        connected ? ErrorCode::timeout : ErrorCode::unreachable,
        fmt::format("mark {}: no standby has it durable after {} s; it goes with the stream and "
                    "is lost if this node dies before that; see `everstep marks`",
                    marking.name, kMarkWait.count())};
}

void Primary::answer_marks() {
    const auto now = context_.clock->boot();
    for (auto at = marks_.begin(); at != marks_.end();) {
        const Marking& one = at->second;
        const bool kept = store_ == nullptr && one.at && kept_by_a_standby(one);
        if (!kept && now < one.until) {
            ++at;
            continue;
        }
        const Result<Point> answer = kept ? Result<Point>(one.at->point) : mark_not_kept(one);
        const auto done = one.done;
        at = marks_.erase(at);
        done(answer);
    }
}

void Primary::fail_marks() {
    const auto all = std::exchange(marks_, {});
    for (const auto& [id, one] : all) {
        one.done(Status(ErrorCode::closed, "mark " + one.name +
                                               ": the group stops being served here before it was "
                                               "known to be kept"));
    }
}

}  // namespace everstep::daemon
