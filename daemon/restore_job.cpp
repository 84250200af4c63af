#include "daemon/restore_job.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace everstep::daemon {

namespace {
constexpr std::uint64_t kPieceBytes = 1U << 20;
constexpr std::size_t kAhead = 8;  // pieces that are read or written at once
constexpr std::chrono::milliseconds kRetry{250};
}  // namespace

RestoreJob::RestoreJob(net::Loop& loop, Pipeline& pipeline, RestorePlan plan, RestoreHooks hooks)
    : loop_(loop),
      pipeline_(pipeline),
      plan_(std::move(plan)),
      hooks_(std::move(hooks)),
      retry_(loop),
      unanswered_(loop),
      alive_(std::make_shared<RestoreJob*>(this)) {
    for (const journal::GapExtent& extent : plan_.extents) figures_.total += extent.length.value();
}

RestoreJob::~RestoreJob() {
    *alive_ = nullptr;
}

// Extents are cut when their turn comes: one may be a whole volume.
void RestoreJob::begin() {
    for (const journal::GapExtent& extent : plan_.extents) pieces_.push_back(extent);
    go_on();
}

void RestoreJob::go_on() {
    while (!ended_ && !waits_ && running_ < kAhead && !pieces_.empty()) {
        Piece& next = pieces_.front();
        Piece piece = next;
        piece.length = std::min(piece.length, ByteCount(kPieceBytes));
        if (piece.length == next.length) {
            pieces_.pop_front();
        } else {
            next.offset = next.offset + piece.length.value();
            next.length = ByteCount(next.length.value() - piece.length.value());
        }
        ++running_;
        read(piece);
    }
    if (!ended_ && !waits_ && running_ == 0 && pieces_.empty()) end(Status());
}

void RestoreJob::read(const Piece& piece) {
    if (++reading_ == 1) watch_reads();
    hooks_.read({0, plan_.to, piece.volume, piece.offset, piece.length},
                [this, alive = alive_, piece](Result<Buffer> content) {
                    if (*alive == nullptr || ended_) return;
                    --reading_;
                    watch_reads();
                    if (content.ok()) return write(piece, std::move(*content));
                    const ErrorCode code = content.status().code();
                    --running_;
                    if (code == ErrorCode::closed || code == ErrorCode::unreachable)
                        return wait_for_link(piece, content.status());
                    end(content.status());
                });
}

// From now on, or not at all while nothing is asked for.
void RestoreJob::watch_reads() {
    if (reading_ == 0) return unanswered_.cancel();
    unanswered_.after(plan_.answer_within, [this] {
        const std::chrono::duration<double> waited = plan_.answer_within;
        end(Status(ErrorCode::unreachable,
                   fmt::format("the history has answered no read for {:g} s", waited.count())));
    });
}

void RestoreJob::wait_for_link(const Piece& piece, const Status& why) {
    pieces_.push_front(piece);
    if (std::exchange(waits_, true)) return;
    waited_ += kRetry;
    if (waited_ > kRestorePatience) return end(why);
    retry_.after(kRetry, [this] {
        waits_ = false;
        go_on();
    });
}

void RestoreJob::write(const Piece& piece, Buffer content) {
    waited_ = std::chrono::nanoseconds(0);
    pipeline_.write_differing({piece.volume, piece.offset}, std::move(content),
                              [this, alive = alive_, piece](const Result<std::uint64_t>& written) {
                                  if (*alive == nullptr || ended_) return;
                                  --running_;
                                  if (!written.ok()) return end(written.status());
                                  figures_.written += *written;
                                  figures_.done += piece.length.value();
                                  if (hooks_.going) hooks_.going();
                                  go_on();
                              });
}

void RestoreJob::end(const Status& status) {
    if (std::exchange(ended_, true)) return;
    retry_.cancel();
    unanswered_.cancel();
    // May end this object.
    loop_.post([alive = alive_, status] {
        if (*alive == nullptr) return;
        const auto done = (*alive)->hooks_.done;
        done(status);
    });
}

}  // namespace everstep::daemon
