// What the tests of a standby stand on: a directory of its own, a loop on a thread, and a Standby
// in it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "standby/standby.hpp"

namespace everstep::standby::testing {

class TempDirectory {
  public:
    TempDirectory();
    ~TempDirectory();
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_;
};

// A loop that runs on a thread of its own; on() runs there and waits.
class LoopThread {
  public:
    LoopThread();
    ~LoopThread();
    void on(const std::function<void()>& work);
    [[nodiscard]] net::Loop& loop() { return loop_; }

  private:
    net::Loop loop_;
    std::thread thread_;
};

// The step time of every test's baseline.
inline constexpr WallTime kFirstTime{std::chrono::seconds(1'790'000'000)};

// Waits until the condition holds; false after the deadline.
[[nodiscard]] bool eventually(const std::function<bool()>& condition,
                              std::chrono::seconds deadline = std::chrono::seconds(60));

// The seed of a random test: EVERSTEP_SEED, or a new one; printed.
[[nodiscard]] std::uint64_t test_seed();

struct SceneOptions {
    io::FileSystem* files = nullptr;
    const Clock* clock = nullptr;
    ByteCount segment_bytes{1U << 20};
    ByteCount data_bytes{96U << 10};  // of volume data
    journal::KeepLimits keep{};
    ByteCount reserve_bytes{0};
};

// A standby with two volumes; opened and closed as often as a test likes.
class Scene {
  public:
    explicit Scene(std::string directory, Uuid group, SceneOptions options = {});
    ~Scene();
    [[nodiscard]] Status open();
    void close();  // stop() and away
    [[nodiscard]] bool standby_open() const { return standby_ != nullptr; }
    [[nodiscard]] Standby& standby() { return *standby_; }
    [[nodiscard]] const journal::Store& store() { return standby_->store(); }
    [[nodiscard]] LoopThread& thread() { return thread_; }
    [[nodiscard]] const std::vector<VolumeFile>& volumes() const { return volumes_; }
    // Its callbacks, for a session; on the loop's thread.
    std::function<void()> on_progress;

    // Begins history at step 0 of `timeline`, everything zero.
    [[nodiscard]] Status begin(const journal::TimelineInfo& timeline);
    void push(const FramePtr& frame);
    [[nodiscard]] Status task(std::function<Status(journal::Store&)> work);
    // What is told of a move on its way goes into `progress`.
    [[nodiscard]] Result<Value> rewind(Point to, bool dry_run = false,
                                       std::vector<Value>* progress = nullptr);
    [[nodiscard]] Result<Value> resume(std::vector<Value>* progress = nullptr);
    // What a takeover does; `begun` runs when the apply thread has been told.
    [[nodiscard]] Status release(const std::function<void()>& begun);
    [[nodiscard]] bool wait_durable(Lsn lsn);
    [[nodiscard]] bool wait_applied(Lsn lsn);
    [[nodiscard]] std::vector<std::string> events();
    [[nodiscard]] Status failed();  // what on_failed said

  private:
    std::string directory_;
    Uuid group_;
    SceneOptions options_;
    std::vector<VolumeFile> volumes_;
    LoopThread thread_;
    std::unique_ptr<Standby> standby_;
    std::mutex mutex_;
    std::vector<std::string> events_;
    Status failed_;
};

}  // namespace everstep::standby::testing
