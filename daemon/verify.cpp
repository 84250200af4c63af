#include "daemon/verify.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/checksum.hpp"

namespace everstep::daemon {

Verify::Verify(CopyOptions options, VerifyActions actions)
    : options_(std::move(options)),
      actions_(std::move(actions)),
      rate_(options_.clock, options_.bytes_a_second),
      alive_(std::make_shared<Verify*>(this)) {
    for (const journal::GapExtent& extent : options_.extents) total_ += extent.length.value();
}

Verify::~Verify() {
    *alive_ = nullptr;
    end({ErrorCode::closed, "the link to the standby ended"});
}

void Verify::ask() {
    if (ended()) return;
    read_exactly();
    ask_next();
    end_if_done();
}

void Verify::ask_next() {
    while (extent_ < options_.extents.size() && asked_.size() + reading_ < kHashesAhead &&
           unequal_.size() < kHashesAhead && rate_.allows()) {
        const journal::GapExtent& all = options_.extents[extent_];
        if (offset_ >= all.length.value()) {
            ++extent_;
            offset_ = 0;
            continue;
        }
        const ByteCount length(std::min(kResyncExtentBytes, all.length.value() - offset_));
        const ResyncExtent extent{all.volume, all.offset + offset_, length};
        offset_ += length.value();
        rate_.take(length.value());
        const std::uint64_t id = next_id_++;
        asked_.emplace(id, Asked{extent, std::nullopt});
        actions_.ask_hashes({id, extent.volume, extent.offset, extent.length, options_.seed});
    }
}

Status Verify::on_hashes(const wire::HashReply& reply) {
    const auto at = asked_.find(reply.id);
    if (at == asked_.end())
        return {ErrorCode::corrupt, fmt::format("hashes that nobody asked for: id {}", reply.id)};
    const Asked asked = std::move(at->second);
    asked_.erase(at);
    if (ended()) return {};
    if (reply.error != ErrorCode::ok) {
        fail(Status(reply.error, reply.message).with_context("the standby"));
        return {};
    }
    EVERSTEP_TRY(check_hashes(asked.extent, reply));
    if (asked.exact) {
        compare(asked, reply);
    } else {
        read(asked.extent, reply);
    }
    return {};
}

void Verify::read(const ResyncExtent& extent, const wire::HashReply& reply) {
    ++reading_;
    ExtentRead what{extent, KnownContent{options_.seed, reply.zero, reply.hashes}, true, true};
    actions_.read_extent(what, [alive = alive_, extent](const Result<ReadExtent>& read) {
        if (*alive == nullptr) return;
        Verify& self = **alive;
        --self.reading_;
        if (self.ended()) return;
        if (!read.ok()) return self.fail(read.status());
        if (read->made.differing_bytes == 0) {
            self.compared(extent);
        } else {
            self.unequal_.push_back(extent);
        }
        self.actions_.moved();
    });
}

void Verify::read_exactly() {
    while (!unequal_.empty() && exact_.size() + ready_.size() < kExactReadsMax) {
        const ResyncExtent extent = unequal_.front();
        unequal_.pop_front();
        const std::uint64_t id = next_id_++;
        exact_.emplace(id, actions_.newest());
        actions_.read_exact(extent, [alive = alive_, id, extent](const Result<ExactExtent>& read) {
            if (*alive != nullptr) (*alive)->was_read_exactly(id, extent, read);
        });
    }
}

void Verify::was_read_exactly(std::uint64_t id, const ResyncExtent& extent,
                              const Result<ExactExtent>& read) {
    exact_.erase(id);
    if (ended()) return;
    if (!read.ok()) return fail(read.status());
    ready_[read->after].push_back({extent, *read});
    actions_.moved();
}

std::optional<wire::HashRequest> Verify::take(FrameSeq next) {
    if (ended() || ready_.empty() || ready_.begin()->first >= next) return std::nullopt;
    std::deque<Asked>& questions = ready_.begin()->second;
    const std::uint64_t id = next_id_++;
    const ResyncExtent extent = questions.front().extent;
    asked_.emplace(id, std::move(questions.front()));
    questions.pop_front();
    if (questions.empty()) ready_.erase(ready_.begin());
    return wire::HashRequest{id, extent.volume, extent.offset, extent.length, options_.seed};
}

bool Verify::may_send(FrameSeq frame) const {
    return std::all_of(exact_.begin(), exact_.end(),
                       [&](const auto& one) { return frame <= one.second; });
}

// Of the same step on both sides.
void Verify::compare(const Asked& asked, const wire::HashReply& reply) {
    const KnownContent theirs{options_.seed, reply.zero, reply.hashes};
    const Bytes content = asked.exact->content->bytes();
    constexpr std::size_t kBlock = wire::kHashedBlockBytes;
    for (std::size_t at = 0; at < content.size(); at += kBlock) {
        const Bytes block = content.subspan(at, std::min(kBlock, content.size() - at));
        if (theirs.has(block, at / kBlock)) continue;
        add({asked.extent.volume, asked.extent.offset + at, ByteCount(block.size())});
        result_.lsn = std::max(result_.lsn, asked.exact->lsn);
    }
    compared(asked.extent);
}

void Verify::compared(const ResyncExtent& extent) {
    result_.compared_bytes += extent.length.value();
}

void Verify::add(const ResyncExtent& extent) {
    result_.differing_bytes += extent.length.value();
    if (!result_.extents.empty()) {
        journal::GapExtent& last = result_.extents.back();
        if (last.volume == extent.volume && last.offset + last.length.value() == extent.offset) {
            last.length = ByteCount(last.length.value() + extent.length.value());
            return;
        }
        // A repair compares them once more: it may be told more than what differs.
        if (result_.extents.size() >= kVerifyRangesMax && last.volume == extent.volume) {
            const ByteOffset begin = std::min(last.offset, extent.offset);
            const ByteOffset end =
                std::max(last.offset + last.length.value(), extent.offset + extent.length.value());
            last = {extent.volume, begin, ByteCount(end.value() - begin.value())};
            return;
        }
    }
    result_.extents.push_back({extent.volume, extent.offset, extent.length});
}

void Verify::fail(const Status& why) {
    const auto done = std::exchange(actions_.done, nullptr);
    done(why);
}

void Verify::end_if_done() {
    if (extent_ < options_.extents.size() || !asked_.empty() || reading_ > 0 || !unequal_.empty() ||
        !exact_.empty() || !ready_.empty())
        return;
    const auto done = std::exchange(actions_.done, nullptr);
    done(std::move(result_));
}

}  // namespace everstep::daemon
