#include "common/net/stream_core.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "common/net/address.hpp"

namespace everstep::net {
namespace {

// Buffers of one system call.
constexpr std::size_t kGatherMax = 256;
// Plaintext that is encrypted ahead of the socket.
constexpr std::size_t kCipherFillBytes = 256U << 10;
// Small writes that are put together before they are encrypted.
constexpr std::size_t kCoalesceBytes = 64U << 10;
// A TLS record's plaintext; a write of this or more goes straight.
constexpr std::size_t kRecordBytes = 16U << 10;
// Then the loop's other work has its turn.
constexpr std::size_t kWriteBytesPerTurn = 4U << 20;

static_assert(kReadBytesMax >= 2 * kCipherBytesMax, "the plaintext of one read must fit");

}  // namespace

StreamCore::StreamCore(Loop& loop, StreamSetup setup)
    : loop_(loop.impl()),
      descriptor_(loop_.context),
      address_(std::move(setup.address)),
      tls_(std::move(setup.tls)) {
    loop_.make_buffers();
    if (tls_) tune_link(setup.fd.get());
    ErrorCodeOfAsio error;
    descriptor_.assign(setup.fd.get(), error);
    if (!error) {
        static_cast<void>(setup.fd.release());
        return;
    }
    closed_ = true;
    ended_early_ = true;
    early_end_ = {ErrorCode::io, address_ + ": " + error.message()};
}

void StreamCore::handshake(std::chrono::nanoseconds timeout,
                           std::function<void(const Status&)> done) {
    handshake_done_ = std::move(done);
    handshake_timer_ = std::make_unique<asio::steady_timer>(loop_.context, timeout);
    handshake_timer_->async_wait([self = shared_from_this()](ErrorCodeOfAsio error) {
        if (error || !self->handshaking()) return;
        self->end_with({ErrorCode::timeout, "no TLS handshake within its time"});
    });
    asio::post(loop_.context, [self = shared_from_this()] {
        if (self->ended_early_) return self->report(self->early_end_);
        if (!self->closed_) self->step_handshake({});
        self->read_later();
    });
}

bool StreamCore::silent() {
    std::byte first{};
    return !heard_ && ::recv(descriptor_.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

void StreamCore::start(StreamEvents events) {
    if (closed_ && !ended_early_) return;
    events_ = std::make_shared<const StreamEvents>(std::move(events));
    if (ended_early_) {
        asio::post(loop_.context, [self = shared_from_this()] {
            if (self->ended_early_) self->report(self->early_end_);
        });
        return;
    }
    read_later();
}

void StreamCore::read_later() {
    if (closed_ || read_pending_ || !reading()) return;
    read_pending_ = true;
    if (tls_ && tls_->has_kept() && !handshaking()) {
        asio::post(loop_.context, [self = shared_from_this()] {
            self->read_pending_ = false;
            if (!self->closed_ && self->reading()) self->decrypt({});
            self->read_later();
        });
        return;
    }
    descriptor_.async_wait(Descriptor::wait_read,
                           [self = shared_from_this()](ErrorCodeOfAsio error) {
                               self->read_pending_ = false;
                               if (!error) self->on_readable();
                           });
}

void StreamCore::on_readable() {
    if (closed_ || !reading()) return;
    const MutableBytes to = tls_ ? loop_.cipher.bytes() : loop_.plain.bytes();
    const ssize_t got = ::recv(descriptor_.native_handle(), to.data(), to.size(), 0);
    if (got > 0)
        on_received(to.first(static_cast<std::size_t>(got)));
    else if (got == 0)
        on_end_of_file();
    else if (errno != EAGAIN && errno != EINTR)
        end_with({ErrorCode::closed, error_text(errno)});
    read_later();
}

void StreamCore::on_received(Bytes bytes) {
    heard_ = true;
    if (!tls_)
        deliver(bytes);
    else if (handshaking())
        step_handshake(bytes);
    else
        decrypt(bytes);
}

void StreamCore::step_handshake(Bytes cipher) {
    const auto complete = tls_->handshake(cipher);
    // At once: after a failure this is the alert that tells the peer why, and the last thing that
    // is sent.
    flush();
    if (closed_) return;
    if (!complete.ok()) return end_with(complete.status());
    if (!*complete) return;
    handshake_timer_.reset();
    std::exchange(handshake_done_, nullptr)(Status());
}

void StreamCore::decrypt(Bytes cipher) {
    const TlsSession::Plain plain = tls_->decrypt(cipher, loop_.plain.bytes());
    if (plain.bytes > 0) deliver(Bytes(loop_.plain.bytes()).first(plain.bytes));
    if (closed_) return;
    if (!plain.status.ok()) flush();  // the alert that says what is wrong
    if (closed_) return;
    if (!plain.status.ok()) return end_with({ErrorCode::corrupt, plain.status.message()});
    if (tls_->peer_ended()) return on_end_of_file();
    flush_later();
}

void StreamCore::deliver(Bytes bytes) {
    const auto events = events_;
    if (events->on_bytes) events->on_bytes(bytes);
}

// The peer sends no more. What it asked for before is answered as far as it takes it without
// waiting.
void StreamCore::on_end_of_file() {
    const bool cut = tls_ && !finished_ && !tls_->peer_ended();
    if (!cut) flush();
    if (closed_) return;
    if (tls_ && !cut && !unsent()) {
        tls_->end();
        flush();
        if (closed_) return;
    }
    if (cut && handshaking())
        return end_with({ErrorCode::closed, "connection cut during the TLS handshake"});
    end_with(cut ? Status(ErrorCode::closed, "connection cut") : Status());
}

void StreamCore::write(Bytes bytes, std::shared_ptr<const void> keep) {
    if (closed_ || finishing_ || bytes.empty()) return;
    queue_.push(bytes, std::move(keep));
    drained_due_ = true;
    flush_later();
}

std::size_t StreamCore::queued_bytes() const {
    if (closed_) return 0;
    return queue_.bytes() + (tls_ ? tls_->output().size() - cipher_sent_ : 0);
}

bool StreamCore::unsent() const {
    return queued_bytes() > 0;
}

// Not at once, so that all that one turn of the loop writes leaves in one system call.
void StreamCore::flush_later() {
    if (closed_ || flush_posted_ || write_pending_ || (!unsent() && !finishing_)) return;
    flush_posted_ = true;
    asio::post(loop_.context, [self = shared_from_this()] {
        self->flush_posted_ = false;
        self->flush();
    });
}

void StreamCore::flush() {
    if (write_pending_) return;
    for (std::size_t sent_bytes = 0; !closed_ && unsent();) {
        if (sent_bytes >= kWriteBytesPerTurn) return flush_later();
        const ssize_t sent = tls_ ? send_cipher() : send_plain();
        if (sent >= 0) {
            sent_bytes += static_cast<std::size_t>(sent);
            continue;
        }
        if (errno == EINTR) continue;
        if (errno != EAGAIN) return end_with({ErrorCode::closed, error_text(errno)});
        write_pending_ = true;
        descriptor_.async_wait(Descriptor::wait_write,
                               [self = shared_from_this()](ErrorCodeOfAsio error) {
                                   self->write_pending_ = false;
                                   if (!error) self->flush();
                               });
        return;
    }
    if (!closed_) on_all_sent();
}

ssize_t StreamCore::send_plain() {
    std::array<iovec, kGatherMax> buffers;
    msghdr message{};
    message.msg_iov = buffers.data();
    message.msg_iovlen = queue_.gather(buffers);
    const ssize_t sent =
        ::sendmsg(descriptor_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) queue_.consume(static_cast<std::size_t>(sent));
    return sent;
}

ssize_t StreamCore::send_cipher() {
    Buffer& output = tls_->output();
    if (output.size() == cipher_sent_) {
        output.clear();
        cipher_sent_ = 0;
        fill_cipher();
        if (closed_) return 0;
    }
    const ssize_t sent = ::send(descriptor_.native_handle(), output.data() + cipher_sent_,
                                output.size() - cipher_sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) cipher_sent_ += static_cast<std::size_t>(sent);
    return sent;
}

// A write of a record or more is encrypted where it lies; smaller ones are put together first.
void StreamCore::fill_cipher() {
    std::size_t filled = 0;
    while (!queue_.empty() && filled < kCipherFillBytes) {
        Bytes next = queue_.front();
        staging_.clear();
        if (next.size() >= kRecordBytes) {
            next = next.first(std::min(next.size(), kCipherFillBytes));
            if (const Status status = tls_->encrypt(next); !status.ok()) return end_with(status);
            queue_.consume(next.size());
            filled += next.size();
            continue;
        }
        while (!queue_.empty() && queue_.front().size() < kRecordBytes &&
               staging_.size() + queue_.front().size() <= kCoalesceBytes) {
            staging_.append(queue_.front());
            queue_.consume(queue_.front().size());
        }
        if (const Status status = tls_->encrypt(staging_.bytes()); !status.ok())
            return end_with(status);
        filled += staging_.size();
    }
}

void StreamCore::on_all_sent() {
    if (finishing_ && !finished_) {
        finished_ = true;
        if (tls_) {
            tls_->end();
            return flush();
        }
    }
    if (finished_) static_cast<void>(::shutdown(descriptor_.native_handle(), SHUT_WR));
    const auto events = events_;
    if (std::exchange(drained_due_, false) && events && events->on_drained) events->on_drained();
}

void StreamCore::pause_reading(bool paused) {
    paused_ = paused;
    read_later();
}

void StreamCore::finish() {
    finishing_ = true;
    flush_later();
}

void StreamCore::close() {
    if (closed_ && !ended_early_) return;
    closed_ = true;
    ended_early_ = false;
    ErrorCodeOfAsio ignored;  // the descriptor is gone in any case
    descriptor_.close(ignored);
    handshake_timer_.reset();
    // Let go of last: their destructors may run code of the user's.
    const auto events = std::move(events_);
    const auto done = std::exchange(handshake_done_, nullptr);
    queue_.clear();
}

void StreamCore::end_with(const Status& status) {
    report(status.ok() ? status : status.with_context(address_));
}

// Closes, and says why to whoever is there to hear it.
void StreamCore::report(const Status& status) {
    const auto events = events_;
    const auto done = handshake_done_;
    close();
    if (done) {
        done(status);
    } else if (!events) {
        ended_early_ = true;
        early_end_ = status;
    } else if (events->on_closed) {
        events->on_closed(status);
    }
}

}  // namespace everstep::net
