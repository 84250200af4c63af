// Keeper: looks after the room that a standby's history takes, on disk and in memory: retention,
// the reserve of free space, files made ahead, the age clock (DESIGN.md 7, Retention), index files.
//
// Thread: start, stop, serve, set_limits from any thread; hooks are called on its own thread, which
// wakes every kKeepInterval. full() any thread.
//
// Invariants
//  - what is below `reserve_bytes` of free space is left to what was received already: passing
//  holds end, then receiving stops (`pause`), and goes on by itself when there is room again;
//  - the replica and the newest history are never given up. Where the node serves through the store
//  the oldest history goes before its time, then holds end, each with an alarm; only then full()
//  refuses writes.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "journal/store.hpp"

namespace everstep::standby {

inline constexpr std::chrono::milliseconds kKeepInterval{1000};
inline constexpr int kTendPieces = 64;               // of one tick
inline constexpr std::chrono::minutes kAgeSaved{5};  // what a crash may take of the age clock

struct KeeperOptions {
    io::FileSystem* files = nullptr;
    std::string directory;  // of the store
    journal::KeepLimits limits;
    ByteCount reserve_bytes{0};  // 0: none
    ByteCount segment_bytes{0};
    bool keeps_all = false;    // serving, too, gives nothing up for room: a branch
    bool makes_spares = true;  // while nothing comes the next segment's file is written ahead
};
struct KeeperHooks {
    std::function<void(std::string kind, std::string text)> event;
    std::function<void(bool)> pause;  // receiving stops, goes on
};

class Keeper {
  public:
    Keeper(journal::Store& store, const journal::ReplicaReader& replica, KeeperOptions options,
           KeeperHooks hooks);
    ~Keeper();  // stop() first
    [[nodiscard]] Status start();
    void stop();               // leaves a long condensing
    void serve(bool serving);  // the node serves through the store
    // Other limits, from the next look on, which comes at once.
    void set_limits(const journal::KeepLimits& limits, ByteCount reserve_bytes);
    [[nodiscard]] bool full() const { return full_; }

  private:
    void run();
    void tick();
    void tend();
    [[nodiscard]] bool keep(const journal::KeepLimits& limits);
    [[nodiscard]] bool is_short(std::uint64_t margin) const;
    void make_room();
    void force_room();
    void set_full(bool full);
    void make_ahead();
    void save_age();
    void told(const char* kind, const std::string& text);

    journal::Store& store_;
    const journal::ReplicaReader& replica_;
    KeeperOptions options_;
    KeeperHooks hooks_;
    std::thread thread_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::optional<std::pair<journal::KeepLimits, ByteCount>> wanted_;  // limits and reserve
    std::atomic<bool> stop_{false};
    std::atomic<bool> serving_{false};
    std::atomic<bool> full_{false};
    // The thread's own.
    journal::Age age_saved_{0};
    Point seen_;  // the tip at the tick before
    std::string last_told_;
    bool backlog_ = false;  // the store is not tended to the end
};

}  // namespace everstep::standby
