// What the commands of everstep-journal print: plain data as JSON, findings, and the progress line
// of long work (on a terminal only).
//
// Thread: one. Invariants: bytes that are not printable ASCII or UTF-8 never reach a terminal raw.
#pragma once

#include <chrono>
#include <functional>
#include <ostream>

#include "common/base/value.hpp"
#include "journal/finding.hpp"

namespace everstep::journal::tool {

struct Surroundings {
    std::ostream& out;
    std::ostream& err;
    bool err_is_terminal = false;                   // progress is shown only then
    std::function<std::chrono::nanoseconds()> now;  // of a clock that only goes forward
};

[[nodiscard]] std::string json_text(const Value& value);  // one line, without its end
[[nodiscard]] std::string printable(std::string_view text);
[[nodiscard]] Value finding_value(const Finding& finding);

// How much of how much is done, the rate, and when it will be done.
class Progress {
  public:
    Progress(Surroundings& surroundings, std::uint64_t total_bytes);
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    ~Progress() { clear(); }
    void add(std::uint64_t bytes);
    void clear();  // before anything else is printed

  private:
    Surroundings& surroundings_;
    std::uint64_t total_;
    std::uint64_t done_ = 0;
    std::chrono::nanoseconds began_;
    std::chrono::nanoseconds shown_at_;
    bool shown_ = false;
};

}  // namespace everstep::journal::tool
