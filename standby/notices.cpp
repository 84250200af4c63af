#include "standby/notices.hpp"

namespace everstep::standby {

Notices::Notices(net::Loop& loop, StandbyEvents events)
    : loop_(loop), shared_(std::make_shared<Shared>()) {
    shared_->events = std::move(events);
}

void Notices::progress() {
    if (shared_->progress_posted.exchange(true)) return;
    loop_.post([shared = shared_] {
        // Cleared first: what moves from here on posts again.
        shared->progress_posted.store(false);
        if (!shared->silent && shared->events.on_progress) shared->events.on_progress();
    });
}

void Notices::failed(const Status& status) {
    if (shared_->failed.exchange(true)) return;
    loop_.post([shared = shared_, status] {
        if (!shared->silent && shared->events.on_failed) shared->events.on_failed(status);
    });
}

void Notices::event(std::string kind, std::string text) {
    loop_.post([shared = shared_, kind = std::move(kind), text = std::move(text)] {
        if (!shared->silent && shared->events.on_event) shared->events.on_event(kind, text);
    });
}

void Notices::answer(std::function<void()> callback) {
    loop_.post([shared = shared_, callback = std::move(callback)] {
        if (!shared->silent) callback();
    });
}

void Notices::silence() {
    shared_->silent = true;
}

}  // namespace everstep::standby
