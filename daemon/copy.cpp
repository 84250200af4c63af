#include "daemon/copy.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace everstep::daemon {

namespace {

std::size_t blocks_of(const ResyncExtent& extent) {
    return (extent.length.value() + wire::kHashedBlockBytes - 1) / wire::kHashedBlockBytes;
}

}  // namespace

CopyRate::CopyRate(const Clock* clock, std::uint64_t bytes_a_second)
    : clock_(clock), bytes_a_second_(bytes_a_second), earned_until_(clock->boot()) {}

bool CopyRate::allows() {
    if (bytes_a_second_ == 0) return true;
    const std::chrono::nanoseconds now = clock_->boot();
    const auto most = static_cast<std::int64_t>(bytes_a_second_);
    const double earned = static_cast<double>(bytes_a_second_) *
                          std::chrono::duration<double>(now - earned_until_).count();
    earned_until_ = now;
    allowance_ += static_cast<std::int64_t>(std::min(earned, static_cast<double>(most)));
    allowance_ = std::min(allowance_, most);
    return allowance_ > 0;
}

Status check_hashes(const ResyncExtent& extent, const wire::HashReply& reply) {
    const std::size_t wanted = reply.zero ? 0 : blocks_of(extent);
    if (reply.hashes.size() == wanted) return {};
    return {ErrorCode::corrupt, fmt::format("{} hashes of {} bytes, wanted {}", reply.hashes.size(),
                                            extent.length.value(), wanted)};
}

Copy::Copy(CopyOptions options, CopyActions actions)
    : options_(std::move(options)),
      actions_(std::move(actions)),
      rate_(options_.clock, options_.bytes_a_second),
      began_(options_.clock->boot()),
      alive_(std::make_shared<Copy*>(this)) {
    for (const journal::GapExtent& extent : options_.extents) total_ += extent.length.value();
}

Copy::~Copy() {
    *alive_ = nullptr;
}

void Copy::ask() {
    look_for_holes();
    read();
    ask_hashes();
}

std::optional<ResyncExtent> Copy::next_window() {
    while (extent_ < options_.extents.size() &&
           offset_ >= options_.extents[extent_].length.value()) {
        ++extent_;
        offset_ = 0;
    }
    if (extent_ == options_.extents.size()) return std::nullopt;
    const journal::GapExtent& extent = options_.extents[extent_];
    const std::uint64_t length = std::min(kHolesBytes, extent.length.value() - offset_);
    return ResyncExtent{extent.volume, extent.offset + offset_, ByteCount(length)};
}

void Copy::look_for_holes() {
    if (looking_ || !questions_.empty() || ready_.size() >= kExtentsAhead || !rate_.allows())
        return;
    const auto window = next_window();
    if (!window) return;
    looking_ = actions_.newest();
    actions_.find_holes(*window, [alive = alive_](const Result<FoundHoles>& holes) {
        if (*alive != nullptr) (*alive)->found(holes);
    });
}

void Copy::found(const Result<FoundHoles>& holes) {
    looking_.reset();
    if (!holes.ok()) return actions_.fail(holes.status().with_context("the copy for the standby"));
    offset_ += holes->covered.value();
    if (holes->zeroes && options_.differing_max != 0) {
        // Sent unasked they would count as nothing, and a disk that is empty is a wrong one, too.
        for (const FrameEntry& entry : holes->zeroes->entries())
            will_ask({entry.volume, entry.offset, entry.length}, true);
    } else if (holes->zeroes) {
        done_ += holes->zero_bytes;
        put(holes->after, holes->zeroes);
    }
    for (const ResyncExtent& run : holes->data) will_ask(run, false);
    actions_.moved();
}

void Copy::will_ask(const ResyncExtent& run, bool hole) {
    for (std::uint64_t at = 0; at < run.length.value(); at += kResyncExtentBytes) {
        const ByteCount length(std::min(kResyncExtentBytes, run.length.value() - at));
        questions_.push_back({{run.volume, run.offset + at, length}, hole});
    }
}

