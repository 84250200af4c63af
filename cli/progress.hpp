// The progress line of long work: what is done of how much, the rate, and when it will be done. On
// a terminal only; into a pipe it prints nothing. Thread: the command line's.
#pragma once

#include <optional>
#include <string>

#include "cli/surroundings.hpp"
#include "common/base/value.hpp"

namespace everstep::cli {

class Progress {
  public:
    Progress(Surroundings& surroundings, std::string label, bool wanted);
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    ~Progress() { clear(); }
    // True when `body` is a progress message (docs/admin.md), shown or not.
    bool take(const Value& body);
    void clear();  // before anything else is printed

  private:
    [[nodiscard]] std::string line(const Value& progress);

    Surroundings& surroundings_;
    std::string label_;
    bool wanted_;
    bool shown_ = false;
    std::optional<std::chrono::nanoseconds> began_;
    std::string unit_;  // another one is another part of the work
    double done_at_beginning_ = 0;
};

}  // namespace everstep::cli
