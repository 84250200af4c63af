#include "cli/exit_status.hpp"

namespace everstep::cli {

int exit_status(ErrorCode code) {
    switch (code) {
        case ErrorCode::ok:
            return kDone;
        case ErrorCode::usage:
            return kUsage;
        case ErrorCode::refused:
            return kRefused;
        case ErrorCode::unreachable:
            return kUnreachable;
        case ErrorCode::not_found:
        case ErrorCode::exists:
        case ErrorCode::io:
        case ErrorCode::no_space:
        case ErrorCode::corrupt:
        case ErrorCode::version:
        case ErrorCode::too_large:
        case ErrorCode::timeout:
        case ErrorCode::closed:
        case ErrorCode::busy:
        case ErrorCode::internal:
            return kFailed;
    }
    return kFailed;
}

}  // namespace everstep::cli
