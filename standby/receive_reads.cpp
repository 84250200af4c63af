#include "standby/receive_reads.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/checksum.hpp"
#include "common/net/worker_pool.hpp"

namespace everstep::standby {

Status ReceiveReads::ask(const wire::ReadRequest& request) {
    if (waiting_.size() >= kReadsMax) {
        return {ErrorCode::too_large,
                fmt::format("more than {} reads are asked for at once", kReadsMax)};
    }
    waiting_.push_back(request);
    start_waiting();
    return {};
}

std::uint64_t ReceiveReads::answer_bytes(const wire::ReadRequest& request) {
    return std::min<std::uint64_t>(request.length.value(), wire::kDataBytesMax);
}

bool ReceiveReads::may_start(const wire::ReadRequest& request) const {
    return running_ < kReadsAtOnce &&
           actions_.queued_bytes() + running_bytes_ + answer_bytes(request) <= kReadAnswerBytesMax;
}

void ReceiveReads::start_waiting() {
    while (!waiting_.empty() && may_start(waiting_.front())) {
        const wire::ReadRequest next = waiting_.front();
        waiting_.pop_front();
        start(next);
    }
}

void ReceiveReads::start(const wire::ReadRequest& request) {
    ++running_;
    running_bytes_ += answer_bytes(request);
    const Source source = standby_.branches().holder(request.at.timeline);
    keep(source, request.at);
    standby_.readers().post(
        [this, standby = &standby_, source, request, alive = std::weak_ptr(alive_)] {
            if (alive.expired()) return;
            auto answer = std::make_shared<Answer>();
            answer->counted_bytes = answer_bytes(request);
            answer->reply.id = request.id;
            const Status status = read(*standby, source, request, answer->data);
            answer->reply.error = status.code();
            answer->reply.message = status.message();
            if (status.ok()) {
                answer->reply.zero = is_zero(answer->data.bytes());
                answer->reply.length =
                    answer->reply.zero ? 0U : static_cast<std::uint32_t>(answer->data.size());
            }
            standby->on_loop([this, answer, alive] {
                if (alive.lock() != nullptr) finish(std::move(*answer));
            });
        });
}

// A step that cannot be held is refused when it is read.
void ReceiveReads::keep(const Source& source, Point at) {
    const auto now = standby_.options().clock->boot();
    const auto kept = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& one) {
        return one.hold->at == at && !one.hold->ended;
    });
    if (kept != kept_.end()) {
        kept->asked = now;
        return;
    }
    if (!source->store().has_history()) return;
    if (auto hold = source->store().hold(at, journal::HoldKind::lasting); hold.ok()) {
        kept_.push_back({std::move(*hold), now});
        if (kept_.size() > kReadHoldsMax) kept_.pop_front();
    }
}

void ReceiveReads::tick() {
    if (kept_.empty()) return;
    const auto now = standby_.options().clock->boot();
    std::erase_if(kept_, [&](const Kept& one) { return now - one.asked > kReadHold; });
}

Status ReceiveReads::read(const Standby& standby, const Source& source,
                          const wire::ReadRequest& request, Buffer& data) {
    const auto& volumes = standby.options().volumes;
    if (request.volume.value() >= volumes.size()) {
        return {ErrorCode::usage, fmt::format("volume {}: the group has {} volumes",
                                              request.volume.value(), volumes.size())};
    }
    const std::uint64_t size = volumes[request.volume.value()].size.value();
    const std::uint64_t offset = request.offset.value();
    const std::uint64_t length = request.length.value();
    if (length == 0 || length > wire::kDataBytesMax || length % kSectorBytes != 0 ||
        offset % kSectorBytes != 0 || offset > size || length > size - offset) {
        return {
            ErrorCode::usage,
            fmt::format(
                "volume {}: a read of {} bytes at {} is not one of whole sectors inside {} bytes",
                volumes[request.volume.value()].name, length, offset, size)};
    }
    const journal::Store& store = source->store();
    if (!store.has_history()) return {ErrorCode::refused, "this node has no history"};
    const Result<journal::View> view = store.view(request.at);
    if (!view.ok()) return view.status();
    data.resize(length);
    return store.read(*view, source->replica(), request.volume, request.offset, data.bytes());
}

void ReceiveReads::finish(Answer answer) {
    --running_;
    running_bytes_ -= answer.counted_bytes;
    const bool has_data = answer.reply.length != 0;
    actions_.send(answer.reply);
    if (has_data) actions_.send_data(std::move(answer.data));
    start_waiting();
}

}  // namespace everstep::standby
