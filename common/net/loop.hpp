// Loop: one thread's event loop (Boost.Asio inside, in no header). Callbacks run on the thread that
// is in run(). Thread: post() and stop() from any thread; everything else on the loop's own thread
// (or before run()).
#pragma once

#include <chrono>
#include <functional>
#include <memory>

namespace everstep::net {

class Loop {
  public:
    Loop();
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
    void run();   // until stop()
    void stop();  // what was posted before it still runs
    void post(std::function<void()> work);
    [[nodiscard]] bool on_this_thread() const;
    struct Impl;
    [[nodiscard]] Impl& impl() { return *impl_; }  // for the other files of this folder

  private:
    std::unique_ptr<Impl> impl_;
};

// Runs once after `delay`, or again and again; cancelled by its destructor.
class Timer {
  public:
    explicit Timer(Loop& loop);
    ~Timer();
    void after(std::chrono::nanoseconds delay, std::function<void()> callback);
    void every(std::chrono::nanoseconds period, std::function<void()> callback);
    void cancel();

  private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

// SIGTERM, SIGINT, SIGHUP as callbacks on the loop.
class Signals {
  public:
    Signals(Loop& loop, std::function<void(int signal)> callback);
    ~Signals();

  private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace everstep::net