void Copy::ask_hashes() {
    while (!questions_.empty() && asked_.size() + to_read_.size() < kHashesAhead &&
           rate_.allows()) {
        const Question question = questions_.front();
        const ResyncExtent& extent = question.extent;
        questions_.pop_front();
        rate_.take(extent.length.value());
        const std::uint64_t id = next_id_++;
        asked_.emplace(id, question);
        actions_.ask_hashes({id, extent.volume, extent.offset, extent.length, options_.seed});
    }
    if (questions_.empty()) look_for_holes();
}

Status Copy::on_hashes(wire::HashReply reply) {
    const auto at = asked_.find(reply.id);
    if (at == asked_.end())
        return {ErrorCode::corrupt, fmt::format("hashes that nobody asked for: id {}", reply.id)};
    ExtentRead what{at->second.extent, std::nullopt, options_.direct};
    const bool hole = at->second.hole;
    asked_.erase(at);
    // What the standby cannot read is sent to it whole.
    if (reply.error == ErrorCode::ok) {
        EVERSTEP_TRY(check_hashes(what.extent, reply));
        if (hole && reply.zero) {
            done_ += what.extent.length.value();
            return {};
        }
        what.known = KnownContent{options_.seed, reply.zero, std::move(reply.hashes)};
    }
    to_read_.push_back(std::move(what));
    return {};
}

void Copy::read() {
    while (!to_read_.empty() && reading_.size() + ready_.size() < kExtentsAhead) {
        const ExtentRead what = std::move(to_read_.front());
        to_read_.pop_front();
        const std::uint64_t id = next_id_++;
        reading_.emplace(id, Reading{actions_.newest(), what.extent.length.value()});
        actions_.read_extent(what, [alive = alive_, id](const Result<ReadExtent>& read) {
            if (*alive != nullptr) (*alive)->was_read(id, read);
        });
    }
}

void Copy::was_read(std::uint64_t id, const Result<ReadExtent>& read) {
    const auto at = reading_.find(id);
    done_ += at->second.bytes;
    reading_.erase(at);
    if (!read.ok()) return actions_.fail(read.status().with_context("the copy for the standby"));
    differing_ += read->made.differing_bytes;
    if (options_.differing_max != 0 && differing_ > options_.differing_max) {
        return actions_.too_different(
            {ErrorCode::refused,
             fmt::format("the compare found more than {} bytes different (max_resync); if this "
                         "node's disk is the truth, `everstep adopt GROUP --force` on this node "
                         "lets it go on",
                         options_.differing_max)});
    }
    if (read->made.frame) put(read->after, read->made.frame);
    actions_.moved();
}

// Reads end in any order.
void Copy::put(FrameSeq after, const FramePtr& frame) {
    const auto place =
        std::upper_bound(ready_.begin(), ready_.end(), after,
                         [](FrameSeq seq, const Ready& one) { return seq < one.after; });
    ready_.insert(place, {after, frame});
}

FramePtr Copy::take(FrameSeq next) {
    if (ready_.empty() || ready_.front().after >= next) return nullptr;
    FramePtr frame = std::move(ready_.front().frame);
    ready_.pop_front();
    return frame;
}

bool Copy::may_send(FrameSeq frame) const {
    return (!looking_ || frame <= *looking_) &&
           std::all_of(reading_.begin(), reading_.end(),
                       [&](const auto& one) { return frame <= one.second.hold; });
}

bool Copy::all_read() const {
    return extent_ == options_.extents.size() && !looking_ && questions_.empty() &&
           asked_.empty() && to_read_.empty() && reading_.empty();
}

double Copy::seconds_left() const {
    if (done_ == 0) return 0;
    const auto passed = std::chrono::duration<double>(options_.clock->boot() - began_).count();
    return passed * static_cast<double>(total_ - done_) / static_cast<double>(done_);
}

}  // namespace everstep::daemon
