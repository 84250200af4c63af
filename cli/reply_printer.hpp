// Takes the replies to one command as they come and prints what the user asked to see: text, or
// JSON. Thread: the command line's. Lists that may be long are printed as they arrive; everything
// else at the end.
#pragma once

#include "cli/options.hpp"
#include "cli/progress.hpp"
#include "cli/render.hpp"

namespace everstep::cli {

class ReplyPrinter {
  public:
    ReplyPrinter(const Invocation& invocation, Surroundings& surroundings);
    // An error: the output could not be written, or what was printed says that something is
    // damaged.
    [[nodiscard]] Status take(const Value& body, bool last);
    void clear_progress() { progress_.clear(); }

  private:
    void lines(const Value& list, bool last);
    void document(const Value& body);
    [[nodiscard]] std::string text(const Value& body) const;
    [[nodiscard]] Status outcome(const Value& body) const;
    [[nodiscard]] static Status verified(const Value& body);
    [[nodiscard]] std::string list_text() const;

    const Invocation& invocation_;
    Surroundings& surroundings_;
    Progress progress_;
    LogText log_;
    Value list_ = Value::list();
};

}  // namespace everstep::cli
