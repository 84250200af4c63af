#include "common/base/thread.hpp"

#include <limits>
#include <system_error>

namespace everstep {
namespace {

Status exhausted(const std::string& why) {
    return {ErrorCode::refused, "this host gives no more threads, open files or memory (" + why +
                                    "): end some of what this node serves, or raise its limits"};
}

}  // namespace

std::atomic<std::int64_t>& threads_to_give() {
    static std::atomic<std::int64_t> left{std::numeric_limits<std::int64_t>::max()};
    return left;
}

Status start_thread(std::thread& thread, std::function<void()> work) {
    return within_limits([&]() -> Status {
        if (--threads_to_give() < 0)
            throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                                    "a thread");
        thread = std::thread(std::move(work));
        return {};
    });
}

Status within_limits(const std::function<Status()>& begin) {
    try {
        return begin();
    } catch (const std::exception& error) {
        return exhausted(error.what());
    }
}

}  // namespace everstep
