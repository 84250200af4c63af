#include "daemon/nbd_read_buffers.hpp"

#include <bit>

#include "common/base/assert.hpp"
#include "daemon/nbd_protocol.hpp"

namespace everstep::daemon {

NbdReadBuffers::NbdReadBuffers() : sending_(kSendingMax) {
    static_assert((kBlockBytes << (kClasses - 1)) == kNbdPayloadMax);
    static_assert(kHeadroomBytes >= kNbdReadChunkBytes);
}

std::size_t NbdReadBuffers::class_of(std::size_t length) {
    if (length <= kBlockBytes) return 0;
    const auto index = static_cast<std::size_t>(std::bit_width((length - 1) / kBlockBytes));
    EVERSTEP_ASSERT(index < kClasses, "a read longer than the protocol's limit");
    return index;
}

NbdReadBuffers::Shared NbdReadBuffers::take(std::size_t length) {
    const std::size_t index = class_of(length);
    std::vector<Shared>& kept = kept_[index];
    if (kept.empty()) return std::make_shared<Buffer>(kHeadroomBytes + (kBlockBytes << index));
    Shared buffer = std::move(kept.back());
    kept.pop_back();
    kept_bytes_ -= buffer->capacity();
    return buffer;
}

void NbdReadBuffers::give_back(Shared buffer) {
    if (kept_bytes_ + buffer->capacity() > kKeptBytesMax) return;
    kept_bytes_ += buffer->capacity();
    kept_[class_of(buffer->capacity() - kHeadroomBytes)].push_back(std::move(buffer));
}

void NbdReadBuffers::sending(Shared buffer) {
    EVERSTEP_ASSERT(sending_count_ < kSendingMax,
                    "more replies on their way than requests allowed");
    sending_[(sending_first_ + sending_count_) % kSendingMax] = std::move(buffer);
    ++sending_count_;
}

void NbdReadBuffers::reclaim(bool all_sent) {
    while (sending_count_ > 0) {
        Shared& front = sending_[sending_first_];
        if (front.use_count() == 1) {
            give_back(std::move(front));
        } else if (!all_sent) {
            return;
        }
        front.reset();
        sending_first_ = (sending_first_ + 1) % kSendingMax;
        --sending_count_;
    }
}

}  // namespace everstep::daemon
