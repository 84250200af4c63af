// What a node answered, as text for people. Each takes the body that docs/admin.md describes; what
// is missing in it is left out or shown as "-". render_status.cpp, render_log.cpp,
// render_simple.cpp (lists and short answers) and render_changes.cpp (what a command changed). Pure
// but for LogText's widths; any thread.
#pragma once

#include <string>

#include "cli/options.hpp"
#include "cli/text.hpp"
#include "common/base/value.hpp"

namespace everstep::cli {

[[nodiscard]] std::string status_text(const Value& body);

// The log arrives in pages; its columns line up over all of them.
class LogText {
  public:
    [[nodiscard]] std::string page(const Value& list);
    [[nodiscard]] bool empty() const { return !header_; }

  private:
    void step(const Value& step);
    void change_of_timeline(const Value& step);

    Table table_{"rllrrll"};
    std::string timeline_;
    bool header_ = false;
};

[[nodiscard]] std::string marks_text(const Value& list);
[[nodiscard]] std::string exports_text(const Value& list);
[[nodiscard]] std::string diff_text(const Value& list);
[[nodiscard]] std::string export_text(const Value& body, bool quiet);
// What `everstep mount` and `umount` did; their own bodies.
[[nodiscard]] std::string mount_text(const Value& body);
[[nodiscard]] std::string umount_text(const Value& body);
// What `everstep backup` made; its own body.
[[nodiscard]] std::string backup_text(const Value& body);
// The plan of `everstep group apply`.
[[nodiscard]] std::string plan_text(const Value& body);
// "gap: steps 10 .. 20, REASON, 1.0 MiB differ"
[[nodiscard]] std::string gap_text(const Value& gap);
// The URIs by volume, one a line with `indent` in front; a map or a list.
[[nodiscard]] std::string uris_text(const Value& uris, const std::string& indent);

// One sentence with the figures: rewind, resume, takeover, adopt, mark, unmark, unexport, pause,
// unpause.
[[nodiscard]] std::string change_text(const Invocation& invocation, const Value& body);

}  // namespace everstep::cli
