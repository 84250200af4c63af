#include "common/base/status.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace everstep {

ErrorClass error_class(ErrorCode code) {
    switch (code) {
        case ErrorCode::ok:
            return ErrorClass::none;
        case ErrorCode::usage:
        case ErrorCode::refused:
        case ErrorCode::exists:
            return ErrorClass::misuse;
        case ErrorCode::unreachable:
        case ErrorCode::timeout:
        case ErrorCode::closed:
        case ErrorCode::busy:
        case ErrorCode::no_space:
            return ErrorClass::retry;
        case ErrorCode::not_found:
        case ErrorCode::io:
        case ErrorCode::version:
        case ErrorCode::too_large:
        case ErrorCode::internal:
            return ErrorClass::permanent;
        case ErrorCode::corrupt:
            return ErrorClass::corrupt;
    }
    return ErrorClass::permanent;  // a number from outside that names no code
}

std::string_view error_name(ErrorCode code) {
    switch (code) {
        case ErrorCode::ok:
            return "ok";
        case ErrorCode::usage:
            return "usage";
        case ErrorCode::refused:
            return "refused";
        case ErrorCode::unreachable:
            return "unreachable";
        case ErrorCode::not_found:
            return "not_found";
        case ErrorCode::exists:
            return "exists";
        case ErrorCode::io:
            return "io";
        case ErrorCode::no_space:
            return "no_space";
        case ErrorCode::corrupt:
            return "corrupt";
        case ErrorCode::version:
            return "version";
        case ErrorCode::too_large:
            return "too_large";
        case ErrorCode::timeout:
            return "timeout";
        case ErrorCode::closed:
            return "closed";
        case ErrorCode::busy:
            return "busy";
        case ErrorCode::internal:
            return "internal";
    }
    return "unknown";
}

Status Status::with_context(std::string_view context) const {
    if (ok()) return *this;
    return {code_, fmt::format("{}: {}", context, message_)};
}

Status status_from_errno(int error, std::string_view operation, std::string_view object) {
    ErrorCode code = ErrorCode::io;
    if (error == ENOSPC || error == EDQUOT) code = ErrorCode::no_space;
    if (error == ENOENT) code = ErrorCode::not_found;
    const char* words = ::strerrordesc_np(error);  // unlike strerror, safe on any thread
    if (words != nullptr) return {code, fmt::format("{}: {}: {}", object, operation, words)};
    return {code, fmt::format("{}: {}: error {}", object, operation, error)};
}

}  // namespace everstep
