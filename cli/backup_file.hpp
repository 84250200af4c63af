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
// The record of an image is a lock, too (flock), so that what a backup is made over does not become
// another image meanwhile: a backup holds that of its base, shared, until it is whole; one that
// writes over FILE (--force) holds FILE's alone. Both are taken before anything is copied.
//
// Thread: the command line's; blocks.
#pragma once

#include <optional>
#include <string>

#include "cli/backup_record.hpp"

namespace everstep::cli {

class RecordLock {
  public:
    enum class Kind : std::uint8_t { base, written_over };
    // Of the image's record. busy: another backup holds it in a way that does not go together with
    // this; not_found: there is none.
    [[nodiscard]] static Result<RecordLock> take(const std::string& image, Kind kind);
    RecordLock(RecordLock&& other) noexcept;
    RecordLock& operator=(RecordLock&&) = delete;
    ~RecordLock();

  private:
    explicit RecordLock(int fd) : fd_(fd) {}
    int fd_;  // -1: moved away
};

class BackupFile {
  public:
    // `file`: its absolute path. Makes FILE.part anew, empty, mode 0600. refused: FILE is there,
    // without `force`, or is no file, or FILE.part is there and is no backup's; busy: another
    // backup writes it, or is made over it.
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
    int lock_;                        // FILE.everstep.part; -1: moved away
    std::optional<RecordLock> over_;  // where FILE has a record already
    bool done_ = false;
};

}  // namespace everstep::cli
