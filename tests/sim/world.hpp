// World: the simulator's one thread. What the programs in it take for threads are fibers; what they
// take for time passes only when none of them can run. Which fiber runs next, and when one that
// takes a lock makes way for another, is chosen from one seed, so that a seed is one course of
// events.
//
// Thread: one. Outside of every fiber, and in what at() runs, nothing may wait.
// Invariants: a fiber belongs to a process; of one that was killed nothing runs any more, no
// destructor either: what it held in memory is given up, as with a real one.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace everstep::sim {

using Time = std::chrono::nanoseconds;
using ProcessId = std::uint64_t;  // of one life; 0: the world's own
using FiberId = std::uint64_t;

struct Fiber;

class World {
  public:
    explicit World(std::uint64_t seed);
    ~World();
    World(const World&) = delete;
    World& operator=(const World&) = delete;
    [[nodiscard]] static World* current();  // null outside of a simulation

    [[nodiscard]] Time now() const { return now_; }
    [[nodiscard]] std::uint64_t random() { return random_(); }
    [[nodiscard]] std::uint64_t below(std::uint64_t n) { return n == 0 ? 0 : random_() % n; }
    [[nodiscard]] bool one_in(std::uint64_t n) { return n != 0 && below(n) == 0; }
    [[nodiscard]] Time between(Time least, Time most);

    // ---- processes
    ProcessId begin_process(std::string name, std::function<void()> main);
    void kill(ProcessId process);  // does not return where it is the caller's own
    [[nodiscard]] bool alive(ProcessId process) const { return processes_.contains(process); }
    [[nodiscard]] ProcessId process() const;
    [[nodiscard]] const std::string& name_of(ProcessId process) const;

    // ---- threads of the calling process
    FiberId spawn(std::function<void()> work);
    void join(FiberId fiber);
    [[nodiscard]] FiberId self() const;
    // Waits for a wake of `on`, at most until then. False: the time has come.
    bool block(const void* on, std::optional<Time> until = std::nullopt);
    void wake_one(const void* on);
    void wake_all(const void* on);
    void sleep(Time time);
    void maybe_yield();  // at a lock, say

    // Runs `work` then, in no fiber, unless the process is gone.
    void at(Time time, ProcessId process, std::function<void()> work);
    // Until `done` says so (looked at now and then) or the time has come. True: done.
    bool run(Time until, const std::function<bool()>& done);

    // ---- what happened: a hash that two runs of a seed share, and text for people
    void trace(std::string_view what);
    [[nodiscard]] std::uint64_t trace_hash() const { return trace_hash_; }
    void set_trace_file(std::FILE* file) { trace_file_ = file; }
    void probe(const std::string& name) { ++probes_[name]; }
    [[nodiscard]] const std::map<std::string, std::uint64_t>& probes() const { return probes_; }
    // What does not hold; the first one counts.
    void fail(const std::string& law, const std::string& what);
    [[nodiscard]] const std::string& failure() const { return failure_; }
    std::uint64_t yield_one_in = 64;
    // Where each thread waits, for people; what happens behind it means nothing.
    void print_stacks();

  private:
    struct Event {
        Time time;
        std::uint64_t number;
        ProcessId process;
        std::function<void()> work;
        FiberId sleeper = 0;  // instead of work: it waits in its wait of that number
        std::uint64_t wait = 0;
    };
    struct Later {
        bool operator()(const Event& a, const Event& b) const {
            return a.time != b.time ? a.time > b.time : a.number > b.number;
        }
    };
    struct Process {
        std::string name;
        std::vector<FiberId> fibers;
    };
    FiberId make_fiber(ProcessId process, std::function<void()> work);
    void add_event(Event event);
    void run_events();
    void run_fiber(FiberId id);
    void leave();  // to the world, from a fiber
    void ready(Fiber& fiber);
    void stop_waiting(const Fiber& fiber);
    void bury();
    static void enter(unsigned high, unsigned low);

    std::mt19937_64 random_;
    Time now_{0};
    std::vector<Event> events_;  // a heap
    std::uint64_t next_event_ = 1;
    std::map<ProcessId, Process> processes_;
    std::unordered_map<FiberId, std::unique_ptr<Fiber>> fibers_;
    std::vector<FiberId> ready_;
    std::unordered_map<const void*, std::deque<FiberId>> waiting_;
    std::vector<std::unique_ptr<Fiber>> dead_;
    Fiber* running_ = nullptr;
    FiberId next_fiber_ = 2;
    ProcessId next_process_ = 1;
    std::uint64_t trace_hash_ = 0xcbf29ce484222325;
    std::FILE* trace_file_ = nullptr;
    bool printing_stacks_ = false;
    std::map<std::string, std::uint64_t> probes_;
    std::string failure_;
};

inline void probe(const char* name) {
    if (World::current() != nullptr) World::current()->probe(name);
}

}  // namespace everstep::sim
