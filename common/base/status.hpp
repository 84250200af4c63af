// Status and Result: what can happen (disk, peer, operator, file content) comes back as a value.
// An error names the object it happened on, what was found and what was wanted. What cannot happen
// is an assertion (assert.hpp). Values; any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "common/base/assert.hpp"

namespace everstep {

enum class ErrorCode : std::uint8_t {
    ok,
    usage,        // the caller's words are wrong (exit status 2)
    refused,      // refused for safety (exit status 3)
    unreachable,  // node or peer not reachable (exit status 4)
    not_found,
    exists,
    io,  // the device or file failed
    no_space,
    corrupt,    // bytes fail their check
    version,    // newer format or protocol than this program reads
    too_large,  // over a stated limit
    timeout,
    closed,  // the other side, or we, ended it
    busy,
    internal,
};

enum class ErrorClass : std::uint8_t { none, retry, permanent, corrupt, misuse };

[[nodiscard]] ErrorClass error_class(ErrorCode code);
[[nodiscard]] std::string_view error_name(ErrorCode code);

class [[nodiscard]] Status {
  public:
    Status() = default;  // ok
    Status(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}
    [[nodiscard]] bool ok() const { return code_ == ErrorCode::ok; }
    [[nodiscard]] ErrorCode code() const { return code_; }
    [[nodiscard]] const std::string& message() const& { return message_; }
    // Of a temporary (`result.status().message()`): the text itself, so that no reference dangles.
    [[nodiscard]] std::string message() && { return std::move(message_); }
    // The same error with "context: " before its message.
    [[nodiscard]] Status with_context(std::string_view context) const;
    // The named way to drop an error on purpose.
    void ignore(std::string_view /*reason*/) const {}

  private:
    ErrorCode code_ = ErrorCode::ok;
    std::string message_;
};

// From errno: "OBJECT: OPERATION: strerror"; ENOSPC/EDQUOT are no_space, ENOENT not_found, else io.
[[nodiscard]] Status status_from_errno(int error, std::string_view operation,
                                       std::string_view object);

template <class T>
class [[nodiscard]] Result {
  public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Status error) : state_(std::in_place_index<1>, std::move(error)) {
        EVERSTEP_ASSERT(!std::get<1>(state_).ok(), "a Result made from an ok Status");
    }
    [[nodiscard]] bool ok() const { return state_.index() == 0; }
    [[nodiscard]] T& value() { return std::get<0>(state_); }
    [[nodiscard]] const T& value() const { return std::get<0>(state_); }
    [[nodiscard]] Status status() const { return ok() ? Status() : std::get<1>(state_); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }
    T& operator*() { return value(); }
    const T& operator*() const { return value(); }

  private:
    std::variant<T, Status> state_;
};

}  // namespace everstep

// Returns from the enclosing function when `expression` (a Status) is an error.
#define EVERSTEP_TRY(expression)                                                                  \
    do {                                                                                          \
        if (::everstep::Status try_status_ = (expression); !try_status_.ok()) return try_status_; \
    } while (false)
