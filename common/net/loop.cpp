#include "common/net/loop.hpp"

#include <boost/asio/signal_set.hpp>
#include <csignal>

#include "common/base/assert.hpp"
#include "common/net/loop_impl.hpp"

namespace everstep::net {

void Loop::Impl::make_buffers() {
    if (plain.size() != 0) return;
    plain.resize(kReadBytesMax);
    cipher.resize(kCipherBytesMax);
}

Loop::Loop() : impl_(std::make_unique<Impl>()) {}
Loop::~Loop() = default;

void Loop::run() {
    impl_->thread = std::this_thread::get_id();
    impl_->context.restart();
    impl_->context.run();
    impl_->thread = std::thread::id();
}

// The context runs what is posted in order, so that everything posted before comes first.
void Loop::stop() {
    asio::post(impl_->context, [this] { impl_->context.stop(); });
}

void Loop::post(std::function<void()> work) {
    asio::post(impl_->context, std::move(work));
}

bool Loop::on_this_thread() const {
    return impl_->thread.load() == std::this_thread::get_id();
}

// The callback is moved out while it runs: it may re-arm, cancel or destroy its timer.
struct Timer::Impl : std::enable_shared_from_this<Timer::Impl> {
    explicit Impl(Loop& loop) : timer(loop.impl().context) {}

    void wait() {
        timer.async_wait([self = shared_from_this(), armed = generation](ErrorCodeOfAsio error) {
            if (!error && armed == self->generation) self->fire();
        });
    }

    void fire() {
        const std::uint64_t armed = generation;
        const auto running = std::move(callback);
        running();
        if (armed != generation || period == std::chrono::nanoseconds::zero()) return;
        callback = running;
        // A late loop does not make up for the periods that it missed.
        const auto next = timer.expiry() + period;
        timer.expires_at(std::max(next, std::chrono::steady_clock::now()));
        wait();
    }

    void arm(std::chrono::nanoseconds delay, std::chrono::nanoseconds again,
             std::function<void()> work) {
        cancel();
        callback = std::move(work);
        period = again;
        timer.expires_after(delay);
        wait();
    }

    void cancel() {
        ++generation;
        timer.cancel();
        callback = nullptr;
    }

    asio::steady_timer timer;
    std::uint64_t generation = 0;  // a wait of an older one is void
    std::chrono::nanoseconds period{0};
    std::function<void()> callback;
};

Timer::Timer(Loop& loop) : impl_(std::make_shared<Impl>(loop)) {}
Timer::~Timer() {
    impl_->cancel();
}
void Timer::cancel() {
    impl_->cancel();
}

void Timer::after(std::chrono::nanoseconds delay, std::function<void()> callback) {
    impl_->arm(delay, std::chrono::nanoseconds::zero(), std::move(callback));
}

void Timer::every(std::chrono::nanoseconds period, std::function<void()> callback) {
    EVERSTEP_ASSERT(period > std::chrono::nanoseconds::zero(), "a timer that never rests");
    impl_->arm(period, period, std::move(callback));
}

struct Signals::Impl : std::enable_shared_from_this<Signals::Impl> {
    Impl(Loop& loop, std::function<void(int)> work)
        : signals(loop.impl().context, SIGTERM, SIGINT, SIGHUP),
          callback(std::make_shared<std::function<void(int)>>(std::move(work))) {}

    void wait() {
        signals.async_wait([self = shared_from_this()](ErrorCodeOfAsio error, int signal) {
            const auto running = self->callback;
            if (error || !running) return;
            (*running)(signal);
            if (self->callback) self->wait();
        });
    }

    asio::signal_set signals;
    std::shared_ptr<std::function<void(int)>> callback;  // none once cancelled
};

Signals::Signals(Loop& loop, std::function<void(int signal)> callback)
    : impl_(std::make_shared<Impl>(loop, std::move(callback))) {
    impl_->wait();
}

Signals::~Signals() {
    impl_->callback.reset();
    ErrorCodeOfAsio ignored;  // nothing to do about it: the wait is void in any case
    impl_->signals.cancel(ignored);
}

}  // namespace everstep::net
