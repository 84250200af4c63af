#include "daemon/nbd_connection.hpp"

#include "common/base/log.hpp"

namespace everstep::daemon {

NbdConnection::NbdConnection(net::Loop& loop, std::span<const NbdExport> exports,
                             net::StreamPtr stream, std::function<void()> gone)
    : loop_(loop),
      exports_(exports),
      stream_(std::move(stream)),
      gone_(std::move(gone)),
      deadline_(loop) {}

void NbdConnection::start() {
    std::vector<std::byte> greeting;
    handshake_ = std::make_unique<NbdHandshake>(exports_, greeting);
    deadline_.after(kDeadline, [this] { end("no handshake within 30 s"); });
    stream_->start({.on_bytes = [this](Bytes bytes) { on_bytes(bytes); },
                    .on_drained =
                        [this] {
                            if (!in_turn_) turn();
                        },
                    .on_closed = [this](const Status&) { end({}); }});
    stream_->write_copy(greeting);
}

void NbdConnection::on_bytes(Bytes bytes) {
    if (over_ || leaving_) return;
    if (!session_) {
        bytes = haggle(bytes);
        if (!session_ || over_) return;
    }
    session_->feed(bytes, stream_->queued_bytes());
    turn();
}

// Gives the bytes behind the handshake.
Bytes NbdConnection::haggle(Bytes bytes) {
    std::vector<std::byte> out;
    const std::size_t taken = handshake_->feed(bytes, out);
    if (!out.empty()) stream_->write_copy(out);
    if (over_) return {};
    switch (handshake_->state()) {
        case NbdHandshake::State::haggling:
            // Answers are longer than options: who sends without reading is no client.
            if (stream_->queued_bytes() > kNbdPayloadMax) end("answers are not read");
            return {};
        case NbdHandshake::State::closed:
            if (!handshake_->why_closed().empty()) {
                end(handshake_->why_closed());
            } else {
                say_goodbye();
            }
            return {};
        case NbdHandshake::State::transmission:
            break;
    }
    deadline_.cancel();
    const NbdNegotiated& agreed = handshake_->negotiated();
    session_ = std::make_shared<NbdSession>(agreed.traits, *exports_[agreed.export_index].device,
                                            [this] { on_reply(); });
    return bytes.subspan(taken);
}

// Completions come in groups: the first of a group that no turn will send posts one.
void NbdConnection::on_reply() {
    if (in_turn_ || turn_posted_) return;
    turn_posted_ = true;
    loop_.post([weak = weak_from_this()] {
        const auto self = weak.lock();
        if (!self) return;
        self->turn_posted_ = false;
        self->turn();
    });
}

void NbdConnection::turn() {
    if (over_) return;
    if (!session_) {
        if (leaving_) say_goodbye();
        return;
    }
    in_turn_ = true;
    do {
        session_->end_of_batch();
        send_replies();
    } while (!over_ && session_->resume(stream_->queued_bytes()));
    in_turn_ = false;
    if (over_) return;
    switch (session_->state()) {
        case NbdSession::State::open:
            stream_->pause_reading(session_->full());
            break;
        case NbdSession::State::ending:
            if (session_->idle()) say_goodbye();
            break;
        case NbdSession::State::broken:
            end(session_->why());
            break;
    }
}

void NbdConnection::send_replies() {
    NbdReplies& replies = session_->replies();
    if (replies.empty()) return;
    for (const NbdReplies::Piece& piece : replies.pieces()) {
        stream_->write(piece.bytes, piece.keep);
        if (over_) return;
    }
    replies.clear();
}

void NbdConnection::say_goodbye() {
    if (!leaving_) {
        leaving_ = true;
        deadline_.after(kDeadline, [this] { end("the last replies are not read"); });
    }
    if (stream_->queued_bytes() > 0) return;  // comes again when it has drained
    stream_->finish();
    end({});
}

void NbdConnection::end(std::string_view why) {
    if (over_) return;
    if (!why.empty() && log_wanted(LogLevel::info))
        log_info("nbd: client " + stream_->peer_address() + " dropped: " + std::string(why));
    const auto gone = std::move(gone_);
    drop();
    if (gone) gone();
}

void NbdConnection::drop() {
    if (over_) return;
    over_ = true;
    gone_ = nullptr;
    deadline_.cancel();
    if (session_) session_->detach();
    stream_->close();
}

}  // namespace everstep::daemon
