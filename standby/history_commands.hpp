// The admin verbs that a history answers: log, mark, marks, unmark, rewind, resume, diff,
// scrub.
// Thread: the loop's; long work (log, diff, scrub) runs in slices or on its own thread and never
// blocks the loop. Arguments and bodies: docs/admin.md.
#pragma once

#include <functional>

#include "proto/messages.hpp"
#include "standby/point.hpp"
#include "standby/standby.hpp"

namespace everstep::standby {

// A mark's name that is nobody else's while it lives, in the group's history and on its branches.
using NameHold = std::shared_ptr<const std::string>;

class HistoryCommands {
  public:
    HistoryCommands(Standby& standby, std::vector<std::string> volume_names,
                    std::function<WallTime()> step_now);
    ~HistoryCommands();
    [[nodiscard]] static bool knows(std::string_view verb);
    // Replies once, or several times with more = true and then once without.
    void run(const wire::AdminRequest& request, std::function<void(wire::AdminReply)> reply);
    // Of the group's own history; refused where it lies on a branch.
    [[nodiscard]] Result<Point> resolve(std::string_view expression) const;
    [[nodiscard]] Result<PlacedPoint> place(std::string_view expression) const;
    // For a mark that is made in another way. Null: the name is taken, or about to be.
    [[nodiscard]] NameHold hold_name(const std::string& name) const;

  private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace everstep::standby
