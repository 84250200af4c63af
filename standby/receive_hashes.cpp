#include "standby/receive_hashes.hpp"

#include <fmt/format.h>

#include "common/net/worker_pool.hpp"
#include "standby/content.hpp"
#include "standby/replica.hpp"

namespace everstep::standby {

Status ReceiveHashes::check(const wire::HashRequest& request) const {
    const Replica& replica = standby_.images();
    if (request.volume.value() >= replica.volumes())
        return {ErrorCode::corrupt, fmt::format("HashRequest: volume {}: the group has {} volumes",
                                                request.volume.value(), replica.volumes())};
    const std::uint64_t size = replica.size(request.volume).value();
    const std::uint64_t offset = request.offset.value();
    if (offset > size || request.length.value() > size - offset ||
        (offset | request.length.value()) % kSectorBytes != 0)
        return {ErrorCode::corrupt,
                fmt::format("HashRequest: offset {} length {}: no whole sectors of volume {} of "
                            "{} bytes",
                            offset, request.length.value(), request.volume.value(), size)};
    if (questions_.size() >= kHashRequestsMax)
        return {ErrorCode::too_large,
                fmt::format("more than {} HashRequests wait", kHashRequestsMax)};
    return {};
}

Status ReceiveHashes::ask(const wire::HashRequest& request, bool raw) {
    EVERSTEP_TRY(check(request));
    const auto question = std::make_shared<Question>(Question{.request = request});
    questions_.push_back(question);
    standby_.journal_task(
        [question, raw](journal::Store& store) -> Status {
            if (raw) return {};
            question->view = store.view_at_tip();
            // Inside a gap there is no step to be held: what cannot be read then is said so.
            const Point at{question->view->timeline, question->view->at.lsn};
            if (auto hold = store.hold(at, journal::HoldKind::passing); hold.ok())
                question->hold = std::move(*hold);
            return {};
        },
        [this, question, token = std::weak_ptr(alive_)](const Status& status) {
            if (token.lock() == nullptr) return;
            if (!status.ok()) return;  // the session hears of it by itself
            question->state = State::placed;
            read_placed();
        });
    return {};
}

void ReceiveHashes::read_placed() {
    for (const QuestionPtr& question : questions_) {
        if (reading_ == kHashesAtOnce || question->state == State::sent) return;
        if (question->state == State::placed) read(question);
    }
}

void ReceiveHashes::read(const QuestionPtr& question) {
    ++reading_;
    question->state = State::read;
    standby_.readers().post([this, standby = &standby_, question, token = std::weak_ptr(alive_)] {
        if (token.expired()) return;
        question->reply = hash_content(standby->store(), standby->images(), question->request,
                                       question->view ? &*question->view : nullptr);
        question->hold.reset();
        standby->on_loop([this, question, token] {
            if (token.lock() != nullptr) answered(*question);
        });
    });
}

void ReceiveHashes::answered(Question& question) {
    --reading_;
    question.state = State::answered;
    while (!questions_.empty() && questions_.front()->state == State::answered) {
        const QuestionPtr first = std::move(questions_.front());
        questions_.pop_front();
        actions_.send(first->reply);
    }
    read_placed();
}

}  // namespace everstep::standby
