#include "daemon/nbd_replies.hpp"

#include "common/base/assert.hpp"

namespace everstep::daemon {

NbdReplies::NbdReplies() {
    next_chunk();
}

void NbdReplies::next_chunk() {
    for (auto& chunk : chunks_) {
        if (chunk.use_count() > 1) continue;
        chunk->clear();
        std::swap(chunk, chunks_.back());
        return;
    }
    chunks_.push_back(std::make_shared<Buffer>(kChunkBytes));
}

MutableBytes NbdReplies::add(std::size_t count) {
    EVERSTEP_ASSERT(count <= kChunkBytes, "a small reply that is none");
    Buffer* chunk = chunks_.back().get();
    if (pieces_.empty() && chunks_.back().use_count() == 1) chunk->clear();
    if (chunk->capacity() - chunk->size() < count) {
        next_chunk();
        chunk = chunks_.back().get();
        extendable_ = false;
    }
    const MutableBytes room = chunk->extend(count);
    if (extendable_) {
        Bytes& last = pieces_.back().bytes;
        last = {last.data(), last.size() + count};
    } else {
        pieces_.push_back({room, chunks_.back()});
        extendable_ = true;
    }
    bytes_ += count;
    return room;
}

void NbdReplies::add_data(Bytes bytes, std::shared_ptr<const void> keep) {
    pieces_.push_back({bytes, std::move(keep)});
    bytes_ += bytes.size();
    extendable_ = false;
}

void NbdReplies::clear() {
    pieces_.clear();
    bytes_ = 0;
    extendable_ = false;
    if (chunks_.size() <= 2) return;
    // A burst to a slow reader took more; let go of what nobody holds, but for the one being
    // filled.
    std::erase_if(chunks_, [this](const auto& chunk) {
        return chunk != chunks_.back() && chunk.use_count() == 1;
    });
}

}  // namespace everstep::daemon
