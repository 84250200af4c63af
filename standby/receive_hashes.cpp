#include "standby/receive_hashes.hpp"

#include <fmt/format.h>

#include "standby/content.hpp"
#include "standby/replica.hpp"

namespace everstep::standby {

Status ReceiveHashes::ask(const wire::HashRequest& request, bool raw) {
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
    if (waiting_ == kHashRequestsMax)
        return {ErrorCode::too_large,
                fmt::format("more than {} HashRequests wait", kHashRequestsMax)};
    ++waiting_;
    const auto reply = std::make_shared<wire::HashReply>();
    standby_.journal_task(
        [request, raw, reply, &replica](journal::Store& store) -> Status {
            *reply = hash_content(store, replica, request, raw);
            return {};
        },
        [this, token = std::weak_ptr(alive_), reply](const Status& status) {
            if (token.lock() == nullptr) return;
            --waiting_;
            if (!status.ok()) return;  // the session hears of it by itself
            actions_.send(*reply);
        });
    return {};
}

}  // namespace everstep::standby
