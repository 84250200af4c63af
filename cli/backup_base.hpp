// Which image an incremental backup lies over: one of the same volume, of the very step since which
// it takes the changes. Thread: any.
#pragma once

#include "cli/backup_record.hpp"
#include "common/base/value.hpp"

namespace everstep::cli {

// The step by its own name: the step that a timeline begins behind, and those before it, are its
// parent's. `timelines`: as `status` lists them; what it does not list stays as it is.
[[nodiscard]] Point own_name(const Value& timelines, Point point);

// By its path, or by another path to it.
[[nodiscard]] bool is_same_file(const std::string& a, const std::string& b);

struct BaseWanted {
    std::string group;
    std::string volume;
    std::optional<Point> since;  // none: whatever step it is
};

// refused: it is a backup of something else, or its image is missing; says what was found and
// wanted.
[[nodiscard]] Status check_base(const FoundBackup& base, const BaseWanted& wanted);
// The one that fits. not_found: none does, with those that are there; refused: several do.
[[nodiscard]] Result<FoundBackup> choose_base(const FoundBackups& found, const BaseWanted& wanted);
// Of those that fit the one that was made last. not_found: none does.
[[nodiscard]] Result<FoundBackup> last_base(const FoundBackups& found, const BaseWanted& wanted);

// refused: backups lie over this image, or may, for their records cannot be read; they would break
// if it became another one.
[[nodiscard]] Status check_nothing_over(const FoundBackups& found, const std::string& image);
// The same of the base itself, and of those that it lies over, as far as their records lead.
[[nodiscard]] Status check_not_below(const FoundBackup& base, const std::string& image);

}  // namespace everstep::cli
