// net::Loop, Timer and Signals in a world: the same interface, its turns on a fiber, its time the
// world's.
#include "common/net/loop.hpp"

#include <deque>

#include "common/base/assert.hpp"
#include "tests/sim/signals.hpp"
#include "tests/sim/world.hpp"

namespace everstep::net {

using sim::World;

struct Loop::Impl {
    World& world = *World::current();
    std::deque<std::function<void()>> work;
    bool stopped = false;
    sim::FiberId thread = 0;
};

Loop::Loop() : impl_(std::make_unique<Impl>()) {}
Loop::~Loop() = default;

void Loop::run() {
    impl_->thread = impl_->world.self();
    impl_->stopped = false;
    while (!impl_->stopped) {
        while (impl_->work.empty()) impl_->world.block(impl_.get());
        const std::function<void()> one = std::move(impl_->work.front());
        impl_->work.pop_front();
        one();
        impl_->world.maybe_yield();
    }
    impl_->thread = 0;
}

void Loop::stop() {
    post([this] { impl_->stopped = true; });
}

void Loop::post(std::function<void()> work) {
    impl_->work.push_back(std::move(work));
    impl_->world.wake_one(impl_.get());
}

bool Loop::on_this_thread() const {
    return impl_->thread != 0 && impl_->thread == impl_->world.self();
}

struct Timer::Impl : std::enable_shared_from_this<Timer::Impl> {
    explicit Impl(Loop& of) : loop(of) {}
    void arm(std::chrono::nanoseconds delay, std::chrono::nanoseconds again,
             std::function<void()> work) {
        cancel();
        callback = std::move(work);
        period = again;
        wait(World::current()->now() + delay);
    }
    void wait(std::chrono::nanoseconds at) {
        expiry = at;
        World& world = *World::current();
        world.at(at, world.process(), [self = shared_from_this(), armed = generation] {
            if (armed != self->generation) return;
            self->loop.post([self, armed] {
                if (armed == self->generation) self->fire();
            });
        });
    }
    void fire() {
        const std::uint64_t armed = generation;
        const auto running = std::move(callback);
        running();
        if (armed != generation || period == std::chrono::nanoseconds::zero()) return;
        callback = running;
        wait(std::max(expiry + period, World::current()->now()));
    }
    void cancel() {
        ++generation;
        callback = nullptr;
    }
    Loop& loop;
    std::uint64_t generation = 0;
    std::chrono::nanoseconds period{0};
    std::chrono::nanoseconds expiry{0};
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

struct Signals::Impl {
    Loop* loop = nullptr;
    sim::ProcessId process = 0;
    std::function<void(int)> callback;
};

namespace {
std::map<sim::ProcessId, std::function<void(int)>>& receivers() {
    static std::map<sim::ProcessId, std::function<void(int)>> all;
    return all;
}
}  // namespace

Signals::Signals(Loop& loop, std::function<void(int signal)> callback)
    : impl_(std::make_shared<Impl>()) {
    impl_->loop = &loop;
    impl_->process = World::current()->process();
    impl_->callback = std::move(callback);
    receivers()[impl_->process] = [weak = std::weak_ptr(impl_)](int signal) {
        const auto impl = weak.lock();
        if (!impl) return;
        impl->loop->post([weak, signal] {
            if (const auto still = weak.lock()) still->callback(signal);
        });
    };
}

Signals::~Signals() {
    receivers().erase(impl_->process);
}

}  // namespace everstep::net

namespace everstep::sim {

void send_signal(ProcessId process, int signal) {
    const auto found = net::receivers().find(process);
    if (found != net::receivers().end() && World::current()->alive(process)) found->second(signal);
}

}  // namespace everstep::sim
