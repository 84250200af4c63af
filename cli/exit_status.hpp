// The exit status that stands for an error: scripts decide by it. Pure; any thread.
#pragma once

#include "common/base/status.hpp"

namespace everstep::cli {

inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;
inline constexpr int kRefused = 3;
inline constexpr int kUnreachable = 4;

[[nodiscard]] int exit_status(ErrorCode code);

}  // namespace everstep::cli
