// Peer: a serving node's connection to one standby of one group: dials, greets, keeps dialling.
// What is said over it is the owner's business (SendSession, Puller). Thread: the node's loop.
// Links are ended outside their own callbacks.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "daemon/group_context.hpp"
#include "daemon/link.hpp"

namespace everstep::daemon {

struct PeerEvents {
    std::function<wire::GroupState()> own_state;
    std::function<void()> on_greeted;  // state() is fresh; take the link over by start_session()
    std::function<void(const Status&)> on_ended;
    std::function<void()> on_reconfigured;  // its configuration is another one, within a session
    std::function<wire::Keepalive()> keepalive;
};

class Peer {
  public:
    Peer(const GroupContext& context, std::string name, PeerEvents events);
    ~Peer();
    void dial();       // now, and again a second after each end
    void dial_soon();  // the same, for the first time when the other node has had time to be told
    void stop(const Status& why = Status(ErrorCode::ok, "the node stops"));
    void refuse(const Status& why);  // ends the link and says why in the status; dials again later
    void set_paused(bool paused);
    // The configuration may name another address for it: a link to the old one ends.
    void follow_address();
    void start_session(LinkEvents events);  // keepalive and on_closed are filled in
    void say_hello();                       // again, to a peer with a session: what has changed
    // Of the two configurations, since the greeting; empty: none. The next session is refused.
    [[nodiscard]] std::string difference() const;
    // A compressed one to a peer that reads none ends the link, and nothing was sent.
    void send_frame(const FramePtr& frame);
    [[nodiscard]] Link* link() { return greeted_ ? link_.get() : nullptr; }
    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] const std::optional<wire::GroupState>& state() const { return state_; }
    [[nodiscard]] std::string link_state() const;  // connected, connecting, paused, refused
    [[nodiscard]] const std::string& why() const { return why_; }

  private:
    void connected(Result<net::StreamPtr> stream);
    [[nodiscard]] wire::Keepalive keepalive();
    [[nodiscard]] Status greeted(const wire::Control& message);
    void ended(const Status& status);
    void retire();
    const GroupContext& context_;
    std::string name_;
    std::string address_;  // of the newest link
    PeerEvents events_;
    std::unique_ptr<net::Connecting> connecting_;
    std::unique_ptr<Link> link_;
    std::optional<wire::GroupState> state_;
    std::string why_;
    std::string told_;  // the end that was last told as an event, until a session has begun since
    bool greeted_ = false;
    bool reads_compressed_ = false;
    bool refused_ = false;
    bool paused_ = false;
    bool stopped_ = false;
    net::Timer retry_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace everstep::daemon
