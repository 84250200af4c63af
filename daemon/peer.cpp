#include "daemon/peer.hpp"

#include "daemon/link_times.hpp"
#include "daemon/stream_plan.hpp"

namespace everstep::daemon {

namespace {
constexpr std::chrono::milliseconds kDialTimeout{3000};
constexpr std::chrono::milliseconds kRetry{500};
constexpr std::chrono::milliseconds kRetryCut{20};  // once, behind a session that was cut
constexpr std::chrono::seconds kRetryRefused{2};

Status reads_none(const std::string& peer) {
    return {ErrorCode::refused,
            peer +
                " reads no compressed frames: bring everstepd there up to date, or set "
                "`compression = \"off\"` before frames wait for it"};
}
}  // namespace

Peer::Peer(const GroupContext& context, std::string name, PeerEvents events)
    : context_(context),
      name_(std::move(name)),
      events_(std::move(events)),
      retry_(*context.loop) {}

Peer::~Peer() {
    *alive_ = false;
    stop();
}

void Peer::stop(const Status& why) {
    stopped_ = true;
    retry_.cancel();
    connecting_.reset();
    if (link_) link_->close(why);
    retire();
}

// A link may be in the middle of one of its callbacks: it goes when that has returned.
void Peer::retire() {
    greeted_ = false;
    if (!link_) return;
    context_.loop->post([link = std::shared_ptr<Link>(std::move(link_))] {});
}

void Peer::dial() {
    if (stopped_ || paused_ || link_ || connecting_) return;
    if (const Status trusted = context_.trusts(name_); !trusted.ok()) {
        refused_ = true;
        why_ = trusted.message();
        retry_.after(kRetryRefused, [this] { dial(); });
        return;
    }
    address_ = context_.config->node(name_)->address;
    connecting_ =
        net::connect(*context_.loop, address_, context_.tls, name_, kDialTimeout,
                     [this](Result<net::StreamPtr> stream) { connected(std::move(stream)); });
}

void Peer::dial_soon() {
    retry_.after(kRetry, [this] { dial(); });
}

void Peer::follow_address() {
    if (link_ && address_ != context_.config->node(name_)->address)
        refuse(Status(ErrorCode::closed, "its address is another one now"));
}

void Peer::connected(Result<net::StreamPtr> stream) {
    context_.loop->post([gone = std::shared_ptr<net::Connecting>(std::move(connecting_))] {});
    if (!stream.ok()) {
        why_ = stream.status().message();
        retry_.after(kRetry, [this] { dial(); });
        return;
    }
    link_ = std::make_unique<Link>(*context_.loop, std::move(*stream));
    LinkEvents events;
    events.on_control = [this](const wire::Control& message) { return greeted(message); };
    events.on_closed = [this](const Status& status) { ended(status); };
    events.keepalive = [this] { return keepalive(); };
    events.times = &context_.group->keepalive;
    link_->start(std::move(events));
    say_hello();
}

void Peer::say_hello() {
    if (!link_) return;
    wire::Hello hello;
    hello.features = wire::kFeatures;
    hello.node = context_.node;
    hello.node_id = context_.node_id;
    hello.group = events_.own_state();
    link_->send(hello);
}

std::string Peer::difference() const {
    if (!greeted_ || !state_) return {};
    return first_difference(events_.own_state().configuration, state_->configuration);
}

Status Peer::greeted(const wire::Control& message) {
    if (std::holds_alternative<wire::Keepalive>(message)) return {};
    const auto* hello = std::get_if<wire::Hello>(&message);
    if (hello == nullptr) return Status(ErrorCode::corrupt, "a Hello was wanted first");
    if (hello->protocol_min > wire::kProtocolMax || hello->protocol_max < wire::kProtocolMin) {
        return Status(ErrorCode::version, "no protocol version in common");
    }
    if (hello->node != name_) return Status(ErrorCode::refused, "it calls itself " + hello->node);
    if (hello->group) state_ = hello->group;
    if (hello->error != ErrorCode::ok && !hello->group) return Status(hello->error, hello->message);
    if (!hello->group) return Status(ErrorCode::corrupt, "a Hello without a group");
    const std::string difference =
        first_difference(events_.own_state().configuration, hello->group->configuration,
                         {"on " + context_.node, "on " + name_});
    if (!difference.empty()) {
        return Status(ErrorCode::refused, "the configurations differ: " + difference +
                                              "; the same file on every node, then `everstep "
                                              "group apply`, or a restart of the node that has "
                                              "not read it");
    }
    reads_compressed_ = (hello->features & wire::kFeatureCompressedFrames) != 0;
    if (!reads_compressed_ && !context_.group->compression.off()) return reads_none(name_);
    greeted_ = true;
    refused_ = false;
    why_.clear();
    events_.on_greeted();
    return {};
}

void Peer::start_session(LinkEvents events) {
    told_.clear();
    events.on_control = [this, then = std::move(events.on_control)](const wire::Control& message) {
        const auto* hello = std::get_if<wire::Hello>(&message);
        if (hello == nullptr) return then(message);
        if (hello->group) state_->configuration = hello->group->configuration;
        events_.on_reconfigured();
        return Status();
    };
    const auto times = std::make_shared<KeepaliveConfig>(context_.group->keepalive);
    events.keepalive = [this, times] {
        if (state_) *times = link_times(context_.group->keepalive, state_->configuration);
        return keepalive();
    };
    events.times = times.get();  // as long as the events
    events.on_closed = [this](const Status& status) { ended(status); };
    link_->start(std::move(events));
}

// Each second: when a link looks whether its node is still one of ours.
wire::Keepalive Peer::keepalive() {
    if (!context_.trusts(name_).ok()) {
        context_.loop->post([this, alive = alive_] {
            if (*alive && !context_.trusts(name_).ok()) refuse(context_.trusts(name_));
        });
    }
    return events_.keepalive ? events_.keepalive() : wire::Keepalive{};
}

// A frame was compressed once for all, and is sent as it is or not at all.
void Peer::send_frame(const FramePtr& frame) {
    if (link() == nullptr) return;
    if (!frame->header().compressed || reads_compressed_) return link_->send_frame(frame);
    context_.loop->post([this, alive = alive_] {
        if (*alive) refuse(reads_none(name_));
    });
}

void Peer::ended(const Status& status) {
    if (!link_) return;
    refused_ = status.code() == ErrorCode::refused || status.code() == ErrorCode::version;
    why_ = status.message();
    if (told_ != why_) {
        told_ = why_;
        // What one side cannot believe of the other is no matter of the network.
        const bool false_peer = status.code() == ErrorCode::corrupt;
        context_.event(refused_     ? "alarm-refused"
                       : false_peer ? "alarm-link"
                                    : "link",
                       link_story(name_, status));
    }
    const auto after = refused_                   ? std::chrono::milliseconds(kRetryRefused)
                       : greeted_ && link_->cut() ? kRetryCut
                                                  : kRetry;
    retire();
    events_.on_ended(status);
    if (!stopped_ && !paused_) retry_.after(after, [this] { dial(); });
}

void Peer::refuse(const Status& why) {
    if (!link_) return;
    link_->close(why);
    ended(why);
}

void Peer::set_paused(bool paused) {
    paused_ = paused;
    if (paused) {
        retry_.cancel();
        connecting_.reset();
        if (link_) refuse(Status(ErrorCode::closed, "paused"));
    } else {
        dial();
    }
}

std::string Peer::link_state() const {
    if (paused_) return "paused";
    if (greeted_) return "connected";
    return refused_ ? "refused" : "connecting";
}

}  // namespace everstep::daemon
