// The file of a backup while it is made, and how it becomes the backup.
//
// FILE.part is written. FILE.everstep.part is the lock (an open file with flock), bears notes for
// the next run, and takes the record at the end. Then, each step durable before the next one:
//   1. FILE.part and FILE.everstep.part are synced
//   2. an old FILE.everstep is removed (--force only)
//   3. FILE.part becomes FILE
//   4. FILE.everstep.part becomes FILE.everstep
// So FILE is a whole image at every instant, and FILE.everstep, where it is there, is about the
// FILE beside it. After a crash before 3 the next run writes over what is left; between 2 and 4
// FILE is whole, and no base, for nothing says what it is: the backup is to be made again.
//
// Thread: the command line's; blocks.
#pragma once

#include "cli/backup_record.hpp"

namespace everstep::cli {

class BackupFile {
  public:
    // `file`: its absolute path. Makes FILE.part anew, empty, mode 0600. refused: FILE is there,
    // without `force`, or is no file; busy: another backup writes it.
    [[nodiscard]] static Result<BackupFile> begin(const std::string& file, bool force);
    BackupFile(BackupFile&& other) noexcept;
    BackupFile& operator=(BackupFile&&) = delete;
    ~BackupFile();  // without publish(): what was made is removed

    [[nodiscard]] const std::string& part() const { return part_; }
    // What the last run to FILE had noted, where it was killed; at most kRecordBytesMax bytes.
    [[nodiscard]] const std::string& left() const { return left_; }
    // Stands in the lock until publish(), for the next run, should this one be killed.
    [[nodiscard]] Status note(const std::string& text) const;
    // Steps 1 to 4. An error says which of the two files is not there.
    [[nodiscard]] Status publish(const BackupRecord& record);

  private:
    BackupFile(std::string file, int lock);
    std::string file_;
    std::string part_;
    std::string record_part_;
    std::string left_;
    int lock_;  // FILE.everstep.part; -1: moved away
    bool done_ = false;
};

}  // namespace everstep::cli
