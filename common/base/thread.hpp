// Threads that the host may not give: its limits are told, not fatal.
//
// Thread: any.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include "common/base/status.hpp"

namespace everstep {

// Begins one that runs `work`. refused: there is none to have (a limit of processes, of memory);
// `thread` is then as it was.
[[nodiscard]] Status start_thread(std::thread& thread, std::function<void()> work);

// What a library throws where the host has no thread, descriptor or memory left, as an error:
// refused. `begin` has to leave nothing behind then but what its owner's destructor ends.
[[nodiscard]] Status within_limits(const std::function<Status()>& begin);

// So many more threads are given, then none: for tests. Nothing in the program sets it.
[[nodiscard]] std::atomic<std::int64_t>& threads_to_give();

}  // namespace everstep
