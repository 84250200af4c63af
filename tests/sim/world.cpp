#include "tests/sim/world.hpp"

#include <sys/mman.h>
#include <ucontext.h>

#include <cxxabi.h>
#include <execinfo.h>
#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "common/base/assert.hpp"

namespace everstep::sim {
namespace {

constexpr std::size_t kStackBytes = 512U << 10;
constexpr std::size_t kGuardBytes = 4096;
constexpr Time kSwitch{1000};  // what a turn of a fiber takes
constexpr std::uint64_t kTracePrime = 0x100000001b3;
World* current_world = nullptr;

// What the C++ library keeps of exceptions that are under way, for each thread.
struct ExceptionState {
    void* caught = nullptr;
    unsigned uncaught = 0;
};
ExceptionState& exceptions() {
    return *reinterpret_cast<ExceptionState*>(abi::__cxa_get_globals());
}

// What a killed process held stays where it is: nothing of it may run.
void leak(std::function<void()> work) {
    if (work) static_cast<void>(new std::function<void()>(std::move(work)));
}

}  // namespace

struct Fiber {
    ~Fiber() {
        if (stack != nullptr) ::munmap(stack, kStackBytes + kGuardBytes);
    }
    FiberId id = 0;
    ProcessId process = 0;
    std::function<void()> work;
    void* stack = nullptr;
    ucontext_t context{};
    ucontext_t* world = nullptr;
    const void* on = nullptr;  // what it waits for
    std::uint64_t wait = 0;    // number of its newest wait
    bool waiting = false;
    bool woken = false;
    int error_number = 0;
    ExceptionState exceptions;
};

World::World(std::uint64_t seed) : random_(seed) {
    EVERSTEP_ASSERT(current_world == nullptr, "two worlds at once");
    current_world = this;
}

World::~World() {
    running_ = nullptr;
    for (auto& [id, process] : std::map(processes_)) kill(id);
    bury();
    for (Event& event : events_) leak(std::move(event.work));
    current_world = nullptr;
}

World* World::current() {
    return current_world;
}

Time World::between(Time least, Time most) {
    if (most <= least) return least;
    return least + Time(static_cast<std::int64_t>(
                       below(static_cast<std::uint64_t>((most - least).count()))));
}

ProcessId World::begin_process(std::string name, std::function<void()> main) {
    const ProcessId id = next_process_++;
    processes_[id].name = std::move(name);
    make_fiber(id, std::move(main));
    return id;
}

FiberId World::make_fiber(ProcessId process, std::function<void()> work) {
    auto fiber = std::make_unique<Fiber>();
    fiber->id = next_fiber_++;
    fiber->process = process;
    fiber->work = std::move(work);
    fiber->stack = ::mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EVERSTEP_ASSERT(fiber->stack != MAP_FAILED, "no memory for a stack");
    EVERSTEP_ASSERT(::mprotect(fiber->stack, kGuardBytes, PROT_NONE) == 0, "no guard page");
    ::getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = static_cast<char*>(fiber->stack) + kGuardBytes;
    fiber->context.uc_stack.ss_size = kStackBytes;
    fiber->context.uc_link = nullptr;
    const auto address = reinterpret_cast<std::uintptr_t>(fiber.get());
    ::makecontext(&fiber->context, reinterpret_cast<void (*)()>(&World::enter), 2,
                  static_cast<unsigned>(address >> 32), static_cast<unsigned>(address));
    const FiberId id = fiber->id;
    processes_.at(process).fibers.push_back(id);
    fibers_[id] = std::move(fiber);
    ready_.push_back(id);
    return id;
}

void World::enter(unsigned high, unsigned low) {
    auto* fiber = reinterpret_cast<Fiber*>(std::uintptr_t{high} << 32 | low);
    fiber->work();
    World& world = *current_world;
    fiber->work = nullptr;
    auto& own = world.processes_.at(fiber->process).fibers;
    std::erase(own, fiber->id);
    if (own.empty()) world.processes_.erase(fiber->process);
    world.wake_all(fiber);
    world.dead_.push_back(std::move(world.fibers_.at(fiber->id)));
    world.fibers_.erase(fiber->id);
    world.leave();
}

void World::kill(ProcessId process) {
    const auto found = processes_.find(process);
    if (found == processes_.end()) return;
    const bool own = running_ != nullptr && running_->process == process;
    for (const FiberId id : found->second.fibers) {
        Fiber& fiber = *fibers_.at(id);
        if (fiber.waiting) stop_waiting(fiber);
        dead_.push_back(std::move(fibers_.at(id)));
        fibers_.erase(id);
        std::erase(ready_, id);
    }
    processes_.erase(found);
    if (own) leave();
}

// A stack cannot go while it is stood on.
void World::bury() {
    std::erase_if(dead_, [this](const std::unique_ptr<Fiber>& one) {
        if (one.get() == running_) return false;
        leak(std::move(one->work));
        return true;
    });
}

ProcessId World::process() const {
    return running_ == nullptr ? 0 : running_->process;
}

const std::string& World::name_of(ProcessId process) const {
    static const std::string kNone = "world";
    const auto found = processes_.find(process);
    return found == processes_.end() ? kNone : found->second.name;
}

FiberId World::spawn(std::function<void()> work) {
    return make_fiber(process(), std::move(work));
}

FiberId World::self() const {
    return running_ == nullptr ? 1 : running_->id;
}

void World::join(FiberId fiber) {
    while (fibers_.contains(fiber)) block(fibers_.at(fiber).get());
}

bool World::block(const void* on, std::optional<Time> until) {
    EVERSTEP_ASSERT(running_ != nullptr, "the world itself cannot wait");
    Fiber& fiber = *running_;
    fiber.on = on;
    fiber.waiting = true;
    fiber.woken = false;
    ++fiber.wait;
    waiting_[on].push_back(fiber.id);
    if (until) add_event({*until, 0, fiber.process, {}, fiber.id, fiber.wait});
    leave();
    if (printing_stacks_) {
        std::array<void*, 32> frames{};
        const int count = ::backtrace(frames.data(), static_cast<int>(frames.size()));
        ::backtrace_symbols_fd(frames.data(), count, ::fileno(trace_file_));
        leave();
    }
    return fiber.woken;
}

// Nothing is left where nobody waits: another thing may come to lie at that address.
void World::stop_waiting(const Fiber& fiber) {
    auto& others = waiting_[fiber.on];
    std::erase(others, fiber.id);
    if (others.empty()) waiting_.erase(fiber.on);
}

void World::ready(Fiber& fiber) {
    fiber.waiting = false;
    ready_.push_back(fiber.id);
}

void World::wake_one(const void* on) {
    const auto found = waiting_.find(on);
    if (found == waiting_.end() || found->second.empty()) return;
    Fiber& fiber = *fibers_.at(found->second.front());
    found->second.pop_front();
    fiber.woken = true;
    ready(fiber);
    if (found->second.empty()) waiting_.erase(found);
}

void World::wake_all(const void* on) {
    while (waiting_.contains(on)) wake_one(on);
}

// Each one is woken, and says where it stands.
void World::print_stacks() {
    if (trace_file_ == nullptr) return;
    printing_stacks_ = true;
    std::vector<FiberId> all;
    for (const auto& [on, fibers] : waiting_) all.insert(all.end(), fibers.begin(), fibers.end());
    std::sort(all.begin(), all.end());
    waiting_.clear();
    for (const FiberId id : all) {
        if (!fibers_.contains(id)) continue;
        std::fprintf(trace_file_, "thread %llu of %s waits in\n",
                     static_cast<unsigned long long>(id), name_of(fibers_.at(id)->process).c_str());
        std::fflush(trace_file_);
        run_fiber(id);
    }
}

void World::sleep(Time time) {
    if (running_ == nullptr) return;
    block(running_, now_ + time);
}

void World::maybe_yield() {
    if (running_ == nullptr || !one_in(yield_one_in)) return;
    ready_.push_back(running_->id);
    leave();
}

void World::leave() {
    Fiber& fiber = *running_;
    fiber.error_number = errno;
    fiber.exceptions = exceptions();
    ::swapcontext(&fiber.context, fiber.world);
    errno = fiber.error_number;
    exceptions() = fiber.exceptions;
}

void World::run_fiber(FiberId id) {
    Fiber& fiber = *fibers_.at(id);
    const ExceptionState own = exceptions();
    ucontext_t here{};
    fiber.world = &here;
    running_ = &fiber;
    ::swapcontext(&here, &fiber.context);
    running_ = nullptr;
    exceptions() = own;
    bury();
}

void World::at(Time time, ProcessId process, std::function<void()> work) {
    add_event({std::max(time, now_), 0, process, std::move(work)});
}

void World::add_event(Event event) {
    event.number = next_event_++;
    events_.push_back(std::move(event));
    std::push_heap(events_.begin(), events_.end(), Later());
}

void World::run_events() {
    while (!events_.empty() && events_.front().time <= now_) {
        std::pop_heap(events_.begin(), events_.end(), Later());
        Event event = std::move(events_.back());
        events_.pop_back();
        if (event.process != 0 && !alive(event.process)) {
            leak(std::move(event.work));
            continue;
        }
        if (event.sleeper == 0) {
            event.work();
            continue;
        }
        const auto found = fibers_.find(event.sleeper);
        if (found == fibers_.end()) continue;
        Fiber& fiber = *found->second;
        if (!fiber.waiting || fiber.wait != event.wait) continue;
        stop_waiting(fiber);
        ready(fiber);
    }
}

bool World::run(Time until, const std::function<bool()>& done) {
    while (failure_.empty()) {
        run_events();
        if (done()) return true;
        if (now_ >= until) return false;
        if (ready_.empty()) {
            now_ = events_.empty() ? until : std::min(until, events_.front().time);
            continue;
        }
        const std::size_t place = below(ready_.size());
        const FiberId next = ready_[place];
        ready_[place] = ready_.back();
        ready_.pop_back();
        run_fiber(next);
        now_ += kSwitch;
    }
    return false;
}

void World::trace(std::string_view what) {
    for (const char c : what)
        trace_hash_ = (trace_hash_ ^ static_cast<unsigned char>(c)) * kTracePrime;
    trace_hash_ = (trace_hash_ ^ static_cast<std::uint64_t>(now_.count())) * kTracePrime;
    if (trace_file_ == nullptr) return;
    const auto ns = now_.count();
    std::fprintf(trace_file_, "%6lld.%09lld %.*s\n", static_cast<long long>(ns / 1'000'000'000),
                 static_cast<long long>(ns % 1'000'000'000), static_cast<int>(what.size()),
                 what.data());
}

void World::fail(const std::string& law, const std::string& what) {
    trace("FAIL " + law + ": " + what);
    if (failure_.empty()) failure_ = law + ": " + what;
}

}  // namespace everstep::sim
