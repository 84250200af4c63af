#include "common/base/descriptors.hpp"

#include <sys/resource.h>

#include <algorithm>

namespace everstep {

void allow_many_files() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    // Refused: it goes on with what it has.
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return;
}

std::size_t files_for_cache(std::size_t most) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return most;
    return std::min<std::size_t>(most, std::max<rlim_t>(limit.rlim_cur / 16, 2));
}

}  // namespace everstep
