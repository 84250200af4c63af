// What the C library gives a program of threads, locks, time and chance, given by the world
// instead. The simulator's program defines these functions itself, so that its own calls and those
// of the C++ library come here; nothing in the tree knows of it. Without a world (before main, and
// between two simulations) there is one thread, and no lock is ever contended.
#include <bits/atomic_futex.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "common/base/assert.hpp"
#include "tests/sim/wall_clocks.hpp"

namespace {

using everstep::sim::FiberId;
using everstep::sim::Time;
using everstep::sim::World;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kWallBegin = 1'800'000'000 * kSecond;
constexpr std::int64_t kBootBegin = 1000 * kSecond;

int owner() {
    const World* world = World::current();
    return world == nullptr ? 1 : static_cast<int>(world->self());
}

// By process name: how far a machine's wall clock was moved.
std::map<std::string, Time>& moved() {
    static std::map<std::string, Time> all;
    return all;
}

Time wall_ahead(const World& world) {
    const auto found = moved().find(world.name_of(world.process()));
    return found == moved().end() ? Time(0) : found->second;
}

Time time_of(clockid_t clock, const timespec& time) {
    const std::int64_t at = time.tv_sec * kSecond + time.tv_nsec;
    if (clock != CLOCK_REALTIME) return Time(at - kBootBegin);
    return Time(at - kWallBegin) - wall_ahead(*World::current());
}

// A lock for reading and writing, in the memory of the C library's.
struct SharedLock {
    int readers;
    int writer;
};
static_assert(sizeof(SharedLock) <= sizeof(pthread_rwlock_t));
SharedLock& shared(pthread_rwlock_t* lock) {
    return *reinterpret_cast<SharedLock*>(lock);
}

void wait_for(const void* what) {
    EVERSTEP_ASSERT(World::current() != nullptr, "a lock that one thread takes twice");
    World::current()->block(what);
}

int wait_on(pthread_cond_t* condition, pthread_mutex_t* mutex, std::optional<Time> until) {
    World& world = *World::current();
    pthread_mutex_unlock(mutex);
    const bool woken = world.block(condition, until);
    pthread_mutex_lock(mutex);
    return woken ? 0 : ETIMEDOUT;
}

}  // namespace

void everstep::sim::step_wall(const std::string& name, Time by) {
    moved()[name] += by;
}

extern "C" {

int pthread_mutex_lock(pthread_mutex_t* mutex) {
    auto& lock = mutex->__data;
    const int self = owner();
    if (lock.__lock != 0 && lock.__owner == self && lock.__kind == PTHREAD_MUTEX_RECURSIVE_NP) {
        ++lock.__count;
        return 0;
    }
    if (World::current() != nullptr) World::current()->maybe_yield();
    while (lock.__lock != 0) wait_for(mutex);
    lock.__lock = 1;
    lock.__owner = self;
    lock.__count = 1;
    return 0;
}

int pthread_mutex_trylock(pthread_mutex_t* mutex) {
    auto& lock = mutex->__data;
    const bool again = lock.__owner == owner() && lock.__kind == PTHREAD_MUTEX_RECURSIVE_NP;
    if (lock.__lock != 0 && !again) return EBUSY;
    return pthread_mutex_lock(mutex);
}

int pthread_mutex_unlock(pthread_mutex_t* mutex) {
    auto& lock = mutex->__data;
    if (--lock.__count != 0) return 0;
    lock.__lock = 0;
    lock.__owner = 0;
    if (World::current() != nullptr) World::current()->wake_one(mutex);
    return 0;
}

int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
    return wait_on(condition, mutex, std::nullopt);
}

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                           const timespec* until) {
    return wait_on(condition, mutex, time_of(CLOCK_REALTIME, *until));
}

int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                           const timespec* until) {
    return wait_on(condition, mutex, time_of(clock, *until));
}

int pthread_cond_signal(pthread_cond_t* condition) {
    if (World::current() != nullptr) World::current()->wake_one(condition);
    return 0;
}

int pthread_cond_broadcast(pthread_cond_t* condition) {
    if (World::current() != nullptr) World::current()->wake_all(condition);
    return 0;
}

int pthread_cond_destroy(pthread_cond_t*) {
    return 0;
}

int pthread_rwlock_rdlock(pthread_rwlock_t* lock) {
    if (World::current() != nullptr) World::current()->maybe_yield();
    while (shared(lock).writer != 0) wait_for(lock);
    ++shared(lock).readers;
    return 0;
}

int pthread_rwlock_wrlock(pthread_rwlock_t* lock) {
    if (World::current() != nullptr) World::current()->maybe_yield();
    while (shared(lock).writer != 0 || shared(lock).readers != 0) wait_for(lock);
    shared(lock).writer = 1;
    return 0;
}

int pthread_rwlock_tryrdlock(pthread_rwlock_t* lock) {
    return shared(lock).writer != 0 ? EBUSY : pthread_rwlock_rdlock(lock);
}

int pthread_rwlock_trywrlock(pthread_rwlock_t* lock) {
    return shared(lock).writer != 0 || shared(lock).readers != 0 ? EBUSY
                                                                 : pthread_rwlock_wrlock(lock);
}

int pthread_rwlock_unlock(pthread_rwlock_t* lock) {
    if (shared(lock).writer != 0)
        shared(lock).writer = 0;
    else
        --shared(lock).readers;
    if (World::current() != nullptr) World::current()->wake_all(lock);
    return 0;
}

int pthread_create(pthread_t* thread, const pthread_attr_t*, void* (*run)(void*), void* with) {
    EVERSTEP_ASSERT(World::current() != nullptr, "a thread outside of a simulation");
    *thread = World::current()->spawn([run, with] { run(with); });
    return 0;
}

int pthread_join(pthread_t thread, void**) {
    World::current()->join(thread);
    return 0;
}

int pthread_detach(pthread_t) {
    return 0;
}

pthread_t pthread_self() {
    return static_cast<pthread_t>(owner());
}

int clock_gettime(clockid_t clock, timespec* time) {
    const World* world = World::current();
    if (world == nullptr) return static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
    std::int64_t now = kBootBegin + world->now().count();
    if (clock == CLOCK_REALTIME) now += kWallBegin - kBootBegin + wall_ahead(*world).count();
    *time = {now / kSecond, now % kSecond};
    return 0;
}

ssize_t getrandom(void* to, size_t bytes, unsigned flags) {
    World* world = World::current();
    if (world == nullptr) return ::syscall(SYS_getrandom, to, bytes, flags);
    for (size_t i = 0; i < bytes; ++i)
        static_cast<unsigned char*>(to)[i] = static_cast<unsigned char>(world->random());
    return static_cast<ssize_t>(bytes);
}

}  // extern "C"

// Behind std::future.
bool std::__atomic_futex_unsigned_base::_M_futex_wait_until(unsigned* address, unsigned value,
                                                            bool has_timeout, chrono::seconds,
                                                            chrono::nanoseconds) {
    EVERSTEP_ASSERT(!has_timeout, "a future is waited for without a limit");
    if (__atomic_load_n(address, __ATOMIC_RELAXED) == value) wait_for(address);
    return true;
}

void std::__atomic_futex_unsigned_base::_M_futex_notify_all(unsigned* address) {
    if (World::current() != nullptr) World::current()->wake_all(address);
}
